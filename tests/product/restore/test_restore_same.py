"""What comes back is what was there, or the restore says that it is not."""
import json
import os
import subprocess

import pytest
from harness import BUILD, tar_of
from restoring import (SIXTH, Dam, count, fill, path_of, publish, put_backup, restore, restored, scroll, snapshot,
                       tar_of_backup, upsert, uploads)
from tars import changed, members_of, tar_with, without

NAME = "test_collection"


@pytest.fixture
def two(tree, qdrant):
    fill(qdrant)
    qdrant.baseline, qdrant.first = scroll(qdrant), snapshot(qdrant)
    upsert(qdrant, NAME, [SIXTH])
    qdrant.changed, qdrant.second = scroll(qdrant), snapshot(qdrant)
    publish(tree)
    return qdrant


def gone(server, name=NAME):
    return server.request("GET", path_of(name))[0] == 404


# --- what Qdrant refuses

def refused_by_qdrant(tree, server, how):
    """A backup that is as its manifest says, and that Qdrant does not take."""
    members = members_of(tar_of_backup(tree, server.second))
    data = {"no tar": b"GIF89a" * 5000,
            "a tar of a photo": tar_with([("photo.jpg", b"\xff\xd8" * 900)]),
            "half a tar": tar_with(members)[:40_000],
            "no configuration of the shard": tar_with(without(members, "0/shard_config.json")),
            "a broken segment": tar_with(changed(members, "segments/", lambda b: b"\xff" * 1000 + b[1000:])),
            "another collection's vectors": tar_with(changed(members, "config.json", lambda b: b.replace(b'"size":4', b'"size":7')))}
    return put_backup(tree, NAME, data[how])


REFUSED = ["no tar", "a tar of a photo", "half a tar", "no configuration of the shard", "a broken segment"]


@pytest.mark.parametrize("how", REFUSED)
@pytest.mark.parametrize("there", [True, False], ids=["into the collection", "onto nothing"])
def test_a_backup_that_qdrant_refuses_is_passed_over_for_the_next_older_one(tree, two, how, there):
    bad = refused_by_qdrant(tree, two, how)
    if not there:
        two.result("DELETE", path_of(NAME))
    run = restore(tree, "--json", "--force")
    one, = json.loads(run.stdout)
    assert run.returncode == 0 and one["snapshot"] == two.second and scroll(two) == two.changed, run.stderr
    skipped, = one["skipped"]
    assert skipped["snapshot"] == bad and "Qdrant answered" in skipped["reason"] and bad in run.stderr
    assert uploads(two) == []


@pytest.mark.parametrize("how", REFUSED)
def test_with_strict_a_backup_that_qdrant_refuses_is_an_error_and_leaves_nothing(tree, two, how):
    bad = refused_by_qdrant(tree, two, how)
    two.result("DELETE", path_of(NAME))
    run = restore(tree, "--json", "--strict")
    one, = json.loads(run.stdout)
    assert run.returncode == 1 and (one["result"], one["verdict"]) == ("defect", "defect") and bad in run.stderr
    assert gone(two) and uploads(two) == []


def test_a_wrong_key_is_no_reason_to_take_an_older_one(tree, two):
    run = restore(tree, "--json", "--force", QDRANT_API_KEY="wr0ng")
    assert run.returncode == 1 and json.loads(run.stdout)[0]["skipped"] == [] and scroll(two) == two.changed


# --- the verdict

