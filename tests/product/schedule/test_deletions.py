"""A collection that somebody deletes in Qdrant leaves a tombstone on EFS; nothing else does."""
import json
import time
import urllib.request

import pytest
from harness import wait_for
from scheduling import attach, fill, from_now, made
from server import SERVERS, Server, free_port

SLOT = 3  # seconds; a look comes as often


def tombstones(tree):
    return [json.loads(p.read_text()) for p in tree.base.glob("deleted/*/*.json")]


def backed_up(tree, *names):
    wait_for(lambda: {c for _, c, _ in tree.complete()} >= set(names))


def reasons(port):
    """Of a health that is degraded: it answers 200 then."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as reply:
        told = json.load(reply)
    return [r["code"] for r in told["reasons"] if told["status"] == "degraded"]


def looks(tree, n=3):
    """Time for so many looks, by the replicator's own clock."""
    time.sleep(n * SLOT + 1)


def test_a_deleted_collection_leaves_a_tombstone_that_goes_when_it_is_made_anew(qdrant, tree):
    fill(qdrant, "docs", "keep")
    tree.start(**from_now(SLOT), NODE_NAME="n1")
    backed_up(tree, "docs", "keep")
    qdrant.result("DELETE", "/collections/docs")
    deleted = time.time()
    wait_for(lambda: tree.logged("collection_deleted"))
    t, = tombstones(tree)
    assert (t["collection"], t["node"], t["forgotten"], t["format"]) == ("docs", "n1", False, 1)
    assert abs(time.mktime(time.strptime(t["deleted"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - deleted) <= 3 * SLOT
    line, = tree.logged("collection_deleted")
    assert line["level"] == "info" and "RESTORE_DELETED=1" in line["message"] and line["collection"] == "docs"
    assert "collection deleted" in tree.efs_tool("ls", "--collection", "docs").stdout
    assert all("deleted" in b for b in tree.ls() if b["collection"] == "docs")
    assert not any("deleted" in b for b in tree.ls() if b["collection"] == "keep")
    fill(qdrant, "docs")
    wait_for(lambda: tree.logged("tombstone_removed") and tombstones(tree) == [])


def test_the_last_collection_may_be_deleted_too(qdrant, tree):
    fill(qdrant, "docs")
    tree.start(**from_now(SLOT))
    backed_up(tree, "docs")
    qdrant.result("DELETE", "/collections/docs")
    wait_for(lambda: [t["collection"] for t in tombstones(tree)] == ["docs"])
    assert tree.base.joinpath("deleted/-/docs.json").exists()


def test_an_empty_disk_is_no_deletion(qdrant, tree):
    fill(qdrant, "docs", "keep")
    p = tree.start(**from_now(SLOT))
    backed_up(tree, "docs", "keep")
    qdrant.stop()
    import shutil
    shutil.rmtree(qdrant.storage)
    qdrant.start()  # under the same replicator
    looks(tree)
    assert tombstones(tree) == [] and p.poll() is None
    tree.stop()
    tree.start(**from_now(SLOT))  # and under a new one
    looks(tree)
    assert tombstones(tree) == []


def test_a_restart_of_qdrant_with_its_disk_is_no_deletion(qdrant, tree):
    fill(qdrant, "docs")
    tree.start(**from_now(SLOT))
    backed_up(tree, "docs")
    for _ in range(2):
        qdrant.stop()
        looks(tree, 1)
        qdrant.start()
        looks(tree, 1)
    looks(tree)
    assert tombstones(tree) == []


def test_a_name_that_became_an_alias_is_no_deletion(qdrant, tree):
    fill(qdrant, "docs", "docs-v2")
    tree.start(**from_now(SLOT))
    backed_up(tree, "docs", "docs-v2")
    qdrant.result("DELETE", "/collections/docs")
    qdrant.result("POST", "/collections/aliases", {"actions": [{"create_alias": {"alias_name": "docs", "collection_name": "docs-v2"}}]})
    looks(tree)
    assert tombstones(tree) == []


@pytest.mark.parametrize("kind", SERVERS)
def test_a_qdrant_that_is_another_node_has_lost_nothing(kind, tree, tmp_path):
    """What stands behind QDRANT_URL is exchanged for another one, on the same address."""
    with Server(kind, tmp_path / "one") as one:
        fill(one, "docs", "other")
        attach(tree, one)
        tree.start(**from_now(SLOT))
        backed_up(tree, "docs", "other")
        one.stop()
        with Server(kind, tmp_path / "two", port=one.port) as two:
            fill(two, "other")
            looks(tree)
            assert tombstones(tree) == []
        tree.stop()


def test_qdrant_in_recovery_mode_has_lost_nothing(bad, tree):
    bad.names = ["c", "d"]
    tree.start(**from_now(SLOT))
    backed_up(tree, "c", "d")
    bad.recovery_mode, bad.names = True, ["c"]
    looks(tree)
    assert tombstones(tree) == []


def test_a_qdrant_that_does_not_tell_which_process_it_is_has_lost_nothing(bad, tree):
    bad.names = ["c", "d"]
    tree.start(**from_now(SLOT))
    backed_up(tree, "c", "d")
    bad.names = ["c"]
    looks(tree)
    assert tombstones(tree) == []


def test_a_collection_that_was_never_backed_up_leaves_none(qdrant, tree):
    fill(qdrant, "docs", "tmp_1")
    tree.start(**from_now(SLOT), COLLECTIONS="*,!tmp_*")
    backed_up(tree, "docs")
    looks(tree, 1)
    qdrant.result("DELETE", "/collections/tmp_1")
    looks(tree)
    assert tombstones(tree) == []


def test_a_tombstone_that_covers_no_backup_any_more_is_swept(qdrant, tree):
    import shutil
    fill(qdrant, "docs")
    tree.start(**from_now(SLOT))
    backed_up(tree, "docs")
    qdrant.result("DELETE", "/collections/docs")
    wait_for(lambda: tombstones(tree))
    tree.stop()
    for folder in tree.base.glob("*/docs"):
        shutil.rmtree(folder)
    shutil.rmtree(tree.snapshots / "docs")
    assert tree.once().returncode == 0
    assert tombstones(tree) == []


def test_a_deletion_that_efs_does_not_take_is_said_and_tried_again_until_it_does(qdrant, tree):
    fill(qdrant, "docs")
    port = free_port()
    tree.start(**from_now(SLOT), STATUS_LISTEN=f"127.0.0.1:{port}")
    backed_up(tree, "docs")
    (tree.base / "deleted").write_text("a file, where a folder should be")
    qdrant.result("DELETE", "/collections/docs")
    wait_for(lambda: tree.logged("tombstone_failed"))
    wait_for(lambda: "tombstone_failed" in reasons(port))
    assert made(tree)
    (tree.base / "deleted").unlink()
    wait_for(lambda: [t["collection"] for t in tombstones(tree)] == ["docs"])
    wait_for(lambda: "tombstone_failed" not in reasons(port))
    assert len(tree.logged("collection_deleted")) == 1


def test_a_collection_that_a_restore_has_deleted_and_is_about_to_bring_back_has_no_tombstone(qdrant, tree):
    """restore --recreate: Qdrant receives the upload into its folder for these, and shows it nowhere else."""
    fill(qdrant, "docs", "keep")
    tree.start(**from_now(SLOT))
    backed_up(tree, "docs", "keep")
    upload = qdrant.snapshots / "tmp" / "upload" / ".tmpAbCdEf"
    upload.parent.mkdir(parents=True, exist_ok=True)
    upload.write_bytes(b"half of it")
    qdrant.result("DELETE", "/collections/docs")
    looks(tree)
    assert tombstones(tree) == []


def test_a_swap_that_was_killed_before_it_gave_the_name_has_deleted_nothing_on_purpose(qdrant, tree):
    fill(qdrant, "docs", "docs-20261124080000", "keep")
    tree.start(**from_now(SLOT))
    backed_up(tree, "docs", "keep")
    qdrant.result("DELETE", "/collections/docs")
    qdrant.result("DELETE", "/collections/keep")
    wait_for(lambda: [t["collection"] for t in tombstones(tree)] == ["keep"])
    looks(tree, 1)
    assert len(tombstones(tree)) == 1
