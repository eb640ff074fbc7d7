"""Which backups of a cluster's nodes make a whole together: what the manifests tell, what `ls --sets` shows, what `verify --set` takes."""
import json
import re
import shlex

import pytest
from harness import manifests_of
from nodes import HELD, PEERS, snapshot_of, with_json
from restoring import data_of, flip


def manifest(tree, stem):
    return json.loads(next(p for p in manifests_of(tree.base) if p.stem == stem).read_text())


def table(tree, *args):
    run = tree.efs_tool("ls", "--sets", *args)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def verified(tree, *args):
    run = tree.efs_tool("verify", "--set", *args)
    return run.returncode, run.stdout, run.stderr


def test_the_manifest_tells_the_shards_of_the_cluster(nodes, tree):
    stem = nodes.publish("node-0", "2026-11-24-08-00-03", "cust")
    told = manifest(tree, stem)["cluster"]
    assert told == {"peer_id": PEERS["node-0"], "collection_uuid": "7fdd5915-d175-4449-aa67-122c2db73c43", "shards": [
        {"id": 1, "key": "a", "local": False, "peers": {PEERS["node-2"]: "Active"}},
        {"id": 2, "key": "b", "local": True, "peers": {PEERS["node-0"]: "Active"}}]}


def test_a_node_without_a_cluster_writes_the_manifest_that_it_always_wrote(real_tree):
    assert real_tree.once().returncode == 0
    assert [p.name for p in manifests_of(real_tree.base) if "cluster" in json.loads(p.read_text())] == []


def test_the_backups_of_all_nodes_are_one_set_and_it_says_which_shard_is_where(nodes, tree):
    stems = nodes.slot("08-00")
    one, = nodes.sets()
    assert (one["collection"], one["slot"], one["state"], one["reason"], one["skew_seconds"]) == \
        ("rf1", "2026-11-24T08:00:00Z", "complete", "", 2)
    assert {s["node"]: (s["id"], s["snapshot"]) for s in one["shards"]} == {n: (i, stems[n]) for n, i in HELD["rf1"].items()}
    assert [b["needed"] for b in one["backups"]] == [True] * 3 and {b["node"] for b in one["backups"]} == set(PEERS)
    head, row, total = table(tree)
    assert head.split() == ["COLLECTION", "SLOT", "NODES", "SHARDS", "POINTS", "SKEW", "STATE"]
    assert re.sub(" +", " ", row) == "rf1 2026-11-24T08:00:00Z 3 3 of 3 - 2 s complete" and total == "1 set, 1 complete"


def test_of_several_trees_each_row_names_its_own(nodes, tree):
    nodes.slot("08-00")
    for node in HELD["rf1"]:
        nodes.publish(node, "2026-11-24-08-15-03", TIER="staging")
    head, *rows, _ = tree.efs_tool("ls", "--sets", TIER="", CPU_ARCH="").stdout.splitlines()
    assert head.split()[:3] == ["TREE", "COLLECTION", "SLOT"]
    assert sorted(row.split()[:2] for row in rows) == [["staging-cpu", "rf1"], ["test-cpu", "rf1"]]
    told = json.loads(tree.efs_tool("ls", "--sets", "--json", TIER="", CPU_ARCH="").stdout)
    assert sorted(s["tree"] for s in told) == ["staging-cpu", "test-cpu"]


@pytest.mark.parametrize("order", [["node-0", "node-1", "node-2"], ["node-2", "node-0", "node-1"], ["node-1", "node-2", "node-0"]], ids="-".join)
def test_a_set_is_complete_when_the_last_of_its_nodes_has_arrived(order, nodes):
    for n, node in enumerate(order, 1):
        nodes.publish(node, f"2026-11-24-08-00-0{n}")
        one, = nodes.sets()
        lacking = {s["node"]: s["lacks"] for s in one["shards"] if "lacks" in s}
        if n == 3:
            assert one["state"] == "complete" and lacking == {}
        else:  # nobody has heard of the others' names yet
            assert one["state"] == "incomplete" and lacking == {PEERS[x]: "no_backup" for x in order[n:]}


