"""`drill --set`: a set of a cluster's backups, put together on its way into a Qdrant of its own."""
import json
import subprocess

import pytest
from harness import BUILD
from nodes import HELD, PEERS
from restoring import data_of, flip
from server import REAL, SERVERS, STANDIN, STANDIN_PATH


@pytest.fixture(params=SERVERS)
def program(request):
    return str(STANDIN) if request.param == "standin" else REAL


@pytest.fixture
def drill(tree, tmp_path, program):
    place = tmp_path / "scratch"

    def run(*args, code=None, **env):
        env = tree.env | {"PATH": STANDIN_PATH, "QDRANT_BIN": program, "DRILL_DIR": str(place), "MIN_FREE": "0"} | env
        done = subprocess.run([BUILD / "qdrant-efs", "drill", "--set", "--json", *args], env=env, capture_output=True, text=True, timeout=300)
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr
    yield run
    assert not [p for p in (place / ".qdrant-drill").glob("*") if p.name != "lock"]


def test_all_shards_come_back_or_it_has_failed(nodes, tree, drill, program):
    """The stand-in has one shard a collection, takes the first, and answers 200."""
    stems = nodes.slot("08-00")
    one, = drill(code=0 if program == REAL else 1)["drills"]
    assert (one["collection"], one["snapshot"]) == ("rf1", "rf1-set-2026-11-24-08-00-00") and sorted(one["set"]) == sorted(stems.values())
    assert sorted(one["nodes"]) == sorted(PEERS)
    if program == REAL:
        assert (one["verdict"], one["points"]) == ("partly_proven", 900)
    else:
        assert one["verdict"] == "failed" and "1 of 3 shards are there" in one["why"]


@pytest.mark.real
@pytest.mark.skipif(not REAL, reason="needs the real Qdrant server: set QDRANT_BIN to its binary")
def test_shard_keys_are_proven_at_a_start_of_qdrant(nodes, drill, program):
    if program != REAL:
        pytest.skip("the stand-in has no shard keys of its own")
    nodes.slot("08-00", "cust")
    one, = drill(code=0)["drills"]
    assert (one["verdict"], one["points"]) == ("partly_proven", 900)


def test_a_set_with_a_corrupt_backup_is_passed_over_and_told(nodes, tree, drill):
    nodes.slot("08-00")
    flip(data_of(tree, nodes.slot("08-15")["node-2"]))
    one, = drill()["drills"]
    assert one["snapshot"].endswith("08-00-00") and "was passed over" in one["note"]
    assert str(tree.base) not in one["note"]  # the snapshot's name says where it is


def test_each_newer_set_that_is_not_proven_is_told_with_its_reason(nodes, tree, drill):
    nodes.slot("08-00")
    flip(data_of(tree, nodes.slot("08-15")["node-2"]))
    nodes.slot("08-30", nodes=["node-0"])
    nodes.slot("08-45", nodes=["node-1"])
    one, = drill()["drills"]
    assert one["snapshot"].endswith("08-00-00")
    for part in ("2026-11-24T08:45:00Z is not complete: shard 1:", "2026-11-24T08:30:00Z is not complete: shard 0:",
                 "was passed over: "):
        assert one["note"].count(part) == 1, one["note"]


def test_what_came_after_the_time_that_was_asked_for_is_no_reason(nodes, drill):
    nodes.slot("08-00")
    nodes.slot("08-30", nodes=["node-0"])
    one, = drill("--at", "2026-11-24T07:00:00Z", code=1)["drills"]
    assert "08:30" not in one["why"] and "that of the slot 2026-11-24T08:00:00Z was complete at" in one["why"]


def test_a_set_that_is_not_complete_is_passed_over_and_told(nodes, drill):
    nodes.slot("08-00")
    nodes.slot("08-15", nodes=["node-0", "node-1"])
    one, = drill()["drills"]
    assert one["snapshot"].endswith("08-00-00") and "the set of 2026-11-24T08:15:00Z is not complete: shard 1: " in one["note"]


def test_without_a_complete_set_it_has_failed_and_says_what_is_missing(nodes, drill):
    nodes.slot("08-15", nodes=["node-0", "node-1"])
    one, = drill(code=1)["drills"]
    assert one["verdict"] == "failed" and "is not complete: shard 1: " in one["why"]
    one, = drill("--collection", "nope", code=1)["drills"]
    assert (one["collection"], one["verdict"]) == ("nope", "failed")


def test_of_the_nodes_of_a_set_one_proves_it(nodes, drill):
    nodes.slot("08-00")
    nodes.slot("08-00", "cust")
    found = {}
    for node in PEERS:
        report = drill("--own", NODE_NAME=node)
        assert report["left_to_others"] == 2 - len(report["drills"])
        for one in report["drills"]:
            assert one["collection"] not in found
            found[one["collection"]] = node
    assert set(found) == {"rf1", "cust"} and found["cust"] in HELD["cust"]


def test_who_has_nothing_to_prove_is_no_failure(nodes, tree, drill):
    nodes.slot("08-00")
    left = [node for node in PEERS if not drill("--own", NODE_NAME=node)["drills"]]
    assert len(left) == 2
    report = drill("--own", code=0, NODE_NAME=left[0])
    assert (report["verdict"], report["of"], report["left_to_others"]) == ("nothing", 0, 1)
    mistyped = tree.efs_tool("drill", "--set", "--own", NODE_NAME="nobody")
    assert mistyped.returncode == 0 and "warning: NODE_NAME nobody has no backup here" in mistyped.stderr


def test_wrong_use(nodes, tree, drill):
    assert "no --node" in drill("--node", "node-0", code=64) and "no --pinned" in tree.efs_tool("ls", "--sets", "--pinned").stderr
    assert "--own is for --set, and needs NODE_NAME" in drill("--own", code=64)
    assert "no --snapshot" in drill("--snapshot", "x", code=64)
    run = tree.efs_tool("drill", "--own", NODE_NAME="a")
    assert run.returncode == 64 and "--own is for --set" in run.stderr
