"""HEAL: the replicator beside the leader has the cluster get over a node that came back without its disk, and over no other."""
import json
import os
import threading
import time

import pytest
from aws_front import Reply, Server
from harness import wait_for
from heal_model import HealCluster
from nodes import HELD, PEERS, Nodes
from server import free_port
from signing import make_key
from status_of import reasons

IDS = [PEERS["node-0"], PEERS["node-1"], PEERS["node-2"], "444"]
HELD_BY = {shard: [int(node[-1])] for node, shard in HELD["rf1"].items()}
TWICE = {0: [0, 1], 1: [1, 2], 2: [2, 0]}
LOST = IDS[2]


def utc(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def leave(tree, folder, name, peer, node, first, last):
    """A record on EFS of another node, so many seconds from now."""
    path = tree.efs / "clusters/test" / folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": 1, "peer_id": peer, "node": node, "uri": "http://x:6335", "first": utc(first), "last": utc(last)}))
    return path


@pytest.fixture
def cluster(tree):
    """Node 2 is lost. Node 3 has come, and the replicator at hand is that of node 0."""
    c = HealCluster(4, {"two": TWICE}, {"two": 2}, {0: 300, 1: 300, 2: 300}, IDS)
    c.lose(2)
    tree.env |= {"QDRANT_URL": c.nodes[0].url, "NODE_NAME": "node-0", "HEAL": "replicate", "HEAL_AFTER": "1s", "MIN_FREE": "0"}
    yield c
    c.close()


def shape():
    import io
    import tarfile
    from nodes import snapshot_of
    with tarfile.open(fileobj=io.BytesIO(snapshot_of("rf1", "node-0"))) as tar:
        return {k: v for k, v in json.load(tar.extractfile("config.json")).items() if k != "uuid"}


def replaced(tree):
    """By node 3, which goes by node 2's name."""
    leave(tree, "peers", LOST, LOST, "node-2", -9000, -600)
    leave(tree, "peers", "444", "444", "node-2", -500, -5)


def test_a_node_that_came_back_without_its_disk_is_replaced(cluster, tree):
    replaced(tree)
    tree.start()
    wait_for(lambda: tree.logged("healed"), 60)
    assert cluster.changes == ["drop_replica two 1 of 2", "drop_replica two 2 of 2", "remove 2", "replicate_shard two 1 to 3", "replicate_shard two 2 to 3"]
    assert cluster.wrong == [] and LOST in tree.logged("heal_begins")[0]["message"]
    assert [s["step"] for s in tree.logged("heal_step")] == ["drop", "drop", "remove", "replicate", "replicate"]
    own = json.loads((tree.efs / f"clusters/test/peers/{IDS[0]}.json").read_text())
    assert (own["node"], own["peer_id"]) == ("node-0", IDS[0])
    wait_for(lambda: (tree.efs / "clusters/test/heals/1.done.json").exists())


def test_one_that_waits_for_its_old_address_is_the_same(cluster, tree):
    leave(tree, "peers", LOST, LOST, "node-2", -9000, -600)
    leave(tree, "waiting", "node-2", LOST, "node-2", -500, 0)
    cluster.gone = {3}  # it joins when its place is free

    def join():
        wait_for(lambda: 2 in cluster.gone, 60)
        cluster.gone = {2}
    threading.Thread(target=join, daemon=True).start()
    tree.start()
    wait_for(lambda: tree.logged("healed"), 60)
    assert cluster.gone == {2}


def test_what_it_alone_had_comes_back_from_backups_with_restore_alone(cluster, tree):
    Nodes(tree).slot("08-00")
    cluster.states["rf1"] = {(on[0], shard): "Active" for shard, on in HELD_BY.items()}
    cluster.factor["rf1"], cluster.made["rf1"] = 1, shape()
    replaced(tree)
    port = free_port()
    p = tree.start(STATUS_LISTEN=f"127.0.0.1:{port}")
    wait_for(lambda: tree.logged("heal_incomplete"), 60)
    assert "HEAL=restore" in tree.logged("heal_incomplete")[0]["message"] and cluster.gone == set()
    wait_for(lambda: "heal_incomplete" in reasons(port))
    p.terminate()
    p.wait()
    tree.start(HEAL="restore")
    wait_for(lambda: tree.logged("healed"), 60)
    assert cluster.gone == {2} and "upload rf1 [1] to 3" in cluster.changes and cluster.wrong == []


@pytest.mark.parametrize("why, said", [("nobody came", "may come back with its disk"), ("nobody knows it", "nothing on EFS that can be read and trusted says"),
                                       ("two of one name", "two nodes go by its NODE_NAME"), ("unsigned", "nothing on EFS that can be read and trusted says")])
def test_in_doubt_nothing_is_done_and_what_a_person_would_do_is_told(cluster, tree, why, said):
    env = {}
    if why == "nobody came":
        leave(tree, "peers", LOST, LOST, "node-2", -9000, -600)
    if why == "two of one name":
        leave(tree, "peers", LOST, LOST, "node-2", -9000, -600)
        leave(tree, "peers", "444", "444", "node-2", -700, -5)
    if why == "unsigned":
        replaced(tree)
        private, public = make_key(tree.root / "keys", "own")
        env = {"SIGNING_KEY_FILE": private, "VERIFY_KEYS": public, "REQUIRE_SIGNATURE": "1"}
    port = free_port()
    tree.start(STATUS_LISTEN=f"127.0.0.1:{port}", **env)
    wait_for(lambda: tree.logged("heal_unsure") and any(said in e["message"] for e in tree.logged("heal_unsure")), 60)
    wait_for(lambda: "heal_unsure" in reasons(port))
    told = reasons(port)["heal_unsure"]["message"]
    assert said in told and f"qdrant-efs heal --peer {LOST} --restore" in told
    assert cluster.changes == [] and not tree.logged("heal_begins")


@pytest.mark.parametrize("why", ["off", "it follows", "another heals"])
def test_it_leaves_to_others_what_is_not_its_own(cluster, tree, why):
    replaced(tree)
    if why == "it follows":
        cluster.leader = 1
    if why == "another heals":
        claim = tree.efs / "clusters/test/heals/1.json"
        claim.parent.mkdir(parents=True)
        claim.write_text('{"format": 1, "node": "node-1", "claimed": "2026-11-24T08:00:00Z"}')
    tree.start(**({"HEAL": "off"} if why == "off" else {}))
    wait_for(lambda: (tree.efs / f"clusters/test/peers/{IDS[0]}.json").exists())
    if why == "another heals":
        wait_for(lambda: tree.logged("heal_waits"), 60)
        assert "node-1" in tree.logged("heal_waits")[0]["message"]
        then = time.time() - 400
        os.utime(claim, (then, then))
        wait_for(lambda: tree.logged("healed"), 60)
        assert cluster.gone == {2} and (tree.efs / "clusters/test/heals/2.done.json").exists()
        return
    time.sleep(12)
    assert cluster.changes == [] and not tree.logged("heal_begins")


def test_a_new_node_gets_the_copies_that_are_missing(cluster, tree):
    """Members have changed, and nobody is lost."""
    cluster.gone, cluster.states["two"] = {2}, {(0, 0): "Active", (1, 0): "Active", (1, 1): "Active"}
    tree.start()
    wait_for(lambda: tree.logged("healed"), 120)
    assert cluster.changes == ["replicate_shard two 1 to 3"]


def test_ecs_keeps_the_task_that_heals_until_it_is_done(cluster, tree):
    asked = []

    def agent(request):
        asked.append(json.loads(request.body)["ProtectionEnabled"])
        return Reply(200, json.dumps({"protection": {"ProtectionEnabled": asked[-1], "TaskArn": "a"}}).encode())
    cluster.slow = 16  # each copy takes some seconds
    replaced(tree)
    with Server(agent) as ecs:
        tree.start(ECS_AGENT_URI=ecs.url + "/api/x")
        wait_for(lambda: tree.logged("healed"), 90)
        wait_for(lambda: asked == [True, False], 20)
        assert {r.target for r in ecs.requests} == {"/api/x/task-protection/v1/state"}
    assert len(tree.logged("protected")) == 2


def test_it_needs_the_nodes_names(tree):
    run = tree.replicator("--once", HEAL="restore")
    assert run.returncode == 64 and "NODE_NAME" in run.stderr
    run = tree.replicator("--once", HEAL="yes", NODE_NAME="a")
    assert run.returncode == 64 and "off, replicate or restore" in run.stderr
