"""Three real nodes backed up, and the set restored, into one and into clusters of other sizes: every point, every shard, every shard key."""
import json
import math

import pytest
from harness import wait_for
from restoring import KEY, attach, cluster_of_one, count, restored
from server import REAL, Server, cluster_of

pytestmark = [pytest.mark.real, pytest.mark.skipif(not REAL, reason="needs the real Qdrant server: set QDRANT_BIN to its binary")]
POINTS = 1200
CONFIG = {"vectors": {"a": {"size": 8, "distance": "Cosine"}, "b": {"size": 4, "distance": "Dot"}}, "sparse_vectors": {"s": {}}}


@pytest.fixture
def three(tmp_path):
    with cluster_of(3, tmp_path) as servers:
        yield servers


def point(i):
    """No two are alike, so that no two searches differ by ties."""
    wave = [math.sin(i * (k + 1) + k) for k in range(12)]
    return {"id": i, "vector": {"a": wave[:8], "b": wave[8:], "s": {"indices": [i % 50, 50 + i % 7], "values": [i / POINTS + 0.1, 0.5]}},
            "payload": {"n": i, "city": f"c{i % 9}"}}


def scroll(server, name, **more):
    """All points by their ids, with all that is theirs."""
    found, offset = {}, None
    while True:
        page = server.result("POST", f"/collections/{name}/points/scroll",
                             {"limit": 500, "with_payload": True, "with_vector": True, "offset": offset, **more})
        found |= {p["id"]: p for p in page["points"]}
        offset = page["next_page_offset"]
        if offset is None:
            return found


def searches(server, name):
    """The ten nearest of some queries, exactly."""
    return [[(hit["id"], round(hit["score"], 5)) for hit in server.result("POST", f"/collections/{name}/points/query", {
        "query": point(i)["vector"]["a"], "using": "a", "limit": 10, "params": {"exact": True}})["points"]] for i in range(0, POINTS, 60)]


def back_up(tree, servers, *collections):
    """A slot of each node, as its own replicator would have it."""
    for i, server in enumerate(servers):
        for name in collections:
            server.result("POST", f"/collections/{name}/snapshots?wait=true")
        attach(tree, server)
        run = tree.once(NODE_NAME=f"node-{i}")
        assert run.returncode == 0, run.stderr


def fill_three(three, factor):
    """A collection of six shards with an index and an alias: all its points, and what some searches find."""
    first = three[0]
    first.result("PUT", "/collections/docs?timeout=30", {**CONFIG, "shard_number": 6, "replication_factor": factor})
    first.result("PUT", "/collections/docs/index?wait=true", {"field_name": "city", "field_schema": "keyword"})
    first.result("PUT", "/collections/docs/points?wait=true", {"points": [point(i) for i in range(POINTS)]})
    first.result("POST", "/collections/aliases", {"actions": [{"create_alias": {"collection_name": "docs", "alias_name": "live"}}]})
    return scroll(first, "docs"), searches(first, "docs")


@pytest.mark.parametrize("factor", [1, 2])
def test_three_nodes_come_back_in_one(factor, three, tree, tmp_path):
    before, found = fill_three(three, factor)
    assert len(before) == POINTS
    back_up(tree, three, "docs")
    for s in three:
        s.kill()
    drill = tree.efs_tool("drill", "--set", "--json", QDRANT_BIN=REAL, DRILL_DIR=str(tmp_path / "scratch"), MIN_FREE="0")
    one, = json.loads(drill.stdout)["drills"]
    assert (one["verdict"], one["points"], drill.returncode) == ("partly_proven", POINTS, 0)
    with Server("real", tmp_path / "alone", api_key=KEY) as alone:
        attach(tree, alone)
        one, = restored(tree, "--set")
        assert (one["points"], one["verdict"]) == (POINTS, "unproven") and 2 <= len(one["set"]) <= 3
        assert scroll(alone, "docs") == before and searches(alone, "docs") == found
        assert len(alone.result("GET", "/collections/docs/cluster")["local_shards"]) == 6
        assert set(alone.result("GET", "/collections/docs")["payload_schema"]) == {"city"}
        assert [a["alias_name"] for a in alone.result("GET", "/aliases")["aliases"]] == ["live"]
        alone.stop()
        alone.start()
        assert scroll(alone, "docs") == before
        one, = restored(tree, "--set", "--force")
        assert one["points_before"] == POINTS and scroll(alone, "docs") == before


def test_shard_keys_come_back_with_their_points(nodes, tree, tmp_path):
    nodes.slot("08-00", "cust")
    server = cluster_of_one("real", tmp_path / "server")
    try:
        attach(tree, server)
        one, = restored(tree, "--set")
        assert one["points"] == count(server, "cust") == 900
        assert {i for i in scroll(server, "cust", shard_key="a")} == set(range(500))
        assert {i for i in scroll(server, "cust", shard_key="b")} == set(range(500, 900))
    finally:
        server.stop()


