"""The replicator leaves heartbeats: what is on EFS, and never more or less than that."""
import json
import shutil
import subprocess
import time
import urllib.request

import pytest
from harness import BUILD, tar_of, wait_for
from heartbeats import fill, heartbeat_of, put, snapshot_name
from server import SERVERS, Server, free_port

from restoring import attach


def beats(tree, node="n0"):
    return sorted((tree.base / "heartbeat" / node).glob("*.json"))


def newest(tree, node="n0"):
    return json.loads(beats(tree, node)[-1].read_text())


def named(beat):
    return {(f["kind"], f["collection"], f["shard"], b["frequency"], b["snapshot"], b["stored_size"], b["stored_sha256"], b["slot"], b["taken"])
            for f in beat["folders"] for b in f["backups"]}


def test_after_a_run_it_names_the_newest_of_each_tier_of_this_node_and_the_replica_is_good(tree):
    fill(tree, node="n0", ages=(7200, 3600))  # before it started
    fill(tree, node="n1", peer=2)
    now = time.time()
    for name in ("docs", "images"):
        tree.snapshot(name, snapshot_name(name, now - 60), tar_of(name))
    tree.snapshot("docs/shards/3", f"docs-shard-3-{snapshot_name('', now - 60)[3:]}", tar_of("s"))
    tree.snapshot(".", f"full-snapshot-{snapshot_name('', now - 60)[3:]}", tar_of("f"))
    tree.start(NODE_NAME="n0", RPO_SECONDS="900")
    wait_for(lambda: len(tree.logged("published")) == 4)
    wait_for(lambda: beats(tree))
    beat = newest(tree)
    assert named(beat) == named(heartbeat_of(tree.base)) and {f["kind"] for f in beat["folders"]} == {"collection", "shard", "storage"}
    assert beat["rpo_seconds"] == 900 and beat["node"] == "n0" and beat["left_out"] == 0
    assert not list((tree.base / "heartbeat" / "n0").glob(".*")) and len(beats(tree)) == 1
    shutil.copytree(tree.efs, tree.root / "replica")
    run = tree.efs_tool("replica", "--root", str(tree.root / "replica"), "--json")
    rows = {(r["collection"], r["node"], r["kind"]): r["state"] for r in json.loads(run.stdout)["collections"]}
    assert rows["docs", "n0", "collection"] == rows["images", "n0", "collection"] == "complete" and rows["docs", "n1", "collection"] == "unknown"


@pytest.mark.parametrize("kind", SERVERS)
def test_it_says_which_collections_qdrant_still_has_and_the_status_tells_of_it(kind, tree, tmp_path):
    fill(tree, collections=("gone",))
    with Server(kind, tmp_path / "server") as server:
        attach(tree, server)
        server.request("PUT", "/collections/docs", {"vectors": {"size": 4, "distance": "Dot"}})
        port = free_port()
        tree.start(NODE_NAME="n0", SNAPSHOT_INTERVAL="15m", STATUS_LISTEN=f"127.0.0.1:{port}")
        wait_for(lambda: tree.logged("published") and beats(tree), 60)
        get = lambda path: urllib.request.urlopen(f"http://127.0.0.1:{port}{path}").read().decode()
        wait_for(lambda: json.loads(get("/status"))["heartbeat"])
        assert {f["collection"]: f["wanted"] for f in newest(tree)["folders"]} == {"docs": True, "gone": False}
        assert newest(tree)["qdrant_version"] == server.request("GET", "/")[1]["version"]
        told = float(get("/metrics").split("\nqdrant_backup_heartbeat_timestamp_seconds ")[1].split()[0])
        assert abs(time.time() - told) < 60 and json.loads(get("/status"))["heartbeat"]["age_seconds"] < 60


def test_a_single_run_leaves_none(tree):
    tree.snapshot("docs", snapshot_name("docs", time.time() - 60), tar_of("x"))
    assert tree.once(NODE_NAME="n0").returncode == 0 and not (tree.base / "heartbeat").exists()


