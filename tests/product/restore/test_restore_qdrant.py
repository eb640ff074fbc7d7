"""restore into a running Qdrant."""
import json
import os
import signal
import subprocess
import time

import pytest
from harness import BUILD, tar_of, wait_for
from restoring import (KEY, SIXTH, Dam, attach, count, data_of, fill, flip, path_of, publish, restore, restored, scroll, snapshot, upsert,
                       uploads)
from server import Server


@pytest.fixture
def two(tree, qdrant):
    """The procedure that every operator should go through: a baseline, a change, a second snapshot; both on EFS."""
    fill(qdrant)
    qdrant.baseline = scroll(qdrant)
    qdrant.first = snapshot(qdrant)
    upsert(qdrant, "test_collection", [SIXTH])
    qdrant.changed = scroll(qdrant)
    qdrant.second = snapshot(qdrant)
    publish(tree)
    return qdrant


def test_the_first_backup_brings_the_baseline_back_and_the_second_the_change(tree, two):
    result, = restored(tree, "--snapshot", two.first, "--force")
    assert scroll(two) == two.baseline
    assert (result["result"], result["points_before"], result["points"], result["status"]) == ("restored", 6, 5, "green")
    result, = restored(tree, "--force")
    assert result["snapshot"] == two.second and scroll(two) == two.changed
    assert uploads(two) == []


def test_a_collection_that_is_gone_comes_back_with_a_new_server(tree, two):
    two.result("DELETE", "/collections/test_collection")
    result, = restored(tree)
    assert not result["existed"] and result["points_before"] is None and scroll(two) == two.changed
    assert uploads(two) == []


def test_an_empty_collection_is_replaced_without_force(tree, two):
    two.result("DELETE", "/collections/test_collection")
    two.result("PUT", "/collections/test_collection", {"vectors": {"size": 4, "distance": "Dot"}})
    assert restored(tree)[0]["points_before"] == 0
    assert scroll(two) == two.changed


def test_points_are_never_replaced_without_force_and_it_says_how_many(tree, two):
    run = restore(tree, "--snapshot", two.first)
    assert run.returncode == 1 and "6 points" in run.stderr and "--force" in run.stderr and "--rename" in run.stderr
    assert scroll(two) == two.changed and uploads(two) == []


def test_rename_restores_beside_the_original(tree, two):
    restored(tree, "--snapshot", two.first, "--rename", "beside")
    assert scroll(two, "beside") == two.baseline and scroll(two) == two.changed
    assert restore(tree, "--snapshot", two.first, "--rename", "beside").returncode == 1
    assert "qdrant-efs forget 'beside-2'" in restore(tree, "--snapshot", two.first, "--rename", "beside-2").stdout


def test_what_was_uploaded_is_no_new_backup(tree, two):
    restored(tree, "--force", "--snapshot", two.first)
    before = tree.files()
    publish(tree)
    assert tree.files() == before


@pytest.mark.parametrize("compression", ["none", "zstd:1"])
def test_a_flipped_bit_reaches_no_collection_and_the_next_older_is_taken(tree, two, compression):
    upsert(two, "test_collection", [SIXTH | {"id": 7}])
    third = snapshot(two)
    publish(tree, COMPRESSION=compression)
    flip(data_of(tree, third), 0.7)
    result, = restored(tree, "--force")
    assert result["snapshot"] == two.second and scroll(two) == two.changed
    skipped, = result["skipped"]
    assert skipped["snapshot"] == third and ("SHA-256" in skipped["reason"] if compression == "none" else skipped["reason"])
    run = restore(tree, "--force", "--strict")
    assert run.returncode == 1 and third in run.stderr and scroll(two) == two.changed
    assert uploads(two) == []


def test_a_dry_run_changes_nothing_and_says_what_would_happen(tree, two):
    flip(data_of(tree, two.second))
    files = tree.files()
    run = restore(tree, "--dry-run", "--force")
    assert run.returncode == 0
    assert "would restore " + two.first in run.stdout and "with 6 points that would be lost" in run.stdout
    assert "passed over" in run.stderr and two.second in run.stderr
    run = restore(tree, "--dry-run")
    assert run.returncode == 1 and "would have refused" in run.stderr
    run = restore(tree, "--dry-run", "--rename", "fresh")
    assert run.returncode == 0 and "fresh, which is not there yet" in run.stdout
    assert scroll(two) == two.changed and tree.files() == files and uploads(two) == []
    assert two.request("GET", "/collections/fresh")[0] == 404


