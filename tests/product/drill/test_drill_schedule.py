"""DRILL_SCHEDULE: the replicator has restores proven, tells of it, and is not touched by how that ends."""
import contextlib
import datetime
import json
import os
import signal
import time
import urllib.error
import urllib.request

import drilling
import pytest
from drilling import data_of, fill
from harness import patience, wait_for
from server import REAL, Server, free_port

from wall_clock import WallClock

TOMORROW = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
BEFORE_ONE_IS_DUE = TOMORROW.replace(hour=3, minute=29, second=57, microsecond=0)
# Sanitizers want to be loaded before the clock.
own_clock = pytest.mark.skipif(bool(os.environ.get("SANITIZED")), reason="a clock of its own does not go with sanitizers")


@pytest.fixture
def node(tree, tmp_path):
    with Server("real" if REAL else "standin", tmp_path / "server", api_key="k3y-of-the-one-that-serves") as server:
        n = drilling.Nodes(server, tree, tmp_path)
        yield n
        tree.stop()
        drilling.no_trace(n)


@pytest.fixture
def clock(tmp_path):
    return WallClock(tmp_path / "clock", BEFORE_ONE_IS_DUE)


def start_before_one(node, clock, **env):
    clock.set(BEFORE_ONE_IS_DUE)
    return start(node, clock, **env)


def start(node, clock, **env):
    return node.tree.start(DRILL_SCHEDULE="daily", SNAPSHOT_INTERVAL="0", **clock.environment, **node.told(env))


def drilled(node):
    return [line for line in node.tree.log() if line["event"].startswith("drill_")]


