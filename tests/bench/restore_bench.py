#!/usr/bin/env python3
"""From an empty disk to serving, beside what a person would do by hand: zstd -d, then qdrant --snapshot.

QDRANT_BIN=/path/to/qdrant BUILD_DIR=build restore_bench.py [MB:COLLECTIONS ...]     (200:1 200:20)

Prints seconds until /readyz answers, the peak of the disk below Qdrant's storage in times of the snapshots' size, and the
peak memory of all processes together; each of several rounds, both ways in turn. Quote ratios of one run.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from booting import Efs, Task  # noqa: E402
from harness import wait_for  # noqa: E402
from server import Server  # noqa: E402

DIMENSIONS, ROUNDS = 512, int(os.environ.get("ROUNDS", "3"))


class Watch(threading.Thread):
    """Peaks of a folder's size and of the memory of a process and its children, ten times a second."""

    def __init__(self, folder, pid):
        super().__init__(daemon=True)
        self.folder, self.pid, self.disk, self.memory, self.over = folder, pid, 0, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.1):
            out = subprocess.run(["du", "-sk", self.folder], capture_output=True, text=True).stdout.split()
            self.disk = max(self.disk, int(out[0]) << 10 if out else 0)
            self.memory = max(self.memory, self.rss(self.pid))

    def rss(self, pid):
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            # A staging Qdrant is the child of a thread of the replicator.
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                children += (task / "children").read_text().split()
        except OSError:
            return 0
        own = next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("RssAnon")), 0)
        return own + sum(self.rss(int(c)) for c in set(children))


def until_ready(server, begin):
    while not server.ready():
        time.sleep(0.005)
    return time.monotonic() - begin


def fill(server, name, megabytes):
    """By gRPC, whose numbers are binary; without an index, which would take most of the time to make."""
    import numpy
    from qdrant_client import QdrantClient, models
    client = QdrantClient(host="127.0.0.1", port=server.port, grpc_port=int(server.env["QDRANT__SERVICE__GRPC_PORT"]),
                          prefer_grpc=True, https=False, api_key=server.api_key, timeout=120, check_compatibility=False)
    points = megabytes * 1024 * 1024 // (DIMENSIONS * 4)
    client.create_collection(name, vectors_config=models.VectorParams(size=DIMENSIONS, distance=models.Distance.DOT),
                             optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0))
    for at in range(0, points, 2000):
        n = min(2000, points - at)
        client.upsert(name, models.Batch(ids=list(range(at, at + n)), vectors=numpy.random.rand(n, DIMENSIONS).tolist()))
    wait_for(lambda: server.result("GET", f"/collections/{name}")["status"] == "green", 900)


def by_hand(folder, efs, total):
    server = Server("real", folder / "hand")
    begin = time.monotonic()
    arguments = []
    for manifest in efs.tree.rglob("*.json"):
        if "/restores/" in str(manifest):
            continue
        m = json.loads(manifest.read_text())
        out = server.work / f"{m['snapshot']}.snapshot"
        subprocess.run(["zstd", "-q", "-d", manifest.with_name(m["data"] if "data" in m else f"{m['snapshot']}.snapshot.zst"), "-o", out],
                       check=True)
        arguments += ["--snapshot", f"{out}:{m['collection']}"]
    with open(server.log, "wb") as log:
        server.process = subprocess.Popen([server.program, *arguments], cwd=server.work, env=server.env, stdout=log, stderr=log)
    watch = Watch(server.work, server.process.pid)
    seconds = until_ready(server, begin)
    watch.over.set()
    server.stop()
    shutil.rmtree(server.root)
    return seconds, watch.disk / total, watch.memory


def by_us(folder, efs, total):
    t = Task("real", folder / "ours", efs, RESTORE_ON_EMPTY="latest")
    begin = time.monotonic()
    t.begin()
    watch = Watch(t.server.work, t.process.pid)
    seconds = until_ready(t.server, begin)
    watch.over.set()
    t.wait_restored()
    t.stop()
    events = t.events("boot_restore_failed", "boot_restore_passed_over")
    assert not events, events
    shutil.rmtree(folder / "ours")
    shutil.rmtree(efs.tree / "restores", ignore_errors=True)
    return seconds, watch.disk / total, watch.memory


def bench(megabytes, collections, folder):
    efs = Efs(folder / "efs")
    t = Task("real", folder / "first", efs).start()
    names = [f"c{n}" for n in range(collections)]
    for name in names:
        fill(t.server, name, megabytes // collections)
    t.backup(*names)
    t.stop()
    shutil.rmtree(folder / "first")
    total = sum(json.loads(p.read_text())["size"] for p in efs.tree.rglob("*.json"))
    print(f"{collections} collections, snapshots of {total >> 20} MiB together", flush=True)
    ratios = []
    for n in range(ROUNDS):
        hand, ours = by_hand(folder, efs, total), by_us(folder, efs, total)
        ratios.append(ours[0] / hand[0])
        for name, (seconds, disk, memory) in (("by hand", hand), ("qdrant-entrypoint", ours)):
            print(f"  {name:18} {seconds:7.2f} s   disk {disk:.2f} x   memory {memory >> 20} MiB", flush=True)
        print(f"  ratio {ratios[-1]:.2f}", flush=True)
    print(f"  median ratio {sorted(ratios)[len(ratios) // 2]:.2f}", flush=True)


def main():
    for wish in sys.argv[1:] or ["200:1", "200:20"]:
        megabytes, collections = map(int, wish.split(":"))
        with tempfile.TemporaryDirectory(prefix="restore-bench-") as folder:
            bench(megabytes, collections, pathlib.Path(folder))


if __name__ == "__main__":
    main()
