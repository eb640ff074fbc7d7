"""Clusters: only what is Active is a backup, and what this node does not have it does not back up."""
import json
import subprocess
import time

import pytest
import real_tars as tars
from bad_server import said, status
from harness import BUILD, events, wait_for
from scheduling import from_now, made
from server import free_port

STEM = "c-7-2026-11-24-08-00-00"


def node(state="Active", shards=(0,), remote=()):
    """What GET /collections/c/cluster answers."""
    return said({"result": {"peer_id": 7, "shard_count": len(shards) + len(remote),
                            "local_shards": [{"shard_id": i, "points_count": 10, "state": state} for i in shards],
                            "remote_shards": [{"shard_id": i, "peer_id": 8, "state": "Active"} for i in remote], "shard_transfers": []},
                 "status": "ok", "time": 0})


def cluster(consensus="working", failures=0, leader=7, **more):
    thread = {"consensus_thread_status": consensus, **more}
    lost = {"http://b:6335/": {"count": failures, "latest_error": "x", "latest_error_timestamp": "2026-11-24T08:00:00Z"}} if failures else {}
    return said({"result": {"status": "enabled", "peer_id": 7, "peers": {"7": {"uri": "http://a:6335/"}, "8": {"uri": "http://b:6335/"}},
                            "raft_info": {"leader": leader}, "consensus_thread_status": thread, "message_send_failures": lost}, "status": "ok", "time": 0})


@pytest.mark.parametrize("state", ["Dead", "Partial", "Initializing", "PartialSnapshot", "Recovery", "Resharding", "ActiveRead",
                                   "ManualRecovery", "SomethingNew"])
def test_a_snapshot_with_a_replica_that_is_not_active_is_not_published(tree, state):
    path = tree.snapshot("c", STEM, tars.tar(tars.with_replica(tars.collection(), state)))
    run = tree.once(LOCAL_KEEP="0")
    line, = [e for e in events(run.stderr) if e["event"] == "replica_not_active"]
    assert run.returncode == 1 and f"shard 0 on this node is {state}" in line["message"] and line["level"] == "error"
    assert tree.files() == [] and path.exists()


@pytest.mark.parametrize("state", ["Active", "Listener", "ReshardingScaleDown"])
def test_a_replica_that_serves_or_listens_is_a_backup(tree, state):
    tree.snapshot("c", STEM, tars.tar(tars.with_replica(tars.collection(), state)))
    assert tree.once().returncode == 0 and len(tree.complete()) == 1


def test_one_replica_of_several_is_enough_to_refuse_the_snapshot(tree):
    members = tars.collection()
    second = [("1/" + n[2:], d) for n, d in members if n.startswith("0/")]
    tree.snapshot("c", STEM, tars.tar([*members, *tars.with_replica(second, "Partial", 1)]))
    run = tree.once()
    assert run.returncode == 1 and "shard 1 on this node is Partial" in run.stderr and tree.files() == []


def test_the_whole_storage_is_refused_for_one_replica_in_it(tree):
    whole = [("a.snapshot", tars.tar(tars.collection())), ("b.snapshot", tars.tar(tars.with_replica(tars.collection(), "Dead"))),
             ("config.json", b'{"collections_mapping": {"a": "a.snapshot", "b": "b.snapshot"}, "collections_aliases": {}}')]
    tree.snapshot("", "full-snapshot-2026-11-24-08-00-00", tars.tar(whole))
    run = tree.once()
    assert run.returncode == 1 and '"replica_not_active"' in run.stderr and tree.files() == []


def test_a_snapshot_without_any_shard_of_this_node_is_no_backup_and_no_fault(tree):
    path = tree.snapshot("c", STEM, tars.tar(tars.with_replica(tars.collection(), None)))
    run = tree.once(LOCAL_KEEP="0")
    assert run.returncode == 0 and '"not_published"' in run.stderr and tree.files() == []
    assert not path.exists()  # there is nothing in it to keep


def test_no_snapshot_is_made_while_a_replica_is_not_active_and_health_says_so(bad, tree):
    bad.answers |= {("cluster", None): cluster(), ("shards", "c"): node("Partial")}
    port = free_port()
    tree.start(**from_now(4), STATUS_LISTEN=f"127.0.0.1:{port}")
    wait_for(lambda: tree.logged("replica_not_active"))
    assert [r["code"] for r in reasons(port)] == ["replica_not_active"] and bad.asked("make") == []
    time.sleep(5)
    assert len(tree.logged("replica_not_active")) == 1  # said once, however many slots go by
    bad.answers["shards", "c"] = node()
    wait_for(lambda: made(tree) and reasons(port) == [])


def reasons(port):
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    c.request("GET", "/health")
    return json.loads(c.getresponse().read())["reasons"]


def test_a_node_without_a_shard_of_a_collection_makes_no_backup_of_it_and_is_well(bad, tree):
    bad.names = ["c", "elsewhere"]
    bad.answers |= {("cluster", None): cluster(), ("shards", "c"): node(), ("shards", "elsewhere"): node(shards=(), remote=(0, 1))}
    port = free_port()
    tree.start(**from_now(4), STATUS_LISTEN=f"127.0.0.1:{port}", RPO_SECONDS="3")
    wait_for(lambda: len(made(tree)) >= 2)
    assert set(made(tree)) == {"c"} and len(tree.logged("no_shard_here")) == 1
    assert not [r for r in reasons(port) if r.get("collection") == "elsewhere"]


