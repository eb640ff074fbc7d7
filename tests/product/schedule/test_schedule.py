"""When snapshots are made, of what, in which order, and what is said of it."""
import calendar
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from bad_server import close, dribble, silence, status
from harness import BUILD, Certificate, events, freeze, patience, tar_of, wait_for
from scheduling import DAY, failed, fill, from_now, made, slots, troubles


# Slots

def test_a_start_in_mid_slot_serves_that_slot_at_once(qdrant, tree):
    fill(qdrant, "docs", "users")
    begin = time.monotonic()
    tree.start(SNAPSHOT_INTERVAL=DAY, LOG_LEVEL="debug")
    wait_for(lambda: tree.logged("run_finished"))
    assert time.monotonic() - begin < 10
    wait_for(lambda: len(tree.complete()) == 2)
    listed = {c: qdrant.result("GET", f"/collections/{c}/snapshots")[0] for c in ("docs", "users")}
    told = {m["collection"]: m for m in tree.logged("snapshot_made")}
    assert {c: (m["snapshot"], m["size"], m["level"]) for c, m in told.items()} == {
        c: (d["name"], d["size"], "info") for c, d in listed.items()}
    assert all(0 <= m["seconds"] < 10 for m in told.values())
    run, = tree.logged("run_finished")
    assert {k: run[k] for k in ("collections", "made", "failed", "skipped", "bytes", "level")} == {
        "collections": 2, "made": 2, "failed": 0, "skipped": 0, "bytes": sum(d["size"] for d in listed.values()), "level": "info"}
    assert 0 <= run["seconds"] < 10 and slots(tree)[0] % 86400 == 0 and 0 <= time.time() - slots(tree)[0] < 86400 + 60
    assert [line["level"] for line in tree.logged("run_started")] == ["debug"]
    assert not troubles(tree)
    assert {s for _, _, s in tree.complete()} == {d["name"].removesuffix(".snapshot") for d in listed.values()}


def test_every_slot_is_served_once_and_from_its_beginning(qdrant, tree):
    fill(qdrant, "c")
    tree.start(SNAPSHOT_INTERVAL="5s")
    wait_for(lambda: len(slots(tree)) >= 4)
    first, *rest = slots(tree)
    assert first % 5 == 0 and rest == [first + 5 * (i + 1) for i in range(len(rest))]
    names = [m["snapshot"] for m in tree.logged("snapshot_made")]
    when = [calendar.timegm(time.strptime(n[-28:-9], "%Y-%m-%d-%H-%M-%S")) for n in names]
    late = [w - s for w, s in zip(when, [first, *rest])]
    assert all(0 <= s < 5 for s in late) and min(late[1:]) <= 1  # a busy machine holds up one or the other
    assert not tree.logged("slots_missed") and not tree.logged("slot_overrun")


def test_the_offset_moves_the_slots(bad, tree):
    tree.start(SNAPSHOT_INTERVAL="6s", SNAPSHOT_OFFSET="4s")
    wait_for(lambda: len(slots(tree)) >= 2)
    assert {s % 6 for s in slots(tree)} == {4}


def test_interval_0_makes_none(bad, tree):
    tree.start(SNAPSHOT_INTERVAL="0")
    time.sleep(4)
    assert not bad.asked("make") and not bad.asked("make full") and not troubles(tree)


WRONG = [("SNAPSHOT_INTERVAL", "7h"), ("SNAPSHOT_INTERVAL", "2d"), ("SNAPSHOT_INTERVAL", "-15m"), ("SNAPSHOT_INTERVAL", "15"),
         ("SNAPSHOT_INTERVAL", "1.5h"), ("SNAPSHOT_INTERVAL", "99999999999999999999m"), ("SNAPSHOT_OFFSET", "15m"), ("SNAPSHOT_OFFSET", "x"),
         ("SNAPSHOT_PARALLEL", "0"), ("SNAPSHOT_PARALLEL", "two"), ("SNAPSHOT_TIMEOUT", "0"), ("SNAPSHOT_TIMEOUT", "soon"),
         ("MIN_FREE", "1x"), ("MIN_FREE", "-1g"), ("MIN_FREE", "99999999999t"), ("FULL_SNAPSHOT", "weekly"), ("QDRANT_CA_FILE", "ca.pem"),
         ("QDRANT_CA_FILE", "/nope/ca.pem"), ("QDRANT_CA_FILE", "/dev/null")]


