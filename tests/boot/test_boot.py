"""A task comes up with an empty disk: everything comes back before it counts as healthy."""
import os
import shutil
import signal
import subprocess
import time

import pytest
from frozen import Frozen, usable
from booting import ODD, Gate, path_of, scroll, upsert
from harness import freeze, wait_for
from restoring import SIXTH

LATEST = {"RESTORE_ON_EMPTY": "latest"}
NOISE = 3000  # points of 1536 numbers: some tens of MB as JSON, more than sockets hold as a snapshot


def lose(t, *collections):
    """A task that had these with backups, and its disk is gone; what it had, in `had`."""
    t.start()
    assert t.wait_restored()["state"] == "not_needed"
    t.fill(*collections)
    t.backup(*collections)
    t.had = t.points()
    t.lose_disk()
    return t


@pytest.fixture
def lost(task):
    return lose(task(**LATEST), "docs", "other", "größe 🎉")


def until_healthy(t, check, seconds=90):
    """Every check until the first healthy one is unhealthy, and at that moment `check` holds."""
    end, unhealthy = time.monotonic() + seconds, 0
    while t.health()[0] != 0:
        unhealthy += 1
        assert time.monotonic() < end, (t.health(), t.log.read_text()[-3000:])
        time.sleep(0.02)
    check()
    return unhealthy


def test_after_the_loss_of_the_disk_all_points_are_back_before_it_is_healthy(task):
    lost = lose(task(**LATEST), "docs", "other", *ODD)
    lost.begin()

    def all_back():
        assert lost.points() == lost.had
    assert until_healthy(lost, all_back) > 0
    assert lost.restored() == (200, {"state": "done", "done": 8, "total": 8, "reason": ""})
    log = {e["collection"]: e for e in lost.events("boot_restored")}
    assert set(log) == set(lost.had) and all(e["points"] == 5 and e["snapshot"] and e["seconds"] > 0 for e in log.values())
    assert lost.events("boot_restore_finished") and not lost.events("boot_restore_failed")
    assert lost.marker()["state"] == "done"
    assert [p for p in lost.server.snapshots.rglob("*") if ".restore_" in p.name or ".partial" in p.name] == []


def test_what_a_restore_uploads_is_no_new_backup_and_the_lineage_of_tiers_goes_on(lost, efs):
    efs.age("docs", 900)  # in one slot with those of its successor a task counts as one beside it
    before = efs.files()
    lost.start().wait_restored()
    time.sleep(12)  # an upload would be taken after 10 seconds of quiet
    assert efs.files() == before
    new = lost.backup("docs")
    assert [m["snapshot"] for m in efs.manifests("docs")][-1] == new
    assert [m["frequency"] for m in efs.manifests("docs")][-1] != "monthly"


def test_a_node_with_data_is_not_touched(lost, task):
    other = task(**LATEST)
    other.env["RESTORE_ON_EMPTY"] = "never"
    other.start()
    other.fill("mine")
    upsert(other.server, "mine", [SIXTH])
    had = other.points()
    other.stop()
    other.env["RESTORE_ON_EMPTY"] = "latest"
    other.start()
    assert other.wait_restored()["state"] == "not_needed"
    assert other.points() == had and other.health()[0] == 0
    assert [e["message"] for e in other.events("boot_restore_not_needed")] == ["Qdrant has collections: nothing is restored"]


@pytest.mark.parametrize("restart", ["replicator", "all"])
def test_collections_that_are_deleted_later_stay_deleted(lost, restart):
    lost.start().wait_restored()
    for name in lost.collections():
        lost.server.result("DELETE", path_of(name))
    if restart == "all":
        lost.stop()
        lost.start()
    else:
        lost.kill_replicator()
    wait_for(lambda: len(lost.events("boot_restore_not_needed")) > 1)
    assert lost.wait_restored()["state"] == "done" and lost.collections() == [] and lost.health()[0] == 0


def test_never_is_the_default_and_does_nothing(lost):
    lost.env.pop("RESTORE_ON_EMPTY")
    lost.start()
    wait_for(lambda: lost.ask("/health"))
    assert lost.restored() == (200, {"state": "never", "done": 0, "total": 0, "reason": ""})
    assert lost.health()[0] == 0 and "restore" not in lost.health()[1]
    time.sleep(2)
    assert lost.collections() == [] and not (lost.server.snapshots / ".boot-restore.json").exists()
    assert lost.ask("/status")[1]["restore"] is None


