"""qdrant-efs forget: after it nothing of the collection is left on EFS, and none of it comes back."""
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from harness import BUILD, checksum_of, tar_of, wait_for


def back_up(tree, collection, *stems, **env):
    for stem in stems:
        tree.snapshot(collection, stem, tar_of(stem))
    run = tree.once(**env)
    assert run.returncode == 0, run.stderr


def stems(collection, n, peer=1):
    return [f"{collection.split('/')[0]}-{peer}-2026-11-24-0{i}-15-00" for i in range(n)]


def shard_stems(collection, n):
    return [f"{collection}-shard-0-2026-11-24-0{i}-15-00" for i in range(n)]


def rest(tree):
    """All files but the tombstones."""
    return [f for f in tree.files() if "/deleted/" not in f]


def tombstones(tree):
    return [json.loads(p.read_text()) for p in tree.base.glob("deleted/*/*.json")]


@pytest.fixture
def two(tree):
    back_up(tree, "docs", *stems("docs", 3))
    back_up(tree, "docs/shards/0", *shard_stems("docs", 2))
    back_up(tree, "keep", *stems("keep", 2))
    return tree


def test_nothing_of_the_collection_is_left_and_all_of_the_others_is(two):
    others = [f for f in rest(two) if "/keep/" in f]
    hidden = [two.base / "15min/docs/.partial-elsewhere-1-2-3-4", two.base / "monthly/docs/%shard-0/.partial-elsewhere-1-2-3-5"]
    for p in hidden:
        p.parent.mkdir(parents=True, exist_ok=True)
        p.write_bytes(b"half of it")
    (two.base / "15min/docs/docs-1-2026-01-01-00-00-00.snapshot.zst").write_bytes(b"data without a manifest")
    next(two.base.glob("monthly/docs/*.json")).write_text("{}")  # a corrupt one
    receipt = next(two.base.glob("*/docs/*.zst"))
    receipt.with_name(receipt.name + ".s3").write_text("{}")
    run = two.efs_tool("forget", "docs")
    assert run.returncode == 0, run.stderr
    assert rest(two) == others and not list(two.base.glob("*/docs"))
    assert run.stdout.splitlines()[-1].endswith("freed") and "forgot" in run.stdout
    t, = tombstones(two)
    assert (t["collection"], t["node"], t["forgotten"], t["format"]) == ("docs", "%all", True, 1)


def test_a_dry_run_says_the_same_and_changes_nothing(two):
    before = {f: (two.efs / f).read_bytes() for f in two.files()}
    dry = two.efs_tool("forget", "docs", "--dry-run", "--json")
    assert dry.returncode == 0 and before == {f: (two.efs / f).read_bytes() for f in two.files()}
    run = two.efs_tool("forget", "docs", "--json")
    a, b = json.loads(dry.stdout), json.loads(run.stdout)
    assert a["dry_run"] and not b["dry_run"] and a["bytes"] == b["bytes"] > 0
    assert [x["snapshot"] for x in a["backups"]] == [x["snapshot"] for x in b["backups"]] and len(b["backups"]) == 5


def test_local_snapshots_of_before_are_not_published_again_and_newer_ones_are(two):
    assert two.efs_tool("forget", "docs").returncode == 0
    others = rest(two)
    run = two.once()
    assert run.returncode == 0 and rest(two) == others and '"not_published"' in run.stderr
    two.snapshot("docs", new := time.strftime("docs-1-%Y-%m-%d-%H-%M-%S", time.gmtime(time.time() + 2)), tar_of("new"))
    assert two.once().returncode == 0
    assert {n for _, c, n in two.complete() if c == "docs"} == {new}


def test_a_running_replicator_does_not_bring_it_back(two):
    two.start()
    wait_for(lambda: len(two.complete()) == 7)
    assert two.efs_tool("forget", "docs").returncode == 0
    for p in two.snapshots.rglob("docs*.snapshot"):
        os.utime(p)  # looked at again
        p.with_name(p.name + ".checksum").touch()
    two.snapshot("keep", "keep-1-2026-11-24-09-15-00", tar_of("last"))
    wait_for(lambda: any(n.endswith("09-15-00") for _, _, n in two.complete()))
    time.sleep(1)
    assert {c for _, c, _ in two.complete()} == {"keep"}


