"""kill -9 at any moment of publishing and pruning deltas: an independent reader finds every published backup restorable."""
import os
import random
import signal
import subprocess
import time

import pytest
from days import Collection, Version, name_of
from delta_reader import check
from harness import BUILD

RUNS, SLOTS, SEED = int(os.environ.get("CRASHES", "40")), 12, int(os.environ.get("SEED", "1"))
RETENTION = "15min=3,hourly=2,daily=2"


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
