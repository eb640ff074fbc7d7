"""The container's restore of an empty disk, killed in the middle: on the same disk it goes on, on the next one it begins anew."""
import json
import os
import pathlib
import random
import shutil
import signal
import time

from harness import wait_for
from image import OFTEN, Container, docker, needs_docker

pytestmark = needs_docker

LATEST = {"RESTORE_ON_EMPTY": "latest"}
DIMENSIONS = 384  # some MB as a snapshot, so that a restore has a middle


def vector(i):
    numbers = random.Random(i)
    return [round(numbers.random(), 6) for _ in range(DIMENSIONS)]


def put(c, name, ids):
    points = [{"id": i, "vector": vector(i), "payload": {"n": i}} for i in ids]
    c.result("PUT", f"/collections/{name}/points?wait=true", {"points": points})


def points(c):
    everything = {"limit": 10000, "with_payload": True, "with_vector": True}
    return {name: c.result("POST", f"/collections/{name}/points/scroll", everything)["points"] for name in
            sorted(x["name"] for x in c.result("GET", "/collections")["collections"])}


def back_up(c, *names):
    time.sleep(1.01)  # a snapshot's name has no more than the second
    made = {c.result("POST", f"/collections/{name}/snapshots?wait=true")["name"] for name in names}
    wait_for(lambda: made <= c.backups(), 60)


def marker(folder):
    return json.loads((folder / "storage/.restore.json").read_text())


def is_done(folder):
    try:
        return marker(folder)["state"] == "done"
    except FileNotFoundError:  # it has not begun yet
        return False


def replicator_of(c):
    """The host's id of the replicator, without asking Docker: that takes too long. One with arguments is asked by the
    entrypoint how Qdrant is set up, and ends at once."""
    first = c.state()["Pid"]
    children = pathlib.Path(f"/proc/{first}/task/{first}/children")

    def found():
        for pid in children.read_text().split():
            if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() == b"/usr/local/bin/qdrant-replicator\0":
                return int(pid)
    wait_for(found, 60)
    return found()


def kill_in_the_middle(c, folder):
    """The replicator is stopped as soon as it has begun with a snapshot, so that it surely does not come to its end; then all is killed."""
    replicator, end = replicator_of(c), time.monotonic() + 60
    while True:
        try:
            if marker(folder)["state"] == "restoring" and any((folder / "storage/.restore").glob("*/*.snapshot")):
                break
        except (OSError, ValueError):
            pass
        assert time.monotonic() < end, c.logs()
        time.sleep(0.001)
    os.kill(replicator, signal.SIGSTOP)
    assert c.health()[0] == 1
    docker("kill", c.id)
    assert marker(folder)["state"] == "restoring"


def until_in(c, folder, had):
    """Qdrant is not there until all is back; then health says so, to us and to Docker."""
    c.wait_until_ready()
    assert is_done(folder) and points(c) == had
    wait_for(lambda: c.health_status() == "healthy", 60)


def test_killed_in_the_middle_it_goes_on_on_the_same_disk_and_begins_anew_on_an_empty_one(image, tmp_path):
    first = Container(image, tmp_path / "first")
    for name in ("small", "large"):
        first.result("PUT", f"/collections/{name}", {"vectors": {"size": DIMENSIONS, "distance": "Dot"}})
        put(first, name, range(20))
    for start in range(1000, 4000, 500):
        put(first, "large", range(start, start + 500))
    back_up(first, "small", "large")
    had, efs = points(first), first.efs
    assert first.stop() == 0

    # The disk is gone, and the new task is killed in mid-restore; it is started again with the disk that it has.
    folder = tmp_path / "second"
    second = Container(image, folder, env=LATEST, efs=efs, options=OFTEN, ready=False)
    kill_in_the_middle(second, folder)
    docker("start", second.id)
    until_in(second, folder, had)
    assert second.events("boot_restore_started"), second.logs()  # what the first one said may be lost with it

    # It goes on to be used and backed up, its disk is lost as well, and so is that of the task that was killed after it.
    put(second, "small", range(20, 30))
    back_up(second, "small")
    had = points(second)
    assert len(had["small"]) == 30 and second.stop() == 0
    folder = tmp_path / "third"
    third = Container(image, folder, env=LATEST, efs=efs, options=OFTEN, ready=False)
    kill_in_the_middle(third, folder)
    docker("rm", "-f", third.id)
    for volume in ("storage", "snapshots"):
        shutil.rmtree(folder / volume)
    fourth = Container(image, folder, env=LATEST, efs=efs, options=OFTEN)
    until_in(fourth, folder, had)
    assert fourth.stop() == 0
