"""`qdrant-efs heal`: a cluster gets over lost nodes, in the order that Qdrant takes without force."""
import json

import pytest
from heal_model import HealCluster
from nodes import HELD, PEERS

IDS = [PEERS["node-0"], PEERS["node-1"], PEERS["node-2"], "444"]
POINTS = {0: 300, 1: 300, 2: 300}
HELD_BY = {shard: [int(node[-1])] for node, shard in HELD["rf1"].items()}  # where the real set's shards were
TWICE = {0: [0, 1], 1: [1, 2], 2: [2, 0]}


def shape(nodes):
    """As the snapshots of `rf1` say that their collection is made."""
    import io
    import tarfile
    from nodes import snapshot_of
    with tarfile.open(fileobj=io.BytesIO(snapshot_of("rf1", "node-0"))) as tar:
        config = json.load(tar.extractfile("config.json"))
    return {k: v for k, v in config.items() if k != "uuid"}


@pytest.fixture
def cluster(tree, request):
    made = []

    def make(n, shards, factor, **kw):
        made.append(HealCluster(n, shards, factor, POINTS, IDS[:n], {"rf1": shape(tree)}, **kw))
        tree.env |= {"QDRANT_URL": made[0].nodes[0].url, "MIN_FREE": "0"}
        return made[0]
    yield make
    for c in made:
        c.close()


def heal(tree, c, *args, returncode=0, url=0):
    run = tree.efs_tool("heal", "--json", f"--url={c.nodes[url].url}", *c.urls(), *args)
    assert run.returncode == returncode, run.stdout + run.stderr
    return json.loads(run.stdout) | {"stderr": run.stderr} if run.stdout else run.stderr


def test_with_copies_elsewhere_nothing_is_restored_and_each_shard_has_its_copies_again(cluster, tree):
    c = cluster(4, {"two": TWICE}, {"two": 2})
    c.lose(2)
    out = heal(tree, c, "--peer", IDS[2])
    assert c.changes == ["drop_replica two 1 of 2", "drop_replica two 2 of 2", "remove 2", "replicate_shard two 1 to 3", "replicate_shard two 2 to 3"]
    assert c.wrong == [] and out["healed"] and [s["step"] for s in out["steps"]] == ["drop", "drop", "remove", "replicate", "replicate"]
    assert c.holders("two") == {0: {0: "Active", 1: "Active"}, 1: {1: "Active", 3: "Active"}, 2: {0: "Active", 3: "Active"}}
    assert [(p["peer_id"], p["state"]) for p in out["peers"]] == [(IDS[0], "alive"), (IDS[1], "alive"), (IDS[2], "lost"), (IDS[3], "alive")]


def test_what_the_lost_node_alone_had_comes_back_from_its_newest_backup(cluster, nodes, tree):
    nodes.slot("08-00")
    newest = nodes.slot("09-00")
    c = cluster(4, {"rf1": HELD_BY}, {"rf1": 1})
    c.lose(2)
    out = heal(tree, c, "--peer", IDS[2], "--restore")
    assert c.changes == ["upload rf1 [1] to 3", "remove 2"] and c.wrong == []
    assert out["steps"][0]["backups"] == [newest["node-2"]] and out["healed"]
    assert c.nodes[3].sent == [{1}]


def test_without_restore_that_is_left_and_told(cluster, nodes, tree):
    nodes.slot("08-00")
    c = cluster(3, {"rf1": HELD_BY, "two": TWICE}, {"rf1": 1, "two": 2})
    c.lose(2)
    out = heal(tree, c, "--peer", IDS[2], returncode=1)
    assert (out["shards_lost"], out["shards_short"], out["healed"]) == (1, 0, False)
    assert "1 shards left that lost peers alone had" in out["stderr"] and "--restore" in out["stderr"]
    assert c.gone == set() and "upload" not in " ".join(c.changes) and c.holders("two")[1] == {0: "Active", 1: "Active"}
    assert heal(tree, c, "--peer", IDS[2], "--restore")["healed"] and c.gone == {2} and c.wrong == []


def test_a_dry_run_tells_the_same_steps_and_changes_nothing(cluster, nodes, tree):
    nodes.slot("08-00")
    c = cluster(4, {"rf1": HELD_BY, "two": TWICE}, {"rf1": 1, "two": 2})
    c.lose(2)
    before = json.dumps([c.holders(n) for n in c.states])
    plan = heal(tree, c, "--peer", IDS[2], "--restore", "--dry-run")
    assert c.changes == [] and json.dumps([c.holders(n) for n in c.states]) == before and plan["dry_run"]
    done = heal(tree, c, "--peer", IDS[2], "--restore")
    assert plan["steps"] == done["steps"] and plan["healed"] and done["healed"]


def test_nobody_is_lost_who_answers_or_whom_the_leader_reaches(cluster, tree):
    c = cluster(3, {"two": TWICE}, {"two": 2})
    assert "it answers; nothing was changed" in heal(tree, c, "--peer", IDS[1], returncode=1)
    assert "it is the node at --url" in heal(tree, c, "--peer", IDS[0], returncode=1)
    assert "is no member of the cluster" in heal(tree, c, "--peer", "777", returncode=1)
    c.lose(2)
    c.leader = None
    assert "has no leader" in heal(tree, c, "--peer", IDS[2], returncode=1)
    c.leader, c.consensus = 0, "stopped"
    assert "consensus has stopped" in heal(tree, c, "--peer", IDS[2], returncode=1)
    assert c.changes == []


