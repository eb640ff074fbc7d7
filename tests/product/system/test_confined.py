"""CONFINE_REPLICATOR: the replicator opens what it needs, whoever leads it elsewhere."""
import ctypes
import pathlib
import re
import subprocess
import sys

import pytest
from harness import BUILD, events, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "drill"))
needs_landlock = pytest.mark.skipif(ctypes.CDLL(None).syscall(444, None, 0, 1) < 2, reason="needs a kernel with Landlock (5.19)")
ON = {"CONFINE_REPLICATOR": "on"}
OFF = [{}, {"CONFINE_REPLICATOR": "off"}, {"CONFINE": "off", **ON}]
FIRST = "c-1-2026-11-24-08-00-00"


@pytest.fixture
def elsewhere(tree):
    folder = tree.root / "elsewhere"
    folder.mkdir()
    return folder


def names_in(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


@needs_landlock
@pytest.mark.parametrize("env, led", [(ON, False)] + [(env, True) for env in OFF])
def test_what_is_written_through_a_link_on_efs_goes_nowhere(tree, elsewhere, env, led):
    """Heartbeats follow links, as the tree's folder may be one."""
    tree.base.mkdir()
    (tree.base / "heartbeat").symlink_to(elsewhere)
    tree.snapshot("c", FIRST, b"one")
    tree.start(**env)
    wait_for(lambda: tree.logged("published"))
    wait_for(lambda: names_in(elsewhere) or tree.logged("heartbeat_failed"))
    assert bool(names_in(elsewhere)) == led
    if not led:
        assert "Permission denied" in tree.logged("heartbeat_failed")[0]["message"]
    assert tree.logged("not_confined") == []


@needs_landlock
def test_what_takes_the_place_of_an_empty_folder_is_written_to(tree):
    """As a mount that comes late; the folder that was there at the start is another one."""
    tree.start(**ON)
    tree.efs.rename(tree.root / "aside")
    tree.efs.mkdir()
    tree.snapshot("c", FIRST, b"one")
    wait_for(lambda: tree.logged("published"))
    assert tree.logged("not_confined") == [] and names_in(tree.root / "aside") == []


@needs_landlock
def test_a_link_within_what_is_allowed_is_followed_and_folders_that_come_later_too(tree):
    tree.snapshots.rename(tree.root / "on-the-disk")
    tree.snapshots.symlink_to(tree.root / "on-the-disk")
    tree.start(**ON)
    tree.snapshot("c", FIRST, b"one")
    wait_for(lambda: tree.logged("published"))
    tree.snapshot("later", FIRST.replace("c", "later", 1), b"another")
    wait_for(lambda: len(tree.logged("published")) == 2)


@needs_landlock
def test_what_it_cannot_be_confined_to_is_said_and_backups_are_made(tree):
    tree.snapshot("c", FIRST, b"one")
    run = tree.once(QDRANT__STORAGE__STORAGE_PATH="/not-there/storage", **ON)
    said = [line for line in events(run.stderr) if line["event"] == "not_confined"]
    assert run.returncode == 0 and len(said) == 1
    assert said[0]["level"] == "warn" and "/not-there/storage" in said[0]["message"]


def test_where_the_kernel_has_no_landlock_it_says_so_once(tree):
    from test_drill_confined import without_landlock
    tree.snapshot("c", FIRST, b"one")
    run = subprocess.run([BUILD / "qdrant-replicator", "--once"], env=tree.env | ON, capture_output=True, text=True,
                         preexec_fn=without_landlock, timeout=120)
    said = [line["message"] for line in events(run.stderr) if line["event"] == "not_confined"]
    assert run.returncode == 0 and len(said) == 1 and "no Landlock" in said[0]
    run = subprocess.run([BUILD / "qdrant-replicator", "--once"], env=tree.env | {"CONFINE_REPLICATOR": "off"}, capture_output=True,
                         text=True, preexec_fn=without_landlock, timeout=120)
    assert run.returncode == 0 and "not_confined" not in run.stderr


@needs_landlock
def test_nothing_gives_it_more_rights(tree):
    p = tree.start(**ON)
    assert re.search(r"^NoNewPrivs:\t1$", pathlib.Path(f"/proc/{p.pid}/status").read_text(), re.M)


def test_a_wrong_word_is_refused(tree):
    run = tree.once(CONFINE_REPLICATOR="maybe")
    assert run.returncode == 64 and "CONFINE_REPLICATOR" in run.stderr and "off or on" in run.stderr