def test_a_writer_that_was_killed_leaves_nothing_that_is_taken_for_one(tree):
    fill(tree)
    tree.snapshot("docs", snapshot_name("docs", time.time() - 60), tar_of("x"))
    slow = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=link,linkat", "-e", "inject=link,linkat:delay_enter=1000000"]
    if shutil.which("strace") is None or subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"]).returncode != 0:
        pytest.skip("needs strace, and the right to use it")
    p = subprocess.Popen([*slow, BUILD / "qdrant-replicator"], env=tree.env | {"NODE_NAME": "n0"}, stderr=subprocess.DEVNULL)
    tree.running.append(p)
    folder = tree.base / "heartbeat" / "n0"
    wait_for(lambda: list(folder.glob(".partial-*")), 60)
    p.kill()
    p.wait(60)
    assert list(folder.glob(".partial-*")) and tree.efs_tool("verify").returncode == 0
    assert beats(tree) or "no heartbeat that can be read" in tree.efs_tool("replica").stdout  # the name may have come first
    tree.snapshot("docs", snapshot_name("docs", time.time() - 30), tar_of("y"))
    tree.start(NODE_NAME="n0")
    wait_for(lambda: tree.logged("published") and beats(tree) and named(newest(tree)) == named(heartbeat_of(tree.base)))
    wait_for(lambda: not list(folder.glob(".partial-*")))
    assert tree.efs_tool("replica").returncode == 0


def test_efs_that_refuses_it_is_said_once_and_backups_go_on(tree):
    fill(tree)
    (tree.base / "heartbeat").write_text("in the way")
    tree.snapshot("docs", snapshot_name("docs", time.time() - 60), tar_of("x"))
    tree.start(NODE_NAME="n0")
    wait_for(lambda: tree.logged("heartbeat_failed"))
    tree.snapshot("docs", snapshot_name("docs", time.time() - 30), tar_of("y"))
    wait_for(lambda: len(tree.logged("published")) == 2)
    assert len(tree.logged("heartbeat_failed")) == 1 and tree.efs_tool("verify").returncode == 0


def test_neither_ls_nor_prune_nor_verify_take_the_folder_for_backups(tree):
    fill(tree, collections=("heartbeat", "drills"))
    before = tree.ls()
    for name in ("heartbeat", "drills"):
        folder = tree.base / name / "heartbeat"
        folder.mkdir(parents=True)
        (folder / "2026-11-25T03-00-00Z.json").write_text("{}")
    assert tree.ls() == before and tree.efs_tool("verify").returncode == 0 and tree.efs_tool("prune", RETENTION="monthly=13").returncode == 0
    assert tree.efs_tool("restore", "--to", str(tree.root)).returncode == 0


def test_prune_without_retention_keeps_what_the_replicators_of_the_tree_keep(tree):
    fill(tree, collections=("docs",))
    keep = "15min=1d,hourly=7d,daily=35d,monthly=100"
    put(tree.base, heartbeat_of(tree.base, retention="15min=1"), when=time.time() - 9 * 86400)  # of before, and of a node that is gone
    put(tree.base, heartbeat_of(tree.base, node="gone", written=time.time() - 9 * 86400, retention="15min=1"))
    put(tree.base, heartbeat_of(tree.base, retention=keep))
    before = tree.files()
    run = tree.efs_tool("prune")
    assert run.returncode == 0 and f"keep: {keep}" in run.stderr and tree.files() == before
    put(tree.base, heartbeat_of(tree.base, retention="15min=1", written=time.time() + 2), when=time.time() + 2)
    assert "keep: 15min=1,hourly=7d" in tree.efs_tool("prune").stderr, "the newest says it"


@pytest.mark.parametrize("other", ["15min=1", "", "15min=x"])
def test_prune_refuses_when_the_replicators_do_not_agree_or_do_not_say(tree, other):
    fill(tree, collections=("docs",))
    put(tree.base, heartbeat_of(tree.base, retention="15min=2"))
    put(tree.base, heartbeat_of(tree.base, node="n1", **({"retention": other} if other else {})))
    before = tree.files()
    run = tree.efs_tool("prune")
    assert run.returncode == 64 and "nothing is pruned" in run.stderr and tree.files() == before
    assert tree.efs_tool("prune", "--retention", "15min=1").returncode == 0
