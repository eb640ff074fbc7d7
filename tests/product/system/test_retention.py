"""Tiers and retention on EFS, and what stays on the local disk."""
import datetime
import json
import os
import shutil
import time

import pytest
from harness import tar_of, wait_for

START = datetime.datetime(2026, 11, 2, 8, 0)


def at(minutes, peer="1"):
    when = START + datetime.timedelta(minutes=minutes)
    return f"c-{peer}-{when:%Y-%m-%d-%H-%M-%S}"


def slots(tree, tier):
    return [b["slot"][5:16] for b in tree.ls() if b["frequency"] == tier]


def test_each_snapshot_lands_in_the_tier_of_its_slot(tree):
    names = {at(0): "monthly", at(15): "15min", at(30): "15min", at(60): "hourly", at(75): "15min",
             at(24 * 60): "daily", at(24 * 60 + 15): "15min", at(25 * 60): "hourly", at(-30 * 24 * 60): "monthly"}
    for name in names:
        tree.snapshot("c", name, tar_of(name))
    assert tree.once(RETENTION="15min=100,hourly=100,daily=100,monthly=100").returncode == 0
    assert {b["snapshot"]: b["frequency"] for b in tree.ls()} == names


def test_a_missed_eight_is_caught_up_by_the_next_good_one(tree):
    for minutes in (0, 24 * 60 - 15, 24 * 60 + 95):
        tree.snapshot("c", at(minutes), tar_of(str(minutes)))
    assert tree.once().returncode == 0
    assert slots(tree, "daily") == ["11-03T09:30"] and slots(tree, "hourly") == ["11-03T07:45"]


def test_an_older_one_found_late_does_not_become_a_second_daily(tree):
    tree.snapshot("c", at(0), tar_of("a"))
    tree.snapshot("c", at(24 * 60), tar_of("b"))
    assert tree.once().returncode == 0
    tree.snapshot("c", at(24 * 60 + 30), tar_of("c"))
    tree.snapshot("c", at(24 * 60 + 15), tar_of("d"))
    assert tree.once().returncode == 0
    assert slots(tree, "daily") == ["11-03T08:00"] and slots(tree, "15min") == ["11-03T08:15", "11-03T08:30"]


def test_retention_by_count_and_age(tree):
    for day in range(1, 8):
        for hour in range(0, 24, 3):
            tree.snapshot("c", f"c-1-2026-11-{day:02}-{hour:02}-00-00", tar_of(f"{day}{hour}"))
    assert tree.once(RETENTION="15min=1h,hourly=1d,daily=3,monthly=1").returncode == 0
    assert slots(tree, "daily") == ["11-05T09:00", "11-06T09:00", "11-07T09:00"]
    assert slots(tree, "monthly") == ["11-01T09:00"] and len(slots(tree, "hourly")) == 7


def test_what_retention_would_let_go_at_once_is_not_copied_again(tree):
    for i in range(8):
        tree.snapshot("c", at(60 * i + 20), tar_of(f"x{i}"))
        tree.snapshot("c", at(60 * i + 40), tar_of(f"y{i}"))
    policy = {"RETENTION": "15min=2,hourly=2"}
    assert tree.once(**policy).returncode == 0
    before = {f: (tree.efs / f).stat().st_mtime_ns for f in tree.files()}
    run = tree.once(**policy)
    assert run.returncode == 0 and run.stderr.count('"expired"') >= 8 and '"published"' not in run.stderr
    assert before == {f: (tree.efs / f).stat().st_mtime_ns for f in tree.files()}


def test_a_replaced_task_goes_on_with_the_tiers_of_its_predecessor(tree):
    """A Fargate task that is replaced comes back with a new peer id."""
    for i, peer in ((0, "1"), (1, "1"), (2, "2"), (3, "2")):
        tree.snapshot("c", at(15 * i, peer), tar_of(f"{i}"))
    assert tree.once().returncode == 0
    assert slots(tree, "monthly") == ["11-02T08:00"]
    assert len(slots(tree, "15min")) == 3