@pytest.mark.parametrize("name,value", WRONG)
def test_a_wrong_setting_is_one_line_and_code_64(tree, name, value):
    """With --once, so that a value that is taken after all ends the test, too."""
    run = tree.once(**{"SNAPSHOT_INTERVAL": "15m", name: value})
    line, = events(run.stderr)
    assert run.returncode == 64 and run.stdout == ""
    assert line["event"] == "wrong_setting" and f"{name}={value}" in line["message"] and "use " in line["message"]


@pytest.mark.parametrize("interval", ["1s", "5m", "15m", "6h", "1d", "0"])
def test_an_interval_that_divides_a_day_is_taken(tree, interval):
    assert tree.once(SNAPSHOT_INTERVAL=interval).returncode == 0


def test_the_help_has_every_setting_and_its_default(tree):
    text = tree.replicator("--help").stdout
    for name, standard in (("SNAPSHOT_INTERVAL", "15m"), ("SNAPSHOT_OFFSET", "0"), ("COLLECTIONS", "*"), ("SNAPSHOT_PARALLEL", "1"),
                           ("SNAPSHOT_TIMEOUT", "1h"), ("MIN_FREE", "1g"), ("FULL_SNAPSHOT", "off")):
        line = next(x for x in text.splitlines() if x.split()[:1] == [name])
        assert f"({standard})" in line
    assert "QDRANT_CA_FILE" in text and "qdrant-replicator snapshot [" in text


# Which collections, and in which order

@pytest.mark.parametrize("patterns,wanted", [
    ("*", "docs docs_old a.b [x] UPPER"), ("docs", "docs"), ("docs*", "docs docs_old"), ("docs*,!docs_old", "docs"),
    ("!docs_old,docs*", "docs"), ("*,!d*,!a?b", "[x] UPPER"), ("!docs*", "a.b [x] UPPER"), ("[du]*", "docs docs_old"),
    (r"\[x\]", "[x]"), ("upper", ""), ("docs,UPPER", "docs UPPER")])
def test_patterns_choose_the_collections(bad, tree, patterns, wanted):
    bad.names = ["docs", "docs_old", "a.b", "[x]", "UPPER"]
    tree.start(SNAPSHOT_INTERVAL=DAY, COLLECTIONS=patterns)
    wait_for(lambda: len(made(tree)) >= len(wanted.split()))
    if not wanted:
        wait_for(lambda: bad.asked("collections"))
        time.sleep(1)
    assert sorted(bad.order()) == sorted(made(tree)) == sorted(wanted.split())


def test_the_one_whose_newest_backup_is_oldest_comes_first(bad, tree):
    for name, day in (("a", 3), ("b", 1), ("c", 2)):
        tree.snapshot(name, f"{name}-1-2026-01-0{day}-08-00-00", tar_of(name))
    assert tree.once().returncode == 0
    for name in ("a", "c"):  # known on EFS alone
        shutil.rmtree(tree.snapshots / name)
    bad.names = ["a", "b", "c", "never"]
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: len(made(tree)) == 4)
    assert bad.order() == ["never", "b", "c", "a"]


@pytest.mark.parametrize("parallel", [1, 3])
def test_no_more_than_so_many_are_made_at_once(bad, tree, parallel):
    bad.names, bad.seconds = [f"c{i}" for i in range(7)], 0.4
    tree.start(SNAPSHOT_INTERVAL=DAY, **({} if parallel == 1 else {"SNAPSHOT_PARALLEL": str(parallel)}))
    wait_for(lambda: len(made(tree)) == 7)
    assert bad.peak == parallel and len(bad.order()) == 7


