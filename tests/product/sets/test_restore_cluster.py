"""`restore --set` into a cluster of several nodes: each gets the shards that Qdrant has placed there, and no others."""
import json

import pytest
from cluster_model import Cluster
from nodes import HELD

POINTS = {0: 300, 1: 300, 2: 300}
EACH = {0: [0], 1: [1], 2: [2]}
TWICE = {0: [0, 1], 1: [1, 2], 2: [2, 0]}
ON_TWO = {0: [0], 1: [1], 2: [1]}
ON_FIVE = {0: [4], 1: [2], 2: [0]}


@pytest.fixture
def cluster(tree):
    made = []

    def make(n, place, points=POINTS):
        made.append(Cluster(n, place, points))
        tree.env |= {"QDRANT_URL": made[0].nodes[0].url, "MIN_FREE": "0"}
        return made[0]
    yield make
    for c in made:
        c.close()


@pytest.fixture
def points(nodes, tree):
    """Of each shard, as the manifests tell."""
    nodes.slot("08-00")
    return POINTS


def restore(tree, cluster, *args, returncode=0):
    run = tree.efs_tool("restore", "--set", "--json", *cluster.urls(), *args)
    assert run.returncode == returncode, run.stdout + run.stderr
    one, = json.loads(run.stdout)
    return one


@pytest.mark.parametrize("place, nodes_there", [(EACH, 3), (TWICE, 3), (ON_TWO, 2), (ON_FIVE, 5)], ids=["three", "two replicas", "two nodes", "five nodes"])
def test_each_node_gets_what_qdrant_has_placed_there(place, nodes_there, cluster, points, tree):
    c = cluster(nodes_there, place)
    one = restore(tree, c)
    assert c.wrong == [] and (one["result"], one["points"]) == ("restored", 900)
    for node in c.nodes:
        own = {shard for shard, on in place.items() if node.number in on}
        assert node.sent == ([own] if own else [])
    assert c.there["rf1"]["made"]["vectors"] and all(c.there["rf1"]["points"].values())


def test_it_waits_until_all_replicas_are_active(cluster, points, tree):
    c = cluster(3, EACH)
    c.unsettled = 4
    assert restore(tree, c)["points"] == 900
    assert sum(a.endswith("GET /collections/rf1/cluster") for a in c.asked[:c.asked.index("0 POST /collections/rf1/snapshots/upload")]) >= 6


def test_a_collection_that_is_there_keeps_its_place_and_gets_its_points_back(cluster, points, tree):
    c = cluster(3, EACH)
    restore(tree, c)
    c.there["rf1"]["points"] = {at: 1 for at in c.there["rf1"]["points"]}
    assert "would be lost" in restore(tree, c, returncode=1)["error"]
    one = restore(tree, c, "--force")
    assert (one["points_before"], one["points"]) == (3, 900) and [n.sent for n in c.nodes] == [[{0}] * 2, [{1}] * 2, [{2}] * 2]


def test_one_with_other_shards_is_refused_and_made_anew_when_asked_to(cluster, points, tree):
    c = cluster(3, {0: [0], 1: [1], 2: [2], 3: [0]}, POINTS | {3: 5})
    assert "other shards than the backup: shard 3 is in the cluster alone" in restore(tree, c, returncode=1)["error"]
    assert c.there == {} and all(n.sent == [] for n in c.nodes)


def test_who_writes_before_the_first_node_is_sent_loses_nothing(cluster, points, tree):
    c = cluster(3, EACH)
    c.unsettled = 2

    def write():
        c.there["rf1"]["points"][1, 1] += 7
        c.on_settled = lambda: None
    c.on_settled = write
    one = restore(tree, c, returncode=1)
    assert "somebody" in one["error"] and "7 points" in one["error"] and all(n.sent == [] for n in c.nodes)
    assert c.there["rf1"]["points"][1, 1] == 7


def test_a_node_that_refuses_is_named_and_what_to_do(cluster, points, tree):
    c = cluster(3, EACH)
    c.refuses = 1
    one = restore(tree, c, returncode=1)
    assert c.nodes[1].url in one["error"] and "restore again, with --force" in one["error"] and "os error 28" in one["error"]
    c.refuses = None
    assert restore(tree, c, "--force")["points"] == 900


