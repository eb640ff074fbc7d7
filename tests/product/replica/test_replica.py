"""`qdrant-efs replica`: what it says of a replica is true, however far it has come."""
import hashlib
import json
import os
import shutil
import subprocess
import time

import pytest
from heartbeats import fill, heartbeat_of, put, snapshot_name
from replicating import Replicating


def newest_named(first, collection):
    beat = json.loads(sorted((first / "heartbeat").rglob("*.json"))[-1].read_text())
    return [b for f in beat["folders"] if f["collection"] == collection for b in f["backups"]]


def whole(regions, backup, collection):
    """Are all three files of the backup here, byte for byte?"""
    folder = f"{backup['frequency']}/{collection}"
    files = [p for p in (regions.first / folder).iterdir() if p.name.startswith(backup["snapshot"] + ".")]
    here = [regions.base / folder / p.name for p in files]
    return all(h.exists() and h.read_bytes() == p.read_bytes() for h, p in zip(here, files, strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_a_recovery_point_that_it_verified_can_be_restored_and_what_it_calls_good_is_all_here(regions, seed):
    copy = Replicating(regions.primary, regions.replica, seed, cut=0.35, holed=0.2)
    for steps in (4, 6, 8, 10, 12):
        copy.run(steps)
        seen = regions.look("--verify")
        for name, row in seen.rows.items():
            if row["recovery_point"]:
                m = json.loads((regions.first / row["frequency"] / name / (row["snapshot"] + ".json")).read_text())
                assert hashlib.sha256(open(row["path"], "rb").read()).hexdigest() == m["stored_sha256"] and row["verified"]
                assert regions.tool("verify", "--root", str(regions.replica), "--collection", name, "--frequency", row["frequency"],
                                    "--json").stdout.count(f'"{row["snapshot"]}"') >= 1
                assert row["recovery_point"] == m["created"]
        if seen.good:
            for c in ("docs", "images"):
                assert all(whole(regions, b, c) for b in newest_named(regions.first, c)[-1:])
    copy.run()
    seen = regions.look("--verify")
    assert seen.good and {r["state"] for r in seen.collections} == {"complete"} and not any(r["problems"] for r in seen.collections)
    assert regions.compare().good


def test_what_was_not_read_is_not_called_verified_and_reading_finds_the_older_one(regions):
    regions.copy()
    data = regions.files(ending=".zst")[-1]
    data.write_bytes(bytes(data.stat().st_size))
    row = regions.look().rows["docs"]
    assert row["state"] == "complete" and not row["verified"] and "not read" in regions.run().stdout
    seen = regions.look("--verify")
    row = seen.rows["docs"]
    assert seen.code == 1 and row["state"] == "behind" and row["verified"] and row["corrupt"] == 1
    assert row["snapshot"] == regions.files(ending=".zst")[-2].name.split(".")[0] and row["lag_seconds"] == 600
    assert row["problems"][0]["snapshot"] == data.name.split(".")[0]
    assert seen.rows["images"]["state"] == "complete"


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def grow(path):
    path.write_bytes(path.read_bytes() + b"x")


def other(path):  # a good backup of the same name, that the primary does not have
    m, data = json.loads(path.read_text()), path.with_suffix(".snapshot.zst")
    data.write_bytes(data.read_bytes() + b"\x50\x2a\x4d\x18\0\0\0\0")  # an empty frame that zstd skips
    m |= {"stored_size": data.stat().st_size, "stored_sha256": hashlib.sha256(data.read_bytes()).hexdigest()}
    path.write_text(json.dumps(m))
    (data.parent / f"{data.name}.sha256").write_text(f"{m['stored_sha256']}  {data.name}\n")


DEFECTS = {
    "nothing": (None, ".*", "missing"), "no data": (os.unlink, ".zst", "missing"), "no manifest": (os.unlink, ".json", "missing"),
    "no sha256": (os.unlink, ".sha256", "missing"), "data cut short": (cut, ".zst", "cut_short"),
    "manifest cut short": (cut, ".json", "cut_short"), "sha256 cut short": (cut, ".sha256", "cut_short"),
    "data too long": (grow, ".zst", "corrupt"), "another sha256": (lambda p: p.write_text("0" * 64 + p.read_text()[64:]), ".sha256", "corrupt"),
    "manifest of another": (lambda p: p.write_text(p.read_text().replace('"docs"', '"images"')), ".json", "corrupt"),
    "another backup of that name": (other, ".json", "different"),
}


@pytest.mark.parametrize("by", ["heartbeat", "primary"])
@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_of_the_newest_is_named_and_the_older_one_is_the_recovery_point(regions, defect, by):
    regions.copy()
    do, ending, word = DEFECTS[defect]
    stem = regions.files()[-1].stem
    for p in [p for p in regions.base.rglob(f"{stem}.*")] if do is None else regions.base.rglob(f"{stem}*{ending}"):
        (do or os.unlink)(p)
    seen = regions.look() if by == "heartbeat" else regions.compare()
    row = seen.rows["docs"]
    assert seen.code == 1 and seen.by == by and row["state"] in ("behind", "late") and row[word] == 1
    assert [(p["what"], p["snapshot"]) for p in row["problems"]] == [(word, stem)] and row["newest_snapshot"] == stem
    assert row["snapshot"] == regions.files(where=regions.first)[-2].stem
    text = regions.run(*(["--primary", str(regions.primary)] if by == "primary" else [])).stdout
    assert f"{word}: docs, " in text and stem in text


def test_the_primary_tells_of_every_backup_and_what_is_only_here(regions):
    regions.copy()
    oldest = regions.files()[0].stem
    for p in regions.base.rglob(f"{oldest}.*"):
        p.unlink()
    for p in regions.first.rglob(regions.files("images")[0].stem + ".*"):
        p.unlink()
    for p in regions.first.glob("*/gone"):
        shutil.rmtree(p)
    shutil.copytree(regions.base / "15min" / "images", regions.base / "15min" / "left")
    seen = regions.compare()
    assert seen.code == 1 and seen.rows["docs"]["state"] == "missing" and seen.rows["docs"]["missing"] == 1
    assert seen.rows["images"]["only_here"] == 1 and seen.rows["images"]["state"] == "complete"
    assert seen.rows["left"]["state"] == "none" or seen.rows["left"]["state"] == "left"


def test_a_cut_heartbeat_is_passed_over_and_said_so(regions):
    now = time.time()
    put(regions.first, heartbeat_of(regions.first, written=now - 300), now - 300)
    regions.copy()
    text = json.dumps(heartbeat_of(regions.first))
    bad = put(regions.base, text[:len(text) // 2], now + 5, "n0")
    seen = regions.look()
    beat, = seen.heartbeats
    assert seen.good and [p["why"] for p in beat["passed_over"]] and str(bad) in beat["passed_over"][0]["why"]
    assert f"passed over: heartbeat cut short, or no JSON: {bad}" in regions.run().stdout


def test_a_newer_heartbeat_than_its_backups_is_no_proof_of_them(regions):
    regions.copy()
    beat = heartbeat_of(regions.first)
    docs = next(f for f in beat["folders"] if f["collection"] == "docs")
    newest = docs["backups"][-1] | {"snapshot": snapshot_name("docs", time.time()), "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    docs["backups"][-1] = newest
    put(regions.base, beat, time.time() + 2)
    row = regions.look().rows["docs"]
    assert row["state"] == "behind" and row["newest_snapshot"] == newest["snapshot"] and row["missing"] == 1
    assert 250 < row["lag_seconds"] < 900 and regions.look().code == 1


def test_without_a_heartbeat_what_is_here_is_told_and_that_nothing_tells_the_rest(regions):
    regions.copy()
    shutil.rmtree(regions.base / "heartbeat")
    cut(regions.files(ending=".zst")[-1])
    seen = regions.look()
    assert seen.code == 1 and seen.by == "nothing" and {r["state"] for r in seen.collections} == {"unknown"}
    assert seen.rows["docs"]["snapshot"] == regions.files()[-2].stem and seen.rows["docs"]["cut_short"] == 1
    assert "nothing tells what is missing" in regions.run().stdout


def test_only_unreadable_heartbeats_are_none(regions):
    regions.copy()
    for p in regions.base.glob("heartbeat/*/*"):
        cut(p)
    seen = regions.look()
    assert seen.code == 1 and seen.by == "nothing" and seen.heartbeats[0]["passed_over"] and seen.rows["docs"]["state"] == "unknown"


def test_the_objective_comes_from_the_option_or_the_heartbeat_or_the_setting(regions):
    regions.copy()
    assert regions.look("--rpo", "60").rows["docs"]["state"] == "late"
    assert regions.look("--rpo", "20m").rows["docs"]["state"] == "complete"
    put(regions.base, heartbeat_of(regions.first, rpo_seconds=60), time.time() + 2)
    seen = regions.look(RPO_SECONDS="7200")
    assert seen.rows["docs"]["state"] == "late" and seen.rows["docs"]["rpo_seconds"] == 60 and seen.code == 1
    shutil.rmtree(regions.base / "heartbeat")
    assert regions.look(RPO_SECONDS="7200").rows["docs"]["rpo_seconds"] == 7200


def test_a_collection_that_nobody_wants_any_more_is_not_held_to_the_objective_but_must_be_here(regions):
    old = time.time() - 5000
    shutil.rmtree(regions.first / "heartbeat")
    beat = heartbeat_of(regions.first, wanted=True)
    next(f for f in beat["folders"] if f["collection"] == "images")["wanted"] = False
    put(regions.first, beat, old + 5000)
    regions.copy()
    seen = regions.look("--rpo", "60")
    assert seen.rows["docs"]["state"] == "late" and seen.rows["images"]["state"] == "complete"
    regions.files("images", ".zst")[-1].unlink()
    assert regions.look("--rpo", "60").rows["images"]["state"] == "behind"


def test_of_two_nodes_each_has_its_own_recovery_point(tree, regions):
    fill(tree, node="n0", peer=1)
    fill(tree, node="n1", peer=2)
    for node in ("n0", "n1"):
        put(tree.base, heartbeat_of(tree.base, node))
    shutil.copytree(tree.efs, regions.replica)
    rows = lambda: {(r["collection"], r["node"]): r for r in regions.look().collections}
    assert regions.look().good and len(rows()) == 4
    newest = max(p.stem for p in tree.base.rglob("docs-2-*.json"))
    for p in regions.base.rglob(f"{newest}.*"):
        p.unlink()
    assert rows()["docs", "n1"]["state"] == "behind" and rows()["docs", "n1"]["problems"][0]["snapshot"] == newest
    assert rows()["docs", "n0"]["state"] == "complete" and regions.look().code == 1
    shutil.rmtree(regions.base / "heartbeat" / "n1")  # nothing of it has arrived
    assert rows()["docs", "n1"]["state"] == "unknown" and regions.look().code == 1


def test_a_node_that_is_silent_for_days_is_late_until_its_heartbeats_are_deleted(tree, regions):
    fill(tree, node="n0", peer=1)
    fill(tree, node="n1", peer=2, ages=(5 * 86400, 4 * 86400))
    put(tree.base, heartbeat_of(tree.base, "n0"))
    then = time.time() - 4 * 86400
    put(tree.base, heartbeat_of(tree.base, "n1", written=then, wanted=True), then)
    shutil.copytree(tree.efs, regions.replica)
    seen = regions.look()
    assert not seen.good and {(r["node"], r["state"]) for r in seen.collections} == {("n0", "complete"), ("n1", "late")}
    assert [b["gone"] for b in seen.heartbeats] == [False, True] and "delete its folder" in regions.run().stdout
    shutil.rmtree(regions.base / "heartbeat" / "n1")
    seen = regions.look()
    assert seen.good and {(r["node"], r["state"]) for r in seen.collections} == {("n0", "complete"), ("n1", "left")}


def test_a_clock_that_ran_ahead_hides_no_heartbeat(tree, regions):
    fill(tree)
    put(tree.base, heartbeat_of(tree.base, "n0"))
    shutil.copytree(tree.efs, regions.replica)
    assert regions.look().good
    ahead = time.time() + 30 * 86400
    put(regions.base, heartbeat_of(regions.base, "n0", written=ahead), ahead)
    for p in regions.base.glob("*/docs/*.zst"):
        p.unlink()
    seen = regions.look()
    assert not seen.good and seen.rows["docs"]["state"] == "none"


def test_a_primary_that_is_not_mounted_or_not_whole_says_nothing(tree, regions, tmp_path):
    fill(tree)
    shutil.copytree(tree.efs, regions.replica)
    (tmp_path / "not-mounted").mkdir()
    run = regions.run("--primary", str(tmp_path / "not-mounted"))
    assert run.returncode == 1 and "the primary has no tree" in run.stderr
    assert regions.run("--primary", str(tree.efs)).returncode in (0, 1)
    for p in tree.base.glob("*/docs/*.json"):
        p.write_text(p.read_text()[:40])
    run = regions.run("--primary", str(tree.efs))
    assert run.returncode == 1 and "unknown" in run.stdout


def test_tasks_without_a_name_count_as_one_node(tree, regions):
    fill(tree, node="", peer=1, ages=(3600, 2700))
    fill(tree, node="", peer=2, ages=(1800, 900))
    put(tree.base, heartbeat_of(tree.base, ""))
    shutil.copytree(tree.efs, regions.replica)
    seen = regions.look()
    assert seen.good and [(r["collection"], r["node"], r["state"]) for r in seen.collections] == [("docs", "", "complete"), ("images", "", "complete")]


def test_what_was_deleted_on_the_primary_is_left_over_until_its_deletion_arrives(regions):
    regions.copy()
    beat = heartbeat_of(regions.first)
    beat["folders"] = [f for f in beat["folders"] if f["collection"] == "docs"]
    put(regions.base, beat, time.time() + 2)
    seen = regions.look()
    assert seen.good and seen.rows["images"]["state"] == "left"
    put(regions.base, beat | {"left_out": 1}, time.time() + 4)
    seen = regions.look()
    assert seen.code == 1 and seen.rows["images"]["state"] == "unknown"


def test_shards_and_the_whole_storage_must_be_here_too(tree, regions):
    now = time.time()
    tree.snapshot("docs/shards/0", f"docs-shard-0-{snapshot_name('', now - 900)[3:]}", b"x" * 10240)
    tree.snapshot(".", f"full-snapshot-{snapshot_name('', now - 86400 * 3)[3:]}", b"y" * 10240)
    fill(tree)
    put(tree.base, heartbeat_of(tree.base, wanted=True))
    shutil.copytree(tree.efs, regions.replica)
    seen = regions.look()
    assert seen.good and {r["kind"] for r in seen.collections} == {"collection", "shard", "storage"}
    shutil.rmtree(next(regions.base.glob("*/%storage")))
    assert {r["kind"]: r["state"] for r in regions.look().collections}["storage"] == "none"


HOSTILE = {
    "empty": "", "no JSON": "{", "an array": "[]", "null": "null", "nested": "[" * 100000,
    "another format": '{"format": 2}', "a huge format": '{"format": 1e308}', "no members": '{"format": 1}',
}
WRONG = {
    "node": 5, "written_at": 1e99, "started": "yesterday", "rpo_seconds": -1, "left_out": "many", "folders": {},
}
WRONG_FOLDER = {
    "kind": "evil", "collection": "", "shard": "../..", "backups": None,
}
WRONG_BACKUP = {
    "frequency": "../15min", "snapshot": "../../../../etc/passwd", "stored_size": 1e300, "taken": "10000-01-01T00:00:00Z",
    "slot": "2026-02-31T00:00:00Z", "published": None, "stored_sha256": "0" * 63,
}


def hostile(first):
    yield from HOSTILE.items()
    for key, value in WRONG.items():
        yield key, json.dumps(heartbeat_of(first) | {key: value})
    for key, value in WRONG_FOLDER.items():
        beat = heartbeat_of(first)
        beat["folders"][0][key] = value
        yield f"folder {key}", json.dumps(beat)
    for key, value in WRONG_BACKUP.items():
        beat = heartbeat_of(first)
        beat["folders"][0]["backups"][0][key] = value
        yield f"backup {key}", json.dumps(beat)
    yield "of another node", json.dumps(heartbeat_of(first) | {"node": "n1"})


def test_a_heartbeat_that_is_not_one_is_passed_over_and_the_one_before_counts(regions):
    regions.copy()
    for what, text in hostile(regions.first):
        path = put(regions.base, text, time.time() + 5, "n0")
        seen = regions.look()
        assert seen.good and len(seen.heartbeats[0]["passed_over"]) == 1, what
        path.unlink()


def test_names_that_climb_stay_below_the_root(regions):
    regions.copy()
    beat = heartbeat_of(regions.first)
    for name in ("/../", "..", ".", "../../../../tmp", "a/b", "-rf", "%2F", "\x01\x1b[31m", "ü" * 100):
        beat["folders"].append(beat["folders"][0] | {"collection": name})
    put(regions.base, beat, time.time() + 2)
    run = regions.run()
    assert run.returncode == 1 and "\x1b" not in run.stdout
    seen = regions.look()
    assert seen.rows["/../"]["missing"] == len(beat["folders"][0]["backups"]) and seen.rows["/../"]["state"] == "none"


def test_a_huge_file_in_the_place_of_a_heartbeat_is_not_read(regions):
    regions.copy()
    path = put(regions.base, "", time.time() + 5, "n0")
    os.truncate(path, 100 << 20)
    os.mkfifo(put(regions.base, "", time.time() + 6, "n0").with_name("2030-01-01T00-00-00Z.json"))
    run = subprocess.run(["/usr/bin/time", "-f", "%M", *map(str, regions.run("--json").args)], env=os.environ | {"EFS_ROOT": "/"},
                         capture_output=True, text=True, timeout=60) if os.path.exists("/usr/bin/time") else None
    assert run is None or int(run.stderr.split()[-1]) < 60000, run.stderr
    seen = regions.look()
    assert seen.good and len(seen.heartbeats[0]["passed_over"]) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_a_read_only_mount_is_enough(regions):
    regions.copy()
    mount = lambda *args: subprocess.run(args, capture_output=True, text=True)
    if mount("mount", "--bind", regions.replica, regions.replica).returncode != 0:
        pytest.skip("may not mount here")
    try:
        assert mount("mount", "-o", "remount,ro,bind", regions.replica).returncode == 0
        with pytest.raises(OSError):
            (regions.base / "x").write_text("x")
        assert regions.look("--verify").good and regions.compare("--verify").good
    finally:
        mount("umount", regions.replica)


def test_files_that_come_and_go_meanwhile_are_no_crash(regions):
    regions.copy()
    child = subprocess.Popen(["sh", "-c", f"while :; do rm -rf {regions.base}; cp -r {regions.first} {regions.replica}; done"],
                             stderr=subprocess.DEVNULL)
    try:
        for args in [()] * 15 + [("--verify",)] * 15 + [("--primary", str(regions.primary))] * 10:
            run = regions.run("--json", *args)
            assert run.returncode in (0, 1) and json.loads(run.stdout)["by"] in ("heartbeat", "primary", "nothing"), run.stderr
    finally:
        child.kill()
        child.wait()


def test_only_the_trees_and_collections_that_are_asked_for(regions):
    regions.copy()
    shutil.copytree(regions.base, regions.replica / "other-arm64")
    assert {r["tree"] for r in regions.look().collections} == {"test-cpu"}
    assert set(regions.look("--collection", "docs").rows) == {"docs"}
    assert regions.look("--tier", "other", "--cpu-arch", "arm64").collections[0]["tree"] == "other-arm64"
    assert regions.run("--collection", "typo").returncode == 1


@pytest.mark.parametrize("args,word", [
    (["--rpo", "soon"], "--rpo"), (["--rpo", "0"], "--rpo"), (["--rpo"], "--rpo"), (["--primary"], "--primary"),
    (["--file-system", "fs-1"], "--file-system"), (["--file-system", "fs-0123456789abcdef0/../x"], "--file-system"),
    (["--frequency", "daily"], "--frequency"), (["--newer", "1h"], "--newer"), (["--deep"], "--deep"), (["extra"], "extra")])
def test_wrong_use_is_one_line_and_64(regions, args, word):
    regions.copy()
    run = regions.run(*args)
    assert run.returncode == 64 and run.stdout == "" and len(run.stderr.splitlines()) == 1 and word in run.stderr
    assert regions.tool("ls", "--verify").returncode == 64


def test_the_replica_is_not_its_own_primary_and_a_missing_root_is_said(regions):
    regions.copy()
    assert regions.run("--primary", str(regions.replica)).returncode == 64
    run = regions.run("--primary", str(regions.primary) + "x")
    assert run.returncode == 1 and "cannot list" in run.stderr
    shutil.rmtree(regions.replica)
    assert regions.run().returncode == 1
    regions.replica.mkdir()
    run = regions.run()
    assert run.returncode == 1 and "no backup below" in run.stderr


def test_a_full_standard_output_is_an_error(regions):
    regions.copy()
    with open("/dev/full", "w") as out:
        for args in ([], ["--json"]):
            run = regions.run(*args)
            assert run.returncode == 0
            assert subprocess.run(run.args, env=os.environ, stdout=out, stderr=subprocess.PIPE).returncode == 1


def test_du_adds_up_what_each_collection_takes_in_each_tier(regions):
    use = json.loads(regions.tool("du", "--root", str(regions.primary), "--json").stdout)
    all_of = json.loads(regions.tool("ls", "--root", str(regions.primary), "--json").stdout)
    assert use["total"] == {"backups": 8, "deltas": 0, "size": sum(b["size"] for b in all_of),
                            "stored_size": sum(b["stored_size"] for b in all_of), "needed_size": 0}
    one = [u for u in use["collections"] if (u["collection"], u["frequency"]) == ("docs", "monthly")]
    assert [(u["backups"], u["stored_size"]) for u in one] == [(1, regions.files(ending=".zst", where=regions.first)[0].stat().st_size)]
    regions.files(where=regions.first)[0].unlink()
    text = regions.tool("du", "--root", str(regions.primary)).stdout
    assert text.splitlines()[0].split() == ["COLLECTION", "FREQUENCY", "BACKUPS", "DELTAS", "SIZE", "STORED", "NEEDED"]
    assert "1 more without a manifest" in text and text.splitlines()[-2].startswith("total")
