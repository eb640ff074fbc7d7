"""Signatures of manifests: made by the replicator, checked by readers and by openssl alone."""
import json
import os
import pathlib
import re
import subprocess
import time

import pytest
from harness import manifests_of, tar_of
from signing import make_key, sign

ROOT = pathlib.Path(__file__).parents[3]

OLD, NEW = "c-1-2026-11-23-08-00-00", "c-1-2026-11-24-08-00-00"


@pytest.fixture
def keys(tmp_path):
    return make_key(tmp_path / "keys", "one")


def publish(tree, name, key=None):
    tree.snapshot("c", name, tar_of(name, 50_000))
    run = tree.once(**({"SIGNING_KEY_FILE": key} if key else {}))
    assert run.returncode == 0, run.stderr
    path, = (p for p in manifests_of(tree.base) if p.name == f"{name}.json")
    return path


@pytest.fixture
def signed(tree, keys):
    publish(tree, OLD, keys[0])
    publish(tree, NEW, keys[0])
    return tree


def signature_of(manifest):
    return manifest.with_name(manifest.name + ".sig")


def manifest_of(tree, name):
    return next(tree.base.rglob(f"{name}.json"))


def forge(tree, name):
    """What somebody who may write to EFS can do: other data, with hashes that fit."""
    manifest = manifest_of(tree, name)
    m = json.loads(manifest.read_text())
    forged = "forged" + m["snapshot"][6:]
    manifest.write_text(manifest.read_text().replace('"points"', '"forged":"' + forged + '","points"'))


def taken(tree, **env):
    path = tree.root / "out"
    path.unlink(missing_ok=True)
    run = tree.efs_tool("restore", "--collection", "c", "--to", str(path), "--json", **env)
    assert run.returncode == 0, run.stderr
    (result,), bytes_there = json.loads(run.stdout), path.read_bytes()
    assert bytes_there == tar_of(result["snapshot"], 50_000)
    return result["snapshot"], run.stderr


def states(tree, **env):
    run = tree.efs_tool("ls", "--json", **env)
    return {b["snapshot"]: (b["state"], b["reason"]) for b in json.loads(run.stdout)}


def test_without_a_key_nothing_is_signed_and_nothing_is_asked(tree):
    manifest = publish(tree, NEW)
    assert not signature_of(manifest).exists() and taken(tree)[0] == NEW


def words(start):
    """A line of the page, as it stands there."""
    line, = re.findall(rf"`({start} .*?)`", (ROOT / "docs/format.md").read_text())
    return line


def shell(line, **env):
    return subprocess.run(["sh", "-ec", line], env=os.environ | {k: str(v) for k, v in env.items()}, capture_output=True, text=True)


def test_the_documented_words_check_a_signature(signed, keys):
    line = words("openssl pkeyutl -verify -pubin -inkey \"\\$KEY\" -rawin -in \"\\$MANIFEST\"")
    for name in (OLD, NEW):
        manifest = manifest_of(signed, name)
        assert signature_of(manifest).stat().st_size == 64
        assert shell(line, KEY=keys[1], MANIFEST=manifest).returncode == 0
    manifest.write_text(manifest.read_text() + " ")
    assert shell(line, KEY=keys[1], MANIFEST=manifest).returncode != 0


def test_the_documented_words_make_the_keys_and_sign_again(tree, tmp_path):
    for start in ("openssl genpkey", "openssl pkey"):
        run = shell(f"cd '{tmp_path}'; " + words(start))
        assert run.returncode == 0, run.stderr
    manifest = publish(tree, NEW, str(tmp_path / "signing.key"))
    env = {"VERIFY_KEYS": str(tmp_path / "verify.pem"), "REQUIRE_SIGNATURE": "1"}
    assert states(tree, **env)[NEW][0] == "complete"
    second = make_key(tmp_path / "keys", "two")
    env["VERIFY_KEYS"] = second[1]
    assert states(tree, **env)[NEW][0] == "corrupt"
    (tmp_path / "new.key").write_bytes(pathlib.Path(second[0]).read_bytes())
    run = shell(f"cd '{tmp_path}'; " + words("openssl pkeyutl -sign"), MANIFEST=manifest)
    assert run.returncode == 0 and states(tree, **env)[NEW][0] == "complete", run.stderr


@pytest.mark.parametrize("require", ["0", "1"])
def test_a_good_signature_is_good(signed, keys, require):
    env = {"VERIFY_KEYS": keys[1], "REQUIRE_SIGNATURE": require}
    assert taken(signed, **env)[0] == NEW
    assert signed.efs_tool("verify", **env).returncode == 0


