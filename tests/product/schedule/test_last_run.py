"""The run at a stop: what becomes of each collection, when others are at work meanwhile."""
import json
import os
import signal
import subprocess
import time

import bad_server
import pytest
from bad_server import said
from harness import BUILD, tar_of, wait_for
from scheduling import made
from small_disk import MIB, fill_up, small_disk


@pytest.fixture
def stop(bad, tree):
    """Has a replicator that knows of no collection stopped, when Qdrant has these; all words that it gave the entrypoint."""
    bad.ops = {}

    def telemetry(h):
        have = [{"id": n, "config": {}, "shards": [{"id": 0, "local": {"num_points": 1, "update_queue": {"length": 0, "op_num": bad.ops.get(n, 0)}}}]}
                for n in bad.names]
        said({"result": {"id": "q", "collections": {"collections": have}}, "status": "ok"})(h)
    bad.answers["telemetry", None] = telemetry

    def run(*names, hold=10000, meanwhile=lambda: None, first=lambda: None, cut=False, **more):
        """`cut`: killed as soon as there is a record, while EFS takes no copies."""
        read, write = os.pipe()
        env = {"SNAPSHOT_ON_STOP": "on", "SNAPSHOT_INTERVAL": "6h", "STOP_GRACE_SECONDS": "25", "NODE_NAME": "n", "SNAPSHOT_PARALLEL": "1",
               "QDRANT_STOP_WORD": str(write), "QDRANT_STOP_HOLD": str(hold)} | more
        bad.names = []
        with open(tree.root / "log", "ab") as log:
            p = subprocess.Popen([BUILD / "qdrant-replicator"], env=tree.env | env, pass_fds=[write], stdout=log, stderr=log)
        os.close(write)
        tree.running.append(p)
        wait_for(lambda: tree.logged("qdrant_ready"))
        first()
        bad.names = list(names)
        if cut:
            tree.base.mkdir(exist_ok=True)
            for tier in ("15min", "hourly", "daily", "monthly"):
                (tree.base / tier).write_text("in the way")
        p.send_signal(signal.SIGTERM)
        meanwhile()
        if cut:
            wait_for(lambda: record(tree) and tree.logged("publish_failed"))
            p.kill()
        assert p.wait(30) == (-signal.SIGKILL if cut else 0)
        with open(read) as words:
            return words.read().split()
    return run


def on_make(bad, name, act):
    def answer(h):
        act()
        bad._make(name)(h)
    bad.answers["make", name] = answer


def record(tree):
    file, = tree.base.glob("stops/n/*.json")
    return json.loads(file.read_text())


def left(tree):
    return {x["collection"]: x["why"] for x in record(tree)["left"]}


def test_what_is_written_after_the_second_snapshot_is_told(bad, tree, stop):
    on_make(bad, "docs", lambda: bad.ops.update(docs=bad.ops.get("docs", 0) + 1))
    stop("docs", "idle")
    assert sorted(made(tree)) == ["docs", "docs", "idle"] and len({x["snapshot"] for x in tree.logged("snapshot_made")}) == 3
    message = tree.logged("stop_not_snapshotted")[0]["message"]
    assert "docs (written to while the stop went on; what was written since its snapshot at " in message
    assert "load balancer" in message and "longer" not in message
    assert (record(tree)["snapshotted"], list(left(tree))) == (1, ["docs"])


def test_one_that_is_created_meanwhile_is_snapshotted(bad, tree, stop):
    on_make(bad, "a", lambda: setattr(bad, "names", ["a", "new"]))
    stop("a")
    assert made(tree) == ["a", "new"] and not tree.logged("stop_not_snapshotted") and record(tree)["snapshotted"] == 2


def test_one_that_is_deleted_meanwhile_is_not_missed(bad, tree, stop):
    on_make(bad, "a", lambda: setattr(bad, "names", ["a"]))
    stop("a", "gone")
    assert made(tree) == ["a"] and not tree.logged("stop_not_snapshotted")


def test_what_is_written_before_the_second_snapshot_is_begun_is_in_it(bad, tree, stop):
    def write():
        bad.ops["docs"] = bad.ops.get("docs", 0) + 1
    once = iter([write])
    on_make(bad, "docs", lambda: next(once, lambda: None)())

    def later():
        wait_for(lambda: made(tree))
        time.sleep(0.3)
        write()
    stop("docs", meanwhile=later)
    assert made(tree) == ["docs", "docs"] and not tree.logged("stop_not_snapshotted") and bad.ops == {"docs": 2}