@pytest.mark.parametrize("name", ["emoji 🎉 東京", ".hidden", "with.dots..and-1-2026-01-01-00-00-00", "per%cent", "-dash",
                                  "a b+c&d=e", "quote'$(x);`y`"])
def test_any_name_that_qdrant_takes_comes_back(tree, qdrant, name):
    fill(qdrant, name)
    before = scroll(qdrant, name)
    snapshot(qdrant, name)
    publish(tree)
    qdrant.result("DELETE", path_of(name))
    result, = restored(tree, f"--collection={name}")
    assert result["collection"] == name and scroll(qdrant, name) == before and uploads(qdrant) == []


def test_all_collections_of_the_tree_or_those_that_are_named(tree, qdrant):
    for name in ("a", "b", "c"):
        fill(qdrant, name)
        snapshot(qdrant, name)
    publish(tree)
    for name in ("a", "b", "c"):
        qdrant.result("DELETE", path_of(name))
    assert {r["collection"] for r in restored(tree, "--collection", "a", "--collection", "c")} == {"a", "c"}
    run = restore(tree)
    assert run.returncode == 1 and "a: refused" in run.stderr and "b: restored" in run.stdout  # what can be is done
    run = restore(tree, "--collection", "b", "--force", "--collection", "typo")
    assert run.returncode == 1 and "typo" in run.stderr and "b: restored" in run.stdout


def test_a_wrong_key_is_named_as_such_and_changes_nothing(tree, two):
    run = restore(tree, "--force", QDRANT_API_KEY="wr0ng")
    assert run.returncode == 1 and "API key" in run.stderr and "wr0ng" not in run.stderr
    assert scroll(two) == two.changed


def test_a_qdrant_that_is_down_is_named_with_its_address(tree, two):
    two.stop()
    run = restore(tree)
    assert run.returncode == 1 and two.url in run.stderr
    run = restore(tree, "--url", "http://127.0.0.1:1")
    assert run.returncode == 1 and "127.0.0.1:1" in run.stderr


def test_an_alias_is_not_taken_for_a_collection(tree, two):
    two.result("POST", "/collections/aliases",
               {"actions": [{"create_alias": {"collection_name": "test_collection", "alias_name": "other"}}]})
    run = restore(tree, "--force", "--rename", "other")
    assert run.returncode == 1 and "alias" in run.stderr and scroll(two) == two.changed


def test_another_shape_of_the_collection_is_explained(tree, two):
    two.result("PUT", "/collections/narrow", {"vectors": {"size": 2, "distance": "Dot"}})
    run = restore(tree, "--rename", "narrow")
    assert run.returncode == 1 and "vectors.size is 2, in the backup 4" in run.stderr and "--recreate" in run.stderr
    assert uploads(two) == [] and count(two, "narrow") == 0


def in_the_middle(tree, server, send, *args):
    """A restore that gets `send` while half of it is sent; its output."""
    dam = Dam(server.port, 8 << 20)
    p = subprocess.Popen([BUILD / "qdrant-efs", "restore", *args], env=tree.env | {"QDRANT_URL": dam.url},
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert dam.full.wait(30)
        p.send_signal(send)
        out, err = p.communicate(timeout=10)
    finally:
        p.kill()
        dam.close()
    return p.returncode, out, err


@pytest.fixture
def large(tree, two):
    """A newer backup, too large for sockets to take it all at once; that it is none of Qdrant's does not matter here."""
    noise = os.urandom(1 << 20).hex()
    time.sleep(1.01)
    now = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime())
    tree.snapshot("test_collection", f"test_collection-9-{now}", tar_of(noise, 64) + os.urandom(30 << 20))
    tree.env["COMPRESSION"] = "none"
    publish(tree)
    return two


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ended_in_the_middle_it_leaves_nothing_and_can_be_repeated(tree, large, number):
    code, out, err = in_the_middle(tree, large, number, "--force")
    assert code == (-9 if number == signal.SIGKILL else 1) and out == ""
    if number != signal.SIGKILL:
        assert "stop" in err
    def left():
        return uploads(large) + [p for p in (large.snapshots / "tmp").rglob("*") if p.is_file()]
    wait_for(lambda: not left())
    assert scroll(large) == large.changed
    restored(tree, "--force", "--snapshot", large.first)
    assert scroll(large) == large.baseline and uploads(large) == []