def test_a_node_a_slot_late_leaves_two_sets_that_are_not_complete(nodes, tree):
    nodes.slot("08-00")
    nodes.slot("08-15", nodes=["node-0", "node-2"])
    nodes.publish("node-1", "2026-11-24-08-30-03")
    assert [s["state"] for s in nodes.sets()] == ["complete", "incomplete", "incomplete"]
    lines = table(tree)
    assert lines[2].endswith("incomplete: shard 0: node-1 has no backup of this slot")
    assert lines[3].endswith("incomplete: shard 1: node-2 has no backup of this slot; shard 2: node-0 has no backup of this slot")
    code, said, complaint = verified(tree)
    assert code == 0 and said == "rf1: the set of 2026-11-24T08:00:00Z is complete, 3 backups verified\n"
    assert complaint.count("not complete, passed over") == 2 and "slot 2026-11-24T08:15:00Z" in complaint


@pytest.mark.parametrize("harm, word", [("data", "data is not there"), ("manifest", None), ("short", "shorter")])
def test_with_one_backup_gone_the_set_is_not_complete_and_the_older_one_is_taken(harm, word, nodes, tree):
    nodes.slot("08-00")
    stem = nodes.slot("08-15")["node-2"]
    data = data_of(tree, stem)
    if harm == "data":
        data.unlink()
    elif harm == "short":
        data.write_bytes(data.read_bytes()[:-1])
    else:
        next(p for p in manifests_of(tree.base) if p.stem == stem).unlink()
    older, newer = nodes.sets()
    assert older["state"] == "complete" and newer["state"] == "incomplete"
    assert newer["reason"] == "shard 1: the backup of node-2 is incomplete"
    code, said, complaint = verified(tree)
    assert code == 0 and "the set of 2026-11-24T08:00:00Z is complete" in said and "of node-2 is incomplete" in complaint


def test_a_flipped_byte_is_found_and_the_older_set_is_taken(nodes, tree):
    nodes.slot("08-00")
    flip(data_of(tree, nodes.slot("08-15")["node-1"]))
    assert nodes.sets()[1]["state"] == "complete"  # nobody has read it
    code, said, complaint = verified(tree)
    assert code == 1 and said == "rf1: the set of 2026-11-24T08:00:00Z is complete, 3 backups verified\n"
    assert "corrupt: " in complaint and "shard 0: the backup of node-1 is corrupt" in complaint
    code, said, _ = verified(tree, "--json")
    assert code == 1 and json.loads(said) == [{"collection": "rf1", "slot": "2026-11-24T08:00:00Z", "backups": 3, "points": None, "state": "complete"}]


def test_without_any_complete_set_it_says_so(nodes, tree):
    nodes.slot("08-00", nodes=["node-0", "node-1"])
    code, said, complaint = verified(tree, "--deep")
    assert (code, said) == (1, "rf1: no complete set\n") and f"shard 1: {PEERS['node-2']} has no backup of this slot" in complaint


def test_a_replica_that_another_node_says_is_dead_does_not_count(nodes, tree):
    """A snapshot of a Dead or a Partial replica is not published; what other nodes say of it is told."""
    def dead(o):
        o["peers"] = {PEERS["node-2"]: "Dead"}
    nodes.publish("node-0", "2026-11-24-08-00-03", data=with_json(snapshot_of("rf1", "node-0"), "1/replica_state.json", dead))
    nodes.publish("node-1", "2026-11-24-08-00-03", data=with_json(snapshot_of("rf1", "node-1"), "1/replica_state.json", dead))
    one, = nodes.sets()
    assert one["state"] == "incomplete" and one["replicas_active"] is False
    assert [s["lacks"] for s in one["shards"] if "lacks" in s] == ["not_active"]
    assert table(tree)[1].endswith("is not Active (some replica is not Active)")


def test_custom_shard_keys_are_told_and_must_agree(nodes, tree):
    nodes.slot("08-00", "cust")
    one, = nodes.sets()
    assert [(s["id"], s["key"], s["node"]) for s in one["shards"]] == [(1, "a", "node-2"), (2, "b", "node-0")] and one["state"] == "complete"

    def swap(o):
        for k in o:
            k["shard_ids"] = [3 - k["shard_ids"][0]]
    nodes.publish("node-2", "2026-11-24-08-15-03", "cust")
    nodes.publish("node-0", "2026-11-24-08-15-03", "cust", with_json(snapshot_of("cust", "node-0"), "shard_key_mapping.json", swap))
    newer = nodes.sets()[1]
    assert newer["state"] == "incomplete" and "the nodes name different shard keys" in newer["reason"]