def test_what_real_nodes_left_behind_comes_back_whole(nodes, tree, tmp_path):
    nodes.slot("08-00")
    with Server("real", tmp_path / "server", api_key=KEY) as server:
        attach(tree, server)
        one, = restored(tree, "--set")
        assert one["points"] == count(server, "rf1") == 900 and set(scroll(server, "rf1")) == set(range(900))


def test_custom_sharding_without_a_cluster_at_qdrants_start(nodes, tree, tmp_path):
    nodes.slot("08-00", "cust")
    file = tmp_path / "whole.snapshot"
    assert tree.efs_tool("restore", "--set", "--as-storage", "--to", str(file)).returncode == 0
    server = Server("real", tmp_path / "server")
    server.start("--storage-snapshot", str(file))
    try:
        assert count(server, "cust") == 900 and set(scroll(server, "cust", shard_key="a")) == set(range(500))
    finally:
        server.stop()


def placed(servers, name="docs"):
    """{shard: on how many nodes}, when all are Active."""
    found = {}
    for s in servers:
        for shard in s.result("GET", f"/collections/{name}/cluster")["local_shards"]:
            assert shard["state"] == "Active", shard
            found[shard["shard_id"]] = found.get(shard["shard_id"], 0) + 1
    return found


def into(servers):
    return [f"--peer-url={s.url}" for s in servers[1:]]


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("nodes_then", [3, 5, 2])
def test_three_nodes_come_back_in_a_cluster_of_any_size(nodes_then, factor, three, tree, tmp_path):
    before, found = fill_three(three, factor)
    back_up(tree, three, "docs")
    for s in three:
        s.kill()
    with cluster_of(nodes_then, tmp_path / "then") as then:
        attach(tree, then[0])
        one, = restored(tree, "--set", *into(then))
        assert (one["points"], one["verdict"]) == (POINTS, "unproven")
        for s in then:
            assert scroll(s, "docs") == before and searches(s, "docs") == found
        assert placed(then) == {shard: factor for shard in range(6)}
        assert set(then[0].result("GET", "/collections/docs")["payload_schema"]) == {"city"}
        assert [a["alias_name"] for a in then[0].result("GET", "/aliases")["aliases"]] == ["live"]
        # Some are lost, some changed, and all come back into the collection that is there.
        then[0].result("POST", "/collections/docs/points/delete?wait=true", {"points": list(range(200))})
        then[0].result("PUT", "/collections/docs/points?wait=true", {"points": [point(i) | {"payload": {}} for i in range(300, 400)]})
        one, = restored(tree, "--set", "--force", *into(then))
        assert one["points_before"] == POINTS - 200
        for s in then:
            assert scroll(s, "docs") == before
        one, = restored(tree, "--set", "--recreate", *into(then))
        assert scroll(then[-1], "docs") == before and placed(then) == {shard: factor for shard in range(6)}
        # It is alive: what is written goes to all replicas, also after a restart of each.
        then[0].result("PUT", "/collections/docs/points?wait=true", {"points": [point(POINTS + 1)]})
        for s in then:
            s.stop()
        for s in then:
            s.start()
        wait_for(lambda: all(placed([s]) for s in then) and len(scroll(then[0], "docs")) == POINTS + 1)


def test_one_node_comes_back_in_a_cluster_of_three(three, tree, tmp_path):
    with Server("real", tmp_path / "one", api_key=KEY) as one:
        one.result("PUT", "/collections/docs", {**CONFIG, "shard_number": 4})
        one.result("PUT", "/collections/docs/points?wait=true", {"points": [point(i) for i in range(POINTS)]})
        before = scroll(one, "docs")
        attach(tree, one)
        one.result("POST", "/collections/docs/snapshots?wait=true")
        assert tree.once().returncode == 0
    del tree.env["QDRANT_API_KEY"]
    attach(tree, three[0])
    told, = restored(tree, "--set", *into(three))
    assert told["points"] == POINTS and placed(three) == {shard: 1 for shard in range(4)}
    for s in three:
        assert scroll(s, "docs") == before


def test_shard_keys_come_back_in_a_cluster_of_three(three, nodes, tree):
    nodes.slot("08-00", "cust")
    attach(tree, three[0])
    told, = restored(tree, "--set", *into(three))
    assert told["points"] == 900
    for s in three:
        assert set(scroll(s, "cust", shard_key="a")) == set(range(500))
        assert set(scroll(s, "cust", shard_key="b")) == set(range(500, 900))


def test_a_live_name_is_switched_over_in_a_cluster(three, nodes, tree):
    nodes.slot("08-00")
    attach(tree, three[0])
    restored(tree, "--set", *into(three))
    three[0].result("POST", "/collections/rf1/points/delete?wait=true", {"points": list(range(450))})
    told, = restored(tree, "--set", "--swap", *into(three))
    assert told["into"] != "rf1" and all(set(scroll(s, "rf1")) == set(range(900)) for s in three)
