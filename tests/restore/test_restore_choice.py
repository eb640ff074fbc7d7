"""Which backup restore takes, and what it refuses to guess."""
import json
import shutil
import subprocess
import time

import pytest
from harness import BUILD, tar_of
from restoring import data_of, flip, publish, restore, restored

TIMES = ["2026-11-20-08-00-00", "2026-11-23-23-59-59", "2026-11-24-08-00-00", "2026-11-24-08-00-30"]
NAMES = [f"c-1-{t}" for t in TIMES]


@pytest.fixture
def full(tree):
    for name in NAMES:
        tree.snapshot("c", name, tar_of(name, 50_000))
    publish(tree)
    return tree


def taken(tree, *args, out="out"):
    """The name of the backup that a restore to a file takes; the file must hold its bytes."""
    path = tree.root / out
    path.unlink(missing_ok=True)
    result, = restored(tree, "--to", str(path), *args)
    assert path.read_bytes() == tar_of(result["snapshot"], 50_000)
    return result["snapshot"]


def test_the_newest_is_taken(full):
    assert taken(full) == NAMES[3]


@pytest.mark.parametrize("at,index", [
    ("2026-11-24", 3), ("2026-11-23", 1), ("2026-11-24T08:00:00Z", 2), ("2026-11-24T08:00", 2), ("2026-11-24 08:00:29", 2),
    ("2026-11-24T07:59:59", 1), ("2026-11-20T08:00:00Z", 0)])
def test_at_takes_the_newest_of_that_time_or_before(full, at, index):
    assert taken(full, "--at", at) == NAMES[index]


def test_at_before_all_backups_finds_nothing(full):
    run = restore(full, "--to", str(full.root / "out"), "--at", "2026-11-20T07:59:59Z")
    assert run.returncode == 1 and "no backup" in run.stderr and not (full.root / "out").exists()


def test_at_takes_an_age(full):
    run = restore(full, "--to", str(full.root / "out"), "--at", "520w")
    assert run.returncode == 1 and "no backup" in run.stderr
    now = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(time.time() - 3600))
    full.snapshot("d", f"d-1-{now}", tar_of(f"d-1-{now}", 50_000))
    publish(full)
    assert taken(full, "--collection", "d", "--at", "30m") == f"d-1-{now}"
    assert restore(full, "--to", str(full.root / "new"), "--collection", "d", "--at", "90m").returncode == 1


def test_snapshot_takes_the_one_that_is_named(full):
    assert taken(full, "--snapshot", NAMES[1]) == taken(full, "--snapshot", NAMES[1] + ".snapshot") == NAMES[1]
    assert restore(full, "--to", str(full.root / "x"), "--snapshot", "nope").returncode == 1


def test_frequency_narrows_the_choice(full):
    tier = next(b["frequency"] for b in full.ls() if b["snapshot"] == NAMES[0])
    assert tier == "monthly" and taken(full, "--frequency", tier) == NAMES[0]


def break_it(tree, how):
    data = data_of(tree, NAMES[3])
    manifest = data.with_name(NAMES[3] + ".json")
    if how == "a flipped bit":
        flip(data)
    elif how == "cut data":
        data.write_bytes(data.read_bytes()[:-1])
    elif how == "no data":
        data.unlink()
    elif how == "no manifest":
        manifest.unlink()
    elif how == "half a manifest":
        manifest.write_text(manifest.read_text()[:40])
    elif how == "another's manifest":
        shutil.copy(data_of(tree, NAMES[2]).with_name(NAMES[2] + ".json"), manifest)
    elif how == "another's data":
        shutil.copy(data_of(tree, NAMES[2]), data)
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"stored_size": data.stat().st_size}))
    elif how == "a wrong size":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"size": 51_000}))
    elif how == "a wrong hash":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"sha256": "0" * 64}))


@pytest.mark.parametrize("how", ["a flipped bit", "cut data", "no data", "no manifest", "half a manifest", "another's manifest",
                                 "another's data", "a wrong size", "a wrong hash"])
def test_what_is_incomplete_or_corrupt_is_passed_over_and_named_or_refused_when_strict(full, how):
    break_it(full, how)
    out = full.root / "out"
    run = restore(full, "--to", str(out))
    assert run.returncode == 0 and out.read_bytes() == tar_of(NAMES[2], 50_000)
    line, = run.stderr.splitlines()
    assert "passed over" in line and NAMES[3] in line
    out.unlink()
    run = restore(full, "--to", str(out), "--strict")
    assert run.returncode == 1 and NAMES[3] in run.stderr and not out.exists()


