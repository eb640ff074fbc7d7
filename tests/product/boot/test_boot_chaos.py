"""A restore at boot under a client that creates, writes and deletes all the while, and under kills at random moments.

CHAOS_RUNS (3) and CHAOS_SEED (drawn, and printed with a failure) choose how many, and which.
"""
import os
import random
import threading
import time

import pytest
from booting import path_of, scroll, upsert
from harness import wait_for
from restoring import SIXTH

RUNS, SEED = int(os.environ.get("CHAOS_RUNS", "3")), os.environ.get("CHAOS_SEED")
COLLECTIONS = [f"c{n:02}" for n in range(20)]


class Client(threading.Thread):
    """An application that makes what is missing, as LangChain and others do at connect, writes, and deletes."""

    def __init__(self, t, rng):
        super().__init__(daemon=True)
        self.t, self.rng, self.over = t, rng, threading.Event()
        self.written = {}  # collection: ids that were acknowledged
        self.deleted, self.gone = set(), set()  # asked to be, and acknowledged
        self.first, self.wrong = None, []

    def run(self):
        n = 1000
        while not self.over.is_set():
            n += 1
            try:
                self.step(n)
            except (OSError, AssertionError, ValueError):  # it is not there, or was killed meanwhile
                time.sleep(0.01)

    def step(self, n):
        name = self.rng.choice(COLLECTIONS)
        status, reply = self.t.server.request("GET", "/collections", timeout=5)
        if status != 200:
            return
        have = {c["name"] for c in reply["result"]["collections"]}
        if self.first is None:
            self.first = have
        missing = set(COLLECTIONS) - have - self.deleted
        if missing:
            self.wrong.append(f"served without {sorted(missing)}")
        if name in self.deleted:
            return
        if n % 40 == 0 and len(self.deleted) < 3:
            self.deleted.add(name)  # whether the answer comes or not
            self.written.pop(name, None)
            status, _ = self.t.server.request("DELETE", path_of(name), timeout=10)
            self.gone |= {name} if status == 200 else set()
            return
        if name not in have:
            self.t.server.request("PUT", path_of(name), {"vectors": {"size": 4, "distance": "Dot"}}, timeout=5)
        upsert(self.t.server, name, [SIXTH | {"id": n}])
        self.written.setdefault(name, set()).add(n)


def kill_something(t, rng):
    who = rng.choice(["replicator", "qdrant", "container", "nobody"])
    if who == "container":
        t.kill_all()
        t.begin()
        return who
    pids = [p for p in t.children() if (p == t.replicator()) == (who == "replicator")] if who != "nobody" else []
    for pid in pids:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    return who


def one_run(t, rng):
    client = Client(t, rng)
    t.begin()
    client.start()
    done = []
    try:
        for _ in range(rng.randrange(1, 5)):
            time.sleep(rng.random() * 1.5)
            done.append(kill_something(t, rng))
            if t.process.poll() is not None:  # Qdrant was killed: the container ends with it, and is started again
                t.process.wait(60)
                t.begin()
        if t.process.poll() is not None:
            t.begin()
        def is_in():
            if t.process.poll() is not None:
                t.begin()
            return t.let_in() and t.restored()[0] == 200
        wait_for(is_in, 120)
        time.sleep(0.5)
    finally:
        client.over.set()
        client.join(30)
    assert not client.wrong, (done, client.wrong[:3])
    have = set(t.collections())
    # A deletion that was never answered may have happened or not.
    assert set(COLLECTIONS) - client.deleted <= have <= set(COLLECTIONS) - client.gone, \
        (done, have ^ set(COLLECTIONS), client.deleted, client.gone)
    for name in have:
        ids = {p["id"] for p in scroll(t.server, name)["points"]}
        lost = (set(t.ids[name]) | client.written.get(name, set())) - ids
        assert not lost, (done, name, sorted(lost))
    assert t.health()[0] == 0, (done, t.health())


@pytest.mark.parametrize("run", range(RUNS))
def test_nothing_that_had_points_is_lost_and_nothing_missing_is_served(task, efs, run, tmp_path_factory):
    seed = SEED or str(random.randrange(1 << 30))
    rng = random.Random(f"{seed}-{run}")
    t = task(RESTORE_ON_EMPTY="latest").start()
    t.wait_restored()
    t.fill(*COLLECTIONS)
    t.backup(*COLLECTIONS)
    t.ids = {name: [p["id"] for p in scroll(t.server, name)["points"]] for name in COLLECTIONS}
    t.lose_disk()
    try:
        one_run(t, rng)
    except Exception:
        print(f"CHAOS_SEED={seed} run {run}")
        raise