def test_a_collection_that_comes_or_goes_between_slots_is_followed(qdrant, tree):
    fill(qdrant, "stays", "goes")
    tree.start(SNAPSHOT_INTERVAL="3s")
    wait_for(lambda: {"stays", "goes"} <= set(made(tree)))
    qdrant.result("DELETE", "/collections/goes")
    fill(qdrant, "comes")
    wait_for(lambda: "comes" in made(tree))
    wait_for(lambda: made(tree).count("comes") >= 2)
    assert tree.logged("run_finished")[-1]["collections"] == 2
    assert len(failed(tree, "goes")) <= 1  # it may have gone after it was listed


# What fails

def test_one_that_fails_stops_none_of_the_others_and_is_tried_again_at_growing_intervals(bad, tree):
    bad.names = ["a", "bad", "c"]
    bad.answers[("make", "bad")] = status(500)
    tree.start(**from_now(60))
    wait_for(lambda: len(made(tree)) == 2 and failed(tree, "bad"), 20)
    assert "500" in failed(tree, "bad")[0]["message"] and failed(tree, "bad")[0]["event"] == "snapshot_failed"
    wait_for(lambda: len(bad.asked("make", "bad")) == 2, 10)
    del bad.answers[("make", "bad")]
    wait_for(lambda: len(made(tree)) == 3, 25)
    times = [r.when for r in bad.asked("make", "bad")]
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert len(gaps) == 2 and all(wait <= gap < wait + 1.5 for wait, gap in zip((5, 10), gaps))
    wait_for(lambda: tree.logged("run_finished"))
    run, = tree.logged("run_finished")
    assert (run["collections"], run["made"], run["failed"]) == (3, 3, 0)
    assert len(failed(tree, "bad")) == 2


def test_what_still_fails_when_the_slot_is_over_is_counted_and_said(bad, tree):
    bad.names = ["bad", "good"]
    bad.answers[("make", "bad")] = status(500)
    tree.start(**from_now(4))
    wait_for(lambda: tree.logged("run_finished"))
    run = tree.logged("run_finished")[0]
    assert (run["collections"], run["made"], run["failed"], run["skipped"]) == (2, 1, 1, 0)
    assert "bad" in tree.logged("slot_overrun")[0]["message"] and tree.logged("slot_overrun")[0]["level"] == "warn"
    wait_for(lambda: made(tree).count("good") >= 3)


def test_a_snapshot_that_outlasts_its_slot_does_not_keep_the_next_run_from_beginning(bad, tree):
    bad.names = ["quick", "slow"]
    bad.answers[("make", "slow")] = silence
    tree.start(SNAPSHOT_INTERVAL="3s", SNAPSHOT_PARALLEL="2")
    wait_for(lambda: tree.logged("slot_overrun"), 8)
    wait_for(lambda: made(tree).count("quick") >= 3, 12)
    assert tree.logged("slot_overrun")[0]["level"] == "warn"
    for run in tree.logged("run_finished"):  # what is still being made is in one of the three, too
        assert run["made"] + run["failed"] + run["skipped"] == run["collections"], run
    assert tree.logged("run_finished")[0]["skipped"] == 1


def test_a_timeout_ends_the_wait_for_one_snapshot(bad, tree):
    bad.names = ["good", "slow"]
    bad.answers[("make", "slow")] = silence
    tree.start(SNAPSHOT_INTERVAL=DAY, SNAPSHOT_TIMEOUT="2s")
    wait_for(lambda: "good" in made(tree) and failed(tree, "slow"), 8)
    assert "2" in failed(tree, "slow")[0]["message"]


def test_two_hundred_collections_of_which_every_tenth_fails(bad, tree):
    bad.names = [f"c{i:03}" for i in range(200)]
    for name in bad.names[::10]:
        bad.answers[("make", name)] = status(500)
    tree.start(**from_now(30), SNAPSHOT_PARALLEL="2")
    wait_for(lambda: tree.logged("run_finished"), 45)
    run = tree.logged("run_finished")[0]
    assert (run["collections"], run["made"], run["failed"], run["skipped"]) == (200, 180, 20, 0)
    assert "c000" in tree.logged("slot_overrun")[0]["message"]
    assert sorted(set(made(tree))) == sorted(set(bad.names) - set(bad.names[::10]))
    assert {line["collection"] for line in tree.logged("snapshot_failed")} == set(bad.names[::10])


