#!/usr/bin/env python3
"""What users of the real Qdrant feel of a backup: how long a search takes while nothing runs, while a snapshot is made, while it is
published (as a delta and as a whole), and while restic takes the same file.

QDRANT_BIN=/path/to/qdrant BUILD_DIR=build latency_bench.py      POINTS=100000 DIMENSIONS=256 SECONDS_EACH=20      WRITE=1: into docs/performance.md

Searches come one after the other, as of one client. Everything is of one run on one machine: quote ratios.
"""
import hashlib
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from delta_bench import Restic, green, upsert  # noqa: E402
from days import name_of  # noqa: E402
from harness import BUILD, Tree, wait_for  # noqa: E402
from server import Server  # noqa: E402

import delta_bench  # noqa: E402
import tables  # noqa: E402

SECONDS, NAME = float(os.environ.get("SECONDS_EACH", "20")), delta_bench.NAME


PHASES = {"nothing": "nothing", "a snapshot is made": "Qdrant makes a snapshot", "published, delta": "published, `delta`",
          "published, zstd:1": "published, `zstd:1`", "restic backup": "restic 0.14 backs it up", "nothing, again": "nothing, once more"}


class Searcher:
    """One client that searches without a pause; what each search took, by what ran meanwhile."""

    def __init__(self, server):
        self.server, self.rng, self.took, self.phase, self.over = server, random.Random(5), {}, None, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over:
            vector = [self.rng.gauss(0, 1) for _ in range(delta_bench.DIMENSIONS)]
            phase, begin = self.phase, time.monotonic()
            self.server.result("POST", f"/collections/{NAME}/points/search", {"vector": vector, "limit": 10})
            if phase == self.phase:  # else it was of two
                self.took.setdefault(phase, []).append(time.monotonic() - begin)

    def during(self, phase, work):
        """`work` again and again for SECONDS, at least once."""
        self.phase = phase
        end = time.monotonic() + SECONDS
        while True:
            work()
            if time.monotonic() >= end:
                break
        self.phase = None

    def stop(self):
        self.over = True
        self.thread.join()


def local(tree, snapshot, number):
    folder = tree.snapshots / NAME
    folder.mkdir(exist_ok=True)
    target = folder / f"{name_of(number, NAME)}.snapshot"
    os.link(snapshot, target)
    (folder / f"{target.name}.checksum").write_text(hashlib.sha256(snapshot.read_bytes()).hexdigest())


def publish(tree, server, **env):
    # Behind Qdrant, as under the entrypoint.
    behind = ["nice", "-n", "10", *(["ionice", "-c", "2", "-n", "7"] if shutil.which("ionice") else [])]
    run = subprocess.run([*behind, BUILD / "qdrant-replicator", "--once"], capture_output=True, text=True,
                         env=tree.env | {"QDRANT_URL": server.url, "NODE_NAME": "n1", "LOCAL_KEEP": "100", "SNAPSHOT_INTERVAL": "0"} | env)
    assert run.returncode == 0, run.stderr


def snapshot_of(server, work):
    made = server.result("POST", f"/collections/{NAME}/snapshots?wait=true")
    path = server.snapshots / NAME / made["name"]
    shutil.move(path, work)
    (path.parent / f"{path.name}.checksum").unlink()


class Slot:
    """A tree that has the first snapshot, and gets the second one as often as is asked."""

    def __init__(self, root, snapshots, server, codec):
        self.tree, self.server, self.env = Tree(root / f"tree-{codec}"), server, {"COMPRESSION": codec}
        local(self.tree, snapshots[0], 0)
        publish(self.tree, server, **self.env)
        local(self.tree, snapshots[1], 1)

    def publish(self):
        publish(self.tree, self.server, **self.env)
        for path in self.tree.efs.rglob(f"{name_of(1, NAME)}*"):
            path.unlink()


def main(root):
    rng = random.Random(7)
    with Server("real", root) as server:
        server.result("PUT", f"/collections/{NAME}", {"vectors": {"size": delta_bench.DIMENSIONS, "distance": "Cosine"}})
        upsert(server, list(range(delta_bench.POINTS)), rng)
        wait_for(lambda: green(server), 1200)
        snapshots = [root / "snapshot-0", root / "snapshot-1"]
        snapshot_of(server, snapshots[0])
        upsert(server, rng.sample(range(delta_bench.POINTS), delta_bench.POINTS // 100), rng)
        wait_for(lambda: green(server), 1200)
        snapshot_of(server, snapshots[1])
        slots = {codec: Slot(root, snapshots, server, codec) for codec in ("delta", "zstd:1")}
        restic = Restic(root / "restic")
        search = Searcher(server)
        try:
            search.during("nothing", lambda: time.sleep(SECONDS))
            search.during("a snapshot is made", lambda: snapshot_of(server, root / "more"))
            for codec, slot in slots.items():
                search.during(f"published, {codec}", slot.publish)
            if restic.there:
                search.during("restic backup", lambda: restic.add(snapshots[1]))
            search.during("nothing, again", lambda: time.sleep(SECONDS))
        finally:
            search.stop()
    return snapshots[1].stat().st_size, search.took


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="latency-") as folder:
        size, took = main(pathlib.Path(folder))
    took.pop(None, None)
    idle = sorted(took["nothing"])
    print(f"a snapshot of {size / 1e6:,.0f} MB; {os.cpu_count()} cores\n")
    rows = []
    for phase, all_of in took.items():
        p50, p99 = statistics.median(all_of), sorted(all_of)[int(len(all_of) * 0.99)]
        rows.append([PHASES[phase], f"{p50 * 1e3:.1f}", f"{p99 * 1e3:.1f}", f"{p50 / statistics.median(idle):.2f}", f"{p99 / idle[int(len(idle) * 0.99)]:.2f}"])
    tables.put("Searches meanwhile", rows)
