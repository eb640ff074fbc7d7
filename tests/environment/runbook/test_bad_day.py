"""The bad day, played from its morning to its end: a Region is lost at any moment, the second one goes on from a replica that nobody
can write to, and everything goes back without the loss of a point.

What must be there in the second Region is not what the test hopes for, but what `qdrant-efs replica` said before: of each collection the
state at its recovery point, to the last number. It may say less than there is, where the last file of three (`.sha256`, for people) has not
arrived: a restore needs none.
"""
import collections
import hashlib
import json
import random
import shutil
import subprocess
import time

import image as images
import pytest
from booting import ODD, Efs, Task, scroll, upsert
from harness import BUILD, wait_for
from replicating import Replicating
from runbook_scenes import namespaces, read_only
from server import SERVERS

NAMES = ["docs", ODD[0], ODD[2], ODD[5], ".hidden -dash"]
ROUNDS = 2


class Day:
    def __init__(self, kind, tmp, seed):
        self.kind, self.tmp, self.random, self.tasks = kind, tmp, random.Random(seed), []
        self.states = collections.defaultdict(dict)  # collection: {snapshot: what it held}
        self.written = 100

    def task(self, name, efs, replica=None):
        t = Task(self.kind, self.tmp / name, efs, NODE_NAME="qdrant-0", RESTORE_ON_EMPTY="latest", HEALTH_START_SECONDS="0")
        if replica:
            t.prefix, at = read_only(replica, self.tmp / f"{name}-mount")
            t.env["RESTORE_FROM"] = str(at)
        self.tasks.append(t)
        return t

    def write(self, t, *names):
        """A point more in each, that no other moment has."""
        for name in names:
            self.written += 1
            vector = [self.random.random() for _ in range(4)]
            upsert(t.server, name, [{"id": self.written, "vector": vector, "payload": {"n": self.written, "in": name}}])

    def back_up(self, t, *names):
        """As the schedule does it; what each of them held then is kept."""
        held = {name: scroll(t.server, name) for name in names}
        time.sleep(1.01)  # a snapshot's name has no more than the second
        made = subprocess.run([BUILD / "qdrant-replicator", "snapshot", *names], env=t.env, capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
        for name in names:
            newest = max((m["snapshot"] for m in manifests(t.tree, name)), key=lambda stem: stem[-19:])
            self.states[name][newest] = held[name]

    def run(self, t, rounds):
        for _ in range(rounds):
            some = self.random.sample(NAMES, self.random.randrange(1, len(NAMES)))
            self.write(t, *NAMES)
            self.back_up(t, *some)

    def end(self):
        for t in self.tasks:
            t.end()


def manifests(tree, name):
    found = [json.loads(p.read_text()) for p in tree.glob("*/*/*.json")]
    return [m for m in found if m.get("collection") == name]


def arrived(tree, name):
    """The newest snapshot whose bytes are those of its manifest, by no program of ours; and whether its `.sha256` is there."""
    good = {}
    for path in tree.glob("*/*/*.json"):
        try:
            m = json.loads(path.read_text())
            data = path.with_name(m["data"])
            if m["collection"] == name and hashlib.sha256(data.read_bytes()).hexdigest() == m["stored_sha256"]:
                sums = path.with_name(data.name + ".sha256")
                good[m["snapshot"]] = sums.exists() and sums.read_text() == f"{m['stored_sha256']}  {data.name}\n"
        except (ValueError, KeyError, FileNotFoundError):
            continue
    newest = max(good, key=lambda stem: stem[-19:])
    return newest, good[newest]


def replica(root):
    """What `qdrant-efs replica` says: {collection: its part}."""
    env = {"EFS_ROOT": str(root), "TIER": "test", "CPU_ARCH": "cpu", "PATH": "/usr/bin:/bin"}
    run = subprocess.run([BUILD / "qdrant-efs", "replica", "--verify", "--json"], env=env, capture_output=True, text=True)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return {c["collection"]: c for c in json.loads(run.stdout)["collections"] if c["kind"] == "collection"}


@pytest.fixture(params=SERVERS)
def day(request, tmp_path):
    made = []

    def make(seed):
        made.append(Day(request.param, tmp_path / str(seed), seed))
        made[0].tmp.mkdir()
        return made[0]
    yield make
    for d in made:
        d.end()


@pytest.mark.skipif(not namespaces(), reason="needs mount namespaces, for a replica that nobody can write to")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_region_is_lost_at_any_moment_and_all_goes_on_from_the_recovery_point_and_back(day, seed):
    d = day(seed)
    efs, far = Efs(d.tmp / "efs"), d.tmp / "replica"
    copy = Replicating(efs.root, far, seed=seed)

    # A morning like any other.
    first = d.task("first", efs).start()
    first.wait_restored()
    first.fill(*NAMES)
    d.back_up(first, *NAMES)
    copy.run()  # the first sync
    for _ in range(ROUNDS):
        d.run(first, 1)
        copy.run(d.random.randrange(8))

    # The Region is gone, in the middle of whatever it did: its node, its disk, its file system.
    d.write(first, *NAMES)
    first.kill_all()
    shutil.rmtree(efs.root)
    shutil.rmtree(first.server.work)
    said = replica(far)
    points = {name: said[name]["snapshot"] for name in NAMES}
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in far.rglob("*")}

    # The second Region starts from what had arrived.
    own = Efs(d.tmp / "own")
    second = d.task("second", own, far).start()
    second.wait_restored()
    for name in NAMES:
        newest, whole = arrived(far / "test-cpu", name)
        assert points[name] == newest if whole else points[name][-19:] <= newest[-19:]
        assert scroll(second.server, name) == d.states[name][newest], name
    assert second.collections() == sorted(NAMES)
    wait_for(lambda: second.health()[0] == 0)
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in far.rglob("*")} == before

    # It goes on there, also over the loss of a task: the newest of both file systems.
    d.run(second, 1)
    d.write(second, "docs")
    d.back_up(second, *NAMES)
    had = second.points()
    second.lose_disk()
    second.start().wait_restored()
    assert second.points() == had
    d.write(second, *NAMES)
    d.back_up(second, *NAMES)
    had = second.points()
    second.stop()

    # And back.
    home = d.tmp / "home"
    Replicating(own.root, home, seed=seed).run()
    said = replica(home)
    assert {n: d.states[n][said[n]["snapshot"]] for n in NAMES} == had
    third = d.task("third", Efs(d.tmp / "new"), home).start()
    third.wait_restored()
    assert third.points() == had
    d.write(third, *NAMES)
    d.back_up(third, *NAMES)