def test_the_first_start_ever_is_healthy_and_says_that_there_is_nothing_yet(task):
    t = task(**LATEST).start()
    assert t.wait_restored()["state"] == "not_needed"
    line, = t.events("boot_restore_not_needed")
    assert line["level"] == "info" and "no backups yet" in line["message"]
    wait_for(lambda: t.health()[0] == 0)


def test_a_time_brings_back_what_was_there_then(task, efs):
    t = task(**LATEST).start()
    t.wait_restored()
    t.fill("docs")
    t.backup("docs")
    then, had = time.time(), t.points()
    time.sleep(1.01)
    upsert(t.server, "docs", [SIXTH])
    t.fill("later")
    t.backup("docs", "later")
    t.lose_disk()
    t.env["RESTORE_ON_EMPTY"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))
    t.start().wait_restored()
    assert t.points() == had  # and "later" was not there at that time


def test_a_time_before_all_backups_is_a_failure_and_another_time_is_tried_at_the_next_start(lost):
    lost.env["RESTORE_ON_EMPTY"] = "2020-01-01"
    lost.start()
    wait_for(lambda: lost.restored()[1]["state"] == "failed")
    assert "2020-01-01" in lost.restored()[1]["reason"] and lost.collections() == []
    lost.stop()
    lost.env["RESTORE_ON_EMPTY"] = "latest"
    lost.start().wait_restored()
    assert lost.points() == lost.had


def test_a_wrong_time_is_named_and_the_container_is_not_healthy(lost):
    lost.env["RESTORE_ON_EMPTY"] = "yesterday"
    lost.begin().server.wait_until_ready()
    wait_for(lambda: lost.events("wrong_setting"))
    assert "RESTORE_ON_EMPTY=yesterday" in lost.events("wrong_setting")[0]["message"]
    code, said = lost.health()
    assert code == 1 and "restore: not done" in said


# What is wrong with the backups

def test_a_corrupt_newest_one_is_passed_over_with_a_warning_and_the_next_older_taken(task, efs):
    t = task(**LATEST).start()
    t.wait_restored()
    t.fill("docs")
    first = t.backup("docs")
    had = t.points()
    upsert(t.server, "docs", [SIXTH])
    second = t.backup("docs")
    efs.spoil(second)
    t.lose_disk()
    t.start().wait_restored()
    assert t.points() == had
    assert [e["snapshot"] for e in t.events("boot_restore_passed_over")] == [second]
    assert [e["snapshot"] for e in t.events("boot_restored")] == [first]


def test_one_collection_without_a_good_backup_fails_and_the_others_are_back(lost, efs):
    bad, = {m["snapshot"] for m in efs.manifests("other")}
    good = efs.data_of(bad).read_bytes()
    efs.spoil(bad)
    before = efs.files()
    lost.env |= {"SNAPSHOT_INTERVAL": "5s", "RETENTION": "15min=1,hourly=1,daily=1,monthly=1"}
    lost.start()
    wait_for(lambda: lost.restored()[1]["state"] == "failed", 60)
    had = {k: v for k, v in lost.had.items() if k != "other"}
    assert {k: v for k, v in lost.points().items() if k != "other"} == had
    assert lost.restored()[1]["done"] == 2 and "restore_failed" in lost.failing()
    assert [e["message"] for e in lost.events("boot_restore_failed") if e["message"].startswith("other is not restored")]
    code, said = lost.health(HEALTH_START_SECONDS="3600")
    assert code == 1 and '"state":"failed"' in said
    time.sleep(8)  # more than a slot
    assert efs.files() == before and not lost.events("snapshot_made", "pruned")
    # Mended, and tried again at the replicator's next start.
    efs.data_of(bad).write_bytes(good)
    lost.kill_replicator()
    lost.wait_restored()
    assert {k: v for k, v in lost.points().items()} == lost.had
    wait_for(lambda: lost.events("snapshot_made"), 30)


def test_what_somebody_restored_by_hand_after_a_failure_is_left_alone(lost, efs):
    bad, = {m["snapshot"] for m in efs.manifests("other")}
    good = efs.data_of(bad).read_bytes()
    efs.spoil(bad)
    lost.start()
    wait_for(lambda: lost.restored()[1]["state"] == "failed", 60)
    efs.data_of(bad).write_bytes(good)
    lost.fill("other")
    upsert(lost.server, "other", [SIXTH])
    had = scroll(lost.server, "other")
    lost.kill_replicator()
    lost.wait_restored()
    assert scroll(lost.server, "other") == had and lost.events("boot_restore_left_alone")


