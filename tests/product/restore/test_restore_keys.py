"""Custom sharding: shard keys are made first, with their numbers; where Qdrant has none, the restore says how."""
import json
import pathlib
import subprocess

import pytest
from harness import DATA
from restoring import KEY, attach, cluster_of_one, path_of, publish, restore, restored, snapshot, uploads
from server import SERVERS, Server

CONFIG = {"vectors": {"size": 4, "distance": "Dot"}, "sharding_method": "custom", "shard_number": 1}
TENANTS = {"berlin": 10, "paris": 20, 7: 30}


def make(server, name="cust", gap=True):
    """Tenants with keys of which one in between is gone, and one has two shards."""
    server.result("PUT", path_of(name), CONFIG)
    for key in ("berlin", *(["gone", "gone too"] if gap else []), "paris", 7):
        server.result("PUT", path_of(name) + "/shards", {"shard_key": key, "shards_number": 1})
    for key in ("gone", "gone too") if gap else ():
        server.result("POST", path_of(name) + "/shards/delete", {"shard_key": key})
    server.result("PUT", path_of(name) + "/index?wait=true", {"field_name": "of", "field_schema": "keyword"})
    at = 0
    for key, n in TENANTS.items():
        server.result("PUT", path_of(name) + "/points?wait=true", {"shard_key": key, "points": [
            {"id": at + i, "vector": [1, 2, 3, i], "payload": {"of": str(key)}} for i in range(n)]})
        at += n


def numbers(server, name="cust"):
    return {s["shard_id"]: s["shard_key"] for s in server.result("GET", path_of(name) + "/cluster")["local_shards"]}


def counts(server, name="cust"):
    return {key: server.result("POST", path_of(name) + "/points/count", {"exact": True, "shard_key": key})["count"] for key in TENANTS}


def contents(server, name="cust"):
    return server.result("POST", path_of(name) + "/points/scroll", {"limit": 200, "with_payload": True, "with_vector": True})


@pytest.fixture
def backed_up(tree, cluster):
    make(cluster)
    cluster.numbers, cluster.contents = numbers(cluster), contents(cluster)
    cluster.stem = snapshot(cluster, "cust")
    publish(tree)
    return cluster


def test_a_collection_with_custom_sharding_comes_back_with_its_keys_numbers_and_points(tree, backed_up):
    assert backed_up.numbers == {1: "berlin", 4: "paris", 5: 7}
    backed_up.result("DELETE", path_of("cust"))
    one, = restored(tree)
    assert one["points"] == 60 and numbers(backed_up) == backed_up.numbers and counts(backed_up) == TENANTS
    assert contents(backed_up) == backed_up.contents and uploads(backed_up) == []
    assert set(backed_up.result("GET", path_of("cust"))["payload_schema"]) == {"of"}


def test_it_comes_back_over_itself_and_after_a_recreate(tree, backed_up):
    for args in (["--force"], ["--recreate"]):
        backed_up.result("POST", path_of("cust") + "/points/delete?wait=true", {"points": [1, 2, 3], "shard_key": "berlin"})
        restored(tree, *args)
        assert counts(backed_up) == TENANTS and numbers(backed_up) == backed_up.numbers


def test_keys_that_were_made_in_another_order_are_refused(tree, backed_up):
    backed_up.result("DELETE", path_of("cust"))
    backed_up.result("PUT", path_of("cust"), CONFIG)
    backed_up.result("PUT", path_of("cust") + "/index?wait=true", {"field_name": "of", "field_schema": "keyword"})
    for key in (7, "paris", "berlin"):
        backed_up.result("PUT", path_of("cust") + "/shards", {"shard_key": key, "shards_number": 1})
    run = restore(tree)
    assert run.returncode == 1 and "another key" in run.stderr and "--recreate" in run.stderr
    assert backed_up.result("POST", path_of("cust") + "/points/count", {"exact": True})["count"] == 0
    restored(tree, "--recreate")
    assert numbers(backed_up) == backed_up.numbers and counts(backed_up) == TENANTS


@pytest.mark.parametrize("kind", SERVERS)
def test_a_qdrant_without_a_cluster_is_not_given_it_and_the_way_out_works(tree, tmp_path, kind):
    source = cluster_of_one(kind, tmp_path / "source")
    try:
        attach(tree, source)
        make(source)
        source.result("POST", "/collections/aliases", {"actions": [{"create_alias": {"collection_name": "cust", "alias_name": "live"}}]})
        before = contents(source)
        snapshot(source, "cust")
        publish(tree)
    finally:
        source.stop()
    with Server(kind, tmp_path / "alone", api_key=KEY) as alone:
        attach(tree, alone)
        run = restore(tree, "--json")
        one, = json.loads(run.stdout)
        assert run.returncode == 1 and (one["result"], one["verdict"]) == ("refused", "refused")
        assert "custom sharding" in run.stderr and "--as-storage --to FILE" in run.stderr and "--storage-snapshot FILE" in run.stderr
        assert restore(tree, "--dry-run").returncode == 1
        assert alone.result("GET", "/collections")["collections"] == [] and uploads(alone) == []
    out = tmp_path / "cust.snapshot"
    run = restore(tree, "--collection", "cust", "--as-storage", "--to", str(out))
    assert run.returncode == 0 and f"qdrant --storage-snapshot '{out}'" in run.stdout
    fresh = Server(kind, tmp_path / "fresh", api_key=KEY)
    try:
        fresh.start("--storage-snapshot", str(out))
        assert contents(fresh) == before and contents(fresh, "live") == before and counts(fresh) == TENANTS
    finally:
        fresh.stop()


@pytest.mark.parametrize("kind", SERVERS)
def test_one_node_of_a_cluster_brings_its_part_and_that_is_said(tree, tmp_path, kind):
    """A real snapshot of a node that has one of the two shards; the other is on another node."""
    if kind == "standin":
        pytest.skip("a real snapshot has the files of the real server")
    stem = "cust-8741264569174664-2026-11-28-13-14-00"
    data = subprocess.run(["zstd", "-qdc", DATA / "cluster" / f"{stem}.snapshot.zst"], check=True, capture_output=True).stdout
    server = cluster_of_one(kind, tmp_path / "server")
    try:
        attach(tree, server)
        tree.snapshot("cust", stem, data)
        publish(tree)
        one, = restored(tree)
        assert one["verdict"] == "partly" and one["points"] == 400 and numbers(server) == {1: "a", 2: "b"}
        assert pathlib.Path(one["path"]).name.startswith(stem)
    finally:
        server.stop()