def test_a_backup_with_a_defect_is_found_before_the_collection_is_made(cluster, points, nodes, tree):
    from restoring import data_of, flip
    c = cluster(3, EACH)
    newer = nodes.slot("08-15")
    flip(data_of(tree, newer["node-2"]))
    one = restore(tree, c)
    assert one["snapshot"].endswith("08-00-00") and one["points"] == 900
    assert [n.sent for n in c.nodes] == [[{0}], [{1}], [{2}]]


def test_a_node_whose_address_is_not_known_is_asked_for(cluster, points, tree):
    c = cluster(3, EACH)
    run = tree.efs_tool("restore", "--set", f"--peer-url={c.nodes[1].url}")
    assert run.returncode == 1 and "the peer 102 (http://10.0.0.2:6335/) has no --peer-url" in run.stderr
    run = tree.efs_tool("restore", "--set", f"--peer-url={c.nodes[1].url}", f"--peer-url={c.nodes[1].url}")
    assert run.returncode == 1 and "given twice" in run.stderr
    run = tree.efs_tool("restore", "--set", "--peer-url=nowhere")
    assert run.returncode == 64 and "such as http://qdrant-1:6333" in run.stderr
    run = tree.efs_tool("restore", "--peer-url=http://a:6333")
    assert run.returncode == 64 and "--peer-url is for --set" in run.stderr
    assert c.there == {} and not any("PUT" in a or "POST" in a for a in c.asked)


def test_without_an_address_a_peer_is_looked_for_on_its_host_and_asked_who_it_is(cluster, points, tree):
    c = cluster(2, ON_TWO)
    c.host = lambda i: "127.0.0.1"  # and so at the port of the first node
    run = tree.efs_tool("restore", "--set")
    assert run.returncode == 1 and f"the peer 101 (http://127.0.0.1:6335/) does not answer at {c.nodes[0].url}: that is another node" in run.stderr
    assert "--peer-url" in run.stderr and c.there == {}


def test_a_cluster_with_a_dead_node_is_refused(cluster, points, tree):
    c = cluster(3, EACH)
    c.failures = {"http://10.0.0.2:6335/": {"count": 50, "latest_error": "gone", "latest_error_timestamp": "2026-11-24T08:00:00Z"}}
    one = restore(tree, c, returncode=1)
    assert "the cluster does not work" in one["error"] and "102" in one["error"] and c.there == {}


def test_the_address_of_a_load_balancer_is_refused(cluster, points, tree):
    c = cluster(3, EACH)
    c.balanced = True
    one = restore(tree, c, returncode=1)
    assert f"several nodes answer at {c.nodes[0].url}" in one["error"] and "--url" in one["error"] and c.there == {}


def test_an_address_that_becomes_another_nodes_gets_nothing(cluster, points, tree):
    """As when tasks are replaced meanwhile: the last thing before a node is sent its shards is to ask who it is."""
    c = cluster(3, EACH)
    c.on_upload = lambda: setattr(c.nodes[1], "number", 2)
    one = restore(tree, c, returncode=1)
    assert "the peer 102 answers, and it was 101" in one["error"] and c.nodes[1].sent == [] and c.wrong == []


def test_a_dry_run_changes_nothing(cluster, points, tree):
    c = cluster(3, EACH)
    assert restore(tree, c, "--dry-run")["result"] == "would_restore"
    assert c.there == {} and not any("PUT" in a or "POST" in a for a in c.asked)


def test_the_backup_of_a_single_node_is_spread_too(cluster, tree, nodes, tmp_path):
    """All of its shards are in the one snapshot."""
    from nodes import put_together, snapshot_of, with_json
    data = put_together([(snapshot_of("rf1", node), [shard]) for node, shard in HELD["rf1"].items()])
    for shard in range(3):
        data = with_json(data, f"{shard}/replica_state.json", lambda o: o.update(this_peer_id=1, peers={"1": "Active"}, is_local=True))
    nodes.publish("node-0", "2026-11-24-08-00-03", data=data)
    c = cluster(3, EACH)
    assert restore(tree, c)["result"] == "restored" and c.wrong == []
    assert [n.sent for n in c.nodes] == [[{0}], [{1}], [{2}]]