def test_what_is_being_published_meanwhile_is_forgotten_as_well(tree):
    """The copy began before: whoever forgets has not seen it, so its writer looks again."""
    back_up(tree, "docs", *stems("docs", 1))
    data = os.urandom(200_000_000)
    tree.snapshot("docs", name := "docs-1-2026-11-24-09-15-00", data)
    p = tree.start(COMPRESSION="zstd:9", COMPRESSION_THREADS="1")
    wait_for(lambda: [x for x in tree.base.glob("*/docs/.partial-*") if x.stat().st_size > 1_000_000])
    assert tree.efs_tool("forget", "docs").returncode == 0
    wait_for(lambda: [x for x in tree.log() if name in x["message"] and x["event"] in ("not_published", "publish_failed")])
    wait_for(lambda: tree.logged("not_published"), 60)
    assert p.poll() is None and rest(tree) == [] and name not in {n for _, _, n in tree.complete()}


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_interrupted_at_any_moment_it_can_be_repeated(two, tmp_path):
    for kill_at in ("unlink:when=3", "unlink:when=8", "fsync:when=2"):
        call, when = kill_at.split(":")
        run = subprocess.run(["strace", "-f", "-qq", "-o", tmp_path / "trace", "-e", f"inject={call}:signal=KILL:{when}",
                              BUILD / "qdrant-efs", "forget", "docs"], env=two.env, capture_output=True, text=True)
        if run.returncode == 0:
            break
        assert run.returncode in (-signal.SIGKILL, 137), run.stderr
    run = two.efs_tool("forget", "docs")
    assert run.returncode == 0, run.stderr
    assert not [f for f in rest(two) if "/docs/" in f]
    assert two.efs_tool("forget", "docs").returncode == 0  # and again


def test_a_name_that_has_no_backup_is_no_success(two):
    run = two.efs_tool("forget", "dosc")
    assert run.returncode == 1 and "no backup of dosc" in run.stderr and tombstones(two) == []
    assert two.efs_tool("forget").returncode == 64 and two.efs_tool("forget", "").returncode == 64