@pytest.mark.parametrize("require", ["0", "1"])
def test_a_changed_manifest_is_passed_over_aloud_and_the_older_one_restored(signed, keys, require):
    env = {"VERIFY_KEYS": keys[1], "REQUIRE_SIGNATURE": require}
    forge(signed, NEW)
    assert taken(signed)[0] == NEW  # whoever has no keys cannot know
    name, said = taken(signed, **env)
    assert name == OLD and NEW in said and "signature" in said
    run = signed.efs_tool("verify", **env)
    assert run.returncode == 1 and "signature" in run.stderr
    assert states(signed, **env)[NEW][0] == "corrupt" and states(signed, **env)[OLD][0] == "complete"


def test_one_without_a_signature_is_passed_over_only_where_it_is_required(signed, keys):
    signature_of(manifest_of(signed, NEW)).unlink()
    env = {"VERIFY_KEYS": keys[1]}
    assert taken(signed, **env)[0] == NEW and signed.efs_tool("verify", **env).returncode == 0
    env["REQUIRE_SIGNATURE"] = "1"
    name, said = taken(signed, **env)
    assert name == OLD and "not signed" in said
    assert signed.efs_tool("verify", **env).returncode == 1 and states(signed, **env)[NEW][0] == "unsigned"


def test_another_ones_key_does_not_count(signed, keys, tmp_path):
    other = make_key(tmp_path / "others", "other")
    assert states(signed, VERIFY_KEYS=other[1])[NEW][0] == "corrupt"
    run = signed.efs_tool("restore", "--collection", "c", "--to", str(tmp_path / "out"), VERIFY_KEYS=other[1], REQUIRE_SIGNATURE="1")
    assert run.returncode == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_key_is_rotated(tree, keys, tmp_path, as_folder):
    """The steps of docs/format.md, and after each of them what is to be had."""
    second = make_key(tmp_path / "keys", "two")
    env = {"VERIFY_KEYS": keys[1], "REQUIRE_SIGNATURE": "1"}
    publish(tree, OLD, keys[0])
    env["VERIFY_KEYS"] = str(tmp_path / "keys") if as_folder else f"{keys[1]}:{second[1]}"
    assert states(tree, **env)[OLD][0] == "complete"
    publish(tree, NEW, second[0])
    assert {s for s, _ in states(tree, **env).values()} == {"complete"} and taken(tree, **env)[0] == NEW
    assert tree.efs_tool("verify", **env).returncode == 0
    signature_of(manifest_of(tree, NEW)).unlink()
    assert taken(tree, **env)[0] == OLD  # the old one's stay good
    publish(tree, "c-1-2026-11-25-08-00-00", second[0])
    env["VERIFY_KEYS"] = second[1]
    assert states(tree, **env)[OLD][0] == "corrupt" and taken(tree, **env)[0] == "c-1-2026-11-25-08-00-00"


def test_forget_and_prune_delete_the_signature_too(signed, keys):
    old = signature_of(manifest_of(signed, NEW))
    publish(signed, "c-1-2026-11-25-08-00-00", keys[0])
    assert len(list(signed.base.rglob("*.json.sig"))) == 3
    run = signed.efs_tool("prune", RETENTION="daily=1")
    assert run.returncode == 0, run.stderr
    left = list(signed.base.rglob("*.json.sig"))
    assert len(left) == 2 and not old.exists() and all(p.with_suffix("").exists() for p in left)
    alone, young = (old.with_name(f"c-1-2026-01-0{i}-00-00-00.json.sig") for i in (1, 2))
    for p in (alone, young):
        p.write_bytes(b"x" * 64)
    long_ago = time.time() - 3 * 86400
    os.utime(alone, (long_ago, long_ago))
    assert signed.efs_tool("prune", RETENTION="daily=1").returncode == 0
    assert not alone.exists() and young.exists()
    assert signed.efs_tool("forget", "c").returncode == 0
    assert not list(signed.base.rglob("*.sig")) and not list(signed.base.glob("*/c"))


def test_the_replicator_goes_on_with_old_backups_without_a_signature(tree, keys):
    publish(tree, OLD)
    tree.env |= {"VERIFY_KEYS": keys[1], "REQUIRE_SIGNATURE": "1"}
    publish(tree, NEW, keys[0])
    assert states(tree)[OLD][0] == "unsigned" and states(tree)[NEW][0] == "complete"