def test_backups_of_the_whole_storage_alone_cannot_be_restored_and_that_is_said(task, efs):
    t = task(**LATEST).start()
    t.wait_restored()
    t.fill("docs")
    name = t.server.result("POST", "/snapshots")["name"]
    wait_for(lambda: t.has("storage", "", name))
    shutil.rmtree(efs.tree / "monthly" / "docs", ignore_errors=True)
    for folder in efs.tree.glob("*/docs"):
        shutil.rmtree(folder)
    t.lose_disk()
    t.start()
    wait_for(lambda: t.restored()[1]["state"] == "failed")
    assert "--storage-snapshot" in t.restored()[1]["reason"] and t.health()[0] == 1


# Where the backups are

@pytest.mark.parametrize("how", ["no folder", "an empty folder"])
def test_an_efs_that_is_mounted_later_is_waited_for(lost, efs, how):
    aside = efs.root.with_name("unmounted")
    efs.root.rename(aside)
    if how == "an empty folder":
        efs.root.mkdir()
    lost.start()
    wait_for(lambda: [e for e in lost.events("boot_restore_waiting") if "EFS" in e["message"]])
    status, body = lost.restored()
    assert status == 503 and body["state"] == "waiting" and str(efs.root) in body["reason"]
    assert "restoring" in lost.failing() and lost.health()[0] == 1 and lost.collections() == []
    if how == "an empty folder":
        efs.root.rmdir()
    aside.rename(efs.root)
    lost.wait_restored()
    assert lost.points() == lost.had


@pytest.mark.parametrize("what", ["the root", "the tree"])
def test_a_read_only_replica_is_restored_from_and_new_backups_go_to_efs_root(lost, efs, tmp_path, what):
    replica, mounted = tmp_path / "replica", tmp_path / "mounted"
    efs.root.rename(replica)
    (efs.root / "test-cpu").mkdir(parents=True)
    mounted.mkdir()
    if what == "the tree":
        (replica / "test-cpu").rename(replica / "test-other")  # of another processor
    before = {p: p.stat().st_mtime_ns for p in replica.rglob("*")}
    script = 'mount --bind "$1" "$2" && mount -o remount,bind,ro "$2" && ! touch "$2/x" 2>/dev/null && shift 2 && exec "$@"'
    lost.prefix = ["unshare", "-m", "sh", "-c", script, "sh", str(replica), str(mounted)]
    if subprocess.run([*lost.prefix, "true"]).returncode != 0:
        pytest.skip("needs mount namespaces")
    lost.env["RESTORE_FROM"] = str(mounted if what == "the root" else mounted / "test-other")
    lost.start().wait_restored()
    assert lost.points() == lost.had
    assert {p: p.stat().st_mtime_ns for p in replica.rglob("*")} == before
    lost.backup("docs")
    assert {p.name for p in efs.tree.iterdir()} == {"monthly"}


def test_a_restore_from_where_nothing_is_waits_and_says_so(lost, tmp_path):
    (tmp_path / "nothing").mkdir()
    lost.env["RESTORE_FROM"] = str(tmp_path / "nothing")
    lost.start()
    wait_for(lambda: "RESTORE_FROM" in lost.restored()[1]["reason"])
    assert lost.health()[0] == 1 and lost.collections() == []


def test_a_new_node_name_takes_what_was_there_before_it_and_leaves_the_backups_of_others(lost, efs):
    lost.env["NODE_NAME"] = "a"
    lost.start().wait_restored()
    assert lost.points() == lost.had
    upsert(lost.server, "docs", [SIXTH])
    had = lost.points()
    lost.backup(*lost.collections())
    lost.lose_disk()
    lost.env["NODE_NAME"] = "b"
    lost.start().wait_restored()
    assert lost.points() == lost.had
    lost.lose_disk()
    lost.env["NODE_NAME"] = "a"
    lost.start().wait_restored()
    assert lost.points() == had


@pytest.mark.skipif(not usable(), reason="needs root and /dev/fuse for a mount that hangs")
def test_an_efs_that_hangs_is_waited_for_and_nothing_else_waits(lost, efs):
    aside = efs.root.with_name("unmounted")
    efs.root.rename(aside)
    frozen = Frozen(efs.root)
    try:
        lost.start()
        wait_for(lambda: frozen.asked)
        time.sleep(2)
        begin = time.monotonic()
        assert lost.restored()[0] == 503 and "restoring" in lost.failing()
        assert lost.collections() == [] and lost.health()[0] == 1 and time.monotonic() - begin < 3
    finally:
        frozen.thaw()
    efs.root.rmdir()
    aside.rename(efs.root)
    lost.wait_restored()
    assert lost.points() == lost.had