def test_a_second_live_node_has_tiers_of_its_own(tree):
    for i in range(3):
        for peer in "12":
            tree.snapshot("c", at(15 * i, peer), tar_of(f"{i}{peer}"))
    assert tree.once().returncode == 0
    monthly = [b["node"] for b in tree.ls() if b["frequency"] == "monthly"]
    assert sorted(monthly) == ["1", "2"]


def test_node_name_outlives_the_peer_id(tree):
    tree.snapshot("c", at(0, "1"), tar_of("a"))
    assert tree.once(NODE_NAME="node-a").returncode == 0
    tree.snapshot("c", at(0, "7"), tar_of("b"))
    assert tree.once(NODE_NAME="node-b").returncode == 0
    tree.snapshot("c", at(15, "9"), tar_of("c"))
    assert tree.once(NODE_NAME="node-a").returncode == 0
    assert [(b["node"], b["frequency"]) for b in tree.ls()] == [("node-a", "monthly"), ("node-b", "monthly"), ("node-a", "15min")]


def test_one_nodes_backups_never_push_out_anothers(tree):
    for i in range(4):
        for peer in "123":
            tree.snapshot("c", at(60 * i + 15, peer), tar_of(f"{i}{peer}"))
            tree.snapshot("c", at(60 * i + 30, peer), tar_of(f"{i}{peer}x"))
    assert tree.once(RETENTION="15min=2").returncode == 0
    kept = [(b["slot"], b["node"]) for b in tree.ls() if b["frequency"] == "15min"]
    assert len({s for s, _ in kept}) == 2 and len(kept) == 6


def test_prune_never_deletes_the_last_good_one(tree):
    tree.snapshot("c", at(0), tar_of("a"))
    tree.snapshot("c", at(15), tar_of("b"))
    tree.snapshot("c", at(30), tar_of("c"))
    assert tree.once().returncode == 0
    newest = next(tree.base.rglob(at(30) + ".snapshot.zst"))
    newest.write_bytes(newest.read_bytes()[:-1])
    run = tree.efs_tool("prune", RETENTION="15min=1,monthly=1")
    assert run.returncode == 0, run.stderr
    good = [b["snapshot"] for b in tree.ls() if b["state"] == "complete"]
    assert at(15) in good and at(0) in good


def test_prune_refuses_what_it_cannot_read(tree):
    for i in range(3):
        tree.snapshot("c", f"c-1-2026-11-24-1{i}-20-00", tar_of(str(i)))
        tree.snapshot("c", f"c-1-2026-11-24-1{i}-40-00", tar_of(str(i)))
    assert tree.once().returncode == 0
    for broken in sorted((tree.base / "15min").rglob("*.json")):
        good = broken.read_text()
        broken.write_text("{")
        run = tree.efs_tool("prune", RETENTION="15min=1")
        assert run.returncode == 1 and str(broken)[:-5] in run.stderr
        assert len(list(tree.base.rglob("*.zst"))) == 6
        broken.write_text(good)


def test_a_dry_run_says_what_would_go_and_deletes_nothing(tree):
    for i in range(6):
        tree.snapshot("c", at(15 * i), tar_of(str(i)))
    assert tree.once().returncode == 0
    before = tree.files()
    run = tree.efs_tool("prune", "--dry-run", "--json", "--retention", "15min=1")
    would = [b["snapshot"] for b in json.loads(run.stdout)]
    assert run.returncode == 0 and tree.files() == before and len(would) == 3
    assert tree.efs_tool("prune", "--retention", "15min=1").returncode == 0
    assert {b["snapshot"] for b in tree.ls()} == {at(15 * i) for i in range(6)} - set(would)


def test_prune_obeys_its_filters(tree):
    for c in ("a", "b"):
        for i in range(12):
            tree.snapshot(c, at(15 * i).replace("c-", f"{c}-", 1), tar_of(f"{c}{i}"))
    assert tree.once().returncode == 0
    policy = {"RETENTION": "15min=1,hourly=1"}
    count = len(tree.ls())
    assert tree.efs_tool("prune", "--collection", "nope", **policy).returncode == 1  # most likely mistyped
    assert tree.efs_tool("prune", "--newer", "1m", **policy).returncode == 0
    assert len(tree.ls()) == count
    assert tree.efs_tool("prune", "--collection", "a", "--frequency", "hourly", **policy).returncode == 0
    left = tree.ls()
    assert sum(b["collection"] == "b" for b in left) == 12
    assert sum(b["collection"] == "a" and b["frequency"] == "hourly" for b in left) == 1
    assert sum(b["collection"] == "a" and b["frequency"] == "15min" for b in left) == 9