def test_a_collection_that_is_gone_when_its_turn_comes_is_no_reason_to_try_again(bad, tree):
    bad.names = ["a", "gone"]
    bad.answers[("make", "gone")] = status(404, '{"status":{"error":"Not found: Collection `gone` doesn\'t exist!"},"time":0}')
    tree.start(**from_now(60))
    wait_for(lambda: tree.logged("run_finished"), 20)
    run, = tree.logged("run_finished")
    assert (run["made"], run["failed"]) == (1, 1) and len(bad.asked("make", "gone")) == 1


# Served before

def test_a_restart_serves_no_slot_twice(qdrant, tree):
    fill(qdrant, "a", "b")
    p = tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: len(made(tree)) == 2)
    p.send_signal(signal.SIGTERM)  # at once: nothing may be on EFS yet
    assert p.wait(5) == 0
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: len(tree.complete()) == 2)
    time.sleep(2)
    assert len(made(tree)) == 2 and all(len(qdrant.result("GET", f"/collections/{c}/snapshots")) == 1 for c in "ab")


def test_a_restart_serves_no_slot_twice_when_its_snapshots_are_on_efs_alone(bad, tree):
    bad.names = ["a", "b"]
    p = tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: len(tree.complete()) == 2)
    p.send_signal(signal.SIGTERM)
    assert p.wait(5) == 0
    for c in "ab":
        shutil.rmtree(tree.snapshots / c)
    bad.requests.clear()
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: bad.asked("collections"))
    time.sleep(4)
    assert bad.order() == []


def test_a_restart_waits_until_it_knows_what_is_on_efs(bad, tree):
    """An EFS with much on it takes its time to be listed; a Qdrant with little answers at once."""
    bad.names = [f"z{i}" for i in range(8)]
    p = tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: len(tree.complete()) == 8)
    p.send_signal(signal.SIGTERM)
    assert p.wait(5) == 0
    for c in bad.names:
        shutil.rmtree(tree.snapshots / c)
    folder = tree.base / "monthly"
    for i in range(3000):  # as many collections that were there once
        copy = folder / f"a{i}"
        copy.mkdir()
        for f in (folder / "z0").iterdir():
            (copy / f.name.replace("z0", f"a{i}")).write_bytes(f.read_bytes().replace(b"z0", b"a%d" % i) if f.suffix == ".json" else f.read_bytes())
    bad.requests.clear()
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: bad.asked("collections"))
    time.sleep(5)
    assert bad.order() == []


def test_a_restart_makes_what_a_killed_run_did_not_come_to(bad, tree):
    def files():
        return {f.parent.name for f in tree.snapshots.rglob("*.snapshot")}

    bad.names, bad.seconds = [f"c{i}" for i in range(6)], 0.5
    p = tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: len(bad.order()) == 4)  # the fourth has been asked for
    p.kill()
    p.wait()
    wait_for(lambda: len(files()) == 4)  # the server finishes the one that was being made
    there = files()
    bad.requests.clear()
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: len(set(bad.names) & files()) == 6)
    time.sleep(1)
    assert len(there) == 4 and sorted(bad.order()) == sorted(set(bad.names) - there)


