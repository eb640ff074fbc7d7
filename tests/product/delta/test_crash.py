"""kill -9 at any moment of publishing and pruning deltas: an independent reader, in Python, finds every published backup restorable."""
import hashlib
import json
import os
import random
import signal
import subprocess
import time

import pytest
import zstandard
from days import Collection, Version, name_of
from harness import BUILD, manifests_of

RUNS, SLOTS, SEED = int(os.environ.get("CRASHES", "40")), 12, int(os.environ.get("SEED", "1"))
RETENTION = "15min=3,hourly=2,daily=2"


def part(data, at, size):
    assert at + size <= len(data), "behind the end"
    return data[at:at + size]


def snapshot_of(base, manifest):
    """Its bytes by docs/format.md alone."""
    def file(name, frequency):
        return (base / frequency / "docs" / name).read_bytes()

    whole = b""
    for layer in [*manifest.get("bases", []), manifest]:
        data = file(layer["data"], layer["frequency"])
        assert len(data) == layer["stored_size"]
        if layer["data"].endswith(".zst"):
            whole = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(data)
            continue
        recipe = part(data, layer["recipe"]["offset"], layer["recipe"]["size"])
        assert hashlib.sha256(recipe).hexdigest() == layer["recipe"]["sha256"]
        made = []
        for line in recipe.decode().splitlines():
            how, a, b, *rest = line.split()
            prefix = part(whole, int(a), int(b))
            if how == "=":
                made.append(prefix)
                continue
            dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if how == "~" else None
            frame = part(data, int(rest[0]), int(rest[1]))
            made.append(zstandard.ZstdDecompressor(dict_data=dictionary).decompress(frame))
        whole = b"".join(made)
    return whole


def check(tree):
    """Every backup that is there gives its snapshot; how many there are."""
    found = [json.loads(p.read_text()) for p in manifests_of(tree.base)] if tree.base.exists() else []
    for manifest in found:
        data = snapshot_of(tree.base, manifest)
        assert len(data) == manifest["size"] and hashlib.sha256(data).hexdigest() == manifest["sha256"], manifest["snapshot"]
    return len(found)


@pytest.fixture
def qdrant():
    v = Version()
    yield v
    v.stop()


def test_killed_at_any_moment_every_published_backup_is_restorable(tree, qdrant):
    rng, collection = random.Random(SEED), Collection(SEED, mib=1)
    env = tree.env | {"COMPRESSION": "delta", "QDRANT_URL": qdrant.url, "NODE_NAME": "n1", "LOCAL_KEEP": "1", "RETENTION": RETENTION}
    killed = number = most = 0
    took = 0.2
    for run in range(RUNS):
        for _ in range(rng.randrange(1, 3)):
            collection.change()
            if rng.random() < 0.05:
                collection.replace()
            tree.snapshot("docs", name_of(number), collection.snapshot())
            number += 1 + (rng.random() < 0.1)
        begin = time.monotonic()
        process = subprocess.Popen([BUILD / "qdrant-replicator", "--once"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(rng.uniform(0, took * 1.2))
            took = 0.8 * took + 0.2 * (time.monotonic() - begin)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            took = min(took * 1.1, 30)  # a busy machine takes longer: not all may be killed before they have done anything
            killed += 1
        most = max(most, check(tree))
    assert killed > RUNS // 4 and most >= 3
    last = tree.once(**env)
    assert last.returncode == 0, last.stderr
    assert check(tree) >= 3
    # What is left of one that was killed between a manifest and its data is swept after a day.
    assert {b["reason"] for b in tree.ls() if b["state"] != "complete"} <= {"no manifest yet"}
    defects = tree.efs_tool("verify").stderr.splitlines()
    assert all("no manifest yet" in line for line in defects if "incomplete" in line or "corrupt" in line)
