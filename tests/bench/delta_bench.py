#!/usr/bin/env python3
"""What a day of slots costs with COMPRESSION=delta: snapshots of the real Qdrant under four loads, beside wholes and restic.

QDRANT_BIN=/path/to/qdrant BUILD_DIR=build delta_bench.py [LOAD ...]      POINTS=30000 DIMENSIONS=128 SLOTS=96 INDEX=1

For each load: bytes of all backups of the day in wholes of the last size; the same of restic's repository, if restic is there;
bytes and number of each frequency; the longest chain; seconds to publish a delta in times of a whole with zstd:1 of the same snapshot; seconds and memory of a restore; and a random 20 slots
restored and compared with the snapshot that Qdrant made. WRITE=1 puts them into docs/performance.md. INDEX=0: without Qdrant's HNSW index, which takes an unoptimized Qdrant minutes a slot at 200,000 points. Sizes are exact; times are of this machine.
"""
import hashlib
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from days import name_of  # noqa: E402
from harness import BUILD, Tree, manifests_of, wait_for  # noqa: E402
from server import Server  # noqa: E402

import tables  # noqa: E402

POINTS, DIMENSIONS, SLOTS = (int(os.environ.get(k, v)) for k, v in (("POINTS", 30000), ("DIMENSIONS", 128), ("SLOTS", 96)))
INDEX = os.environ.get("INDEX", "1") != "0"
NAME, BATCH, CHECKED, TIMED = "docs", 1000, 20, 12


def vectors(numbers, rng):
    return [{"id": n, "vector": [round(rng.gauss(0, 1), 4) for _ in range(DIMENSIONS)],
             "payload": {"city": rng.choice(["Berlin", "Rome", "Oslo"]), "price": rng.random(), "text": f"item {n} {rng.random()}"}}
            for n in numbers]


def upsert(server, numbers, rng):
    for at in range(0, len(numbers), BATCH):
        server.result("PUT", f"/collections/{NAME}/points?wait=true", {"points": vectors(numbers[at:at + BATCH], rng)})


def uniform(share):
    return lambda server, rng, slot: upsert(server, rng.sample(range(POINTS), int(POINTS * share)), rng)