def test_when_none_is_good_nothing_is_restored(full):
    for name in NAMES:
        flip(data_of(full, name))
    run = restore(full, "--to", str(full.root / "out"))
    assert run.returncode == 1 and "no good backup" in run.stderr and run.stderr.count("passed over") == 4
    assert not (full.root / "out").exists()


def test_several_nodes_need_a_choice(full):
    full.snapshot("c", "c-2-2026-11-24-08-15-00", tar_of("c-2-2026-11-24-08-15-00", 50_000))
    publish(full, NODE_NAME="b")
    full.snapshot("c", "c-3-2026-11-24-08-16-00", tar_of("c-3-2026-11-24-08-16-00", 50_000))
    publish(full, NODE_NAME="a")
    run = restore(full, "--to", str(full.root / "out"))
    assert run.returncode == 1 and "--node" in run.stderr and not (full.root / "out").exists()
    assert taken(full, "--node", "b") == "c-2-2026-11-24-08-15-00"
    assert taken(full, "--node", "a") == "c-3-2026-11-24-08-16-00"
    assert taken(full, "--node", "1") == NAMES[3]  # a peer id
    run = full.efs_tool("restore", "--json", "--to", str(full.root / "new"), NODE_NAME="b")
    assert json.loads(run.stdout)[0]["node"] == "b"


def test_a_task_that_was_replaced_goes_on_where_its_predecessor_stopped(full):
    full.snapshot("c", "c-2-2026-11-24-08-15-00", tar_of("c-2-2026-11-24-08-15-00", 50_000))
    publish(full)
    assert taken(full) == "c-2-2026-11-24-08-15-00"
    assert taken(full, "--at", "2026-11-24T08:14:00Z") == NAMES[3]


def test_peers_that_live_side_by_side_need_a_choice(full):
    full.snapshot("c", "c-2-2026-11-24-08-00-10", tar_of("c-2-2026-11-24-08-00-10", 50_000))
    publish(full)
    run = restore(full, "--to", str(full.root / "out"))
    assert run.returncode == 1 and "--node" in run.stderr


def test_several_trees_need_a_choice(full):
    shutil.copytree(full.base, full.efs / "prod-arm64")
    env = {k: v for k, v in full.env.items() if k not in ("TIER", "CPU_ARCH")}
    command = [BUILD / "qdrant-efs", "restore", "--to", full.root / "out"]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    assert run.returncode == 1 and "--tier" in run.stderr and not (full.root / "out").exists()
    run = subprocess.run([*command, "--tier", "prod", "--cpu-arch", "arm64"], env=env, capture_output=True, text=True)
    assert run.returncode == 0


@pytest.mark.parametrize("args,word", [
    (["--at", "yesterday"], "--at"), (["--at", "2026-02-30"], "--at"), (["--at", "2026-11-24T08:00:00+01:00"], "--at"),
    (["--to", "x", "--stdout"], "--stdout"), (["--rename", "x", "--to", "y"], "--rename"), (["--to", ""], "--to"),
    (["--collection", "a", "--collection", "b", "--rename", "x"], "--rename"), (["--storage-snapshot"], "--to"),
    (["--storage-snapshot", "--collection", "a"], "--storage-snapshot"), (["--shard", "x", "--collection", "c"], "--shard"),
    (["--shard", "0"], "--shard"), (["--location", "http://x"], "--collection"), (["--checksum", "0" * 64], "--location"),
    (["--location", "http://x", "--collection", "c", "--checksum", "00"], "--checksum"), (["extra"], "extra"),
    (["--location", "http://x", "--collection", "c", "--to", "x"], "--location"), (["--stdout", "--json"], "--stdout"),
    (["--deep"], "--deep"), (["--url", "ftp://x"], "QDRANT_URL")])
def test_wrong_use_is_one_line_and_64(full, args, word):
    run = restore(full, *args)
    assert run.returncode == 64 and run.stdout == ""
    line, = run.stderr.splitlines()
    assert word in line and line.startswith("qdrant-efs: ")


def test_options_of_restore_are_not_for_other_commands(full):
    for args in (["ls", "--at", "1h"], ["prune", "--force"], ["show", "--to=x", "y"], ["ls", "--deep"]):
        run = full.efs_tool(*args)
        assert run.returncode == 64 and args[1].split("=")[0] in run.stderr
