"""`qdrant-efs compact`: a delta becomes a whole, and needs no other backup any more."""
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest
from days import MIB, name_of
from delta_reader import check
from faulty_mount import meanwhile
from harness import BUILD, checksum_of
from signing import make_key, sign

RUNS, SEED = int(os.environ.get("CRASHES", "40")), int(os.environ.get("SEED", "1"))
POLICY = "15min=1,hourly=1,daily=1,monthly=1"
FIRST, SECOND, THIRD, FOURTH = range(-96 * 40, -96 * 40 + 4)  # slots of another month, from eight o'clock on


@pytest.fixture
def pinned(day):
    """One of last month's deltas is kept for ever, and with it the two that it is made of."""
    day.publish(FIRST, SECOND, THIRD, FOURTH)
    assert day.tree.efs_tool("pin", name_of(FOURTH)).returncode == 0
    day.publish(0, 1, RETENTION=POLICY)
    assert kept(day) == {name_of(n) for n in (FIRST, THIRD, FOURTH, 0, 1)}
    return day


def kept(day):
    return {b["snapshot"] for b in day.tree.ls() if b["state"] == "complete"}


def compact(day, *args, **env):
    return day.tree.efs_tool("compact", *args, RETENTION=POLICY, **env)


def test_a_delta_becomes_a_whole_and_what_stayed_for_it_goes(pinned):
    before = pinned.manifest(FOURTH)
    dry = compact(pinned, "--dry-run")
    assert dry.returncode == 0 and f"{name_of(FOURTH)}: would be made whole, " in dry.stdout
    assert "2 backups (" in dry.stdout and "would go" in dry.stdout and pinned.manifest(FOURTH) == before
    run = compact(pinned)
    assert run.returncode == 0 and f"{name_of(FOURTH)}: made whole, " in run.stdout and " past RETENTION stayed for them alone, and go " in run.stdout, run.stderr
    after = pinned.manifest(FOURTH)
    assert {k: v for k, v in after.items() if k not in CHANGED} == {k: v for k, v in before.items() if k not in CHANGED}
    assert (after["format"], after["codec"], after["compacted"]) == (1, "zstd:3", True) and "bases" not in after and "recipe" not in after
    assert subprocess.run(["zstd", "-dcq", pinned.path(FOURTH)], capture_output=True, check=True).stdout == pinned.bytes[FOURTH]
    assert subprocess.run(["sha256sum", "-c", pinned.path(FOURTH).name + ".sha256"], cwd=pinned.path(FOURTH).parent, capture_output=True).returncode == 0
    assert pinned.tree.efs_tool("prune", "--retention", POLICY).returncode == 0
    assert kept(pinned) == {name_of(n) for n in (FOURTH, 0, 1)}
    assert pinned.restored(FOURTH) == pinned.bytes[FOURTH] and pinned.tree.efs_tool("verify").returncode == 0
    assert "pinned" in pinned.tree.efs_tool("show", name_of(FOURTH)).stdout
    again = compact(pinned)
    assert again.returncode == 0 and again.stdout == "0 made whole, 0 B more; no backup stays for newer ones alone\n"


CHANGED = {"format", "data", "codec", "stored_size", "stored_sha256", "recipe", "bases", "compacted"}


def test_what_frees_less_than_it_takes_is_left_alone_unless_it_is_named(day):
    day.publish(*range(0, 9), RETENTION="15min=2,hourly=24h")
    run = day.tree.efs_tool("compact", "--retention", "15min=1,hourly=24h")
    assert run.returncode == 0 and run.stdout.startswith("docs: not worth it: 1 delta as a whole would take about ")
    assert day.manifest(7)["codec"] == "delta"
    assert day.tree.efs_tool("compact", "--snapshot", name_of(7)).returncode == 0
    assert day.manifest(7)["codec"] == "zstd:3" and day.restored(7) == day.bytes[7]