def test_a_signature_that_a_crash_left_is_replaced_when_it_is_old(tree, keys):
    publish(tree, OLD, keys[0])
    left = manifest_of(tree, OLD).parent.parent.parent / "hourly" / "c"
    for frequency in ("15min", "hourly", "daily", "monthly"):
        folder = tree.base / frequency / "c"
        folder.mkdir(parents=True, exist_ok=True)
        left = folder / f"{NEW}.json.sig"
        left.write_bytes(b"y" * 64)
    tree.snapshot("c", NEW, tar_of(NEW, 50_000))
    assert tree.once(SIGNING_KEY_FILE=keys[0]).returncode != 0  # another task may be about to write its manifest
    assert not list(tree.base.rglob(f"{NEW}.json"))
    for p in tree.base.rglob(f"{NEW}.json.sig"):
        os.utime(p, (time.time() - 3600,) * 2)
    manifest = publish(tree, NEW, keys[0])
    assert signature_of(manifest).read_bytes() != b"y" * 64
    assert states(tree, VERIFY_KEYS=keys[1], REQUIRE_SIGNATURE="1")[NEW][0] == "complete"


@pytest.mark.parametrize("env,word", [
    ({"REQUIRE_SIGNATURE": "1"}, "VERIFY_KEYS"), ({"REQUIRE_SIGNATURE": "yes"}, "REQUIRE_SIGNATURE"),
    ({"VERIFY_KEYS": "/nowhere.pem"}, "/nowhere.pem"), ({"VERIFY_KEYS": "/etc/passwd"}, "/etc/passwd"), ({"VERIFY_KEYS": ":"}, "VERIFY_KEYS")])
def test_wrong_settings_are_said_by_both_programs(tree, env, word):
    for run in (tree.efs_tool("ls", **env), tree.once(**env)):
        assert run.returncode == 64 and word in run.stderr


def test_a_signing_key_that_is_none_is_said(tree, keys, tmp_path):
    rsa = tmp_path / "rsa.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "rsa", "-out", rsa], check=True, capture_output=True)
    for path in ("/nowhere.key", keys[1], str(rsa)):
        run = tree.once(SIGNING_KEY_FILE=path)
        assert run.returncode == 64 and path in run.stderr


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/x", "file:///tmp/x", "S3://bucket/key"])
def test_what_has_no_signature_is_refused_when_one_is_required(tree, keys, location):
    run = tree.efs_tool("restore", "--collection", "c", "--location", location, VERIFY_KEYS=keys[1], REQUIRE_SIGNATURE="1")
    assert run.returncode == 64 and "REQUIRE_SIGNATURE" in run.stderr


def test_a_list_says_what_is_signed(signed, keys):
    signature_of(manifest_of(signed, OLD)).unlink()
    of = {b["snapshot"]: b for b in json.loads(signed.efs_tool("ls", "--json").stdout)}
    assert {b["signature"] for b in of.values()} == {"unchecked"}
    env = {"VERIFY_KEYS": keys[1]}
    of = {b["snapshot"]: b["signature"] for b in json.loads(signed.efs_tool("ls", "--json", **env).stdout)}
    assert of == {OLD: "missing", NEW: "good"}
    forge(signed, NEW)
    env["REQUIRE_SIGNATURE"] = "1"
    lines = {re.search(r"c-1-\S+-00-00", line)[0]: line for line in signed.efs_tool("ls", **env).stdout.splitlines()[1:-1]}
    assert " unsigned " in lines[OLD] and "it is not signed, and REQUIRE_SIGNATURE=1" in lines[OLD]
    assert " corrupt " in lines[NEW] and "signature" in lines[NEW]
    assert signed.efs_tool("ls", **env).stdout.rstrip().endswith(": 1 corrupt, 1 unsigned")
    assert OLD in signed.efs_tool("ls", "--state", "unsigned", **env).stdout
    run = signed.efs_tool("verify", **env)
    assert run.returncode == 1 and "unsigned: " in run.stderr and "0 verified, 2 defective" in run.stdout
    run = signed.efs_tool("show", OLD, **env)
    assert re.search(r"^signature +missing$", run.stdout, re.M) and re.search(r"^state +unsigned$", run.stdout, re.M)


def test_a_replica_says_what_is_not_signed(signed, keys):
    env = {"VERIFY_KEYS": keys[1], "REQUIRE_SIGNATURE": "1"}
    signature_of(manifest_of(signed, NEW)).unlink()
    run = signed.efs_tool("replica", "--json", **env)
    row, = json.loads(run.stdout)["collections"]
    assert run.returncode == 1 and row["snapshot"] == OLD and "not signed" in run.stdout