# Deaths

@pytest.fixture
def big(task, tmp_path):
    """Two collections with backups, one of them too large for sockets to hold; the disk is gone, and Qdrant is asked by
    way of a gate that stops every upload in its middle."""
    import random
    t = task(**LATEST).start()
    t.wait_restored()
    t.fill("small")
    t.server.result("PUT", "/collections/big", {"vectors": {"size": 1536, "distance": "Dot"}})
    for n in range(0, NOISE, 500):
        rows = [{"id": i, "vector": [random.random() for _ in range(1536)]} for i in range(n, n + 500)]
        upsert(t.server, "big", rows)
    t.backup("small")
    t.backup("big")
    t.had = {"small": scroll(t.server, "small"), "big": t.server.result("POST", "/collections/big/points/count", {"exact": True})}
    t.lose_disk()
    t.gate = Gate(t.server.port, 4 << 20)
    t.env["QDRANT_URL"] = t.gate.url
    return t


def whole(t):
    assert scroll(t.server, "small") == t.had["small"]
    assert t.server.result("POST", "/collections/big/points/count", {"exact": True}) == t.had["big"]


@pytest.mark.parametrize("who", ["replicator", "all"])
def test_killed_in_the_middle_twice_it_goes_on_and_all_is_back(big, who):
    big.start()
    for _ in range(2):
        assert big.gate.full.wait(60)
        assert big.marker()["state"] == "restoring" and big.restored()[0] == 503 and big.health()[0] == 1
        big.gate.full.clear()
        if who == "replicator":
            big.kill_replicator()
        else:
            big.kill_all()
            big.start()
    assert big.gate.full.wait(60) and big.health()[0] == 1
    big.gate.opened.set()
    big.wait_restored(180)
    whole(big)
    wait_for(lambda: big.health()[0] == 0)


@pytest.mark.parametrize("who", ["replicator", "all"])
def test_one_that_is_killed_after_qdrant_got_all_of_it_is_restored_again(big, who):
    """The collection is there with all its points, and nobody has noted that it is whole."""
    big.gate.opened.set()
    big.start()
    wait_for(lambda: "big" in big.collections(), 60)
    if who == "replicator":
        big.kill_replicator()
    else:
        big.kill_all()
        big.start()
    big.wait_restored(180)
    whole(big)
    wait_for(lambda: big.health()[0] == 0)


def test_while_it_restores_no_snapshots_are_made_and_none_are_pruned_and_afterwards_they_are(big, efs):
    before = efs.files()
    big.env |= {"SNAPSHOT_INTERVAL": "5s", "RETENTION": "15min=1,hourly=1,daily=1,monthly=1"}
    big.start()
    assert big.gate.full.wait(60)
    time.sleep(11)
    assert efs.files() == before and not big.events("snapshot_made", "pruned")
    big.gate.opened.set()
    big.wait_restored(180)
    wait_for(lambda: len(big.events("published")) > 4, 90)
    assert efs.files() != before


def test_a_snapshot_by_hand_while_it_restores_is_backed_up(big):
    """Of a collection that somebody has made meanwhile."""
    big.start()
    assert big.gate.full.wait(60)
    big.fill("new")
    big.backup("new")
    assert not big.events("pruned")
    big.gate.opened.set()
    big.wait_restored(180)
    whole(big)
    assert "new" in big.collections()


def test_term_in_the_middle_ends_in_time_and_the_next_start_goes_on(big):
    big.start()
    assert big.gate.full.wait(60)
    code, seconds = big.stop()
    assert seconds < 40
    big.gate.opened.set()
    big.start().wait_restored(180)
    whole(big)


# The health check

def test_a_replicator_that_hangs_long_after_the_restore_kills_no_good_node(lost):
    lost.start().wait_restored()
    freeze(lost.replicator())
    try:
        code, said = lost.health()
        assert code == 0 and "as its marker says" in said
        marker = lost.server.snapshots / ".boot-restore.json"
        marker.rename(marker.with_name("aside"))
        code, said = lost.health()
        assert code == 1 and "restore: not done" in said
    finally:
        os.kill(lost.replicator(), signal.SIGCONT)


def test_health_start_seconds_covers_a_restore_under_way(big):
    big.start()
    assert big.gate.full.wait(60)
    assert big.health()[0] == 1
    code, said = big.health(HEALTH_START_SECONDS="86400")
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(open("/proc/1/stat").read().rsplit(")", 1)[1].split()[19]) / 100
    assert (code == 0 and "under way" in said) or age > 86400
    big.gate.opened.set()
    big.wait_restored(180)
