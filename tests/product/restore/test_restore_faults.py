"""Clocks that ran ahead, a file system that gives errors, and one that hangs."""
import calendar
import json
import os
import signal
import time

import pytest
from faulty_mount import ended, faulty, hung
from harness import patience, tar_of
from restoring import data_of, publish, restore, restored

OLD, NEWER, NEWEST = (f"c-1-2026-11-{d}-08-00-00" for d in ("20", "23", "24"))
FUTURE = "c-1-2036-01-01-00-00-00"


@pytest.fixture
def full(tree):
    for name in (OLD, NEWER, NEWEST):
        tree.snapshot("c", name, tar_of(name))
    publish(tree)
    return tree


def manifest_of(tree, name):
    return data_of(tree, name).with_name(f"{name}.json")


def to_file(tree, *args, **env):
    out = tree.root / "out"
    out.unlink(missing_ok=True)
    return restore(tree, "--json", "--to", str(out), *args, **env)


def future(tree, written):
    """A backup of a node whose clock was ten years ahead; the file system's own clock says when it was published."""
    tree.snapshot("c", FUTURE, tar_of(FUTURE))
    publish(tree)
    path = manifest_of(tree, FUTURE)
    # As older programs wrote it: created when its name says.
    created = "2036-01-01T00:00:00Z" if written > time.time() else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(written))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": created}))
    os.utime(path, (written, written))


def at(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%d"))


def test_a_time_in_the_future_does_not_make_a_backup_the_newest(full):
    future(full, at("2026-11-21"))
    run = to_file(full)
    assert run.returncode == 0 and json.loads(run.stdout)[0]["snapshot"] == NEWEST
    one, = json.loads(to_file(full, "--at", "2026-11-22").stdout)  # by its manifest it is of the 21st
    assert (one["snapshot"], one["clock_ahead"]) == (FUTURE, False) and one["age_seconds"] > 86400


def test_what_says_that_it_was_created_after_it_was_written_is_passed_over(full):
    future(full, at("2026-11-21"))
    path = manifest_of(full, FUTURE)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": "2026-11-22T00:00:00Z"}))
    os.utime(path, (at("2026-11-21"),) * 2)
    one, = json.loads(to_file(full).stdout)
    assert one["snapshot"] == NEWEST
    for when in "2026-11-22", "2026-11-23":
        one, = json.loads(to_file(full, "--at", when).stdout)
        assert one["snapshot"] != FUTURE


def test_who_restores_one_from_the_future_is_told_and_never_that_it_is_new(full):
    future(full, time.time() + 3650 * 86400)  # nothing tells when it was
    assert json.loads(to_file(full).stdout)[0]["snapshot"] == NEWEST
    (full.root / "out").unlink()
    run = restore(full, "--to", str(full.root / "out"), "--snapshot", FUTURE)
    assert run.returncode == 0 and "0 min old" not in run.stdout
    assert "of an unknown age" in run.stdout and "ran ahead" in run.stdout


@pytest.mark.parametrize("fault", ["EIO", "ELOOP", "a folder"])
@pytest.mark.parametrize("which", [OLD, NEWEST])
def test_one_manifest_that_cannot_be_read_does_not_fail_the_rest(full, fault, which):
    path, env = manifest_of(full, which), {}
    if fault == "EIO":
        env = faulty(EIO=f"{which}.json")
    else:
        path.unlink()
        path.symlink_to(path.name) if fault == "ELOOP" else path.mkdir()
    run = to_file(full, **env)
    one, = json.loads(run.stdout)
    assert run.returncode == 0 and one["snapshot"] == (NEWEST if which == OLD else NEWER), run.stderr
    assert len(one["skipped"]) == (which == NEWEST) and (which == OLD or which in run.stderr)
    assert to_file(full, "--strict", **env).returncode == (which == NEWEST)
    state = {b["snapshot"]: b["state"] for b in json.loads(full.efs_tool("ls", "--json", **env).stdout)}
    assert state[which] == ("corrupt" if fault == "a folder" else "unreadable")


def test_when_nothing_else_is_good_one_that_cannot_be_read_is_an_error(full):
    for name in (OLD, NEWER, NEWEST):
        path = manifest_of(full, name)
        path.unlink()
        path.symlink_to(path.name)
    run = to_file(full)
    assert run.returncode == 1 and run.stderr.count("unreadable") == 3 and "no good backup" in run.stderr


def test_a_folder_that_cannot_be_listed_fails_at_the_end_and_the_others_come_back(full):
    full.snapshot("d", "d-1-2026-11-24-08-00-00", tar_of("d"))
    publish(full)
    out = full.root / "all"
    out.mkdir()
    folder = data_of(full, NEWEST).parent
    env = faulty(EIO=str(folder))
    run = restore(full, "--to", str(out), **env)
    assert run.returncode == 1 and run.stderr.count(f"cannot list {folder}") == 1
    names = {p.name for p in out.iterdir()}
    assert "d-1-2026-11-24-08-00-00.snapshot" in names and f"{NEWEST}.snapshot" not in names
    assert len(names) == 2  # of c the newest of another tier, which can be listed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["a manifest", "the data"])
def test_a_signal_ends_a_restore_that_hangs_on_efs_within_two_seconds(full, number, where):
    hang = f"{NEWEST}.json" if where == "a manifest" else data_of(full, NEWEST).name
    code, seconds, err = ended(hung(full, "restore", hang, "--to", str(full.root / "out")), number)
    assert code == 128 + number and seconds < 2 * patience() and f"signal {int(number)}" in err


def test_a_second_signal_ends_it_at_once(full):
    p = hung(full, "restore", f"{NEWEST}.json", "--to", str(full.root / "out"))
    p.send_signal(signal.SIGINT)
    time.sleep(0.2)
    code, seconds, _ = ended(p, signal.SIGINT)
    assert code == 128 + signal.SIGINT and seconds < 1


@pytest.mark.parametrize("command", ["ls", "du", "verify", "restore"])
def test_with_a_collection_named_no_other_folder_is_looked_at(full, command):
    full.snapshot("another", "another-1-2026-11-24-08-00-00", tar_of("another"))
    publish(full)
    env = faulty(EIO="/another")
    run = full.efs_tool(command, *(["--dry-run", "--to", "x"] if command == "restore" else []), **env)
    assert "another" in run.stderr  # the fault is one
    args = ["--to", str(full.root / "out")] if command == "restore" else []
    run = full.efs_tool(command, "--collection", "c", *args, **env)
    assert run.returncode == 0 and run.stderr == "", run.stderr