def edit(tree, stem, **members):
    path = next(tree.base.rglob(f"{stem}.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


def test_a_count_that_differs_from_the_manifest_is_a_failure(tree, two):
    edit(tree, two.second, points=17)
    run = restore(tree, "--json", "--force")
    one, = json.loads(run.stdout)
    assert run.returncode == 1 and (one["result"], one["verdict"], one["points"]) == ("failed", "points_differ", 6)
    assert "6 points came back of about 17" in one["why"] and "6 points came back" in run.stderr


def test_no_point_of_some_is_a_failure(tree, qdrant):
    qdrant.result("PUT", path_of(NAME), {"vectors": {"size": 4, "distance": "Dot"}})
    stem = snapshot(qdrant)
    publish(tree)
    edit(tree, stem, points=1)
    run = restore(tree, "--json")
    one, = json.loads(run.stdout)
    assert run.returncode == 1 and (one["verdict"], one["why"]) == ("empty", "0 points came back of 1")


def test_a_number_that_is_an_estimate_proves_nothing_and_that_is_said(tree, two):
    one, = restored(tree, "--force")
    assert one["verdict"] == "unproven" and "estimate" in one["why"] and "no fingerprint" in one["why"]
    run = restore(tree, "--force")
    assert run.returncode == 0 and "; unproven: its manifest has no fingerprint" in run.stdout


# --- a collection that is there keeps its configuration

WIDE = {"vectors": {"size": 4, "distance": "Dot"}, "sparse_vectors": {"words": {}},
        "strict_mode_config": {"enabled": True, "max_query_limit": 100}}
INDEX = {"field_name": "city", "field_schema": "keyword"}


@pytest.fixture
def wide(tree, qdrant):
    """A collection with all that a restore into another one would lose."""
    qdrant.result("PUT", path_of(NAME), WIDE)
    qdrant.result("PUT", path_of(NAME) + "/index?wait=true", INDEX)
    upsert(qdrant, NAME, [{"id": i, "vector": {"": [1, 2, 3, i], "words": {"indices": [i], "values": [0.5]}}, "payload": {"city": "x"}}
                          for i in range(1, 8)])
    qdrant.before, qdrant.stem = scroll_all(qdrant), snapshot(qdrant)
    publish(tree)
    return qdrant


def scroll_all(server, name=NAME):
    return server.result("POST", path_of(name) + "/points/scroll", {"limit": 50, "with_payload": True, "with_vector": True})


def shape(server, name=NAME):
    info = server.result("GET", path_of(name))
    return (info["config"]["params"].get("sparse_vectors"), info["config"].get("strict_mode_config"),
            {field: s["data_type"] for field, s in info["payload_schema"].items()})


def make_plain(server, body):
    server.result("DELETE", path_of(NAME))
    server.result("PUT", path_of(NAME), body)
    upsert(server, NAME, [{"id": 1, "vector": {"": [9, 9, 9, 9]}}])


def otherwise(server, how):
    if how == "an index that was dropped":
        server.result("DELETE", path_of(NAME) + "/index/city?wait=true")
        return "payload index city is missing"
    body = {k: v for k, v in WIDE.items() if k != {"no sparse vectors": "sparse_vectors", "no strict mode": "strict_mode_config"}[how]}
    make_plain(server, body)
    server.result("PUT", path_of(NAME) + "/index?wait=true", INDEX)
    return "sparse_vectors" if how == "no sparse vectors" else "strict_mode_config"


HOW = ["an index that was dropped", "no sparse vectors", "no strict mode"]


@pytest.mark.parametrize("how", HOW)
def test_force_into_a_collection_that_is_configured_otherwise_is_refused_and_says_what_and_the_ways_out(tree, wide, how):
    what = otherwise(wide, how)
    there, made = scroll_all(wide), shape(wide)
    for dry in ([], ["--dry-run"]):
        run = restore(tree, "--force", *dry)
        assert run.returncode == 1 and what in run.stderr and "--recreate" in run.stderr and "--swap" in run.stderr, run.stderr
        assert (scroll_all(wide), shape(wide)) == (there, made) and uploads(wide) == []


@pytest.mark.parametrize("how", HOW)
def test_recreate_brings_the_configuration_back_too(tree, wide, how):
    made = shape(wide)
    otherwise(wide, how)
    wide.result("POST", "/collections/aliases", {"actions": [{"create_alias": {"collection_name": NAME, "alias_name": "young"}}]})
    one, = restored(tree, "--recreate")
    assert (one["result"], one["points"], one["existed"]) == ("restored", 7, True) and "was deleted" in one["note"]
    assert shape(wide) == made and scroll_all(wide) == wide.before and uploads(wide) == []
    assert count(wide, "young") == 7  # an alias that is younger than the backup


def test_recreate_deletes_nothing_before_the_backup_is_proven(tree, wide):
    from restoring import data_of, flip
    flip(data_of(tree, wide.stem))
    run = restore(tree, "--recreate")
    assert run.returncode == 1 and scroll_all(wide) == wide.before


def test_swap_of_an_alias_switches_it_and_leaves_the_old_collection(tree, wide):
    alias = {"actions": [{"create_alias": {"collection_name": NAME, "alias_name": "live"}}]}
    wide.result("POST", "/collections/aliases", alias)
    make_plain(wide, {"vectors": {"size": 4, "distance": "Dot"}})
    wide.result("POST", "/collections/aliases", alias)
    one, = restored(tree, "--rename", "live", "--swap")
    assert one["into"].startswith("live-") and scroll_all(wide, "live") == wide.before and count(wide) == 1
    assert NAME in one["note"] and "is there as before" in one["note"]


def test_swap_of_a_collection_takes_its_name_by_an_alias(tree, wide):
    make_plain(wide, {"vectors": {"size": 4, "distance": "Dot"}})
    wide.result("POST", "/collections/aliases", {"actions": [{"create_alias": {"collection_name": NAME, "alias_name": "other"}}]})
    one, = restored(tree, "--swap")
    assert scroll_all(wide) == wide.before and scroll_all(wide, "other") == wide.before
    names = [c["name"] for c in wide.result("GET", "/collections")["collections"]]
    assert names == [one["into"]] and "alias" in one["note"] and one["points_before"] == 1


def test_swap_of_a_backup_that_is_not_what_was_there_switches_nothing(tree, wide):
    edit(tree, wide.stem, points=100)
    make_plain(wide, {"vectors": {"size": 4, "distance": "Dot"}})
    run = restore(tree, "--swap")
    assert run.returncode == 1 and count(wide) == 1


@pytest.mark.parametrize("args,word", [(["--recreate", "--swap"], "not both"), (["--recreate", "--to", "x"], "--recreate"),
                                       (["--as-storage"], "--as-storage"), (["--swap", "--shard", "0", "--collection", "c"], "--swap"),
                                       (["--recreate", "--location", "http://x", "--collection", "c"], "--recreate")])
def test_wrong_use_of_the_ways_out_is_64(tree, args, word):
    run = restore(tree, *args)
    assert run.returncode == 64 and word in run.stderr


# --- a last look

def test_points_that_are_written_meanwhile_are_not_lost(tree, two):
    noise = os.urandom(1 << 20).hex()
    tree.env["COMPRESSION"] = "none"
    put_backup(tree, NAME, tar_of(noise, 64) + os.urandom(30 << 20))
    dam = Dam(two.port, 8 << 20)
    p = subprocess.Popen([BUILD / "qdrant-efs", "restore", "--force"], env=tree.env | {"QDRANT_URL": dam.url},
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert dam.full.wait(30)
        upsert(two, NAME, [SIXTH | {"id": 7}])
        written = scroll(two)
        dam.let_go()
        _, err = p.communicate(timeout=60)
    finally:
        p.kill()
        dam.close()
    assert p.returncode == 1 and "somebody writes to" in err and "7 points, and had 6" in err
    assert scroll(two) == written and uploads(two) == []


def test_a_collection_that_is_made_meanwhile_is_not_replaced(tree, two):
    tree.env["COMPRESSION"] = "none"
    put_backup(tree, NAME, tar_of("x", 64) + os.urandom(30 << 20))
    two.result("DELETE", path_of(NAME))
    dam = Dam(two.port, 8 << 20)
    p = subprocess.Popen([BUILD / "qdrant-efs", "restore"], env=tree.env | {"QDRANT_URL": dam.url}, stderr=subprocess.PIPE, text=True)
    try:
        assert dam.full.wait(30)
        fill(two)
        dam.let_go()
        _, err = p.communicate(timeout=60)
    finally:
        p.kill()
        dam.close()
    assert p.returncode == 1 and "has made a collection" in err and scroll(two) == two.baseline
