"""DRILL_SCHEDULE: the replicator has restores proven, tells of it, and is not touched by how that ends."""
import json
import time
import urllib.request

import pytest
from drilling import data_of, fill
from harness import wait_for
from server import REAL, Server, free_port

import drilling


@pytest.fixture
def node(tree, tmp_path):
    with Server("real" if REAL else "standin", tmp_path / "server", api_key="k3y-of-the-one-that-serves") as server:
        n = drilling.Nodes(server, tree, tmp_path)
        yield n
        tree.stop()
        drilling.no_trace(n)


def soon(seconds=3):
    """A schedule that is due at the beginning of the next minute, which is at least that far away."""
    if time.time() % 60 > 60 - seconds:
        time.sleep(seconds)
    minute = int(time.time() // 60 + 1) % 60
    return f"hourly@:{minute:02}"


def drilled(node):
    return [line for line in node.tree.log() if line["event"].startswith("drill_")]


def test_good_and_bad_drills_are_told_recorded_and_counted(node):
    fill(node.server, "good")
    fill(node.server, "bad")
    node.back_up("good", "bad", NODE_NAME="node-a")
    data = data_of(node.manifest("bad"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    (node.tree.root / "log").unlink()
    port = free_port()
    node.tree.start(NODE_NAME="node-a", DRILL_SCHEDULE=soon(), STATUS_LISTEN=f"127.0.0.1:{port}", SNAPSHOT_INTERVAL="0",
                    AWS_SECRET_ACCESS_KEY="k3y-of-aws")
    wait_for(lambda: len(drilled(node)) >= 2, 90)
    told = {line["collection"]: (line["level"], line["event"]) for line in drilled(node)}
    assert told == {"good": ("info", "drill_passed"), "bad": ("error", "drill_failed")}
    records = node.tree.base / "drills" / "node-a"
    wait_for(lambda: list(records.glob("*.json")))
    record = json.loads(next(records.glob("*.json")).read_text())
    assert {d["collection"]: d["verdict"] for d in record["drills"]} == {"good": "proven", "bad": "failed"}
    status = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/status").read())
    assert (status["counts"]["drills"], status["counts"]["drills_failed"]) == (2, 1)
    assert node.left() == []
    # It is not repeated after a restart: the record says when the last one was.
    node.tree.stop()
    before = len(drilled(node))
    node.tree.start(NODE_NAME="node-a", DRILL_SCHEDULE="hourly", SNAPSHOT_INTERVAL="0")
    time.sleep(2)
    assert len(drilled(node)) == before


def test_a_drill_that_crashes_touches_nothing_and_a_stop_does_not_wait_for_one(node):
    fill(node.server)
    node.back_up("c")
    (node.tree.root / "log").unlink()
    word = node.tmp / "pid"
    hangs = node.program("hangs", f"echo $$ > {word}\nexec sleep 300\n")
    replicator = node.tree.start(DRILL_SCHEDULE=soon(), SNAPSHOT_INTERVAL="0", QDRANT_BIN=hangs)
    pid = int(drilling.wait_for_file(word, 90))
    begin = time.monotonic()
    replicator.terminate()
    assert replicator.wait(10) == 0
    assert time.monotonic() - begin < 2
    assert drilling.gone(pid)
    # Killed, it takes all of them along, and the next drill sweeps.
    word.unlink()
    replicator = node.tree.start(DRILL_SCHEDULE=soon(), SNAPSHOT_INTERVAL="0", QDRANT_BIN=hangs)
    pid = int(drilling.wait_for_file(word, 90))
    replicator.kill()
    replicator.wait(10)
    assert drilling.gone(pid)
    assert node.drill().returncode == 0 and node.left() == []


@pytest.mark.parametrize("wrong", ["sometimes", "daily@25:00", "daily@3:30", "hourly@30", "weekly@", "never@03:30", "daily@03:30:00"])
def test_a_wrong_schedule_is_named(tree, wrong):
    out = tree.replicator("--once", DRILL_SCHEDULE=wrong)
    assert out.returncode == 64 and "DRILL_SCHEDULE" in out.stderr and wrong in out.stderr
