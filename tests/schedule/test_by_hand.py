"""qdrant-replicator snapshot [COLLECTION...]: one run by hand."""
import signal
import subprocess
import time

import pytest
from bad_server import silence, status
from harness import BUILD, events, wait_for
from scheduling import DAY, fill
from server import free_port


def snapshot(tree, *arguments, seconds=60, **env):
    return subprocess.run([BUILD / "qdrant-replicator", "snapshot", *arguments], env=tree.env | env, capture_output=True, text=True,
                          timeout=seconds)


def on_efs(tree):
    return {c for _, c, _ in tree.complete()}


def test_it_makes_one_of_each_collection_and_ends_when_they_are_on_efs(qdrant, tree):
    fill(qdrant, "a", "b")
    tree.start()
    run = snapshot(tree)
    assert run.returncode == 0, run.stderr
    assert on_efs(tree) == {"a", "b"} and len(tree.ls()) == 2


def test_it_obeys_collections(bad, tree):
    bad.names = ["a", "b", "tmp1"]
    tree.start()
    assert snapshot(tree, COLLECTIONS="*,!tmp*").returncode == 0
    assert sorted(bad.order()) == ["a", "b"]


def test_it_makes_those_that_are_named_whatever_the_patterns_say(bad, tree):
    bad.names = ["a", "b", "größe 🎉", "tmp1"]
    tree.start()
    assert snapshot(tree, "tmp1", "größe 🎉", COLLECTIONS="!tmp*").returncode == 0
    assert sorted(bad.order()) == ["größe 🎉", "tmp1"] and on_efs(tree) == {"größe 🎉", "tmp1"}


def test_it_serves_again_what_the_schedule_has_served(bad, tree):
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: len(tree.complete()) == 1)
    time.sleep(1)  # the names have whole seconds
    assert snapshot(tree, SNAPSHOT_INTERVAL=DAY).returncode == 0
    assert len(bad.order()) == 2 and len(tree.complete()) == 2


def test_with_no_wait_it_ends_when_they_are_made(bad, tree):
    run = snapshot(tree, "--no-wait", EFS_ROOT=str(tree.root / "not-mounted"))
    assert run.returncode == 0, run.stderr
    assert bad.order() == ["c"] and len(list(tree.snapshots.glob("c/*.snapshot"))) == 1 and tree.complete() == set()


def test_one_that_fails_is_named_and_the_others_are_made(bad, tree):
    bad.names = ["a", "bad", "c"]
    bad.answers[("make", "bad")] = status(500)
    tree.start()
    begin = time.monotonic()
    run = snapshot(tree)
    assert run.returncode == 1 and time.monotonic() - begin < 20
    assert "bad" in run.stdout + run.stderr and "500" in run.stdout + run.stderr
    assert on_efs(tree) == {"a", "c"}


def test_a_collection_that_is_not_there_is_named(bad, tree):
    tree.start()
    run = snapshot(tree, "c", "nope")
    assert run.returncode == 1 and "nope" in run.stdout + run.stderr
    assert bad.order() in ([], ["c"]), "all that are there, or none for a typing error"


def test_a_qdrant_that_is_not_there_is_not_waited_for(tree):
    begin = time.monotonic()
    run = snapshot(tree)
    assert run.returncode == 1 and time.monotonic() - begin < 10
    assert "127.0.0.1:1" in run.stdout + run.stderr


def test_a_wrong_key_is_told(bad, tree):
    for what in ("collections", "make", "listing", "metrics"):
        bad.answers[(what, None)] = status(401, "Invalid API key or JWT")
    run = snapshot(tree, QDRANT_API_KEY="k3y-that-nobody-may-see")
    assert run.returncode == 1 and "401" in run.stdout + run.stderr and "k3y" not in run.stdout + run.stderr
    assert not bad.asked("make")


def test_a_disk_without_room_is_a_failure(bad, tree):
    run = snapshot(tree, MIN_FREE="900t")
    assert run.returncode == 1 and "MIN_FREE" in run.stdout + run.stderr and not bad.asked("make")


def test_a_timeout_is_obeyed(bad, tree):
    bad.answers[("make", "c")] = silence
    begin = time.monotonic()
    assert snapshot(tree, SNAPSHOT_TIMEOUT="2s").returncode == 1 and time.monotonic() - begin < 8


def test_one_that_nobody_puts_on_efs_is_no_success(bad, tree):
    """Without a replicator at work, which its status page would tell, it says that it was not done."""
    run = snapshot(tree, STATUS_LISTEN=f"127.0.0.1:{free_port()}", seconds=20)
    assert run.returncode == 1 and bad.order() == ["c"] and "--once" in run.stdout + run.stderr


def test_one_that_is_being_made_already_is_told(bad, tree):
    bad.names, bad.running = ["busy", "free"], {"busy": 1}
    run = snapshot(tree, "--no-wait")
    assert run.returncode == 1 and "busy" in run.stdout + run.stderr and bad.order() == ["free"]


def test_ctrl_c_ends_the_waiting(bad, tree):
    bad.answers[("make", "c")] = silence
    p = subprocess.Popen([BUILD / "qdrant-replicator", "snapshot"], env=tree.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(lambda: bad.asked("make"))
    p.send_signal(signal.SIGINT)
    assert p.wait(3) == 1


@pytest.mark.parametrize("arguments", [["--bogus"], ["--once"], ["--no-wait=1"], ["c", "--no-such-setting", "1"]])
def test_wrong_use_is_one_line_and_code_64(bad, tree, arguments):
    run = snapshot(tree, *arguments)
    assert run.returncode == 64 and len(events(run.stderr)) == 1 and not bad.asked("make")


def test_its_settings_can_be_flags(bad, tree):
    bad.names = ["a", "b"]
    tree.env.pop("QDRANT_URL")
    assert snapshot(tree, "--no-wait", "--qdrant-url", bad.url, "--collections=a").returncode == 0
    assert bad.order() == ["a"]
