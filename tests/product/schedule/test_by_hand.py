"""qdrant-replicator snapshot [COLLECTION...]: one run by hand."""
import calendar
import json
import signal
import subprocess
import time

import bad_server
import pytest
from bad_server import silence, status
from faulty_mount import ended, faulty
from harness import BUILD, events, tar_of, wait_for
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
    for name in ("a", "b"):  # what it looked at reaches the replicator that publishes
        manifest = json.loads(next(tree.base.glob(f"*/{name}/*.json")).read_text())
        assert manifest["fingerprint"]["exact"] and manifest["fingerprint"]["after"]["points"] == 5 and manifest["aliases"] == []
        data = tree.base / manifest["frequency"] / name / manifest["data"]
        assert data.stat().st_mode & 0o777 == 0o600  # as Qdrant's own
    assert not list(tree.snapshots.glob("*/.*"))


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
    run = snapshot(tree, SNAPSHOT_INTERVAL=DAY)
    assert run.returncode == 0 and len(bad.order()) == 2 and len(tree.complete()) == 2


@pytest.mark.parametrize("policy, seconds", [("15min=2h,monthly=3", 2 * 3600), ("15min=8,monthly=3", 8 * 900)], ids=["age", "count"])
def test_its_last_line_says_until_when_the_running_replicator_keeps_it(bad, tree, policy, seconds):
    port = {"STATUS_LISTEN": f"127.0.0.1:{free_port()}"}
    tree.start(RETENTION=policy, **port)
    first = snapshot(tree, **port).stdout.splitlines()[-1]
    assert first.startswith("1 in monthly, kept until ") and "RETENTION lets it go (monthly=3)" in first
    for _ in range(4):  # until one finds its month, its day and its hour served
        time.sleep(1)  # the names have whole seconds
        last = snapshot(tree, **port).stdout.splitlines()[-1]
    newest = max(tree.ls(), key=lambda b: b["created"])
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(calendar.timegm(time.strptime(newest["slot"], "%Y-%m-%dT%H:%M:%SZ")) + seconds))
    assert newest["frequency"] == "15min" and f"1 in 15min, kept until {until}: then RETENTION lets it go ({policy.split(',')[0]})" in last
    assert "To keep one for longer: qdrant-efs pin SNAPSHOT" in last


def test_it_pins_what_it_has_made_and_says_why(qdrant, tree):
    fill(qdrant, "a", "b")
    tree.start()
    run = snapshot(tree, "a", "--pin", "--note", "before the migration")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1].startswith("pinned: RETENTION does not let them go")
    assert snapshot(tree, "b", "--note", "no pin").returncode == 0
    assert {b["collection"]: (b["pinned"], b["note"]) for b in tree.ls()} == {"a": (True, "before the migration"), "b": (False, "no pin")}


@pytest.mark.parametrize("args,words", [(["--pin", "--no-wait"], "not with --no-wait"), (["--note", "a\nb"], "one line of UTF-8"),
                                        (["--note"], "--note")], ids=["no-wait", "two lines", "nothing"])
def test_it_refuses_a_pin_that_it_could_not_set(bad, tree, args, words):
    run = snapshot(tree, *args)
    assert run.returncode == 64 and words in run.stderr and bad.order() == []


def test_a_pin_that_cannot_be_set_is_said_and_fails(bad, tree, monkeypatch):
    tree.start()
    assert snapshot(tree).returncode == 0
    stem = tree.ls()[0]["snapshot"][:-19] + "2026-11-24-07-59-23"
    monkeypatch.setattr(bad_server, "_now", lambda: "2026-11-24-07-59-23")
    for frequency in ("15min", "hourly", "daily", "monthly"):
        (tree.base / frequency / "c" / f"{stem}.pin").mkdir(parents=True)  # nothing can take its place
    run = snapshot(tree, "--pin")
    assert run.returncode == 1 and f"{stem} is on EFS, but NOT pinned: " in run.stderr and "1 of 1 on EFS" in run.stdout
    assert "does not let them go" not in run.stdout


def test_one_of_the_same_second_as_the_schedules_is_not_taken_for_it(bad, tree, monkeypatch):
    """Both have one name; what is on EFS is the other one."""
    monkeypatch.setattr(bad_server, "_now", lambda: "2026-11-24-07-59-23")
    tree.start(SNAPSHOT_INTERVAL=DAY, LOCAL_KEEP="0", STATUS_LISTEN=f"127.0.0.1:{(port := free_port())}")
    wait_for(lambda: tree.logged("published"))
    monkeypatch.setattr(bad_server, "tar_of", lambda name: tar_of(name + ", written to since"))
    run = snapshot(tree, STATUS_LISTEN=f"127.0.0.1:{port}")
    assert run.returncode == 1 and "0 of 1 on EFS" in run.stderr and "different snapshot of this name" in run.stderr, run
    assert tree.logged("conflict") and len(list(tree.snapshots.glob("c/*.snapshot"))) == 1