@images.needs_docker
def test_the_same_in_containers(tmp_path):
    """Once, with the image and a replica that is mounted read-only, as a task has it."""
    image = images.build("trixie")
    running = []

    def node(name, replica=None):
        efs = tmp_path / name / "efs"
        (efs / "test-cpu").mkdir(parents=True)  # else it might be a mount that is missing
        options = ["-v", f"{replica}:/replica:ro"] if replica else []
        env = {"NODE_NAME": "qdrant-0", "RESTORE_ON_EMPTY": "latest", "RESTORE_FROM": "/replica" if replica else None}
        running.append(images.Container(image, tmp_path / name, options=options, env=env, efs=efs))
        wait_for(lambda: running[-1].health()[0] == 0, 120)
        return running[-1]

    def points(n):
        return n.result("POST", "/collections/c/points/scroll", {"limit": 100, "with_vector": True})

    def back_up(n):
        time.sleep(1.01)  # a snapshot's name has no more than the second
        n.exec("qdrant-replicator", "snapshot")

    def write(n, number):
        point = {"id": number, "vector": [0.1, 0.2, 0.3, 0.1 * number], "payload": {"n": number}}
        n.result("PUT", "/collections/c/points?wait=true", {"points": [point]})

    try:
        first = node("first")
        first.snapshot()
        had = points(first)
        back_up(first)
        copy = Replicating(first.efs, tmp_path / "replica", seed=5)
        copy.run()
        write(first, 2)  # its backup does not arrive whole
        back_up(first)
        newest = max(first.efs.glob("test-cpu/15min/c/*.zst"))
        (tmp_path / "replica" / newest.relative_to(first.efs)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "replica" / newest.relative_to(first.efs)).write_bytes(newest.read_bytes()[:100])
        images.docker("kill", first.id)
        second = node("second", tmp_path / "replica")
        assert points(second) == had
        write(second, 3)
        had = points(second)
        back_up(second)
        second.stop()
        Replicating(second.efs, tmp_path / "home", seed=6).run()
        assert points(node("third", tmp_path / "home")) == had
    finally:
        for n in running:
            images.docker("rm", "-f", "-v", n.id, check=False)