def test_slots_that_went_by_are_counted_and_said(bad, tree):
    p = tree.start(SNAPSHOT_INTERVAL="2s")
    wait_for(lambda: len(slots(tree)) >= 2)
    freeze(p.pid)
    try:
        time.sleep(9)
    finally:
        p.send_signal(signal.SIGCONT)
    count = len(slots(tree))
    wait_for(lambda: len(slots(tree)) >= count + 2)
    s, lines = slots(tree), tree.logged("slots_missed")  # a busy machine misses one or the other, too
    gaps = [(b - a) // 2 - 1 for a, b in zip(s, s[1:])]
    assert max(gaps) >= 3 and all(line["level"] == "warn" for line in lines)
    missed = [gap for gap in gaps if gap > 0]
    assert [int(line["message"].split()[0]) for line in lines][:len(missed)] == missed


# What keeps a snapshot from being made

def test_a_disk_without_room_for_one_more_is_said_and_left_alone(bad, tree):
    bad.names = ["a", "b"]
    tree.start(SNAPSHOT_INTERVAL=DAY, MIN_FREE="900t")
    wait_for(lambda: tree.logged("run_finished"))
    run, = tree.logged("run_finished")
    assert (run["made"], run["failed"], run["skipped"]) == (0, 0, 2) and not bad.asked("make")
    assert {(d["collection"], d["level"]) for d in tree.logged("disk_low")} == {("a", "error"), ("b", "error")}


def test_the_room_that_the_last_snapshot_took_is_reckoned_with(bad, tree):
    """Of two collections, the last snapshot of one was far larger than what MIN_FREE leaves."""
    bad.names = ["large", "small"]
    for name in bad.names:
        tree.snapshot(name, f"{name}-1-2026-01-01-08-00-00", tar_of(name))
    with open(tree.snapshots / "large" / "large-1-2026-01-01-08-00-00.snapshot", "r+b") as f:
        f.truncate(1 << 42)  # a hole; never published, since its checksum differs
    free = shutil.disk_usage(tree.snapshots).free
    if free > 1 << 42:
        pytest.skip("a disk with more than 4 TB free")
    tree.start(SNAPSHOT_INTERVAL=DAY, MIN_FREE="1m", COMPRESSION="none")
    wait_for(lambda: tree.logged("run_finished"))
    assert bad.order() == ["small"] and [d["collection"] for d in tree.logged("disk_low")] == ["large"]


def test_in_recovery_mode_none_is_made_and_that_is_said_once(one_qdrant, tree):
    server = one_qdrant().start()
    fill(server, "c")
    server.stop()
    server.env["QDRANT__STORAGE__RECOVERY_MODE"] = "look at it"
    server.start()
    tree.start(SNAPSHOT_INTERVAL="2s")
    wait_for(lambda: tree.logged("recovery_mode"))
    time.sleep(6)
    line, = troubles(tree)
    assert (line["event"], line["level"]) == ("recovery_mode", "warn")
    assert 'snapshot_created_total{id="c"} 0' in server.request("GET", "/metrics")[1]
    server.stop()
    del server.env["QDRANT__STORAGE__RECOVERY_MODE"]
    server.start()
    wait_for(lambda: made(tree))


def test_one_that_is_being_made_by_somebody_else_is_not_made_twice(bad, tree):
    bad.names, bad.running = ["busy", "free"], {"busy": 1}
    tree.start(**from_now(8))
    wait_for(lambda: tree.logged("run_finished"))
    run = tree.logged("run_finished")[0]
    line, = tree.logged("already_running")
    assert (line["collection"], line["level"]) == ("busy", "info") and bad.order() == ["free"]
    assert (run["made"], run["failed"], run["skipped"]) == (1, 0, 1)
    bad.running["busy"] = 0
    wait_for(lambda: "busy" in made(tree), 20)


def test_a_qdrant_that_is_not_ready_yet_is_waited_for_and_that_is_said_once(one_qdrant, tree):
    server = one_qdrant()
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: tree.logged("qdrant_not_ready"))
    time.sleep(5)
    line, = troubles(tree)
    assert (line["event"], line["level"]) == ("qdrant_not_ready", "warn") and not tree.logged("qdrant_ready")
    server.start()
    fill(server, "c")
    wait_for(lambda: tree.logged("run_finished") or made(tree), 30)
    line, = tree.logged("qdrant_ready")
    assert line["level"] == "info" and "answers" in line["message"]


def test_shards_that_are_not_ready_are_waited_for(bad, tree):
    bad.answers[("readyz", None)] = status(503, "some shards are not ready")
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: len(bad.asked("readyz")) >= 3)
    assert not bad.asked("make") and len(tree.logged("qdrant_not_ready")) == 1
    del bad.answers[("readyz", None)]
    wait_for(lambda: made(tree) == ["c"], 30)


# The whole storage

def full_ones(tree):
    return [s for kind, _, s in tree.complete() if kind == "storage"]


