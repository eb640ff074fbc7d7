"""The tree that the first released build has written (make.py) is read, verified, pruned and restored by this one."""
import json
import urllib.request

import pytest
from booting import Task
from harness import files_of, manifests_of, wait_for
from restoring import KEY, attach, restored, scroll
from server import SERVERS, Server, free_port

NODE = "node-a"
# What `ls --json` calls otherwise, or leaves to `show`.
ELSEWHERE = {"format", "node", "data", "qdrant_checksum", "written_by", "seconds"}


def manifests(base):
    folders = ("drills", "heartbeat", "restores", "stops", "deleted")
    return {p.stem: json.loads(p.read_text()) for p in manifests_of(base) if p.relative_to(base).parts[0] not in folders}


def test_the_tree_holds_what_a_node_can_leave(old):
    kinds = {(m["kind"], m["frequency"]) for m in manifests(old.base).values()}
    assert kinds >= {("collection", f) for f in ("15min", "hourly", "daily", "monthly")} | {("shard", "monthly"), ("storage", "monthly")}
    assert {m.get("origin") for m in manifests(old.base).values()} == {None, "upload"}
    assert any("fingerprint" in m and m["aliases"] for m in manifests(old.base).values() if "aliases" in m)
    for pattern in ("*/*/*.s3", "drills/*/*", "heartbeat/*/*", "restores/*/*", "stops/*/*", "deleted/%all/*", f"deleted/{NODE}/*"):
        assert list(old.base.glob(pattern)), pattern


def test_every_backup_is_listed_as_its_manifest_says(old):
    listed = {(b["collection"], b["snapshot"]): b for b in old.ls()}
    said = {(m["collection"], m["snapshot"]): m for m in manifests(old.base).values()}
    assert set(listed) == set(said) and {b["state"] for b in listed.values()} == {"complete"}
    for key, manifest in said.items():
        known = {name: value for name, value in manifest.items() if name not in ELSEWHERE}
        assert {name: listed[key].get(name) for name in known} == known
        assert listed[key]["node"] == manifest["node"]["name"] and listed[key]["path"].endswith(manifest["data"])
    assert {b["collection"] for b in listed.values() if "deleted" in b} == {"dropped"}


def test_every_byte_is_verified_and_one_that_is_spoilt_is_found(old, efs):
    run = old.efs_tool("verify", "--deep")
    assert run.returncode == 0 and f"{len(manifests(old.base))} verified, 0 defective" in run.stdout, run.stdout + run.stderr
    efs.spoil(next(m["snapshot"] for m in manifests(old.base).values() if m["kind"] == "shard"))
    assert old.efs_tool("verify", "--deep").returncode != 0


def test_it_is_pruned_as_the_retention_says_and_the_newest_of_each_tier_stays(old):
    before = manifests(old.base)
    run = old.efs_tool("prune", RETENTION="15min=1h,hourly=1,daily=1,monthly=1")
    assert run.returncode == 0, run.stderr
    gone = set(before) - set(manifests(old.base))
    # All else is of the last hour of its node; of two nodes and the tiers above, the newest each.
    assert gone == {"history-7-2026-11-01-09-00-05", "history-7-2026-11-01-09-15-05"}
    left = [f for f in files_of(old.base) for stem in gone if stem in f]
    assert left == [] and old.efs_tool("verify").returncode == 0


def test_the_programs_own_records_are_read(old):
    port = free_port()
    old.start(STATUS_LISTEN=f"127.0.0.1:{port}", NODE_NAME=NODE, DRILL_SCHEDULE="daily")

    def drill():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status") as reply:
            return json.load(reply)["drill"] or {"time": None}
    record = json.loads(next(old.base.glob("drills/*/*.json")).read_text())
    wait_for(lambda: drill()["time"] == record["time"], 60)
    assert not [line for line in old.log() if "unreadable" in line["event"]]
    told = old.efs_tool("replica", "--json")
    report = json.loads(told.stdout)
    beat, = (b for b in report["heartbeats"] if b["node"] == NODE)
    assert beat["path"] and beat["passed_over"] == [] and report["by"] == "heartbeat"


@pytest.mark.parametrize("kind", SERVERS)
def test_each_collection_is_restored_with_its_points_and_aliases(old, expected, kind, tmp_path):
    with Server(kind, tmp_path / "server", api_key=KEY) as server:
        attach(old, server)
        for name, points in expected.items():
            report, = restored(old, "--collection", name)
            assert report["verdict"] in ("restored", "proven", "unproven"), report
            assert scroll(server, name) == points, name
        assert {a["alias_name"] for a in server.result("GET", "/aliases")["aliases"]} == {"current", "größe 🎉"}


@pytest.mark.parametrize("kind", SERVERS)
def test_an_empty_node_comes_back_from_it_without_what_was_deleted(efs, expected, kind, tmp_path):
    task = Task(kind, tmp_path / "task", efs, NODE_NAME=NODE, RESTORE_ON_EMPTY="latest")
    try:
        task.start()
        assert task.wait_restored()["state"] == "done"
        assert task.points() == expected
    finally:
        task.end()