def appended(server, rng, slot):
    first = POINTS + slot * (POINTS // 100)
    upsert(server, list(range(first, first + POINTS // 100)), rng)


def hot(server, rng, slot):
    upsert(server, rng.sample(range(POINTS // 20), POINTS // 100), rng)


LOADS = {"1 % uniform upserts": uniform(0.01), "1 % appended": appended, "1 % in a hot set of 5 %": hot, "0.1 % uniform": uniform(0.001)}
ROWS = dict(zip(LOADS, ("1 % of the points, anywhere", "1 % appended", "1 %, in a hot set of 5 %", "0.1 %, anywhere")))  # of docs/performance.md


def name_of_row(load):
    usual = (POINTS, DIMENSIONS, SLOTS, INDEX) == (30000, 128, 96, True)
    return ROWS[load] if usual else (f"{ROWS[load].replace(' of the points', '').replace(',', '')} of {POINTS:,} points with {DIMENSIONS} dimensions, {SLOTS} slots"
                                     + ("" if INDEX else ", without an HNSW index"))


class Restic:
    def __init__(self, root):
        self.root, self.env = root, os.environ | {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(root)}
        self.there = shutil.which("restic") is not None and self.run("init")

    def run(self, *args):
        return subprocess.run(["restic", "-q", "--no-cache", *args], env=self.env, capture_output=True).returncode == 0

    def add(self, path):
        if self.there:
            assert self.run("backup", str(path))

    def size(self):
        return sum(p.stat().st_size for p in self.root.rglob("*") if p.is_file()) if self.there else None


def green(server):
    return server.result("GET", f"/collections/{NAME}")["status"] == "green"


def take(server, work):
    """A snapshot as Qdrant leaves it, moved away."""
    made = server.result("POST", f"/collections/{NAME}/snapshots?wait=true")
    path = server.snapshots / NAME / made["name"]
    shutil.move(path, work)
    (path.parent / f"{path.name}.checksum").unlink()
    return made["checksum"]


def publish(root, snapshot, number, server, **env):
    """Seconds that the copy took, by its manifest."""
    tree = Tree(root / f"local-{number}")
    shutil.rmtree(tree.efs)
    folder = tree.snapshots / NAME
    folder.mkdir()
    os.link(snapshot, folder / f"{name_of(number, NAME)}.snapshot")
    (folder / f"{name_of(number, NAME)}.snapshot.checksum").write_text(hashlib.sha256(snapshot.read_bytes()).hexdigest())
    env = tree.env | {"EFS_ROOT": str(root / "efs"), "QDRANT_URL": server.url, "NODE_NAME": "n1", "RETENTION": "15min=400,hourly=400",
                      "LOCAL_KEEP": "100"} | env
    run = subprocess.run([BUILD / "qdrant-replicator", "--once"], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    shutil.rmtree(tree.root)
    return next(m for m in manifests(root) if m["snapshot"] == name_of(number, NAME))


def manifests(root):
    return [json.loads(p.read_text()) for p in manifests_of(root / "efs/test-cpu")]


def restored(root, number, checksum):
    env = os.environ | {"EFS_ROOT": str(root / "efs")}
    run = subprocess.run([BUILD / "qdrant-efs", "restore", "--snapshot", name_of(number, NAME), "--stdout"], env=env, capture_output=True)
    return run.returncode == 0 and hashlib.sha256(run.stdout).hexdigest() == checksum


def restore(root, number):
    """Seconds, and MiB of memory at the most, of a restore into a file."""
    (root / "out").unlink(missing_ok=True)
    os.sync()
    begin, most = time.monotonic(), 0
    process = subprocess.Popen([BUILD / "qdrant-efs", "restore", "--snapshot", name_of(number, NAME), "--to", root / "out"],
                               env=os.environ | {"EFS_ROOT": str(root / "efs")}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:  # what wait4() tells counts the fork of this program, too
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        most = max(most, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
        time.sleep(0.005)
    assert process.returncode == 0
    return time.monotonic() - begin, most / 1024


def restores(root, *numbers):
    """The median of five of each, in turn."""
    takes = [[restore(root, number) for number in numbers] for _ in range(5)]
    return [[round(statistics.median(column), 2) for column in zip(*one)] for one in zip(*takes)]


def day(load, root):
    rng = random.Random(7)
    (root / "efs").mkdir()
    (root / "whole/efs").mkdir(parents=True)
    restic, checksums, ratios, snapshot = Restic(root / "restic"), {}, [], root / "snapshot"
    with Server("real", root) as server:
        server.result("PUT", f"/collections/{NAME}", {"vectors": {"size": DIMENSIONS, "distance": "Cosine"},
                                                      **({} if INDEX else {"hnsw_config": {"m": 0}})})
        upsert(server, list(range(POINTS)), rng)
        for number in range(SLOTS):
            if number > 0:
                LOADS[load](server, rng, number)
            wait_for(lambda: green(server), 1800)
            checksums[number] = take(server, snapshot)
            delta = publish(root, snapshot, number, server, COMPRESSION="delta")
            if number > 0 and number % max(1, SLOTS // TIMED) == 0:
                whole = publish(root / "whole", snapshot, number, server, COMPRESSION="zstd:1")
                ratios.append(delta["seconds"] / whole["seconds"])
            restic.add(snapshot)
            snapshot.unlink()
    made = manifests(root)
    wholes = [m["stored_size"] for m in made if m["codec"] != "delta"]
    stored, last = sum(m["stored_size"] for m in made), max(made, key=lambda m: m["slot"])
    # The last one's size as a whole: of the whole day's wholes the nearest.
    unit = wholes[-1] * last["size"] / max(m["size"] for m in made if m["codec"] != "delta") if last["codec"] == "delta" else last["stored_size"]
    sample = random.Random(3).sample(sorted(checksums), min(CHECKED, len(checksums)))
    good = sum(restored(root, number, checksums[number]) for number in sample)
    number = {name_of(n, NAME): n for n in range(SLOTS)}
    first, deepest = (number[f(made, key=lambda m: len(m.get("bases", [])))["snapshot"]] for f in (min, max))
    return {"restores: whole, deepest delta": restores(root, first, deepest), "load": load, "slots": SLOTS, "stored": stored / unit, "wholes": len(wholes), "restic": restic.size() / unit if restic.there else None,
            "chain": max(len(m.get("bases", [])) for m in made), "time": statistics.median(ratios),
            "restored": f"{good} of {len(sample)}", "bytes": stored, "whole": unit,
            "of each": {f: [len(v), sum(v) / unit] for f in ("15min", "hourly", "daily", "monthly")
                        if (v := [m["stored_size"] for m in made if m["frequency"] == f])}}


def main():
    for load in sys.argv[1:] or LOADS:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as work:
            made = day(load, pathlib.Path(work)) | {"seconds": round(time.monotonic() - begin)}
        print(json.dumps(made), flush=True)
        tables.put("Deltas", [[name_of_row(load), f"{made['stored']:.1f}", f"{made['restic']:.1f}" if made["restic"] else "-", str(made["chain"]),
                               f"{made['time']:.2f}"]])
        whole, delta = made["restores: whole, deepest delta"]
        tables.put("Restoring a delta", [["the whole", "itself", f"{whole[0]:.2f}", f"{whole[1]:.1f}"],
                                         ["the deepest delta", f"{made['chain'] + 1} files", f"{delta[0]:.2f}", f"{delta[1]:.1f}"]])


if __name__ == "__main__":
    main()