def test_when_qdrant_goes_the_rest_is_told_at_once_and_what_is_made_is_published(bad, tree, stop):
    def go():
        bad.http.shutdown()
        bad.http.server_close()
    on_make(bad, "a", go)
    begin = time.monotonic()
    assert stop("a", "b", "c")[:3] == ["snapshots", "snapshotted", "publishing"] and time.monotonic() - begin < 8
    assert made(tree) == ["a"] and [b["collection"] for b in tree.ls()] == ["a"]
    assert record(tree)["snapshotted"] == 1 and "Qdrant ended" in record(tree)["why"]
    assert list(left(tree)) == ["b", "c"] and "Qdrant ended" in left(tree)["c"]
    assert not any("longer" in x["message"] for x in tree.logged("stop_not_snapshotted"))


def test_a_snapshot_that_somebody_else_is_making_is_waited_for(bad, tree, stop):
    bad.running["docs"] = 1

    def end():
        wait_for(lambda: made(tree) == ["free"])
        bad.running["docs"] = 0
    stop("docs", "free", meanwhile=end)
    assert made(tree) == ["free", "docs"] and len(tree.logged("already_running")) == 1 and not tree.logged("stop_not_snapshotted")


def test_one_that_takes_all_the_time_is_named(bad, tree, stop):
    bad.running["docs"] = 1
    stop("docs", hold=2500)
    message = tree.logged("stop_not_snapshotted")[0]["message"]
    assert "docs (somebody else's snapshot of it was being made" in message and "longer STOP_GRACE_SECONDS" in message


@pytest.fixture
def small_efs(tree, tmp_path, monkeypatch):
    """An EFS that a snapshot can fill."""
    monkeypatch.setattr(bad_server, "tar_of", lambda name: tar_of(name, 3 * MIB))
    with small_disk(tmp_path / "small", 16) as folder:
        tree.efs, tree.base = folder, folder / "test-cpu"
        tree.env |= {"EFS_ROOT": str(folder), "COMPRESSION": "none"}
        yield folder
        tree.stop()


def test_what_a_full_efs_did_not_take_is_told_in_the_log_and_in_the_record(bad, tree, stop, small_efs):
    on_make(bad, "docs", lambda: fill_up(small_efs, 1))
    stop("docs")
    assert tree.logged("publish_failed") and tree.ls() == []
    assert (record(tree)["snapshotted"], record(tree)["not_snapshotted"]) == (1, 0)
    assert (record(tree)["not_published"], record(tree)["unpublished"]) == (1, ["docs"])
    message, = [x["message"] for x in tree.logged("stop_not_published")]
    assert "of 1 collections" in message and "docs" in message and "told after this" in tree.logged("stop_snapshotted")[0]["message"]


def test_what_reached_efs_is_not_told_as_missing(bad, tree, stop):
    stop("docs", "idle")
    assert (record(tree)["not_published"], record(tree)["unpublished"]) == (0, []) and not tree.logged("stop_not_published")


def test_one_that_was_not_written_to_and_whose_snapshot_never_reached_efs_is_told(bad, tree, stop, small_efs):
    fill_up(small_efs, 1)

    def before():  # its snapshot is made by the schedule, EFS does not take it, and nothing is written after it
        bad.names = ["docs"]
        wait_for(lambda: tree.logged("publish_failed"))
    stop("docs", first=before, SNAPSHOT_INTERVAL="2s")
    assert (record(tree)["unchanged"], record(tree)["not_snapshotted"]) == (1, 0)
    assert record(tree)["unpublished"] == ["docs"] and tree.logged("stop_not_published")


def test_a_record_from_before_the_copies_says_that_they_are_not_known(bad, tree, stop):
    stop("docs", cut=True)
    assert record(tree)["snapshotted"] == 1 and record(tree)["not_published"] is None and "unpublished" not in record(tree)


def test_in_recovery_mode_nothing_is_called_safe(bad, tree, stop):
    def before():
        bad.recovery_mode = True
    stop("docs", first=before)
    assert "recovery mode" in tree.logged("stop_not_snapshotted")[0]["message"] and not tree.logged("stop_snapshotted")
    assert "recovery mode" in record(tree)["why"] and record(tree)["not_published"] is None