def test_a_status_says_what_is_not_signed(signed, keys):
    env = {"VERIFY_KEYS": keys[1], "REQUIRE_SIGNATURE": "1"}
    signature_of(manifest_of(signed, NEW)).unlink()
    run = signed.efs_tool("status", "--json", **env)
    row, = json.loads(run.stdout)["collections"]
    assert run.returncode == 1 and "newest_unsigned" in row["problems"] and "newest_unreadable" not in row["problems"]
    assert "newest unsigned" in signed.efs_tool("status", **env).stdout


def deleted(tree, **env):
    return {b["collection"] for b in json.loads(tree.efs_tool("ls", "--json", **env).stdout) if "deleted" in b}


def test_a_tombstone_is_signed_by_whoever_writes_it_and_obeyed_only_so(signed, keys):
    required = {"VERIFY_KEYS": keys[1], "REQUIRE_SIGNATURE": "1"}
    path = signed.base / "deleted" / "%all" / "d.json"
    run = signed.efs_tool("forget", "d", **required)
    assert run.returncode == 1 and not path.exists()  # there is no d
    signed.snapshot("d", "d-1-2026-11-24-08-00-00", tar_of("d", 50_000))
    assert signed.once(SIGNING_KEY_FILE=keys[0]).returncode == 0
    run = signed.efs_tool("forget", "d", SIGNING_KEY_FILE=keys[0], **required)
    assert run.returncode == 0 and "SIGNING_KEY_FILE" not in run.stderr, run.stderr
    signature = path.with_name("d.json.sig")
    assert signature.stat().st_size == 64
    run = signed.efs_tool("forget", "d", **required)
    assert "SIGNING_KEY_FILE is not set" in run.stderr and path.exists() and not signature.exists()
    signed.snapshot("d", "d-1-2026-11-24-07-00-00", tar_of("d7", 50_000))
    signed.env |= required
    assert signed.once(SIGNING_KEY_FILE=keys[0]).returncode == 0
    assert "d-1-2026-11-24-07-00-00" in states(signed)  # an unsigned one forbids nothing
    assert signed.efs_tool("forget", "d", SIGNING_KEY_FILE=keys[0]).returncode == 0
    signed.snapshot("d", "d-1-2026-11-24-06-00-00", tar_of("d6", 50_000))
    assert signed.once(SIGNING_KEY_FILE=keys[0]).returncode == 0
    assert "d-1-2026-11-24-06-00-00" not in states(signed)


def test_a_list_does_not_believe_an_unsigned_tombstone(signed, keys):
    folder = signed.base / "deleted" / "%all"
    folder.mkdir(parents=True)
    (folder / "c.json").write_text(json.dumps({"format": 1, "collection": "c", "node": "%all", "deleted": "2030-01-01T00:00:00Z",
                                               "last_seen": None, "forgotten": False, "written_by": "somebody"}))
    assert deleted(signed) == {"c"} == deleted(signed, VERIFY_KEYS=keys[1])
    run = signed.efs_tool("ls", "--json", VERIFY_KEYS=keys[1], REQUIRE_SIGNATURE="1")
    assert "not signed" in run.stderr and deleted(signed, VERIFY_KEYS=keys[1], REQUIRE_SIGNATURE="1") == set()
    sign(keys[0], folder / "c.json")
    assert deleted(signed, VERIFY_KEYS=keys[1], REQUIRE_SIGNATURE="1") == {"c"}
    (folder / "c.json.sig").write_bytes(b"x" * 64)
    assert deleted(signed, VERIFY_KEYS=keys[1]) == set()


def test_where_signatures_are_required_nobody_prunes_by_what_a_heartbeat_says(signed, keys):
    before = signed.files()
    run = signed.efs_tool("prune", VERIFY_KEYS=keys[1], REQUIRE_SIGNATURE="1")
    assert run.returncode == 64 and "not signed" in run.stderr and "RETENTION" in run.stderr and signed.files() == before


def test_a_task_whose_backups_no_restore_would_take_says_so(tree, keys, tmp_path):
    other = make_key(tmp_path / "others", "other")
    for env, said in (({"VERIFY_KEYS": keys[1], "REQUIRE_SIGNATURE": "1"}, "SIGNING_KEY_FILE is not set"),
                      ({"VERIFY_KEYS": keys[1], "SIGNING_KEY_FILE": other[0]}, "none of VERIFY_KEYS"),
                      ({"VERIFY_KEYS": f"{other[1]}:{keys[1]}", "REQUIRE_SIGNATURE": "1", "SIGNING_KEY_FILE": other[0]}, None),
                      ({"VERIFY_KEYS": keys[1]}, None), ({"SIGNING_KEY_FILE": keys[0]}, None)):
        run = tree.once(**env)
        assert run.returncode == 0 and ("publishes_unsigned" in run.stderr) == bool(said) and (said or "") in run.stderr, (env, run.stderr)
