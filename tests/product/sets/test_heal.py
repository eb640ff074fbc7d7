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
    assert {p["peer_id"]: p["state"] for p in out["peers"]} == {IDS[0]: "alive", IDS[1]: "alive", IDS[2]: "lost", IDS[3]: "alive"}


def test_what_the_lost_node_alone_had_comes_back_from_its_newest_backup(cluster, nodes, tree):
    nodes.slot("08-00")
    newest = nodes.slot("09-00")
    c = cluster(4, {"rf1": HELD_BY}, {"rf1": 1})
    c.lose(2)
    out = heal(tree, c, "--peer", IDS[2], "--restore")
    assert c.changes == ["upload rf1 [1] to 3", "remove 2"] and c.wrong == []
    assert [(b["snapshot"], b["node"], b["shards"]) for b in out["steps"][0]["backups"]] == [(newest["node-2"], "node-2", [1])] and out["healed"]
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
    assert plan["steps"] == done["steps"] and not plan["healed"] and done["healed"]  # nothing is done yet


def test_nobody_is_lost_who_answers_or_whom_the_leader_reaches(cluster, tree):
    c = cluster(3, {"two": TWICE}, {"two": 2})
    assert "it answers; nothing was changed" in heal(tree, c, "--peer", IDS[1], returncode=1)["stderr"]
    assert "it is the node at --url" in heal(tree, c, "--peer", IDS[0], returncode=1)["stderr"]
    assert "is no member of the cluster" in heal(tree, c, "--peer", "777", returncode=1)["stderr"]
    c.lose(2)
    c.leader = None
    assert "has no leader" in heal(tree, c, "--peer", IDS[2], returncode=1)["stderr"]
    c.leader, c.consensus = 0, "stopped"
    assert "consensus has stopped" in heal(tree, c, "--peer", IDS[2], returncode=1)["stderr"]
    assert c.changes == []


def test_one_that_follows_asks_the_leader_whom_it_reaches(cluster, tree):
    c = cluster(3, {"two": TWICE}, {"two": 2})
    c.lose(2)
    assert heal(tree, c, "--peer", IDS[2], url=1)["healed"] and c.gone == {2}


def test_a_peer_that_is_not_named_keeps_what_it_has(cluster, tree):
    c = cluster(4, {"two": TWICE, "one": {0: [2], 1: [0]}}, {"two": 2, "one": 1})
    c.lose(2)
    out = heal(tree, c, returncode=1)
    assert c.changes == [] and (out["peers_not_reached"], out["healed"]) == (1, False) and {p["peer_id"]: p["state"] for p in out["peers"]}[IDS[2]] == "not_reached" and f"--peer {IDS[2]}" in tree.efs_tool("heal", f"--url={c.nodes[0].url}", *c.urls()).stderr
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
    assert [b["snapshot"] for b in out["steps"][0]["backups"]] == [older["node-2"]] and newer["node-2"] in out["stderr"]


def test_without_a_backup_of_it_the_peer_stays_and_the_rest_is_done(cluster, nodes, tree):
    nodes.slot("08-00", nodes=["node-0", "node-1"])
    c = cluster(4, {"rf1": HELD_BY, "two": TWICE}, {"rf1": 1, "two": 2})
    c.lose(2)
    out = heal(tree, c, "--peer", IDS[2], "--restore", returncode=1)
    assert "no good backup of it below" in out["stderr"] and "has shard 1, which lost peers alone had" in out["stderr"] and c.gone == set()
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
    assert "no good backup" in out["stderr"] and c.changes == []


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
    for args, said in ((["--peer", "node-2"], "a number"), (["--no-writers"], "go with --restore"), (["docs"], "unexpected argument"), (["--restor"], "did you mean --restore")):
        run = tree.efs_tool("heal", *args)
        assert run.returncode == 64 and said in run.stderr, run.stderr
    run = tree.efs_tool("heal", "--url=http://127.0.0.1:1")
    assert run.returncode == 1 and "127.0.0.1:1" in run.stderr


