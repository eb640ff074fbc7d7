"""An EFS that is not mounted: backups on the task's own disk are made, and never called safe."""
import json

import pytest
from harness import tar_of, wait_for
from server import SERVERS, Server, free_port
from status_of import get, reasons

NAMES = ["c-1-2026-11-24-07-59-23", "c-1-2026-11-24-08-14-23"]
UNMOUNTED = {"EFS_ALLOW_LOCAL": ""}


def test_the_replicator_publishes_fails_health_and_deletes_nothing(tree):
    for name in NAMES:
        tree.snapshot("c", name, tar_of(name))
    port = free_port()
    tree.start(STATUS_LISTEN=f"127.0.0.1:{port}", LOCAL_KEEP="0", **UNMOUNTED)
    wait_for(lambda: len(tree.logged("published")) == 2)
    wait_for(lambda: "efs_is_local" in reasons(port))
    assert get(port, "/health")[0] == 503 and "not mounted" in reasons(port)["efs_is_local"]["message"]
    status, metrics = json.loads(get(port, "/status")[1]), get(port, "/metrics")[1].splitlines()
    assert status["efs"]["local"] is True and status["efs"]["usable"] is True and status["queue"]["failing"] == 0
    assert "qdrant_backup_efs_local 1" in metrics and "qdrant_backup_healthy 0" in metrics
    line, = tree.logged("efs_is_local")
    assert line["level"] == "error" and str(tree.efs) in line["message"] and "EFS_ALLOW_LOCAL" in line["message"]
    assert not tree.logged("deleted_locally") and len(list(tree.snapshots.rglob("*.snapshot"))) == 2


def test_where_it_is_allowed_all_is_well(tree):
    tree.snapshot("c", NAMES[0], tar_of("x"))
    port = free_port()
    tree.start(STATUS_LISTEN=f"127.0.0.1:{port}", LOCAL_KEEP="0", EFS_ALLOW_LOCAL="1")
    wait_for(lambda: tree.logged("deleted_locally"))
    assert json.loads(get(port, "/status")[1])["efs"]["local"] is False and "efs_is_local" not in reasons(port)
    assert "qdrant_backup_efs_local 0" in get(port, "/metrics")[1].splitlines() and not tree.logged("efs_is_local")


def test_once_fails_although_all_is_there(tree):
    for name in NAMES:
        tree.snapshot("c", name, tar_of(name))
    run = tree.once(LOCAL_KEEP="0", **UNMOUNTED)
    assert run.returncode == 1 and '"efs_is_local"' in run.stderr and '"not_safe"' in run.stderr
    assert len(tree.complete()) == 2 and len(list(tree.snapshots.rglob("*.snapshot"))) == 2
    assert tree.once(LOCAL_KEEP="0").returncode == 0  # allowed: they are let go
    assert not list(tree.snapshots.rglob("*.snapshot"))
    run = tree.once(**UNMOUNTED)
    assert run.returncode == 1 and '"not_safe"' not in run.stderr, "nothing to publish is no excuse"


def test_the_tool_for_people_warns_and_goes_on(tree):
    tree.snapshot("c", NAMES[0], tar_of("x"))
    assert tree.once().returncode == 0
    run = tree.efs_tool("ls", "--json", **UNMOUNTED)
    assert run.returncode == 0 and len(json.loads(run.stdout)) == 1
    assert run.stderr.count("\n") == 1 and "warning" in run.stderr and "EFS_ALLOW_LOCAL" in run.stderr
    assert tree.efs_tool("ls").stderr == ""
    for args in (["drill"], ["verify"], ["du"], ["show", NAMES[0]], ["prune", "--dry-run"], ["forget", "c", "--dry-run"],
                 ["restore", "--to", str(tree.root / "out")], ["replica"]):
        said = tree.efs_tool(*args, QDRANT_BIN="/nowhere", RETENTION="daily=1", **UNMOUNTED).stderr
        assert said.count("is on a local disk, not on EFS") == 1, args
        assert "is on a local disk" not in tree.efs_tool(*args, "--json", QDRANT_BIN="/nowhere", RETENTION="daily=1").stderr, args
    other = tree.root / "other"
    other.mkdir()
    said = tree.efs_tool("replica", "--primary", str(other), **UNMOUNTED).stderr
    assert f"warning: {other} is on a local disk" in said
    assert "local disk" not in tree.efs_tool("restore", "--from-s3", **UNMOUNTED).stderr  # EFS is not asked


@pytest.mark.parametrize("kind", SERVERS[:1])
def test_a_snapshot_by_hand_is_not_called_safe(tree, kind, tmp_path):
    with Server(kind, tmp_path / "q") as q:
        q.result("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
        port = free_port()
        env = UNMOUNTED | {"QDRANT_URL": q.url, "SNAPSHOTS_DIR": str(q.snapshots), "STATUS_LISTEN": f"127.0.0.1:{port}"}
        tree.start(**env)
        run = tree.replicator("snapshot", **env)
    assert run.returncode == 1 and "1 of 1 on EFS" in run.stdout and "NOT SAFE" in run.stderr, run.stdout + run.stderr
