"""qdrant-efs check: each thing in a line, and one remedy where it is not right."""
import json
import os
import re
import subprocess
import time

import pytest
from faulty_mount import faulty
from harness import BUILD, events, files_of, wait_for
from restoring import KEY, fill, publish, snapshot
from server import SERVERS, Server, free_port


def check(tree, *args, **env):
    run = tree.efs_tool("check", *args, **env)
    assert KEY not in run.stdout + run.stderr and run.stderr == ""
    return run


def told(tree, *args, **env):
    run = check(tree, "--json", *args, **env)
    document = json.loads(run.stdout)
    assert run.returncode == (0 if document["good"] else 1)
    assert all((c["remedy"] == "") == (c["state"] in ("ok", "off")) and c["text"] for c in document["checks"])
    return {c["name"]: c for c in document["checks"]}


def states(tree, *args, **env):
    return {name: c["state"] for name, c in told(tree, *args, **env).items()}


ALL_GOOD = {"settings": "ok", "mount": "ok", "write": "ok", "clock": "ok", "disk": "ok", "replicator": "ok", "drill": "ok",
            "Qdrant": "ok", "key": "ok", "S3": "off", "replica": "off"}


@pytest.fixture
def good(tree, qdrant):
    fill(qdrant, "docs")
    snapshot(qdrant, "docs")
    publish(tree)
    now = time.time()
    for folder, body in (("heartbeat", None), ("drills", {"verdict": "proven", "drills": []})):
        place = tree.base / folder / "%unnamed"
        place.mkdir(parents=True, exist_ok=True)
        for old in place.glob("*.json") if body else []:
            old.unlink()
        if body:
            (place / time.strftime("%Y-%m-%dT%H-%M-%SZ.json", time.gmtime(now))).write_text(json.dumps(body))
    tree.env["FINGERPRINT"] = "off"
    return tree