def test_a_node_alone_is_no_cluster(tree, cluster):
    c = cluster(1, {"two": {0: [0]}}, {"two": 1})
    c.answer = lambda *_: (200, {"status": "disabled"})
    run = tree.efs_tool("heal")
    assert run.returncode == 1 and "is no cluster" in run.stderr


# --- what hostile hands have tried

def test_a_copy_on_a_living_node_that_is_not_active_is_not_replaced_by_an_older_backup(cluster, nodes, tree):
    nodes.slot("08-00")
    c = cluster(4, {"rf1": {0: [0], 1: [1, 2], 2: [0]}}, {"rf1": 2})
    c.states["rf1"][1, 1] = "Dead"
    c.lose(2)
    out = heal(tree, c, "--peer", IDS[2], "--restore", returncode=1)
    assert out["shards_broken"] == 1 and "--replace-broken" in out["stderr"] and not any("upload" in x or "drop" in x for x in c.changes)
    out = heal(tree, c, "--peer", IDS[2], "--restore", "--replace-broken", returncode=1)  # the broken one stays Dead in this model
    assert "upload rf1 [1] to 3" in c.changes


def test_shards_without_any_copy_are_not_healed(cluster, tree):
    c = cluster(2, {"two": {0: [0, 1], 1: [0, 1]}}, {"two": 2})
    view = c.view
    c.view = lambda node, name: view(node, name) | {"shard_count": 4}
    out = heal(tree, c, returncode=1)
    assert (out["shards_bare"], out["healed"]) == (2, False) and "without a copy on any node" in out["stderr"]


def test_a_collection_that_does_not_tell_how_many_copies_it_wants_is_not_healed(cluster, tree):
    c = cluster(2, {"two": {0: [0], 1: [1]}}, {"two": 2})
    c.refuse = "GET /collections/two"
    assert heal(tree, c, returncode=1)["healed"] is False


def test_shards_that_have_a_backup_come_back_though_another_has_none(cluster, nodes, tree):
    nodes.slot("08-00")
    c = cluster(4, {"rf1": {0: [0], 1: [2], 2: [0], 7: [2]}}, {"rf1": 1})
    c.lose(2)
    out = heal(tree, c, "--peer", IDS[2], "--restore", returncode=1)
    assert "upload rf1 [1] to 3" in c.changes and "has shard 7" in out["stderr"] and c.gone == set()
    assert out["steps"][0]["backups"][0]["shards"] == [1]


def test_one_heal_at_a_time(cluster, tree):
    c = cluster(4, {"two": TWICE}, {"two": 2})
    c.lose(2)
    claim = tree.efs / "clusters/test/heals/1.json"
    claim.parent.mkdir(parents=True)
    claim.write_text('{"format": 1, "node": "node-1", "claimed": "2026-11-24T08:00:00Z"}')
    out = heal(tree, c, "--peer", IDS[2], returncode=1)
    assert "node-1 heals the cluster" in out["error"] and c.changes == []
    (claim.parent / "1.done.json").write_text("{}")
    assert heal(tree, c, "--peer", IDS[2])["healed"] and (claim.parent / "2.done.json").exists()


def test_an_address_of_several_nodes_is_refused(cluster, tree):
    c = cluster(3, {"two": TWICE}, {"two": 2})
    turn = iter(range(10 ** 6))
    answer = c.answer
    c.answer = lambda node, *rest: answer(c.nodes[next(turn) % 3], *rest)
    run = tree.efs_tool("heal", f"--url={c.nodes[0].url}")
    assert run.returncode == 1 and "several nodes answer at one address" in run.stderr + "" and c.changes == []


