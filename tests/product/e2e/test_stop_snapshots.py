"""What was written since the last snapshots is on EFS when the container has stopped, as far as there is time."""
import contextlib
import http.client
import json
import signal
import threading
import time

import pytest
from container import Container, plain
from frozen import Frozen, usable
from harness import freeze, open_snapshot, wait_for
from server import SERVERS

SLACK = 2.5  # of a noisy machine


@pytest.fixture(params=SERVERS)
def kind(request):
    return request.param


@pytest.fixture
def container(kind, tmp_path):
    made = []

    def make(**more):
        env = {"SNAPSHOT_ON_STOP": "on", "SNAPSHOT_INTERVAL": "6h", "STOP_GRACE_SECONDS": "25", "MIN_FREE": "0", "NODE_NAME": "n"}
        made.append(Container(kind, tmp_path / f"container{len(made)}", **env | more))
        return made[-1]
    yield make
    for c in made:
        c.end()


def fill(server, name, ids):
    if not server.result("GET", f"/collections/{name}/exists")["exists"]:
        server.result("PUT", f"/collections/{name}", {"vectors": {"size": 2, "distance": "Dot"}})
    points = [{"id": n, "vector": [0.1, 0.2], "payload": {"n": n}} for n in ids]
    server.result("PUT", f"/collections/{name}/points?wait=true", {"points": points})


def held(c, name, work):
    """The points in its newest backup."""
    b = max((b for b in c.backups() if b["collection"] == name and b["state"] == "complete"), key=lambda b: b["created"])
    tar = work / f"{name}.tar"
    tar.write_bytes(plain(b["path"]))
    return open_snapshot(tar, work / name).info().points_count


def records(c):
    return [json.loads(f.read_text()) for f in sorted(c.tree.glob("stops/*/*.json"))]


def said(c, event):
    return [e["message"] for e in c.events(event)]


def ready(c):
    """The first run is over, if there are collections; the schedule knows Qdrant."""
    wait_for(lambda: c.events("qdrant_ready"))
    return c


def test_what_was_written_just_before_term_comes_back(container, tmp_path):
    c = ready(container().start())
    fill(c.server, "docs", range(7))
    code, seconds = c.stop()
    assert code == 0 and seconds < 20
    assert held(c, "docs", tmp_path) == 7
    record, = records(c)
    assert (record["snapshotted"], record["not_snapshotted"], record["left"], record["node"]) == (1, 0, [], "n")
    assert (record["not_published"], record["unpublished"]) == (0, []) and not said(c, "stop_not_published")
    assert said(c, "qdrant_waits") and "no more snapshots" in said(c, "qdrant_told")[0]
    assert said(c, "stop_snapshotted")[0].startswith("1 collections") and not said(c, "stop_not_snapshotted")
    waits, told, ended = (c.events(e)[0]["time"] for e in ("qdrant_waits", "qdrant_told", "qdrant_ended"))
    assert waits <= told <= ended, "Qdrant is there until its snapshots are made"


def test_only_what_was_written_to_is_snapshotted_again(container, tmp_path):
    c = container()
    with c.server:
        fill(c.server, "idle", range(3))
        fill(c.server, "busy", range(3))
    c.start()
    wait_for(lambda: len(c.events("published")) == 2)
    fill(c.server, "busy", range(10, 15))
    time.sleep(1.1)  # Qdrant names snapshots by the second
    assert c.stop()[0] == 0
    assert len(c.events("snapshot_made")) == 3 and c.events("snapshot_made")[-1]["collection"] == "busy"
    assert held(c, "busy", tmp_path) == 8 and held(c, "idle", tmp_path) == 3
    assert records(c)[0]["unchanged"] == 1 and "and 1 had not been written to" in said(c, "stop_snapshotted")[0]


def test_with_nothing_written_a_stop_takes_no_time_and_leaves_no_record(container):
    c = container()
    with c.server:
        fill(c.server, "idle", range(3))
    c.start()
    wait_for(lambda: c.events("published"))
    code, seconds = c.stop()
    assert code == 0 and seconds < 6 and len(c.events("snapshot_made")) == 1 and records(c) == []