def beat(tree, age):
    """A running replicator's heartbeat, so old."""
    tree.start()
    deadline = time.monotonic() + 180
    while not list(tree.base.glob("heartbeat/*/*.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    tree.stop()
    path, = list(tree.base.glob("heartbeat/*/*.json"))[:1]
    when = time.gmtime(time.time() - age)
    body = json.loads(path.read_text()) | {"written_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", when)}
    path.unlink()
    path.with_name(time.strftime("%Y-%m-%dT%H-%M-%SZ.json", when)).write_text(json.dumps(body))


def test_where_all_is_right_each_thing_has_its_line_and_nothing_is_left(good):
    beat(good, 60)
    before = files_of(good.efs)
    found = told(good)
    assert {name: c["state"] for name, c in found.items()} == ALL_GOOD
    assert "may have snapshots made; 1 collection" in found["key"]["text"] and "heartbeat of a node" in found["replicator"]["text"]
    lines = check(good).stdout.splitlines()
    assert lines[-1] == "9 ok, 0 warnings, 0 failed, 2 off" and not any("do:" in line for line in lines)
    assert [line.split()[0] for line in lines[:-1]] == ["ok"] * 9 + ["off"] * 2
    assert files_of(good.efs) == before  # the write test leaves nothing


def test_a_silent_replicator_and_an_old_drill_are_warnings(good):
    beat(good, 3600)
    record, = good.base.glob("drills/*/*.json")
    record.rename(record.with_name(time.strftime("%Y-%m-%dT%H-%M-%SZ.json", time.gmtime(time.time() - 20 * 86400))))
    run = check(good)
    assert run.returncode == 0 and "WARNING  replicator" in run.stdout and "WARNING  drill" in run.stdout and "2 warnings, 0 failed" in run.stdout
    assert "do: see that the task of this node runs" in run.stdout and "20 days ago" in run.stdout


def test_a_drill_that_failed_fails(good):
    record, = good.base.glob("drills/*/*.json")
    record.write_text('{"verdict": "failed", "drills": []}')
    found = told(good)
    assert found["drill"]["state"] == "failed" and "qdrant-efs drill" in found["drill"]["remedy"]
    record.write_text("{")
    assert told(good)["drill"]["state"] == "failed"


def test_nothing_on_efs_yet(tree, qdrant):
    found = told(tree)
    assert found["backups"]["state"] == "warning" and "no tree of backups" in found["backups"]["text"] and found["write"]["state"] == "ok"


@pytest.mark.parametrize("kind", SERVERS)
def test_a_key_that_may_only_read_is_told_from_a_wrong_one(tree, tmp_path, kind):
    with Server(kind, tmp_path / "server", api_key=KEY, env={"QDRANT__SERVICE__READ_ONLY_API_KEY": "only-to-read"}) as server:
        fill(server, "docs")
        env = {"QDRANT_URL": server.url, "SNAPSHOTS_DIR": str(server.snapshots)}
        assert states(tree, **env, QDRANT_API_KEY=KEY)["key"] == "ok"
        reads = told(tree, **env, QDRANT_API_KEY="only-to-read")["key"]
        assert reads["state"] == "failed" and "(403)" in reads["text"] and "read_only_api_key" in reads["remedy"]
        wrong = told(tree, **env, QDRANT_API_KEY="wrong")["key"]
        assert wrong["state"] == "failed" and "QDRANT_API_KEY_FILE" in wrong["remedy"]
        assert told(tree, **env, QDRANT_API_KEY_FILE="/nowhere")["Qdrant"]["text"].count("/nowhere")
        assert server.result("GET", "/collections/docs/snapshots") == []


@pytest.mark.parametrize("env,name,state,words", [
    ({"EFS_ALLOW_LOCAL": "0"}, "mount", "failed", "a local disk"), ({"EFS_ROOT": "/nowhere"}, "mount", "failed", "/nowhere"),
    ({"MIN_FREE": "900t"}, "disk", "failed", "MIN_FREE is 900.0 TiB"), ({"SNAPSHOTS_DIR": "/nowhere"}, "disk", "warning", "/nowhere"),
    ({"MIN_FREE": "much"}, "disk", "failed", "MIN_FREE"), ({"QDRANT_URL": "http://127.0.0.1:1"}, "Qdrant", "failed", "readyz"),
    ({"QDRANT_CA_FILE": "/nowhere"}, "Qdrant", "failed", "/nowhere"), ({"SNAPSHOT_S3_BUCKET_NAME": "Not_a_bucket"}, "S3", "failed", "SNAPSHOT_S3"),
], ids=lambda v: next(iter(v)) if isinstance(v, dict) else None)
def test_what_is_wrong_is_named_with_its_remedy(tree, env, name, state, words):
    found = told(tree, **env)
    assert found[name]["state"] == state and words in found[name]["text"]


def test_a_root_that_cannot_be_written_to_fails(tree):
    """EIO in place of rights: tests may be root."""
    found = told(tree, **faulty(EIO="/.partial-"))
    assert found["write"]["state"] == "failed" and ".partial-" in found["write"]["text"] and "access point" in found["write"]["remedy"]


def test_root_counts_for_all_that_is_looked_at(tree, tmp_path):
    """And nothing is written to what EFS_ROOT names."""
    other = tmp_path / "other"
    other.mkdir()
    found = told(tree, "--root", str(other), **faulty(EIO=f"{tree.efs}/"))
    assert (found["mount"]["state"], found["write"]["state"], found["clock"]["state"]) == ("ok", "ok", "ok")
    found = told(tree, "--root", str(other), **faulty(EIO=f"{other}/.partial-"))
    assert found["write"]["state"] == "failed" and str(other) in found["write"]["text"]
    other = tmp_path / "file"
    other.write_text("x")
    found = told(tree, "--root", str(other))
    assert found["mount"]["state"] == "failed" and "Not a directory" in found["mount"]["text"] and "write" not in found and "replicator" not in found


def test_a_bucket_is_asked(tree, aws):
    aws.bucket()
    env = aws.env | {"SNAPSHOT_S3_BUCKET_NAME": "backups"}
    assert told(tree, **env)["S3"]["state"] == "ok"
    missing = told(tree, **env | {"SNAPSHOT_S3_BUCKET_NAME": "another"})["S3"]
    assert missing["state"] == "failed" and "another" in missing["text"]
    dead = told(tree, **env | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"})["S3"]
    assert dead["state"] == "failed" and env["AWS_SECRET_ACCESS_KEY"] not in json.dumps(dead)


def test_a_wrong_setting_is_exit_64(tree):
    run = tree.efs_tool("check", TIER="a/b")
    assert run.returncode == 64 and run.stdout == "" and "TIER" in run.stderr


def test_each_line_is_out_before_the_next_thing_is_looked_at(good):
    """Whoever waits for a file system that hangs sees what came before."""
    p = subprocess.Popen([BUILD / "qdrant-efs", "check"], env=good.env | faulty(HANG="/drills"), stdout=subprocess.PIPE, text=True)
    seen = [p.stdout.readline() for _ in range(5)]
    p.kill()
    assert [line.split()[1] for line in seen] == ["settings", "mount", "write", "clock", "disk"]
    p.wait(30)


def checked(tree, **env):
    """The line that a replicator logs at its start."""
    tree.start(**env)
    wait_for(lambda: tree.logged("checked"))
    tree.stop()
    (line,) = tree.logged("checked")
    return line


def test_the_replicator_logs_the_local_part_as_one_line_at_its_start(tree):
    tree.base.mkdir()
    line = checked(tree)
    assert (line["level"], line["ok"], line["warnings"], line["failed"]) == ("info", 2, 0, 0)
    assert re.fullmatch(r"mount ok: .*; disk ok: .* free, MIN_FREE is .*", line["message"]), line["message"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for strace")
def test_it_writes_nothing_for_an_empty_folder_tells_of_a_mount_that_is_missing(tree):
    traced = tree.root / "trace"
    run = subprocess.run(["strace", "-f", "-e", "trace=openat,open,creat,link,linkat", "-o", traced, "timeout", "3", BUILD / "qdrant-replicator"],
                         env=tree.env | {"EFS_ROOT": str(tree.efs)}, capture_output=True, text=True)
    assert '"checked"' in run.stderr, run.stderr
    made = [line for line in traced.read_text().splitlines() if "O_CREAT" in line and f'"{tree.efs}/' in line and str(tree.base) not in line]
    assert made == []


def test_the_line_says_what_to_do_where_something_is_wrong(tree):
    line = checked(tree, EFS_ROOT=str(tree.root / "nowhere"), MIN_FREE="1000t")
    assert line["level"] == "error" and line["failed"] == 2
    assert "mount FAILED: " in line["message"] and "(do: mount EFS there" in line["message"]
    assert "disk FAILED: " in line["message"]
    assert "(do: give the task more ephemeral storage" in line["message"]


def test_a_run_that_ends_at_once_does_not_log_it(tree):
    assert "checked" not in [line["event"] for line in events(tree.once().stderr)]