def test_a_full_snapshot_is_made_after_the_collections_and_takes_none_of_theirs_away(qdrant, tree):
    """Qdrant makes one of each collection for it first, under the name of the second, and moves these into it."""
    fill(qdrant, "a", "b")
    tree.start(SNAPSHOT_INTERVAL=DAY, FULL_SNAPSHOT="daily")
    wait_for(lambda: len(full_ones(tree)) == 1)
    wait_for(lambda: len(tree.complete()) == 3)
    assert {c for kind, c, _ in tree.complete() if kind == "collection"} == {"a", "b"}
    names = {m["snapshot"].removesuffix(".snapshot") for m in tree.logged("snapshot_made")}
    assert {s for _, _, s in tree.complete()} == names and not troubles(tree)
    run, = tree.logged("run_finished")
    assert (run["made"], run["failed"]) == (3, 0)


def test_there_is_one_full_snapshot_in_each_period(bad, tree):
    if 3600 - time.time() % 3600 < 30:
        pytest.skip("the hour is over in a moment")
    p = tree.start(SNAPSHOT_INTERVAL="2s", FULL_SNAPSHOT="hourly")
    wait_for(lambda: len(slots(tree)) >= 4)
    assert len(bad.asked("make full")) == 1
    kinds = [r.route[0] for r in bad.requests if r.route[0].startswith("make")]
    assert kinds[0] == "make" and "make full" in kinds[:3]  # a late one does not hold up the next slot
    p.send_signal(signal.SIGTERM)
    p.wait(5)
    tree.start(SNAPSHOT_INTERVAL="2s", FULL_SNAPSHOT="hourly")
    count = len(slots(tree))
    wait_for(lambda: len(slots(tree)) >= count + 2)
    assert len(bad.asked("make full")) == 1


def test_a_new_period_has_its_own_full_snapshot(bad, tree):
    tree.snapshot(".", "full-snapshot-2026-01-01-08-00-00", tar_of("x"))
    tree.start(SNAPSHOT_INTERVAL=DAY, FULL_SNAPSHOT="monthly")
    wait_for(lambda: bad.asked("make full"))


def test_a_full_snapshot_of_a_clock_that_ran_ahead_puts_no_other_off(bad, tree):
    tree.snapshot(".", "full-snapshot-2099-01-01-08-00-00", tar_of("x"))
    tree.start(SNAPSHOT_INTERVAL=DAY, FULL_SNAPSHOT="daily")
    wait_for(lambda: bad.asked("make full"))
    wait_for(lambda: len(full_ones(tree)) == 2)


def test_no_full_snapshot_unless_asked_for(bad, tree):
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: tree.logged("run_finished"))
    time.sleep(1)
    assert not bad.asked("make full")


def test_a_full_snapshot_that_fails_is_tried_again(bad, tree):
    bad.answers[("make full", None)] = status(500)
    tree.start(**from_now(60), FULL_SNAPSHOT="daily")
    wait_for(lambda: tree.logged("snapshot_failed"))
    del bad.answers[("make full", None)]
    wait_for(lambda: len(full_ones(tree)) == 1, 20)
    assert made(tree)[0] == "c"


# Keys and certificates

def test_a_key_that_is_rotated_in_its_file_works_without_a_restart(one_qdrant, tree):
    server = one_qdrant(api_key="first-k3y-that-nobody-may-see").start()
    fill(server, "c")
    tree.env.pop("QDRANT_API_KEY")
    key = tree.root / "key"
    key.write_text(server.api_key + "\n")
    tree.start(SNAPSHOT_INTERVAL="3s", QDRANT_API_KEY_FILE=str(key))
    wait_for(lambda: made(tree))
    server.stop()
    server.env["QDRANT__SERVICE__API_KEY"] = server.api_key = "second-k3y-that-nobody-may-see"
    server.start()
    wait_for(lambda: tree.logged("qdrant_unauthorized"), 15)
    line = tree.logged("qdrant_unauthorized")[0]
    assert line["level"] == "error" and "401" in line["message"] and "QDRANT_API_KEY_FILE" in line["message"]
    count = len(made(tree))
    key.write_text(server.api_key + "\n")
    wait_for(lambda: len(made(tree)) >= count + 2, 15)