def test_a_collection_that_was_made_anew_is_not_mixed_with_the_old_one(nodes):
    nodes.publish("node-0", "2026-11-24-08-00-03")
    nodes.publish("node-1", "2026-11-24-08-00-03")
    nodes.publish("node-2", "2026-11-24-08-00-59",
                  data=with_json(snapshot_of("rf1", "node-2"), "config.json", lambda o: o.update(uuid="00000000-0000-4000-8000-000000000000")))
    assert [s["state"] for s in nodes.sets()] == ["incomplete", "incomplete"]


def test_filters_that_would_tear_sets_apart_are_refused(nodes, tree):
    nodes.slot("08-00")
    for command, flags in {"ls --sets": ["--node=node-0", "--frequency=daily", "--state=complete"],
                           "verify --set": ["--node=node-0", "--frequency=daily"]}.items():
        for flag in flags:
            run = tree.efs_tool(*command.split(), flag)
            assert run.returncode == 64 and f"no {flag.split('=')[0]}" in run.stderr and run.stdout == ""


def test_the_newest_of_each_collection(nodes, tree):
    for when in ("08-00", "08-15", "08-30"):
        nodes.slot(when)
    nodes.slot("08-15", "cust")
    assert [(s["collection"], s["slot"][11:16]) for s in nodes.sets("--latest", "2")] == [("cust", "08:15"), ("rf1", "08:15"), ("rf1", "08:30")]
    assert [s["slot"][11:16] for s in nodes.sets("--collection", "cust")] == ["08:15"]
    nodes.sets("--collection", "nope", returncode=1)


def test_the_backup_of_a_single_node_is_a_set_by_itself(real_tree):
    assert real_tree.once().returncode == 0
    run = real_tree.efs_tool("ls", "--sets")
    assert run.returncode == 0 and " whole " in run.stdout and "incomplete" not in run.stdout
    code, said, complaint = verified(real_tree)
    assert code == 0 and "1 backup verified" in said, complaint


def test_a_manifest_that_was_changed_by_hand_says_nothing_of_its_shards(nodes, tree):
    stems = nodes.slot("08-00")
    path = next(p for p in manifests_of(tree.base) if p.stem == stems["node-1"])
    path.write_text(path.read_text().replace('"shards"', '"shrads"'))
    one, = nodes.sets()
    assert one["state"] == "incomplete" and one["reason"] == "shard 0: the backup of node-1 does not tell its shards"


# --- one of them

SET = "rf1-set-2026-11-24-08-00-00"


def test_a_set_is_shown_with_the_backup_of_each_shard_and_the_command_that_restores_it(nodes, tree):
    made = nodes.slot("08-00")
    nodes.slot("08-15", nodes=["node-0"])
    run = tree.efs_tool("show", SET)
    assert run.returncode == 0, run.stderr
    lines = dict(line.split(None, 1) for line in run.stdout.splitlines() if line and not line.startswith(("shard", "backup", " ", "Into")))
    assert (lines["collection"], lines["slot"], lines["state"]) == ("rf1", "2026-11-24T08:00:00Z", "complete")
    for node, shard in HELD["rf1"].items():
        assert f"shard {shard}         {node}, {made[node]}" in run.stdout
    command = shlex.split(run.stdout.splitlines()[-1])
    assert command == ["qdrant-efs", "restore", "--set", "--collection", "rf1", "--at", "2026-11-24T08:00:05Z"]
    dry = tree.efs_tool(*command[1:], "--to", str(tree.root / "rf1.snapshot"), "--json")
    assert dry.returncode == 0 and json.loads(dry.stdout)[0]["snapshot"] == SET, dry.stdout + dry.stderr
    assert json.loads(tree.efs_tool("show", SET, "--json").stdout) == [s for s in nodes.sets() if s["slot"] == "2026-11-24T08:00:00Z"][0]


def test_a_set_that_lacks_something_says_what_and_has_no_command(nodes, tree):
    nodes.slot("08-00", nodes=["node-0", "node-1"])
    run = tree.efs_tool("show", SET)
    assert run.returncode == 0 and "incomplete" in run.stdout and "has no backup of this slot" in run.stdout and "restore" not in run.stdout


def test_a_set_that_is_not_there_is_no_backup_either(nodes, tree):
    nodes.slot("08-00")
    for name, said in (("rf1-set-2026-11-24-09-00-00", "there is no set"), ("none-set-2026-11-24-08-00-00", "none"), ("rf1-set-2026-11-24", "no backup")):
        run = tree.efs_tool("show", name)
        assert run.returncode == 1 and said in run.stderr, run.stderr