@own_clock
def test_good_and_bad_drills_are_told_recorded_and_counted(node, clock):
    fill(node.server, "good")
    fill(node.server, "bad")
    node.back_up("good", "bad", NODE_NAME="node-a")
    data = data_of(node.manifest("bad"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    (node.tree.root / "log").unlink()
    port = free_port()
    start_before_one(node, clock, NODE_NAME="node-a", STATUS_LISTEN=f"127.0.0.1:{port}", AWS_SECRET_ACCESS_KEY="k3y-of-aws")
    wait_for(lambda: len(drilled(node)) >= 2, 60)
    told = {line["collection"]: (line["level"], line["event"]) for line in drilled(node)}
    assert told == {"good": ("info", "drill_passed"), "bad": ("error", "drill_failed")}
    records = node.tree.base / "drills" / "node-a"
    wait_for(lambda: list(records.glob("*.json")))
    record = json.loads(next(records.glob("*.json")).read_text())
    assert {d["collection"]: d["verdict"] for d in record["drills"]} == {"good": "proven", "bad": "failed"}
    status = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/status").read())
    assert (status["counts"]["drills"], status["counts"]["drills_failed"]) == (2, 1) and status["drill_next"]
    assert node.left() == []
    node.tree.stop()  # and what they found outlives the task
    start(node, clock, NODE_NAME="node-a", STATUS_LISTEN=f"127.0.0.1:{port}")

    def page(path):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read().decode()
        except urllib.error.HTTPError as e:
            return e.read().decode()
    wait_for(lambda: json.loads(page("/status"))["drill"], 20)
    drill = json.loads(page("/status"))["drill"]
    assert (drill["ok"], drill["collection"]) == (False, "bad") and drill["why"]
    assert "drill_failed" in page("/health") and "qdrant_backup_drill_ok 0" in page("/metrics")
    assert json.loads(page("/status"))["counts"]["drills"] == 0


@own_clock
def test_an_older_backup_that_is_proven_does_not_hide_that_the_newest_failed(node, clock):
    fill(node.server)
    node.back_up("c", NODE_NAME="node-a")
    time.sleep(1.1)
    node.server.result("POST", "/collections/c/snapshots")
    assert node.tree.once(NODE_NAME="node-a").returncode == 0
    drilling.rewrite(node.manifest(), lambda data: data[:len(data) // 3])
    (node.tree.root / "log").unlink()
    port = free_port()
    start_before_one(node, clock, NODE_NAME="node-a", STATUS_LISTEN=f"127.0.0.1:{port}")
    wait_for(lambda: len(drilled(node)) >= 2, 60)
    assert [line["event"] for line in drilled(node)] == ["drill_failed", "drill_passed"]
    wait_for(lambda: list((node.tree.base / "drills" / "node-a").glob("*.json")))
    drill = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/status").read())["drill"]
    assert drill["ok"] is False and drill["snapshot"] == node.manifest().stem


@own_clock
def test_after_a_restart_one_that_was_missed_is_caught_up_with_and_one_that_was_not_is_not_repeated(node, clock):
    fill(node.server)
    node.back_up("c", NODE_NAME="node-a")
    (node.tree.root / "log").unlink()
    records = node.tree.base / "drills" / "node-a"
    records.mkdir(parents=True)
    day = clock.now().strftime("%Y-%m-%d")
    clock.set(clock.now().replace(hour=5))
    (records / f"{day}T03-30-01Z.json").write_text("{}")
    start(node, clock, NODE_NAME="node-a")
    clock.set(clock.now() + datetime.timedelta(minutes=10))
    time.sleep(7)
    assert drilled(node) == []
    node.tree.stop()
    (records / f"{day}T03-30-01Z.json").rename(records / f"{day}T03-29-00Z.json")
    start(node, clock, NODE_NAME="node-a")
    time.sleep(7)
    assert drilled(node) == []  # not while all of the task begins
    clock.set(clock.now() + datetime.timedelta(minutes=10))
    wait_for(lambda: [line["event"] for line in drilled(node)] == ["drill_passed"], 30)


@own_clock
def test_a_stop_does_not_wait_for_a_drill(node, clock):
    fill(node.server)
    node.back_up("c")
    word = node.tmp / "pid"
    replicator = start_before_one(node, clock, QDRANT_BIN=node.program("hangs", f"echo $$ > {word}\nexec sleep 300\n"))
    pid = int(drilling.wait_for_file(word, 60))
    begin = time.monotonic()
    replicator.terminate()
    assert replicator.wait(10) == 0
    assert time.monotonic() - begin < 2 * patience()
    assert drilling.gone(pid)
    wait_for(lambda: node.left() == [])


@own_clock
@pytest.mark.parametrize("how", ["killed", "no report"])
def test_a_drill_that_ends_without_a_report_counts_as_failed_until_the_next_one(node, clock, how):
    fill(node.server)
    node.back_up("c", NODE_NAME="node-a")
    (node.tree.root / "log").unlink()
    word, port = node.tmp / "pid", free_port()
    env = {"NODE_NAME": "node-a", "STATUS_LISTEN": f"127.0.0.1:{port}"}
    if how == "killed":
        start_before_one(node, clock, **env, QDRANT_BIN=node.program("hangs", f"echo $$ > {word}\nexec sleep 300\n"))
        second = int(drilling.wait_for_file(word, 60))
        os.kill(drilling.parent(second), signal.SIGKILL)
        assert drilling.gone(second)
    else:
        start_before_one(node, clock, **env, DRILL_TIMEOUT="soon")  # the replicator does not read it
    wait_for(lambda: drilled(node), 60)
    line, = drilled(node)
    why = {"killed": "killed by signal 9", "no report": "ended with 64"}[how]
    assert (line["level"], line["event"]) == ("error", "drill_failed") and why in line["message"]
    wait_for(lambda: list((node.tree.base / "drills" / "node-a").glob("*.json")))
    record = json.loads(next((node.tree.base / "drills" / "node-a").glob("*.json")).read_text())
    assert record["verdict"] == "failed" and why in record["why"] and record["drills"] == []

    def ask(path):
        with contextlib.suppress(urllib.error.HTTPError):
            return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}").read().decode()
    status = json.loads(ask("/status"))
    assert (status["counts"]["drills"], status["counts"]["drills_failed"], status["drill"]["ok"]) == (1, 1, False)
    assert why in status["drill"]["why"]
    assert [r["severity"] for r in status["health"]["reasons"] if r["code"] == "drill_failed"] == ["failing"]
    assert "qdrant_backup_drill_failures_total 1" in ask("/metrics")
    node.tree.stop()
    wait_for(lambda: node.drill().returncode == 0)
    assert node.left() == []


@own_clock
def test_a_replicator_that_is_killed_takes_its_drill_along(node, clock):
    fill(node.server)
    node.back_up("c")
    word = node.tmp / "pid"
    replicator = start_before_one(node, clock, QDRANT_BIN=node.program("hangs", f"echo $$ > {word}\nexec sleep 300\n"))
    pid = int(drilling.wait_for_file(word, 60))
    replicator.kill()
    replicator.wait(10)
    assert drilling.gone(pid)
    wait_for(lambda: node.drill().returncode == 0)
    assert node.left() == []


@pytest.mark.parametrize("wrong", ["sometimes", "daily@25:00", "daily@3:30", "hourly@30", "weekly@", "never@03:30", "daily@03:30:00"])
def test_a_wrong_schedule_is_named(tree, wrong):
    out = tree.replicator("--once", DRILL_SCHEDULE=wrong)
    assert out.returncode == 64 and "DRILL_SCHEDULE" in out.stderr and wrong in out.stderr
