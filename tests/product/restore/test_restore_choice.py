"""Which backup restore takes, and what it refuses to guess."""
import json
import os
import shutil
import subprocess
import time

import pytest
from harness import BUILD, tar_of
from restoring import data_of, flip, publish, restore, restored
from server import STANDIN

TIMES = ["2026-11-20-08-00-00", "2026-11-23-23-59-59", "2026-11-24-08-00-00", "2026-11-24-08-00-30"]
NAMES = [f"c-1-{t}" for t in TIMES]
OTHER = "other-1-2026-11-24-08-00-00"


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


@pytest.mark.parametrize("at,word", [("2099-11-24T08:00Z", "not in the future"), ("2099-11-24", "not in the future"),
                                     ("2026-11-24T08:00:00+02:00", "UTC")])
def test_at_in_the_future_or_with_an_offset_is_refused_with_what_is_allowed(full, at, word):
    run = restore(full, "--to", str(full.root / "out"), "--at", at)
    assert run.returncode == 64 and at in run.stderr and word in run.stderr and len(run.stderr.splitlines()) == 1
    assert not (full.root / "out").exists()


def test_at_today_is_no_time_in_the_future(full):
    assert taken(full, "--at", time.strftime("%Y-%m-%d", time.gmtime())) == NAMES[-1]


def test_a_collection_without_backups_is_one_line(full):
    run = restore(full, "--to", str(full.root / "out"), "--collection", "nope")
    line, = (run.stdout + run.stderr).splitlines()
    assert run.returncode == 1 and "no backup of nope below" in line


def aliased(full, name):
    for manifest in full.efs.rglob(f"{name}.json"):
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"aliases": ["live"]}))


def test_an_alias_stands_for_the_collection_that_has_it_in_its_newest_backup(full):
    aliased(full, NAMES[3])
    assert taken(full, "--collection", "live") == NAMES[-1]
    run = restore(full, "--to", str(full.root / "again"), "--collection", "live")
    assert run.returncode == 0 and run.stderr.splitlines()[0] == "qdrant-efs: live is an alias of c, which is taken"
    for command in ("ls", "verify", "du", "status"):
        by_alias, by_name = full.efs_tool(command, "--json", "--collection", "live"), full.efs_tool(command, "--json", "--collection", "c")
        assert "live is an alias of c, which is taken" in by_alias.stderr and by_alias.returncode == by_name.returncode
        if command in ("ls", "du"):
            assert by_alias.stdout == by_name.stdout != ""


def test_a_collection_of_that_name_goes_before_an_alias(full):
    aliased(full, NAMES[3])
    shutil.copytree(full.base / "monthly/c", full.base / "monthly/live")
    run = full.efs_tool("ls", "--collection", "live")
    assert "alias" not in run.stderr and "the manifest is of another backup" in run.stdout


def test_snapshot_takes_the_one_that_is_named(full):
    assert taken(full, "--snapshot", NAMES[1]) == taken(full, "--snapshot", NAMES[1] + ".snapshot") == NAMES[1]
    assert restore(full, "--to", str(full.root / "x"), "--snapshot", "nope").returncode == 1


@pytest.mark.parametrize("args,words", [
    (["--collection", "nix"], "no backup of nix below EFS; collections that have some: c, other"),
    (["--collection", "c", "--snapshot", "nix"], "no backup of c named nix below EFS; the newest is NEWEST of"),
    (["--collection", "c", "--at", "2020-01-01"], "no backup of c of 2020-01-01T23:59:59Z or before (--at) below EFS; the newest is NEWEST of"),
    (["--collection", "c", "--at", "2020-01-01"], "the oldest OLDEST of"),
    (["--collection", "other", "--snapshot", "nix"], "the only one is OTHER of"),
    (["--collection", "c", "--node", "x"], "no backup of c by node x below EFS; nodes that have some: n1"),
    (["--collection", "other", "--frequency", "15min"], "no backup of other of frequency 15min below EFS; frequencies that have some: monthly"),
    (["--collection", "c", "--shard", "7"], "no backup of c of a single shard below EFS; kinds that have some: collection"),
    (["--collection", "c", "--newer", "1h"], "(--newer) below EFS; the newest is NEWEST of"),
    (["--snapshot", "nix"], "no backup named nix below EFS; the newest is"),
    (["--storage-snapshot"], "no backup of the whole storage below EFS"),
    (["--tier", "pord"], "no tree pord-cpu (TIER, CPU_ARCH) below EFS; there is test-cpu")])