def test_a_snapshot_from_the_future_does_not_push_out_the_history(tree):
    for i in range(40):
        tree.snapshot("c", at(15 * i), tar_of(str(i)))
    tree.snapshot("c", "c-1-2041-01-01-07-20-00", tar_of("future"))
    tree.snapshot("c", "c-1-2041-01-01-07-40-00", tar_of("future too"))
    assert tree.once().returncode == 0
    assert len(tree.ls()) == 42


def test_a_snapshot_from_the_future_keeps_none_of_today_from_being_copied(tree):
    for name in ("c-1-2041-01-01-07-20-00", "c-1-2041-01-01-07-40-00", at(0)):
        tree.snapshot("c", name, tar_of(name))
    assert tree.once().returncode == 0
    tree.snapshot("c", at(15), tar_of("late"))
    run = tree.once(LOCAL_KEEP="0")
    assert run.returncode == 0 and '"expired"' not in run.stderr
    assert at(15) in {b["snapshot"] for b in tree.ls() if b["state"] == "complete"}


def test_a_broken_newer_backup_keeps_no_older_one_from_being_copied(tree):
    for i in (0, 15, 30 * 60 + 15, 30 * 60 + 30):
        tree.snapshot("c", at(i), tar_of(str(i)))
    assert tree.once().returncode == 0
    for data in (tree.base / "15min").rglob("*.zst"):
        data.write_bytes(data.read_bytes()[:-1])
    shutil.rmtree(tree.snapshots / "c")
    late = at(30)
    tree.snapshot("c", late, tar_of("late"))
    assert '"expired"' not in tree.once().stderr
    assert late in {b["snapshot"] for b in tree.ls() if b["state"] == "complete"}


def test_leftovers_of_a_crash_go_after_a_day_if_a_newer_backup_is_there(tree):
    for i in range(4):
        tree.snapshot("c", at(15 * i), tar_of(str(i)))
    assert tree.once().returncode == 0
    for i in (1, 3):
        next(tree.base.rglob(at(15 * i) + ".json")).unlink()
    shutil.rmtree(tree.snapshots / "c")
    assert tree.once().returncode == 0
    assert len(list(tree.base.rglob("*.zst"))) == 4
    for f in tree.base.rglob("*.zst"):
        os.utime(f, (1e9, 1e9))
    assert tree.once().returncode == 0
    kept = {b["snapshot"] for b in tree.ls()}
    assert kept == {at(0), at(30), at(45)}, "the newest stays: nothing newer is there in its place"
    assert not list(tree.base.rglob(at(15) + "*"))


def test_published_snapshots_leave_the_local_disk_down_to_local_keep(tree):
    for i in range(4):
        tree.snapshot("c", f"c-1-2026-11-24-07-59-0{i}", tar_of(str(i)))
    tree.snapshot("c", "c-1-2026-11-24-06-00-00", tar_of("bad"), checksum="0" * 64)
    tree.snapshot("d", "d-1-2026-11-24-06-00-00", tar_of("d"))
    assert tree.once(LOCAL_KEEP="1").returncode == 1
    left = sorted(str(p.relative_to(tree.snapshots)) for p in tree.snapshots.rglob("*.snapshot*"))
    assert left == [f"{n}{s}" for n in ("c/c-1-2026-11-24-06-00-00", "c/c-1-2026-11-24-07-59-03", "d/d-1-2026-11-24-06-00-00")
                    for s in (".snapshot", ".snapshot.checksum")]