def test_links_and_files_of_others_are_neither_followed_nor_deleted(two, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.snapshot").write_bytes(b"not ours")
    folder = next(two.base.glob("monthly/docs"))
    (folder / "link").symlink_to(outside)
    (folder / "notes.txt").write_text("mine")
    (folder / "folder").mkdir()
    run = two.efs_tool("forget", "docs")
    assert run.returncode == 1 and "notes.txt" in run.stderr and "link" in run.stderr
    assert (outside / "x.snapshot").exists() and (folder / "notes.txt").exists() and (folder / "link").is_symlink()
    assert not [f for f in rest(two) if "/docs/" in f and "notes.txt" not in f and "x.snapshot" not in f]


def test_a_folder_that_is_a_link_is_not_followed(two, tmp_path):
    outside = tmp_path / "outside"
    folder = next(two.base.glob("monthly/docs"))
    folder.rename(outside)
    folder.symlink_to(outside)
    before = sorted(p.name for p in outside.rglob("*"))
    run = two.efs_tool("forget", "docs")
    assert run.returncode == 1 and "a link" in run.stderr and sorted(p.name for p in outside.rglob("*")) == before


def test_of_several_nodes_one_is_forgotten_or_all(tree):
    for i, name in ((1, "north"), (2, "south")):
        back_up(tree, "docs", *stems("docs", 2, i), NODE_NAME=name)
        for p in tree.snapshots.rglob("*.snapshot*"):
            p.unlink()
    run = tree.efs_tool("forget", "docs")
    assert run.returncode == 64 and "north" in run.stderr and "--all-nodes" in run.stderr and len(tree.complete()) == 4
    assert tree.efs_tool("forget", "docs", "--node", "nobody").returncode == 1 and len(tree.complete()) == 4
    assert tree.efs_tool("forget", "docs", "--node", "north").returncode == 0
    assert {b["node"] for b in tree.ls()} == {"south"}
    tree.snapshot("docs", stems("docs", 1, 1)[0], tar_of("again"))
    assert tree.once(NODE_NAME="north").returncode == 0 and {b["node"] for b in tree.ls()} == {"south"}
    assert tree.efs_tool("forget", "docs", "--all-nodes").returncode == 0 and rest(tree) == []


def test_of_a_node_without_a_name_its_peer_id_is_enough(tree):
    back_up(tree, "docs", *stems("docs", 2, 7))
    assert tree.efs_tool("forget", "docs", "--node", "7").returncode == 0 and rest(tree) == []
    assert tree.once().returncode == 0 and rest(tree) == []


def test_snapshots_of_the_whole_storage_are_named_and_go_when_asked_for(two):
    data = tar_of("all")
    two.snapshots.joinpath("full-snapshot-2026-11-24-08-00-00.snapshot").write_bytes(data)
    two.snapshots.joinpath("full-snapshot-2026-11-24-08-00-00.snapshot.checksum").write_text(checksum_of(data))
    assert two.once().returncode == 0
    run = two.efs_tool("forget", "docs")
    assert run.returncode == 1 and "--storage-snapshot" in run.stderr
    run = two.efs_tool("forget", "docs", "--storage-snapshot")
    assert run.returncode == 0 and {b["collection"] for b in two.ls()} == {"keep"}


def test_the_commands_that_delete_the_copies_in_s3_are_told(two):
    run = two.efs_tool("forget", "docs", SNAPSHOT_S3_BUCKET_NAME="my-bucket")
    for tier in ("15min", "hourly", "daily", "monthly"):
        assert f"aws s3 rm --recursive 's3://my-bucket/test-cpu/{tier}/docs/'" in run.stdout
    assert "not touched" in run.stdout


def test_the_commands_for_s3_are_safe_to_paste_whatever_the_name(tree, tmp_path):
    name = "a'; touch pwned; '"
    back_up(tree, name, f"{name}-1-2026-11-24-07-15-00")
    run = tree.efs_tool("forget", name, "--dry-run", SNAPSHOT_S3_BUCKET_NAME="b")
    line = next(x for x in run.stdout.splitlines() if x.startswith("aws s3 rm"))
    (tmp_path / "aws").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "aws").chmod(0o755)
    said = subprocess.run(["bash", "-c", line], cwd=tmp_path, env={"PATH": f"{tmp_path}:/bin:/usr/bin"}, capture_output=True, text=True)
    assert said.stdout.splitlines() == ["s3", "rm", "--recursive", f"s3://b/test-cpu/15min/{name}/"] and not (tmp_path / "pwned").exists()


def test_what_was_made_by_a_clock_that_is_ahead_of_ours_is_forgotten_too(two):
    path = next(two.base.glob("monthly/docs/*.json"))
    ahead = time.time() + 300
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ahead))}))
    assert two.efs_tool("forget", "docs").returncode == 0
    t, = tombstones(two)
    assert t["deleted"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ahead))


def test_files_of_others_with_our_endings_are_left_alone_and_told(two):
    folder = next(two.base.glob("monthly/docs"))
    for name in ("my-notes.json", "dump.snapshot", "dump.snapshot.zst"):
        (folder / name).write_text("{}")
    for dry in (["--dry-run"], []):
        run = two.efs_tool("forget", "docs", *dry)
        assert run.returncode == 1 and run.stderr.count("left alone") == 3 and "my-notes.json" in run.stderr, run.stderr
        assert "my-notes" not in run.stdout
    assert sorted(p.name for p in folder.iterdir()) == ["dump.snapshot", "dump.snapshot.zst", "my-notes.json"]


@pytest.mark.parametrize("collection", [".x", "-rf", "back\\slash", "a%b", "emoji 🎉", "x" * 200])
def test_collections_of_any_name_are_forgotten(tree, collection):
    back_up(tree, collection, f"{collection}-1-2026-11-24-07-15-00")
    run = tree.efs_tool("forget", "--", collection)
    assert run.returncode == 0 and rest(tree) == [], run.stderr


def test_efs_that_may_not_be_written_to_is_a_failure_that_deletes_nothing(two):
    run = two.efs_tool("forget", "docs", "--root", "/proc/self/no-such")
    assert run.returncode == 1
    (two.base / "deleted").write_text("a file, where a folder should be")
    run = two.efs_tool("forget", "docs")
    assert run.returncode == 1 and len(two.complete()) == 7
