"""What is there is never lost to a restore that could not give it back."""
import json
import os
import stat
import subprocess

import pytest
from harness import BUILD
from restoring import (SIXTH, Dam, count, fill, path_of, publish, put_backup, restore, restored, scroll, snapshot,
                       tar_of_backup, upsert, uploads)
from server import REAL
from tars import changed, members_of, tar_with

NAME = "test_collection"
needs_real = pytest.mark.skipif(not REAL, reason="needs the real Qdrant server: set QDRANT_BIN to its binary")


@pytest.fixture
def one(tree, qdrant):
    fill(qdrant)
    qdrant.stem = snapshot(qdrant)
    qdrant.before = scroll(qdrant)
    publish(tree)
    return qdrant


@pytest.fixture
def large(tree, qdrant):
    """With a snapshot of some MiB."""
    fill(qdrant)
    upsert(qdrant, NAME, [{"id": i, "vector": [0.1, 0.2, 0.3, 0.4], "payload": {"t": os.urandom(2000).hex()}} for i in range(10, 700)])
    qdrant.stem = snapshot(qdrant)
    publish(tree)
    return qdrant


def edit(tree, stem, **members):
    path = next(tree.base.rglob(f"{stem}.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


def names(server):
    return [c["name"] for c in server.result("GET", "/collections")["collections"]]


def aliases(server, *actions):
    if actions:
        server.result("POST", "/collections/aliases", {"actions": list(actions)})
    return {a["alias_name"]: a["collection_name"] for a in server.result("GET", "/aliases")["aliases"]}


def create(alias, collection):
    return {"create_alias": {"alias_name": alias, "collection_name": collection}}


def meanwhile(tree, server, way, do):
    """A restore while whose bytes are on their way `do` is done."""
    dam = Dam(server.port, 300_000)
    p = subprocess.Popen([BUILD / "qdrant-efs", "restore", "--collection", NAME, way], env=tree.env | {"QDRANT_URL": dam.url},
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert dam.full.wait(30)
        do()
        dam.let_go()
        out, err = p.communicate(timeout=60)
    finally:
        p.kill()
        dam.close()
    return p.returncode, out, err


# --- a cluster

@pytest.mark.parametrize("way", ["--recreate", "--swap"])
def test_a_collection_is_not_deleted_for_some_of_its_shards(tree, one, way):
    members = members_of(tar_of_backup(tree, one.stem))
    state = json.loads(dict(members)["0/replica_state.json"])
    elsewhere = [("1/shard_config.json", b'{"type":"ReplicaSet"}'), ("1/replica_state.json", json.dumps(state | {"is_local": False}).encode())]
    put_backup(tree, NAME, tar_with(members + elsewhere))
    for dry in ([], ["--dry-run"]):
        run = restore(tree, "--collection", NAME, way, "--strict", *dry)
        assert run.returncode == 1 and "1 of the collection's 2 shards" in run.stderr and "--node" in run.stderr, run.stderr
        assert names(one) == [NAME] and scroll(one) == one.before


@needs_real
def test_a_shard_with_other_vectors_than_the_collection_is_refused(tree, real_qdrant):
    one = real_qdrant
    fill(one)
    one.result("POST", f"/collections/{NAME}/shards/0/snapshots?wait=true")
    publish(tree)
    assert "shard key" in restored(tree, "--collection", NAME, "--shard", "0", "--force")[0]["why"]
    for vectors in ({"size": 4, "distance": "Cosine"}, {"size": 8, "distance": "Dot"}):
        one.result("DELETE", path_of(NAME))
        one.result("PUT", path_of(NAME), {"vectors": vectors})
        for dry in ([], ["--dry-run"]):
            run = restore(tree, "--collection", NAME, "--shard", "0", "--force", *dry)
            assert run.returncode == 1 and vectors["distance"] in run.stderr and count(one) == 0, run.stderr


@needs_real
def test_a_shards_points_are_held_against_its_manifest(tree, real_qdrant):
    fill(real_qdrant)
    stem = real_qdrant.result("POST", f"/collections/{NAME}/shards/0/snapshots?wait=true")["name"].removesuffix(".snapshot")
    publish(tree)
    edit(tree, stem, points=500)
    run = restore(tree, "--collection", NAME, "--shard", "0", "--force")
    assert run.returncode == 1 and "5 points came back of about 500" in run.stderr, run.stderr


# --- before the collection is deleted

@pytest.mark.parametrize("way", ["--recreate", "--swap"])
def test_a_backup_of_a_newer_qdrant_needs_force_whatever_the_way(tree, one, way):
    edit(tree, one.stem, qdrant_version="1.99.0")
    for dry in ([], ["--dry-run"]):
        run = restore(tree, way, *dry)
        assert run.returncode == 1 and "1.99.0" in run.stderr and "--force" in run.stderr, run.stderr
        assert names(one) == [NAME] and scroll(one) == one.before
    done, = restored(tree, way, "--force")
    assert done["note"].count("1.99.0") == 1 and not done["note"].rstrip().endswith(";"), done["note"]


@pytest.mark.parametrize("way", ["--recreate", "--swap"])
def test_a_backup_with_a_broken_segment_deletes_nothing_although_its_hash_is_good(tree, one, way):
    broken = changed(members_of(tar_of_backup(tree, one.stem)), "segments/", lambda b: b[:len(b) // 2])
    put_backup(tree, NAME, tar_with(broken))
    run = restore(tree, way, "--strict")
    assert run.returncode == 1 and "segments/" in run.stderr, run.stderr
    assert names(one) == [NAME] and scroll(one) == one.before and uploads(one) == []
    run = restore(tree, way)  # the older one is good
    assert run.returncode == 0 and "passed over" in run.stderr, run.stderr


# --- written meanwhile

@pytest.mark.parametrize("way", ["--force", "--swap"])
def test_a_point_that_is_overwritten_meanwhile_is_not_lost(tree, large, way):
    new = {"id": 1, "vector": [9, 9, 9, 9], "payload": {"city": "written while the restore ran"}}
    rc, _, err = meanwhile(tree, large, way, lambda: upsert(large, NAME, [new]))
    assert rc == 1 and "somebody writes to" in err, err
    point, = large.result("POST", f"/collections/{NAME}/points", {"ids": [1], "with_payload": True})
    assert point["payload"] == new["payload"]


def test_an_alias_that_was_made_during_a_swap_follows_and_one_that_went_elsewhere_stays_there(tree, large):
    large.result("PUT", "/collections/other", {"vectors": {"size": 4, "distance": "Dot"}})
    aliases(large, create("gone", NAME), create("kept", NAME))
    rc, out, err = meanwhile(tree, large, "--swap", lambda: aliases(large, {"delete_alias": {"alias_name": "gone"}}, create("gone", "other"),
                                                                    create("fresh", NAME)))
    assert rc == 0, out + err
    new, = (n for n in names(large) if n not in ("other", NAME))
    assert aliases(large) == {"gone": "other", "kept": new, "fresh": new, NAME: new}


def test_an_alias_that_is_of_another_collection_by_now_is_not_switched(tree, large):
    large.result("PUT", "/collections/other", {"vectors": {"size": 4, "distance": "Dot"}})
    aliases(large, create("live", NAME))
    dam = Dam(large.port, 300_000)
    p = subprocess.Popen([BUILD / "qdrant-efs", "restore", "--collection", NAME, "--rename", "live", "--swap"],
                         env=tree.env | {"QDRANT_URL": dam.url}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert dam.full.wait(30)
        aliases(large, {"delete_alias": {"alias_name": "live"}}, create("live", "other"))
        dam.let_go()
        _, err = p.communicate(timeout=60)
    finally:
        p.kill()
        dam.close()
    assert p.returncode == 1 and "no alias of" in err and aliases(large)["live"] == "other", err


# --- all of it, into an empty Qdrant

def test_a_restore_of_everything_leaves_out_what_a_newer_collection_has_as_an_alias(tree, one):
    new = restored(tree, "--collection", NAME, "--swap")[0]["into"]
    upsert(one, NAME, [SIXTH])
    stem = snapshot(one, new)
    publish(tree)
    edit(tree, stem, aliases=[NAME])
    one.result("DELETE", path_of(new))
    done = {d["collection"]: d for d in restored(tree)}
    assert done[NAME]["result"] == "left_out" and new in done[NAME]["note"] and done[new]["result"] == "restored"
    assert names(one) == [new] and aliases(one) == {NAME: new} and count(one) == 6
    one.result("DELETE", path_of(new))
    assert restored(tree, "--collection", NAME)[0]["points"] == 5


def test_an_alias_that_two_backups_have_is_that_of_the_newer_one(tree, one):
    """The older collection comes first, by its name."""
    fill(one, "a-old")
    old = snapshot(one, "a-old")
    new = snapshot(one, NAME)
    publish(tree)
    edit(tree, old, aliases=["live", "mine"])
    edit(tree, new, aliases=["live"])
    for name in ("a-old", NAME):
        one.result("DELETE", path_of(name))
    run = restore(tree)
    assert run.returncode == 0 and "the alias live is not that of a-old" in run.stderr, run.stderr
    assert sorted(names(one)) == ["a-old", NAME] and aliases(one) == {"live": NAME, "mine": "a-old"}


def test_a_restore_of_everything_leaves_out_what_was_deleted_on_purpose(tree, one):
    fill(one, "other")
    snapshot(one, "other")
    publish(tree)
    (tree.base / "deleted" / "-").mkdir(parents=True)
    (tree.base / "deleted" / "-" / f"{NAME}.json").write_text(json.dumps(
        {"format": 1, "collection": NAME, "node": "", "deleted": "2036-01-01T00:00:00Z", "forgotten": False, "written_by": "a test"}))
    for name in (NAME, "other"):
        one.result("DELETE", path_of(name))
    run = restore(tree)
    assert run.returncode == 0 and f"{NAME}: left out: it was deleted on purpose" in run.stdout and names(one) == ["other"], run.stdout + run.stderr
    run = restore(tree, "--collection", NAME)
    assert run.returncode == 0 and sorted(names(one)) == ["other", NAME]


# --- names and files

def test_a_swap_of_a_long_name_makes_one_that_can_be_snapshotted(tree, qdrant):
    name = "y" * 190
    fill(qdrant, name)
    snapshot(qdrant, name)
    publish(tree)
    into = restored(tree, "--swap")[0]["into"]
    assert len(into) == 180 and count(qdrant, name) == 5
    snapshot(qdrant, into)


@pytest.mark.parametrize("what", ["a FIFO", "a link"])
def test_what_is_no_file_is_not_replaced_by_one(tree, one, tmp_path, what):
    path = tmp_path / "there"
    os.mkfifo(path) if what == "a FIFO" else path.symlink_to(tmp_path / "elsewhere")
    mode = os.lstat(path).st_mode
    for dry in ([], ["--dry-run"]):
        run = restore(tree, "--collection", NAME, "--to", str(path), "--force", *dry)
        assert run.returncode == 1 and "no regular file" in run.stderr and str(path) in run.stderr, run.stderr
        assert os.lstat(path).st_mode == mode and not stat.S_ISREG(mode)


@pytest.mark.parametrize("command", [["ls"], ["restore", "--collection", NAME, "--force"]])
def test_a_standard_output_that_is_full_is_told(tree, one, command):
    with open("/dev/full", "w") as full:
        run = subprocess.run([BUILD / "qdrant-efs", *command], env=tree.env, stdout=full, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 1 and "standard output" in run.stderr, run.stderr