def test_one_that_others_are_made_of_is_not_made_whole(day):
    day.publish(0, 2, 3)
    run = day.tree.efs_tool("compact", "--snapshot", name_of(2))
    assert run.returncode == 1 and f"{name_of(2)} stays a delta: {name_of(3)} is made of it" in run.stderr
    for name, answer in ((name_of(0), f"{name_of(0)} was a whole already\n"), ("nope", "")):
        run = day.tree.efs_tool("compact", "--snapshot", name)
        assert run.stdout.startswith(answer) and run.returncode == (name == "nope")
    assert check(day.tree) == 3


def test_all_of_them_on_request_newest_first(day):
    day.publish(*range(8))
    run = day.tree.efs_tool("compact", "--all")
    assert run.returncode == 0, run.stderr
    assert [line.partition(":")[0] for line in run.stdout.splitlines()[:-1]] == [name_of(n) for n in range(7, 0, -1)]
    assert all(b["codec"].startswith("zstd") for b in day.tree.ls()) and check(day.tree) == 8
    for number in day.bytes:
        assert subprocess.run(["zstd", "-dcq", day.path(number)], capture_output=True, check=True).stdout == day.bytes[number]


def test_json_says_what_was_made_and_what_it_costs(pinned):
    said = json.loads(compact(pinned, "--json").stdout)
    assert [b["snapshot"] for b in said["backups"]] == [name_of(FOURTH)] and said["dry_run"] is False
    assert said["not_needed"] == 2 and said["frees"] > said["takes"] > 0 and said["left"] == 0


def test_without_RETENTION_and_without_a_heartbeat_nothing_is_made_whole(pinned):
    run = pinned.tree.efs_tool("compact")
    assert run.returncode in (0, 64) and (run.returncode == 0 or "nothing is made whole, for RETENTION is not set" in run.stderr)


def test_the_old_data_stays_for_a_day_for_whoever_is_just_making_a_delta_of_it_and_no_longer(pinned):
    delta = pinned.path(FOURTH)
    assert compact(pinned).returncode == 0 and delta.exists()
    pinned.tree.efs_tool("prune", "--retention", POLICY)
    assert delta.exists()
    age(pinned.path(FOURTH).with_name(name_of(FOURTH) + ".json"), delta)
    assert pinned.tree.efs_tool("prune", "--retention", POLICY).returncode == 0
    assert not delta.exists() and not delta.with_name(delta.name + ".sha256").exists()
    assert pinned.restored(FOURTH) == pinned.bytes[FOURTH]


def age(*paths):
    for p in paths:
        os.utime(p, (time.time() - 3 * 86400,) * 2)


def test_what_is_pruned_within_the_day_leaves_nothing(pinned):
    assert compact(pinned).returncode == 0
    assert pinned.tree.efs_tool("unpin", name_of(FOURTH)).returncode == 0
    assert pinned.tree.efs_tool("prune", "--retention", POLICY).returncode == 0
    assert not list(pinned.tree.base.rglob(name_of(FOURTH) + "*"))
    run = pinned.tree.efs_tool("verify")
    assert run.returncode == 0, run.stderr


def test_whoever_prunes_it_while_it_becomes_a_whole_leaves_nothing(pinned):
    assert pinned.tree.efs_tool("unpin", name_of(FOURTH)).returncode == 0
    with meanwhile(pinned.tree, "prune", name_of(FOURTH) + ".json", 1, "--retention", POLICY) as p:
        assert compact(pinned, "--snapshot", name_of(FOURTH)).returncode == 0
    assert p.returncode == 0 and not list(pinned.tree.base.rglob(name_of(FOURTH) + "*")), p.err


def test_pruned_within_the_day_it_leaves_what_a_delta_needs(day):
    day.publish(0, 2, 3)
    late = {p: p.read_bytes() for p in day.path(3).parent.glob(name_of(3) + "*")}
    for p in late:
        p.unlink()
    delta = day.path(2)
    assert day.tree.efs_tool("compact", "--snapshot", name_of(2)).returncode == 0
    for p, data in late.items():
        p.write_bytes(data)
    assert day.tree.efs_tool("prune", "--retention", "15min=1").returncode == 0
    assert delta.exists() and name_of(2) not in kept(day) and day.restored(3) == day.bytes[3]