@pytest.mark.parametrize("keep", [0, 2])
def test_local_keep_is_per_collection_and_shard(tree, keep):
    for folder in ("c", "c/shards/0", "c/shards/1"):
        for i in range(3):
            name = f"c-1-2026-11-24-07-59-0{i}" if folder == "c" else f"c-shard-{folder[-1]}-2026-11-24-07-59-0{i}"
            tree.snapshot(folder, name, tar_of(folder + str(i)))
    assert tree.once(LOCAL_KEEP=str(keep)).returncode == 0
    for folder in ("c", "c/shards/0", "c/shards/1"):
        assert len(list((tree.snapshots / folder).glob("*.snapshot"))) == keep
    assert len(tree.complete()) == 9


def test_nothing_is_deleted_locally_while_efs_is_away(tree):
    for i in range(4):
        tree.snapshot("c", at(15 * i), tar_of(str(i)))
    tree.efs.rmdir()
    tree.start(LOCAL_KEEP="0")
    wait_for(lambda: len(tree.logged("publish_failed")) >= 4)
    assert len(list((tree.snapshots / "c").glob("*.snapshot"))) == 4
    tree.efs.mkdir()
    wait_for(lambda: not list((tree.snapshots / "c").glob("*.snapshot")))
    assert len(tree.complete()) == 4


def test_a_peer_that_was_stopped_for_eight_days_beside_another_loses_nothing(tree):
    """In every tier of every collection of every node the newest stays; without a NODE_NAME, too."""
    for i in range(20):
        for peer in "12":
            tree.snapshot("c", at(15 * i, peer), tar_of(f"{i}{peer}"))
    for i in range(3):
        tree.snapshot("c", at(8 * 24 * 60 + 15 * i, "2"), tar_of(f"late{i}"))
    assert tree.once(LOCAL_KEEP="0").returncode == 0
    assert tree.efs_tool("prune", RETENTION="15min=1h,hourly=2h,daily=1d,monthly=1").returncode == 0
    kept = {(b["frequency"], b["snapshot"]) for b in tree.ls() if b["node"] == "1"}
    assert {("15min", at(15 * 19, "1")), ("hourly", at(15 * 16, "1")), ("monthly", at(0, "1"))} <= kept


def test_a_manifest_of_this_month_that_cannot_be_read_keeps_no_snapshot_from_being_published(tree):
    for i in range(2):
        tree.snapshot("c", at(15 * i), tar_of(str(i)))
    assert tree.once(LOCAL_KEEP="0").returncode == 0
    manifest = tree.base / "monthly/c" / (at(0) + ".json")
    good = manifest.read_bytes()
    manifest.unlink()
    manifest.mkdir()  # no permission stops root
    for i in range(2, 4):
        tree.snapshot("c", at(15 * i), tar_of(str(i)))
    run = tree.once(LOCAL_KEEP="0")
    assert run.returncode == 0 and run.stderr.count('"published"') == 2
    assert not list((tree.snapshots / "c").glob("*.snapshot"))
    manifest.rmdir()
    manifest.write_bytes(good)
    assert {s for _, _, s in tree.complete()} == {at(15 * i) for i in range(4)}


def test_a_month_of_quarters_kept_by_number_is_published_to_in_no_time(tree):
    tree.snapshot("c", at(0), tar_of("0"))
    assert tree.once().returncode == 0
    one, = (tree.base / "monthly/c").glob("*.json")
    folder = tree.base / "15min/c"
    folder.mkdir(parents=True)
    for i in range(1, 1500):
        (folder / (at(15 * i) + ".json")).write_text("{}")
        (folder / (at(15 * i) + ".snapshot.zst")).write_bytes(b"")
    for name in (at(15 * 1499),):  # what the decision rests on is read
        text = one.read_text().replace(at(0), name).replace('"monthly"', '"15min"').replace('"2026-11-02T08:00:00Z"', '"2026-11-17T22:45:00Z"')
        (folder / (name + ".json")).write_text(text)
        (folder / (name + ".snapshot.zst")).write_bytes((tree.base / "monthly/c" / (at(0) + ".snapshot.zst")).read_bytes())
    begin = time.process_time() + sum(os.times()[2:4])
    tree.snapshot("c", at(15 * 1500), tar_of("new"))
    assert tree.once(RETENTION="15min=2880").returncode == 0
    assert time.process_time() + sum(os.times()[2:4]) - begin < 2, "seconds of processor, not of the clock on the wall"