@pytest.mark.parametrize("before", [None, "", "two\nlines\n"])
def test_a_key_file_that_is_not_there_yet_is_waited_for_and_said(one_qdrant, tree, before):
    server = one_qdrant(api_key="first-k3y-that-nobody-may-see").start()
    fill(server, "c")
    tree.env.pop("QDRANT_API_KEY")
    key = tree.root / "key"
    if before is not None:
        key.write_text(before)
    p = tree.start(SNAPSHOT_INTERVAL="3s", QDRANT_API_KEY_FILE=str(key))
    line, = tree.logged("file_awaited")
    assert line["level"] == "error" and f"QDRANT_API_KEY_FILE={key}" in line["message"]
    wait_for(lambda: tree.logged("qdrant_unauthorized"), 15)
    assert p.poll() is None and not made(tree)
    key.write_text(server.api_key + "\n")
    wait_for(lambda: made(tree), 15)


@pytest.mark.parametrize("before", [None, ""])
def test_an_authoritys_file_that_is_not_there_yet_is_waited_for_and_said(one_qdrant, tree, tmp_path, before):
    c = Certificate(tmp_path / "tls")
    fill(one_qdrant(certificate=c).start(), "c")
    late = tmp_path / "late.pem"
    if before is not None:
        late.write_text(before)
    p = tree.start(SNAPSHOT_INTERVAL="3s", QDRANT_CA_FILE=str(late))
    line, = tree.logged("file_awaited")
    assert line["level"] == "error" and f"QDRANT_CA_FILE={late}" in line["message"]
    wait_for(lambda: tree.logged("qdrant_not_ready"), 15)
    assert p.poll() is None and not made(tree)
    late.write_bytes(c.ca.read_bytes())
    wait_for(lambda: made(tree), 15)


@pytest.mark.parametrize("code", [401, 403])
def test_a_wrong_key_is_said_once_a_slot(bad, tree, code):
    bad.names = [f"c{i}" for i in range(20)]
    for what in ("collections", "make", "listing", "metrics"):
        bad.answers[(what, None)] = status(code, "Invalid API key or JWT")
    tree.start(**from_now(6))
    wait_for(lambda: tree.logged("qdrant_unauthorized"))
    time.sleep(4)
    assert [line["event"] for line in troubles(tree)] == ["qdrant_unauthorized"] and troubles(tree)[0]["level"] == "error"
    wait_for(lambda: len(tree.logged("qdrant_unauthorized")) >= 2)
    assert str(code) in troubles(tree)[0]["message"] and not made(tree)


def test_qdrant_is_asked_over_tls_when_its_authority_is_known(one_qdrant, tree, tmp_path):
    c = Certificate(tmp_path / "tls")
    fill(one_qdrant(certificate=c).start(), "c")
    assert tree.env["QDRANT_URL"].startswith("https://")
    tree.start(SNAPSHOT_INTERVAL=DAY, QDRANT_CA_FILE=str(c.ca))
    wait_for(lambda: len(tree.complete()) == 1)
    assert made(tree) == ["c"] and tree.ls()[0]["points"] == 5 and not troubles(tree)


@pytest.mark.parametrize("which", ["wrong", "absent"])
def test_a_certificate_of_an_unknown_authority_is_refused(one_qdrant, tree, tmp_path, which):
    server = one_qdrant(certificate=Certificate(tmp_path / "tls"), api_key="k3y-that-nobody-may-see").start()
    fill(server, "c")
    tree.start(SNAPSHOT_INTERVAL=DAY, **({"QDRANT_CA_FILE": str(Certificate(tmp_path / "other").ca)} if which == "wrong" else {}))
    wait_for(lambda: troubles(tree))
    time.sleep(3)
    line, = troubles(tree)
    assert line["event"] == "qdrant_not_ready" and "certificate" in line["message"] and "QDRANT_CA_FILE" in line["message"]
    assert server.result("GET", "/collections/c/snapshots") == []


# Secrets