@pytest.mark.parametrize("command", ["restore", "drill"])
def test_what_rules_every_backup_out_is_said_and_what_there_is(tree, command, args, words):
    for name in NAMES:
        tree.snapshot("c", name, tar_of(name, 50_000))
    tree.snapshot("other", OTHER, tar_of("other"))
    publish(tree, NODE_NAME="n1")
    for a, b in (("EFS", str(tree.efs)), ("NEWEST", NAMES[-1]), ("OLDEST", NAMES[0]), ("OTHER", OTHER)):
        words = words.replace(a, b)
    to = ["--to", str(tree.root)] if command == "restore" else []
    run = tree.efs_tool(command, *to, *args, QDRANT_BIN=os.path.realpath(STANDIN), DRILL_DIR=str(tree.root / "drill"))
    assert run.returncode == 1 and words in run.stderr, run.stderr
    assert len(run.stderr.splitlines()) == 1, run.stderr


def test_all_wishes_up_to_the_one_that_rules_out_are_named(tree):
    for n, name in enumerate(NAMES):
        tree.snapshot("c", name, tar_of(name, 50_000))
        publish(tree, NODE_NAME="late" if n == 3 else "early")
    run = restore(tree, "--to", str(tree.root / "out"), "--collection", "c", "--node", "late", "--at", "2026-11-23")
    assert run.returncode == 1 and "no backup of c by node late of 2026-11-23T23:59:59Z or before (--at)" in run.stderr
    assert f"the only one is {NAMES[3]}" in run.stderr


@pytest.mark.parametrize("args,words", [
    (["--collection", "c", "--rename", "c"], "has already"), (["--rename", "c"], "has already"),
    (["--rename", "a/b"], "--rename a/b is no name that Qdrant allows"), (["--rename", "x" * 256], "255"),
    (["--collection", "c", "--shard", "x"], "--shard x is not allowed; use a shard's number"),
    (["--shard", "1"], "--shard 1 of which collection?"),
    (["--from-s3", "--snapshot-s3-bucket-name", "s3://b"], "SNAPSHOT_S3_BUCKET_NAME=s3://b is not allowed; use a bucket's name"),
    (["--from-s3", "--snapshot-s3-bucket-name", "My_Bucket"], "SNAPSHOT_S3_BUCKET_NAME=My_Bucket is not allowed"),
    (["--location", "s3://My_Bucket/key"], "My_Bucket is not allowed; use a bucket's name")])
def test_a_value_that_cannot_be_meant_is_refused_before_anything_is_asked(full, args, words):
    # Nobody answers there, so that an exit code of 64 shows that nobody was asked.
    run = restore(full, *args, QDRANT_URL="http://127.0.0.1:9", SNAPSHOT_S3_ENDPOINT="http://127.0.0.1:9",
                  AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="y", AWS_REGION="eu-central-1")
    assert run.returncode == 64 and words in run.stderr and run.stdout == "", run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_an_address_that_nobody_answers_at_is_told_with_the_setting_to_correct(full):
    run = restore(full, "--collection", "c", QDRANT_URL="http://127.0.0.1:9")
    assert run.returncode == 1 and "http://127.0.0.1:9" in run.stderr and "--url or QDRANT_URL" in run.stderr


def test_a_file_in_a_folder_that_is_not_there_is_said_as_that(full):
    missing = full.root / "no"
    run = restore(full, "--to", str(missing / "x"))
    assert run.returncode == 1 and f"there is no folder {missing}" in run.stderr, run.stderr


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