def test_with_no_wait_it_ends_when_they_are_made(bad, tree):
    run = snapshot(tree, "--no-wait", EFS_ROOT=str(tree.root / "not-mounted"))
    assert run.returncode == 0, run.stderr
    assert bad.order() == ["c"] and len(list(tree.snapshots.glob("c/*.snapshot"))) == 1 and tree.complete() == set()
    assert "Not waited for" in run.stdout.splitlines()[-1] and "RETENTION" in run.stdout.splitlines()[-1]


def test_one_that_is_deleted_meanwhile_is_no_failure_as_for_the_schedule(bad, tree):
    bad.names = ["a", "goes"]

    def gone(*_):
        bad.names = ["a"]
        return status(404, '{"status":{"error":"Not found: Collection `goes` doesn\'t exist!"},"time":0}')(*_)
    bad.answers[("make", "goes")] = gone
    tree.start()
    run = snapshot(tree)
    assert run.returncode == 0 and "goes: was deleted before its snapshot was made" in run.stderr, run
    assert on_efs(tree) == {"a"}


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


def by_hand(tree, **env):
    return subprocess.Popen([BUILD / "qdrant-replicator", "snapshot"], env=tree.env | env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def with_status(tree):
    """A replicator that can be asked."""
    tree.env["STATUS_LISTEN"] = f"127.0.0.1:{free_port()}"
    tree.start()


def test_interrupted_before_they_are_on_efs_it_says_so_and_fails(bad, tree):
    tree.efs.rmdir()
    with_status(tree)
    p = by_hand(tree)
    wait_for(lambda: list(tree.snapshots.glob("c/*.checksum")))
    wait_for(lambda: tree.logged("publish_failed"))
    code, seconds, text = ended(p, signal.SIGINT)
    assert code == 1 and seconds < 3
    assert "0 of 1 on EFS" in text and "NOT on EFS: c-" in text


def test_interrupted_in_a_look_at_an_efs_that_hangs_it_does_not_say_that_they_are_there(bad, tree):
    with_status(tree)
    mark = tree.root / "hangs"
    p = by_hand(tree, **faulty(HANG=".json", MARK=mark))
    wait_for(mark.exists)
    code, seconds, text = ended(p, signal.SIGINT)
    assert code == 1 and seconds < 8 and "it is not known whether" in text


def test_an_efs_that_takes_nothing_is_told_and_not_waited_for_for_ever(bad, tree):
    tree.efs.rmdir()
    with_status(tree)
    begin = time.monotonic()
    run = snapshot(tree, seconds=90)
    assert run.returncode == 1 and time.monotonic() - begin < 60
    assert "0 of 1 on EFS" in run.stderr and str(tree.efs) in run.stderr.splitlines()[-1] and "c:" in run.stderr


def test_another_efs_root_than_the_replicators_is_told_at_once(bad, tree):
    with_status(tree)
    other = tree.root / "other"
    other.mkdir()
    begin = time.monotonic()
    run = snapshot(tree, EFS_ROOT=str(other))
    assert run.returncode == 1 and time.monotonic() - begin < 15
    assert str(tree.base) in run.stderr and str(other) in run.stderr and "same EFS_ROOT" in run.stderr


def test_a_collection_called_tmp_fails_at_once_and_the_others_are_backed_up(bad, tree):
    bad.names = ["a", "tmp"]
    with_status(tree)
    run = snapshot(tree)
    assert run.returncode == 1 and "tmp: FAILED" in run.stderr
    assert bad.order() == ["a"] and on_efs(tree) == {"a"}
    assert snapshot(tree, "tmp").returncode == 1 and bad.order() == ["a"]


@pytest.mark.parametrize("arguments", [["--bogus"], ["--once"], ["--no-wait=1"], ["c", "--no-such-setting", "1"]])
def test_wrong_use_is_one_line_and_code_64(bad, tree, arguments):
    run = snapshot(tree, *arguments)
    assert run.returncode == 64 and len(events(run.stderr)) == 1 and not bad.asked("make")


def test_without_an_address_qdrant_is_asked_where_its_own_variable_has_it_listen(bad, tree):
    run = snapshot(tree, "--no-wait", QDRANT_URL="", QDRANT__SERVICE__HTTP_PORT=bad.url.rpartition(":")[2])
    assert run.returncode == 0, run.stderr
    assert bad.order() == ["c"]


def test_its_settings_can_be_flags(bad, tree):
    bad.names = ["a", "b"]
    tree.env.pop("QDRANT_URL")
    assert snapshot(tree, "--no-wait", "--qdrant-url", bad.url, "--collections=a").returncode == 0
    assert bad.order() == ["a"]