def test_points_are_those_of_this_nodes_shards_where_others_have_some_alone(bad, tree):
    bad.answers |= {("cluster", None): cluster(), ("shards", "c"): node(shards=(0, 2), remote=(0, 1))}
    tree.start(**from_now(300))
    wait_for(lambda: len(tree.complete()) == 1)
    b, = tree.ls()
    assert b["points"] == 20 and b["points_of"] == "node"


@pytest.mark.parametrize("answer", [status(500), node(shards=(0,), remote=())])
def test_points_are_of_the_whole_collection_or_not_known(bad, tree, answer):
    bad.answers |= {("shards", "c"): answer}
    tree.start(**from_now(300))
    wait_for(lambda: len(tree.complete()) == 1)
    b, = tree.ls()
    assert "points_of" not in b and b["points"] in ((None,) if answer is not None and b["points"] is None else (5,))


@pytest.mark.parametrize("answer,code", [(cluster("stopped"), "consensus_stopped"), (cluster("stopped_with_err", err="no"), "consensus_stopped"),
                                         (cluster(failures=9), "peer_unreachable"), (cluster(failures=1), None), (cluster(), None)])
def test_health_tells_of_a_cluster_in_trouble(bad, tree, answer, code):
    bad.answers |= {("cluster", None): answer, ("shards", "c"): node()}
    port = free_port()
    tree.start(SNAPSHOT_INTERVAL="1d", STATUS_LISTEN=f"127.0.0.1:{port}")
    wait_for(lambda: len(bad.asked("cluster")) >= 2 and tree.complete())
    wait_for(lambda: [r["code"] for r in reasons(port)] == ([code] if code else []))


@pytest.mark.parametrize("leader", [None, 0])
def test_a_cluster_without_a_leader_at_two_looks_is_told_and_one_that_elects_is_not(bad, tree, leader):
    bad.answers |= {("cluster", None): cluster(leader=leader), ("shards", "c"): node()}
    port = free_port()
    tree.start(**from_now(4), STATUS_LISTEN=f"127.0.0.1:{port}")
    wait_for(lambda: tree.logged("no_leader"))
    assert [r["code"] for r in reasons(port)] == ["no_leader"] and len(bad.asked("cluster")) >= 2
    bad.answers["cluster", None] = cluster()
    wait_for(lambda: reasons(port) == [])
    assert len(tree.logged("no_leader")) == 1


def test_what_another_node_backs_up_pushes_out_nothing_of_a_node_that_was_away(tree):
    for day, hour in ((24, 8), (24, 9)):
        tree.snapshot("c", f"c-1-2026-08-{day}-{hour:02}-15-00", tars.tar(tars.collection()))
    env = {"RETENTION": "15min=24h,hourly=7d,daily=35d,monthly=2"}
    assert tree.once(NODE_NAME="away", **env).returncode == 0
    for p in tree.snapshots.rglob("*.snapshot*"):
        p.unlink()
    before = {b["snapshot"] for b in tree.ls()}
    for month, hour in ((10, 8), (10, 9), (10, 10), (11, 8)):
        tree.snapshot("c", f"c-2-2026-{month}-24-{hour:02}-15-00", tars.tar(tars.collection()))
        assert tree.once(NODE_NAME="here", **env).returncode == 0
    assert before <= {b["snapshot"] for b in tree.ls()} and len(before) == 2


def test_ls_tells_nodes_apart_and_chooses_one(tree):
    for i, name in ((1, "north"), (2, "south")):
        tree.snapshot("c", f"c-{i}-2026-11-24-08-00-0{i}", tars.tar(tars.collection()))
        assert tree.once(NODE_NAME=name).returncode == 0
        if name == "north":
            assert "NODE" not in tree.efs_tool("ls").stdout
            for p in tree.snapshots.rglob("*.snapshot*"):
                p.unlink()
    table = tree.efs_tool("ls").stdout.splitlines()
    assert "NODE" in table[0] and {line.split()[1] for line in table[1:-1]} == {"north", "south"}
    for node_, stem in (("north", "c-1-2026-11-24-08-00-01"), ("2", "c-2-2026-11-24-08-00-02")):
        assert [b["snapshot"] for b in json.loads(tree.efs_tool("ls", "--node", node_, "--json").stdout)] == [stem]
    assert tree.efs_tool("verify", "--node", "nobody").returncode == 1


@pytest.mark.parametrize("named,code", [([], 0), (["elsewhere"], 1), (["c"], 0)])
def test_by_hand_a_collection_without_a_shard_here_is_told_and_fails_who_names_it(bad, tree, named, code):
    bad.names = ["c", "elsewhere"]
    bad.answers |= {("cluster", None): cluster(), ("shards", "c"): node(), ("shards", "elsewhere"): node(shards=(), remote=(0, 1))}
    tree.start(SNAPSHOT_INTERVAL="0")
    run = subprocess.run([BUILD / "qdrant-replicator", "snapshot", *named], env=tree.env, capture_output=True, text=True, timeout=60)
    assert run.returncode == code, run.stderr
    assert ("elsewhere: has no shard on this node" in run.stderr) == (named != ["c"])
    assert "Not all of them were made" not in run.stderr
    assert bool(bad.asked("make")) == (named != ["elsewhere"])