def test_what_a_killed_one_left_is_swept_by_the_next(tree, two):
    old = two.snapshots / "test_collection" / ".restore_0123456789abcdef01234567.snapshot"
    again = old.with_name(".restore_" + next(b for b in tree.ls() if b["snapshot"] == two.second)["sha256"][:24] + ".snapshot")
    again.write_bytes(b"half")
    restored(tree, "--force")
    assert uploads(two) == []


def test_the_location_of_the_seed_article_is_handed_to_qdrant(tree, two):
    source = two.snapshots / "test_collection" / f"{two.first}.snapshot"
    run = restore(tree, "--location", source.as_uri(), "--collection", "test_collection", EFS_ROOT="")
    assert run.returncode == 1 and "6 points" in run.stderr
    sha = source.with_name(source.name + ".checksum").read_text()
    result, = restored(tree, "--location", source.as_uri(), "--collection", "test_collection", "--force", "--checksum", sha)
    assert result["points"] == 5 and scroll(two) == two.baseline
    run = restore(tree, "--location", source.as_uri(), "--collection", "test_collection", "--force", "--checksum", "0" * 64)
    assert run.returncode == 1 and scroll(two) == two.baseline


def test_a_location_can_be_read_from_standard_input_since_arguments_are_for_everybody(tree, two):
    def from_input(text):
        return subprocess.run([BUILD / "qdrant-efs", "restore", "--location", "-", "--collection", "fetched"], env=tree.env, input=text,
                              capture_output=True, text=True)
    assert from_input((two.snapshots / "test_collection" / f"{two.second}.snapshot").as_uri() + "\n").returncode == 0
    assert count(two, "fetched") == count(two)
    for nothing in ("", "\n"):
        assert from_input(nothing).returncode == 64
    assert from_input("http://127.0.0.1:1/" + "x" * 9000).returncode == 64


def test_a_location_that_is_signed_does_not_show_its_signature(tree, two):
    run = restore(tree, "--location", "http://127.0.0.1:1/x.snapshot?X-Amz-Signature=s3cr3tsignature", "--collection", "x")
    assert run.returncode == 1 and "s3cr3t" not in run.stdout + run.stderr


def test_everything_works_on_a_tree_that_cannot_be_written_to(tree, two):
    before = {p: p.stat().st_mtime_ns for p in tree.efs.rglob("*")}
    mounted = tree.root / "readonly"
    mounted.mkdir()
    script = 'mount --bind "$1" "$2" && mount -o remount,bind,ro "$2" && ! touch "$2/x" 2>/dev/null && shift 2 && exec "$@"'
    run = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", tree.efs, mounted, BUILD / "qdrant-efs", "restore",
                          "--root", mounted, "--force"], env=tree.env, capture_output=True, text=True)
    if "unshare" in run.stderr or "mount:" in run.stderr:
        pytest.skip(f"needs mount namespaces: {run.stderr.strip()}")
    assert run.returncode == 0, run.stderr
    assert scroll(two) == two.changed and before == {p: p.stat().st_mtime_ns for p in tree.efs.rglob("*")}


def test_a_key_that_may_only_read_is_told_as_such_and_not_as_a_broken_pipe(tree, tmp_path):
    reader = "k3y-that-may-only-read"
    with Server("standin", tmp_path / "server", api_key=KEY, env={"QDRANT__SERVICE__READ_ONLY_API_KEY": reader}) as server:
        attach(tree, server)
        fill(server)
        snapshot(server)
        publish(tree)
        server.result("DELETE", path_of("test_collection"))
        run = restore(tree, QDRANT_API_KEY=reader)
        assert run.returncode == 1 and "may only read" in run.stderr and "got all of it" not in run.stderr, run.stderr
