"""Links that somebody made on EFS: a backup is neither written nor read through one."""
import json

import pytest
from harness import events

OLD, NEW = "c-1-2026-11-24-08-00-00", "c-1-2026-11-24-08-15-00"


def moved_away(tree, path):
    """The folder is elsewhere, and a link in its place."""
    elsewhere = tree.root / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    return elsewhere


@pytest.mark.parametrize("which", ["collection", "frequency", "tree"])
def test_nothing_is_published_through_a_link(tree, which):
    tree.snapshot("c", "c-1-2026-09-24-08-00-00", b"one")
    assert tree.once().returncode == 0
    folder = tree.base / "monthly" / "c"
    elsewhere = moved_away(tree, {"collection": folder, "frequency": folder.parent, "tree": tree.base}[which])
    before = sorted(elsewhere.rglob("*"))
    tree.snapshot("c", "c-1-2026-10-24-08-00-00", b"two")  # monthly, as the first
    tree.snapshot("d", "d-1-2026-11-24-08-00-00", b"another")
    run = tree.once()
    assert run.returncode == 1
    failed = [line["message"] for line in events(run.stderr) if line["event"] == "publish_failed"]
    assert failed and all("a link" in text for text in failed)
    assert [p for p in sorted(elsewhere.rglob("*")) if p.is_file() and p not in before and "heartbeat" not in p.parts] == []


def test_data_that_is_a_link_is_no_good_and_the_older_backup_is_taken(tree):
    tree.snapshot("c", OLD, b"one")
    tree.snapshot("c", NEW, b"two")
    assert tree.once().returncode == 0
    data = next(tree.base.rglob(f"{NEW}.snapshot*.zst"), None) or next(tree.base.rglob(f"{NEW}.snapshot"))
    moved_away(tree, data)
    out = tree.root / "out"
    run = tree.efs_tool("restore", "--collection", "c", "--to", str(out), "--json")
    assert run.returncode == 0 and json.loads(run.stdout)[0]["snapshot"] == OLD, run.stderr
    assert tree.efs_tool("verify").returncode == 1


def test_data_behind_a_linked_folder_is_not_read_and_that_of_another_tier_is(tree):
    tree.snapshot("c", OLD, b"one")
    tree.snapshot("c", NEW, b"two")
    assert tree.once().returncode == 0
    moved_away(tree, next(tree.base.rglob(f"{NEW}.json")).parent)
    out = tree.root / "out"
    run = tree.efs_tool("restore", "--collection", "c", "--to", str(out), "--json")
    assert run.returncode == 0 and json.loads(run.stdout)[0]["snapshot"] == OLD, run.stderr
    verify = tree.efs_tool("verify")
    assert verify.returncode == 1 and "a link" in verify.stderr