def test_du_counts_it_as_a_whole(pinned):
    assert json.loads(pinned.tree.efs_tool("du", "--json").stdout)["total"]["deltas"] == 3
    assert compact(pinned).returncode == 0
    assert json.loads(pinned.tree.efs_tool("du", "--json").stdout)["total"]["deltas"] == 2


@pytest.mark.parametrize("gone", ["prune", "forget"])
@pytest.mark.parametrize("file", range(4))
def test_one_that_is_deleted_meanwhile_is_told_so_and_leaves_nothing(signed, gone, file):
    assert signed.tree.efs_tool("unpin", name_of(FOURTH)).returncode == 0
    with meanwhile(signed.tree, "compact", f"-{file}", 1, "--snapshot", name_of(FOURTH), **signed.keys) as p:  # it makes that file
        args = ("prune", "--retention", POLICY) if gone == "prune" else ("forget", "docs")
        assert signed.tree.efs_tool(*args, **signed.keys).returncode == 0
    assert p.returncode == 1 and f"{name_of(FOURTH)} was deleted meanwhile, and nothing is left of it" in p.err
    assert not list(signed.tree.base.rglob(name_of(FOURTH) + "*")) and not list(signed.tree.base.rglob(".partial*"))


def test_the_old_data_stays_for_as_long_as_a_delta_needs_it(day):
    """Another task has made a delta of it in that very moment."""
    day.publish(0, 2, 3)
    late = {p: p.read_bytes() for p in day.path(3).parent.glob(name_of(3) + "*")}
    for p in late:
        p.unlink()
    delta = day.path(2)
    assert day.tree.efs_tool("compact", "--snapshot", name_of(2)).returncode == 0
    for p, data in late.items():
        p.write_bytes(data)
    age(delta, day.path(2).with_name(name_of(2) + ".json"))
    assert day.tree.efs_tool("prune", "--retention", "15min=9").returncode == 0
    assert delta.exists() and check(day.tree) == 3 and day.restored(3) == day.bytes[3]


def test_forgetting_the_collection_leaves_nothing_of_the_old_data(pinned):
    assert compact(pinned).returncode == 0
    assert pinned.tree.efs_tool("forget", "--pinned", "docs").returncode == 0
    assert [f for f in pinned.tree.files() if "docs" in f and "deleted" not in f] == []