def test_a_grace_that_is_too_short_is_said_at_the_start_and_qdrant_ends_well(container):
    c = container(STOP_GRACE_SECONDS="6").start()
    assert "STOP_GRACE_SECONDS=6" in said(c, "stop_too_short")[0]
    wait_for(lambda: c.events("qdrant_ready"))
    fill(c.server, "docs", range(3))
    code, seconds = c.stop()
    assert code == 0 and seconds < 6 + SLACK and not c.events("qdrant_killed") and not c.events("qdrant_waits")
    assert "no time" in said(c, "stop_not_snapshotted")[0]


def test_what_could_not_be_snapshotted_is_named_in_the_log_and_on_efs(container, tmp_path):
    c = ready(container(MIN_FREE="999999g").start())
    fill(c.server, "docs", range(3))
    assert c.stop()[0] == 0
    message, = said(c, "stop_not_snapshotted")
    assert "1 collections" in message and "docs (its snapshot failed" in message and "longer" not in message and c.events("disk_low")
    record, = records(c)
    assert record["snapshotted"] == 0 and record["not_snapshotted"] == 1
    assert record["left"][0]["collection"] == "docs" and "failed" in record["left"][0]["why"]


def test_one_that_is_written_to_all_the_while_is_not_called_safe(container):
    c, over = ready(container().start()), threading.Event()
    fill(c.server, "docs", range(3))
    fill(c.server, "idle", range(3))

    def write():
        with contextlib.suppress(OSError, AssertionError, http.client.HTTPException):
            while not over.is_set():
                fill(c.server, "docs", [0])
    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert c.stop()[0] == 0
    finally:
        over.set()
        writer.join()
    assert "of 1 collections: docs (written to while the stop went on" in said(c, "stop_not_snapshotted")[0]
    record, = records(c)
    assert (record["snapshotted"], record["not_snapshotted"]) == (1, 1)


def test_a_second_term_has_qdrant_told_at_once_and_never_killed(container):
    c = ready(container().start())
    fill(c.server, "docs", range(3))
    freeze(c.replicator())  # so that it makes none, and says nothing
    c.process.send_signal(signal.SIGTERM)
    wait_for(lambda: c.events("stop_asked"))
    c.process.send_signal(signal.SIGTERM)
    code, seconds = c.stop()
    assert code == 0 and not c.events("qdrant_killed")
    assert "second signal" in said(c, "qdrant_told")[0] or "replicator hangs" in said(c, "qdrant_told")[0]


def test_a_qdrant_that_hangs_uses_up_the_budget_and_no_more(container):
    c = ready(container(STOP_GRACE_SECONDS="12").start())
    fill(c.server, "docs", range(3))
    freeze(c.qdrant())
    code, seconds = c.stop()
    assert code == 137 and 12 <= seconds < 12 + SLACK, "it gets its TERM, and its time after it"
    assert c.events("qdrant_told")[0]["time"] < c.events("last_call")[0]["time"]
    assert said(c, "stop_not_snapshotted")


@pytest.mark.skipif(not usable(), reason="needs root and /dev/fuse, for a file system that hangs")
def test_an_efs_that_hangs_takes_nothing_of_qdrants_time(container, tmp_path):
    efs = Frozen(tmp_path / "hangs")
    try:
        c = ready(container(EFS_ROOT=efs.folder, STOP_GRACE_SECONDS="14", STATUS_LISTEN="off").start())
        fill(c.server, "docs", range(3))
        code, seconds = c.stop()
        assert code == 0 and seconds < 14 + SLACK and not c.events("qdrant_killed")
        assert c.events("snapshot_made")
        left = said(c, "left_unpublished")[0]
        # On a machine without time it is killed before it has told which; the entrypoint then says that it may be so.
        assert "docs/" in left or "the replicator hung and was killed while it put them there" in left
        assert "docs/" not in left or "1 collections are not on EFS" in said(c, "stop_not_published")[0]
        assert c.events("qdrant_ended")[0]["time"] <= c.events("replicator_ended", "replicator_killed")[0]["time"]
    finally:
        efs.thaw()