def test_the_key_is_in_no_argument_and_in_no_core(bad, tree, tmp_path):
    """The kernel tells in the exit status whether it dumped a core."""
    def dies(args, **env):
        limits = ["sh", "-c", 'cd "$0" && ulimit -c unlimited && exec "$@"', str(tmp_path)]
        p = subprocess.Popen([*limits, *args], env=tree.env | env, stderr=open(tree.root / "log", "ab"))
        wait_for(lambda: tree.root.joinpath("log").read_text().count("snapshot_made") or args[0] == "sleep")
        time.sleep(0.3)
        line = open(f"/proc/{p.pid}/cmdline", "rb").read()
        os.kill(p.pid, signal.SIGABRT)
        p.returncode = 1
        return os.WCOREDUMP(os.waitpid(p.pid, 0)[1]), line
    if not dies(["sleep", "100"])[0]:
        pytest.skip("cores are not dumped on this machine")
    dumped, line = dies([str(BUILD / "qdrant-replicator")], SNAPSHOT_INTERVAL=DAY, QDRANT_API_KEY="k3y-that-nobody-may-see")
    assert not dumped and b"k3y" not in line


def test_the_key_goes_to_qdrant_and_nowhere_else(bad, tree):
    """Not to a proxy, nor, with a wrong answer, into a log; and it does go where it must."""
    bad.names = ["a", "b"]
    bad.answers[("make", "b")] = status(500, '{"status":{"error":"no"}}')
    p = tree.start(SNAPSHOT_INTERVAL=DAY, LOG_LEVEL="debug", QDRANT_API_KEY="k3y-that-nobody-may-see", http_proxy="http://127.0.0.1:9",
                   HTTP_PROXY="http://127.0.0.1:9", all_proxy="http://127.0.0.1:9", ALL_PROXY="http://127.0.0.1:9")
    wait_for(lambda: made(tree) == ["a"] and failed(tree, "b"))
    wait_for(lambda: len(tree.complete()) == 1)
    assert all(r.headers.get("api-key") == "k3y-that-nobody-may-see" for r in bad.requests if r.route[0] in ("make", "collections", "metrics"))
    children = open(f"/proc/{p.pid}/task/{p.pid}/children").read()
    assert children == "", "no other program is started that could inherit it"
    assert not [f for f in tree.efs.rglob("*") if f.is_file() and b"k3y-" in f.read_bytes()]


# Stopping

SLOW = {"a snapshot that takes long": ("make", silence), "a dribbling answer": ("make", dribble), "a qdrant that never answers": ("readyz", silence),
        "a listing that never ends": ("collections", dribble), "a wait before the next try": ("make", status(500)),
        "a qdrant that is not there": ("readyz", close)}


@pytest.mark.parametrize("what", SLOW)
def test_term_stops_it_within_two_seconds_during(bad, tree, what):
    route, answer = SLOW[what]
    bad.answers[(route, None)] = answer
    p = tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: bad.asked(route))
    time.sleep(0.5)
    p.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    assert p.wait(10) == 0 and time.monotonic() - begin < 2 * patience()
    assert tree.logged("stopped")


def test_a_second_server_in_its_place_goes_on_with_the_schedule(one_qdrant, tree):
    """Qdrant dies and comes back, as its supervisor has it."""
    server = one_qdrant().start()
    fill(server, "c")
    tree.start(SNAPSHOT_INTERVAL="3s")
    wait_for(lambda: made(tree))
    server.kill()
    wait_for(lambda: tree.logged("qdrant_not_ready"), 15)
    server.start()
    count = len(made(tree))
    wait_for(lambda: len(made(tree)) >= count + 2, 20)


def test_aliases_are_asked_for_once_a_snapshot_and_those_before_it_are_kept(qdrant, tree):
    """Each request of a run is one for each collection."""
    fill(qdrant, "docs", "users")
    qdrant.result("POST", "/collections/aliases", {"actions": [{"create_alias": {"collection_name": "docs", "alias_name": "live"}}]})
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: tree.logged("run_finished") and len(tree.complete()) == 2)
    answered = qdrant.result("GET", "/telemetry?details_level=10")["requests"]["rest"]["responses"]
    asked = {route: sum(a["count"] for a in told.values()) for route, told in answered.items() if route.endswith("/aliases")}
    assert [n for route, n in asked.items() if route.startswith("GET /collections/{")] == [2], asked
    manifests = [json.loads(p.read_text()) for p in tree.base.glob("*/*/*.json")]
    assert {m["collection"]: m["aliases"] for m in manifests} == {
        "docs": ["live"], "users": []}