def test_one_that_follows_asks_the_leader_whom_it_reaches(cluster, tree):
    c = cluster(3, {"two": TWICE}, {"two": 2})
    c.lose(2)
    assert heal(tree, c, "--peer", IDS[2], url=1)["healed"] and c.gone == {2}


def test_a_peer_that_is_not_named_keeps_what_it_has(cluster, tree):
    c = cluster(4, {"two": TWICE, "one": {0: [2], 1: [0]}}, {"two": 2, "one": 1})
    c.lose(2)
    out = heal(tree, c, returncode=1)
    assert c.changes == [] and (out["peers_not_reached"], out["healed"]) == (1, False) and out["peers"][2]["state"] == "not_reached" and f"--peer {IDS[2]}" in tree.efs_tool("heal", f"--url={c.nodes[0].url}", *c.urls()).stderr
    assert out["steps"] == []


def test_one_copy_of_two_that_a_silent_peer_has_is_not_taken_for_lost(cluster, nodes, tree):
    """Both nodes with shard 1 do not answer, and one of them is named."""
    nodes.slot("08-00")
    c = cluster(4, {"rf1": {0: [0], 1: [1, 2], 2: [0]}}, {"rf1": 2})
    c.lose(1, 2)
    heal(tree, c, "--peer", IDS[2], "--restore", returncode=1)
    assert not any("upload" in x or "of 2" in x for x in c.changes)


def test_a_node_whose_other_copies_would_miss_writes_takes_no_restore(cluster, nodes, tree):
    nodes.slot("08-00")
    c = cluster(4, {"rf1": {0: [0, 1], 1: [2, 3], 2: [0, 1]}}, {"rf1": 2})
    c.lose(2, 3)
    out = heal(tree, c, "--peer", IDS[2], "--peer", IDS[3], "--restore", returncode=1)
    assert "--no-writers" in out["steps"][0]["error"] and c.changes == []
    out = heal(tree, c, "--peer", IDS[2], "--peer", IDS[3], "--restore", "--no-writers")
    assert out["healed"] and c.holders("rf1")[1].keys() == {0, 1}


def test_a_backup_with_a_defect_is_passed_over_and_without_any_it_is_told(cluster, nodes, tree):
    from restoring import data_of, flip
    older = nodes.slot("08-00")
    newer = nodes.slot("09-00")
    flip(data_of(tree, newer["node-2"]))
    c = cluster(3, {"rf1": HELD_BY}, {"rf1": 1})
    c.lose(2)
    out = heal(tree, c, "--peer", IDS[2], "--restore")
    assert out["steps"][0]["backups"] == [older["node-2"]] and newer["node-2"] in out["stderr"]


def test_without_a_backup_of_it_the_peer_stays_and_the_rest_is_done(cluster, nodes, tree):
    nodes.slot("08-00", nodes=["node-0", "node-1"])
    c = cluster(4, {"rf1": HELD_BY, "two": TWICE}, {"rf1": 1, "two": 2})
    c.lose(2)
    out = heal(tree, c, "--peer", IDS[2], "--restore", returncode=1)
    assert "no good backup has shard 1 of rf1" in out["stderr"] and c.gone == set()
    assert {s["step"] for s in out["steps"]} == {"drop", "restore", "replicate"} and all(len(h) == 2 for h in c.holders("two").values())


def test_a_collection_of_the_same_name_that_was_made_anew_gets_nothing_of_the_old_one(cluster, nodes, tree):
    from nodes import snapshot_of, with_json
    nodes.slot("08-00")

    def other(config):
        config["uuid"] = "11111111-2222-3333-4444-555555555555"
    for n, node in enumerate(("node-0", "node-1")):
        nodes.publish(node, f"2026-11-24-09-00-0{n}", data=with_json(snapshot_of("rf1", node), "config.json", other))
    c = cluster(4, {"rf1": HELD_BY}, {"rf1": 1})
    c.lose(2)
    out = heal(tree, c, "--peer", IDS[2], "--restore", returncode=1)
    assert "no good backup has shard 1" in out["stderr"] and c.changes == []


def test_what_fails_is_told_and_the_next_heal_goes_on(cluster, tree):
    c = cluster(4, {"two": TWICE, "other": TWICE}, {"two": 2, "other": 2})
    c.lose(2)
    c.refuse = "POST /collections/two/cluster"
    out = heal(tree, c, "--peer", IDS[2], returncode=1)
    assert out["steps"][-1]["step"] == "replicate" and any(s["error"] and s["collection"] == "two" for s in out["steps"]) and c.gone == set()
    assert all(2 not in h for h in c.holders("other").values())
    c.refuse = None
    assert heal(tree, c, "--peer", IDS[2])["healed"] and c.gone == {2}


def test_wrong_use(tree):
    for args, said in ((["--peer", "node-2"], "a number"), (["--no-writers"], "goes with --restore"), (["docs"], "unexpected argument"), (["--restor"], "did you mean --restore")):
        run = tree.efs_tool("heal", *args)
        assert run.returncode == 64 and said in run.stderr, run.stderr
    run = tree.efs_tool("heal", "--url=http://127.0.0.1:1")
    assert run.returncode == 1 and "127.0.0.1:1" in run.stderr


def test_a_node_alone_is_no_cluster(tree, cluster):
    c = cluster(1, {"two": {0: [0]}}, {"two": 1})
    c.answer = lambda *_: (200, {"status": "disabled"})
    run = tree.efs_tool("heal")
    assert run.returncode == 1 and "is no cluster" in run.stderr