def test_whom_a_node_that_led_once_did_not_reach_is_not_lost(cluster, tree):
    c = cluster(3, {"two": TWICE}, {"two": 2})
    old = {"http://127.0.0.4:6335/": {"count": 100, "latest_error": "old"}}
    answer = c.answer

    def stale(node, method, path, body):
        code, result = answer(node, method, path, body)
        if path == "/cluster" and node.number == 1:
            result = result | {"message_send_failures": {u["uri"]: old["http://127.0.0.4:6335/"] for i, u in c.peers().items() if i == IDS[2]}}
        return code, result
    c.answer = stale
    c.nodes[2].close()  # its REST API does not answer, and the leader's messages arrive
    c.dead = set()
    run = tree.efs_tool("heal", "--peer", IDS[2], f"--url={c.nodes[1].url}")
    assert run.returncode == 1 and "the leader's last messages to it arrived; nothing was changed" in run.stderr and c.changes == []
    c.dead = {2}


def test_a_leader_that_cannot_be_asked_ends_it(cluster, tree):
    c = cluster(3, {"two": TWICE}, {"two": 2})
    c.lose(2)
    run = tree.efs_tool("heal", "--peer", IDS[2], f"--url={c.nodes[1].url}", f"--peer-url={c.nodes[1].url}")
    assert run.returncode == 1 and "the leader, peer" in run.stderr and "--peer-url" in run.stderr and c.changes == []


def test_one_that_comes_back_in_the_middle_keeps_the_rest(cluster, tree):
    c = cluster(4, {"two": TWICE}, {"two": 2})
    c.lose(2)
    change = c.change

    def once(name, asked):
        out = change(name, asked)
        c.dead = set()  # the leader reaches it again
        return out
    c.change = once
    run = tree.efs_tool("heal", "--json", "--peer", IDS[2], f"--url={c.nodes[0].url}")
    out = json.loads(run.stdout)
    assert run.returncode == 1 and "the leader reaches it again; what was done stays" in out["error"] and len(out["steps"]) == 1 and c.gone == set()
    c.dead = {2}


def test_what_somebody_else_did_meanwhile_is_done(cluster, tree):
    c = cluster(4, {"two": TWICE, "gone": {0: [2, 0]}}, {"two": 2, "gone": 2})
    c.lose(2)
    change = c.change

    def race(name, asked):
        if name == "gone":
            del c.states["gone"]
            return 404, "Not found: Collection `gone` doesn't exist!"
        if "drop_replica" in asked:
            change(name, asked)
            return 400, "Bad request: no such replica"
        return change(name, asked)
    c.change = race
    assert heal(tree, c, "--peer", IDS[2])["healed"] and c.gone == {2}


def test_the_names_of_nodes_are_told_where_efs_has_them(cluster, tree):
    c = cluster(3, {"two": TWICE}, {"two": 2})
    c.lose(2)
    path = tree.efs / f"clusters/test/peers/{IDS[2]}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"format": 1, "peer_id": IDS[2], "node": "node-2", "uri": "u", "first": "2026-11-24T08:00:00Z", "last": "2026-11-24T08:00:00Z"}))
    run = tree.efs_tool("heal", "--dry-run", f"--url={c.nodes[0].url}")
    assert f"peer {IDS[2]} node-2" in run.stdout and f"the peer {IDS[2]} node-2 cannot be reached" in run.stderr and run.returncode == 1


def test_a_node_that_waits_gets_its_part_when_it_has_joined(cluster, tree):
    import threading
    import time
    c = cluster(4, {"two": TWICE}, {"two": 2})
    c.lose(2)
    c.gone = {3}  # not there yet
    path = tree.efs / "clusters/test/waiting/node-2.json"
    path.parent.mkdir(parents=True)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    path.write_text(json.dumps({"format": 1, "peer_id": IDS[2], "node": "node-2", "uri": "u", "first": now, "last": now}))

    def join():
        while 2 not in c.gone:
            time.sleep(.05)
        time.sleep(2)
        c.gone = {2}
    threading.Thread(target=join, daemon=True).start()
    out = heal(tree, c, "--peer", IDS[2])
    assert out["healed"] and [x for x in c.changes if "replicate" in x] == ["replicate_shard two 1 to 3", "replicate_shard two 2 to 3"]
    assert "waiting until the new node-2 has joined" in out["stderr"]