def test_a_base_that_is_defective_gives_no_whole(pinned):
    data = bytearray(pinned.path(FIRST).read_bytes())
    data[len(data) // 3] ^= 1
    pinned.path(FIRST).write_bytes(data)
    run = compact(pinned)
    assert run.returncode == 1 and f"{name_of(FOURTH)} stays a delta" in run.stderr and pinned.manifest(FOURTH)["codec"] == "delta"
    assert run.stdout == "0 made whole, 0 B more\n"
    said = json.loads(compact(pinned, "--json").stdout)
    assert (said["frees"], said["not_needed"]) == (0, 0)
    assert not [f for f in pinned.tree.files() if ".partial-" in f or name_of(FOURTH) + ".snapshot.zst" in f]


def test_one_of_a_group_that_stays_a_delta_leaves_the_others_as_they_are(day):
    """None of them would let anything go."""
    third, fourth = FIRST + 6, FIRST + 7
    for n in (FIRST, FIRST + 4, third, fourth):
        day.collection.vectors[:MIB * 5 // 4] = random.Random(n).randbytes(MIB * 5 // 4)
        day.publish(n)
    for n in (third, fourth):
        assert day.tree.efs_tool("pin", name_of(n)).returncode == 0
    day.publish(0, 4, 5, RETENTION=POLICY)
    assert "2 would be made whole" in compact(day, "--dry-run").stdout
    data = bytearray(day.path(fourth).read_bytes())
    data[len(data) // 3] ^= 1
    day.path(fourth).write_bytes(data)
    run = compact(day)
    assert run.returncode == 1 and run.stdout == "0 made whole, 0 B more\n" and day.manifest(third)["codec"] == "delta"


def test_all_of_them_tells_those_that_cannot_be_made_whole(day):
    day.publish(0, 1, 2, 3)
    day.path(2).unlink()
    run = day.tree.efs_tool("compact", "--all")
    assert run.returncode == 1 and f"{name_of(3)} stays a delta: it is incomplete: " in run.stderr and f"{name_of(2)} stays a delta: " in run.stderr
    assert day.manifest(1)["codec"] == "zstd:3" and day.restored(1) == day.bytes[1]


def test_it_keeps_the_receipt_of_its_copy_in_S3(pinned):
    receipt = pinned.path(FOURTH).with_name(pinned.path(FOURTH).name + ".s3")
    receipt.write_text('{"format": 1}')
    assert compact(pinned).returncode == 0
    age(pinned.path(FOURTH).with_name(name_of(FOURTH) + ".json"), receipt.with_suffix(""), receipt)
    assert pinned.tree.efs_tool("prune", "--retention", POLICY).returncode == 0 and not receipt.exists()
    assert pinned.path(FOURTH).with_name(pinned.path(FOURTH).name + ".s3").read_text() == '{"format": 1}'


@pytest.mark.skipif(os.geteuid() != 0, reason="another owner needs root")
def test_all_of_it_is_of_the_owner_that_the_backup_had(signed):
    files = list(signed.tree.base.rglob("*"))
    for p in files:
        os.chown(p, 1234, 1234)
        p.chmod(0o700 if p.is_dir() else 0o600)
    os.chown(signed.tree.base, 1234, 1234)
    assert compact(signed, EFS_MODE="0640", **signed.keys).returncode == 0
    new = [p for p in signed.tree.base.rglob(name_of(FOURTH) + "*") if p.name != "missing"]
    assert len(new) >= 6 and {(p.stat().st_uid, p.stat().st_gid, p.stat().st_mode & 0o777) for p in new} == {(1234, 1234, 0o600)}


def test_what_a_killed_run_left_is_not_swept_while_it_is_taken_over(pinned):
    json_of = pinned.path(FOURTH).with_name(name_of(FOURTH) + ".json")
    before = json_of.read_bytes()
    assert compact(pinned).returncode == 0
    whole = pinned.path(FOURTH)
    json_of.write_bytes(before)
    age(json_of, whole, pinned.path(FOURTH))
    with meanwhile(pinned.tree, "compact", json_of.name, 4, RETENTION=POLICY) as p:  # when it looks at the manifest again
        assert pinned.tree.efs_tool("prune", "--retention", "15min=9,hourly=9,daily=9,monthly=9").returncode == 0
    assert p.returncode == 0 and whole.exists(), p.err
    assert pinned.restored(FOURTH) == pinned.bytes[FOURTH]


def test_one_that_another_run_has_made_meanwhile_is_made_once(pinned):
    with meanwhile(pinned.tree, "compact", name_of(FOURTH) + ".json", 2, "--snapshot", name_of(FOURTH)) as p:
        assert compact(pinned).returncode == 0
        first = pinned.path(FOURTH).with_name(name_of(FOURTH) + ".json").read_text()
    assert p.returncode == 0, p.err
    assert pinned.path(FOURTH).with_name(name_of(FOURTH) + ".json").read_text() == first and first.count('"compacted"') == 1


# --- signed

@pytest.fixture
def signed(pinned, tmp_path):
    private, public = make_key(tmp_path, "key")
    pinned.publish(2, RETENTION=POLICY)
    pinned.keys = {"SIGNING_KEY_FILE": str(private), "VERIFY_KEYS": str(public), "REQUIRE_SIGNATURE": "1"}
    sign_all(pinned, private)
    return pinned


def sign_all(day, private):
    for p in day.tree.base.rglob("*.json"):
        if p.name.startswith("docs-"):
            sign(private, p)


def test_a_signed_delta_becomes_a_signed_whole(signed):
    assert compact(signed, **signed.keys).returncode == 0
    assert signed.manifest(FOURTH)["codec"] == "zstd:3"
    run = signed.tree.efs_tool("verify", **signed.keys)
    assert run.returncode == 0, run.stderr
    assert not list(signed.tree.base.rglob("*.sig.next"))


def test_with_a_key_that_nobody_knows_what_is_signed_stays_as_it_is(signed, tmp_path):
    other, _ = make_key(tmp_path, "other")
    run = compact(signed, **signed.keys | {"SIGNING_KEY_FILE": other})
    assert run.returncode == 1 and "SIGNING_KEY_FILE is none of VERIFY_KEYS" in run.stderr
    assert signed.manifest(FOURTH)["codec"] == "delta" and signed.tree.efs_tool("verify", **signed.keys).returncode == 0


def test_after_a_change_of_keys_it_is_signed_with_the_new_one(signed, tmp_path):
    private, public = make_key(tmp_path, "new")
    both = {"SIGNING_KEY_FILE": private, "VERIFY_KEYS": f"{signed.keys['VERIFY_KEYS']}:{public}", "REQUIRE_SIGNATURE": "1"}
    assert compact(signed, **both).returncode == 0 and signed.manifest(FOURTH)["codec"] == "zstd:3"
    assert signed.tree.efs_tool("verify", **both).returncode == 0


def test_without_the_key_what_is_signed_stays_as_it_is(signed):
    run = compact(signed)
    assert run.returncode == 1 and "it is signed, and SIGNING_KEY_FILE is not set" in run.stderr
    assert signed.manifest(FOURTH)["codec"] == "delta"


def test_killed_at_any_moment_the_backup_is_one_or_the_other_and_the_next_run_finishes(signed):
    rng, env = random.Random(SEED), signed.tree.env | {k: str(v) for k, v in signed.keys.items()} | {"RETENTION": POLICY}
    state = {p: p.read_bytes() for p in signed.tree.base.rglob("*") if p.is_file()}
    took, seen = 0.1, set()
    for _ in range(RUNS):
        begin = time.monotonic()
        process = subprocess.Popen([BUILD / "qdrant-efs", "compact"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(rng.uniform(0, took * 1.2))
            took = 0.8 * took + 0.2 * (time.monotonic() - begin)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        seen.add(signed.manifest(FOURTH)["codec"])
        assert check(signed.tree) == len(kept(signed))
        verified = signed.tree.efs_tool("verify", **signed.keys)
        assert verified.returncode == 0, verified.stderr
        assert compact(signed, **signed.keys).returncode == 0 and signed.manifest(FOURTH)["codec"] == "zstd:3"
        assert not list(signed.tree.base.rglob("*.sig.next")) and signed.tree.efs_tool("verify", **signed.keys).returncode == 0
        for p in signed.tree.base.rglob("*"):
            if p.is_file() and p not in state:
                p.unlink()
        for p, data in state.items():
            if not p.exists() or p.read_bytes() != data:
                p.write_bytes(data)
    assert seen == {"delta", "zstd:3"} or RUNS < 20


def test_between_the_two_steps_a_reader_finds_the_next_signature(signed):
    """As a kill between manifest and signature leaves it."""
    sig = signed.path(FOURTH).with_name(name_of(FOURTH) + ".json.sig")
    old = sig.read_bytes()
    assert compact(signed, **signed.keys).returncode == 0
    sig.rename(sig.with_name(sig.name + ".next"))
    sig.write_bytes(old)
    assert signed.tree.efs_tool("verify", **signed.keys).returncode == 0
    assert compact(signed, **signed.keys).returncode == 0 and sig.read_bytes() != old and not sig.with_name(sig.name + ".next").exists()


def test_two_that_do_the_same_at_the_same_time_end_with_one_whole(signed):
    env = signed.tree.env | {k: str(v) for k, v in signed.keys.items()} | {"RETENTION": POLICY}
    both = [subprocess.Popen([BUILD / "qdrant-efs", "compact"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ends = [p.wait() for p in both]
    assert 0 in ends and check(signed.tree) == len(kept(signed))
    run = signed.tree.efs_tool("verify", **signed.keys)
    assert run.returncode == 0, run.stderr
    assert signed.manifest(FOURTH)["sha256"] == checksum_of(signed.bytes[FOURTH])


def test_what_was_changed_after_it_was_read_is_not_signed(signed):
    json_of = signed.path(FOURTH).with_name(name_of(FOURTH) + ".json")
    with meanwhile(signed.tree, "compact", json_of.name, 2, "--snapshot", name_of(FOURTH), **signed.keys) as p:
        json_of.write_text(json.dumps(json.loads(json_of.read_text()) | {"aliases": ["not-ours"]}))
    assert p.returncode == 1 and "the signature is not by SIGNING_KEY_FILE" in p.err
    assert signed.manifest(FOURTH)["codec"] == "delta" and signed.tree.efs_tool("verify", **signed.keys).returncode == 1


def test_two_of_which_one_is_slower_leave_one_whole_and_nothing_beside(signed):
    with meanwhile(signed.tree, "compact", name_of(FOURTH) + ".json", 3, "--snapshot", name_of(FOURTH), **signed.keys) as p:
        assert compact(signed, **signed.keys).returncode == 0
    assert p.returncode == 0 and not list(signed.tree.base.rglob("*.sig.next")), p.err
    assert signed.tree.efs_tool("verify", **signed.keys).returncode == 0


@pytest.mark.parametrize("opened", [".json.sig", ".json.sig.next"])
def test_a_reader_in_between_finds_it_good(signed, opened):
    """Which has read the manifest that was, or the new one with the signature that was."""
    json_of = signed.path(FOURTH).with_name(name_of(FOURTH) + ".json")
    sig, before = json_of.with_name(json_of.name + ".sig"), json_of.read_bytes()
    old = sig.read_bytes()
    if opened.endswith("next"):
        assert compact(signed, **signed.keys).returncode == 0
        sig.rename(sig.with_name(sig.name + ".next"))
        sig.write_bytes(old)
    with meanwhile(signed.tree, "verify", name_of(FOURTH) + opened, 1, **signed.keys) as p:
        assert compact(signed, **signed.keys).returncode == 0
    assert p.returncode == 0 and json_of.read_bytes() != before, p.err


def test_a_dry_run_finishes_nothing(signed):
    sig = signed.path(FOURTH).with_name(name_of(FOURTH) + ".json.sig")
    assert compact(signed, **signed.keys).returncode == 0
    sig.rename(sig.with_name(sig.name + ".next"))
    for args in ((), ("--snapshot", name_of(FOURTH)), ("--all",)):
        assert compact(signed, "--dry-run", *args, **signed.keys).returncode == 0
    assert sig.with_name(sig.name + ".next").exists()


@pytest.mark.skipif(not shutil.which("strace") or bool(os.environ.get("SANITIZED")), reason="needs strace, and no sanitizer")
def test_what_fails_after_the_manifest_is_there_is_not_called_a_delta(signed):
    env = signed.tree.env | {k: str(v) for k, v in signed.keys.items()}
    for number in range(1, 20):
        run = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", f"inject=fsync:error=EIO:when={number}",
                              BUILD / "qdrant-efs", "compact", "--snapshot", name_of(FOURTH)], env=env, capture_output=True, text=True)
        whole = signed.manifest(FOURTH)["codec"] == "zstd:3"
        assert run.returncode == 1 and (" stays a delta: cannot sync " in run.stderr) != whole, run.stderr
        if whole:
            break
    assert f"{name_of(FOURTH)} is a whole, but not all is done, and the next run does the rest: cannot sync " in run.stderr
    assert compact(signed, **signed.keys).returncode == 0 and not list(signed.tree.base.rglob("*.sig.next"))
    assert signed.tree.efs_tool("verify", **signed.keys).returncode == 0
