"""qdrant-efs drill: what is good is proven, and what is not fails, each for its own reason."""
import json
import re
import time

import pytest
from drilling import data_of, edit_manifest, fill, members, put, retar, rewrite


def test_a_good_backup_is_proven_and_nothing_is_left(node):
    fill(node.server)
    node.back_up("c")
    out = node.drill()
    assert out.returncode == 0, out.stdout + out.stderr
    assert re.search(r"c-\d+-\S+ of monthly: proven: restored in .* 20 points, all 20 of them with payload and vectors", out.stdout)
    assert "1 of 1 proven" in out.stdout
    assert node.left() == []
    one = node.verdicts(code=0)["c"]
    assert (one["verdict"], one["points"], one["exact"], one["looked_at"], one["all"], one["why"]) == \
        ("proven", 20, True, 20, True, "")


def test_the_newest_of_each_collection_is_taken(node):
    fill(node.server, "a")
    fill(node.server, "b")
    node.back_up("a", "b")
    time.sleep(1.1)  # snapshots are named by the second
    put(node.server, "b", range(20, 25))
    node.server.result("POST", "/collections/b/snapshots")
    assert node.tree.once().returncode == 0
    found = node.verdicts(code=0)
    assert {c: (d["verdict"], d["points"]) for c, d in found.items()} == {"a": ("proven", 20), "b": ("partly_proven", 25)}
    assert set(node.verdicts("--collection", "a", code=0)) == {"a"}


def test_another_one_can_be_chosen_by_name_and_by_time(node):
    fill(node.server)
    node.back_up("c")
    first = json.loads(node.manifest().read_text())
    time.sleep(1.1)
    put(node.server, "c", range(20, 30))
    node.server.result("POST", "/collections/c/snapshots")
    assert node.tree.once().returncode == 0
    assert node.verdicts("--snapshot", first["snapshot"])["c"]["points"] == 20
    assert node.verdicts("--at", first["created"])["c"]["points"] == 20
    assert node.verdicts()["c"]["points"] == 30


def test_a_flipped_bit_fails(node):
    fill(node.server)
    node.back_up("c")
    path = data_of(node.manifest())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    one = node.verdicts(code=1)["c"]
    assert one["verdict"] == "failed" and path.name in one["why"]
    assert node.left() == []


def test_a_manifest_of_another_snapshot_fails(node):
    fill(node.server)
    node.back_up("c")
    first = node.manifest()
    time.sleep(1.1)
    put(node.server, "c", range(20, 30))
    node.server.result("POST", "/collections/c/snapshots")
    assert node.tree.once().returncode == 0
    other = json.loads(node.manifest().read_text())
    assert other["snapshot"] not in first.name
    stored = data_of(first)
    edit_manifest(first, lambda m: m.update(sha256=other["sha256"], size=other["size"], stored_size=stored.stat().st_size))
    one = node.verdicts("--snapshot", first.stem, code=1)["c"]
    assert one["verdict"] == "failed" and "manifest" in one["why"]


def test_a_cut_tar_with_the_right_hash_fails(node):
    fill(node.server)
    node.back_up("c")
    rewrite(node.manifest(), lambda data: data[:len(data) // 3])
    one = node.verdicts(code=1)["c"]
    assert one["verdict"] == "failed" and one["why"]
    assert "manifest" not in one["why"]  # the hash is right: it is Qdrant, or what came back, that tells


def test_a_snapshot_without_segments_fails_though_the_hash_is_right(node):
    fill(node.server)
    node.back_up("c")
    rewrite(node.manifest(), lambda data: retar(data, keep=lambda name: "/segments/" not in name and "/wal/" not in name))
    one = node.verdicts(code=1)["c"]
    assert one["verdict"] == "failed" and one["why"]


@pytest.mark.real
def test_a_lost_segment_that_qdrant_does_not_notice_fails(node):
    """Qdrant takes a snapshot with one segment less, and writes what is missing again from its log; with the log of
    another collection in its place the points are lost, and Qdrant calls the collection green."""
    if node.server.kind != "real":
        pytest.skip("what the real server says to it")
    fill(node.server)
    fill(node.server, "empty", n=0)
    node.back_up("c", "empty")
    log = members(node.manifest("empty"), "/wal/")
    segments = members(node.manifest(), "/segments/")
    largest = max(segments, key=lambda name: len(segments[name]))
    rewrite(node.manifest(), lambda data: retar(data, keep=lambda name: name != largest and "/wal/" not in name, more=log))
    one = node.verdicts("--collection", "c", code=1)["c"]
    assert (one["verdict"], one["why"]) == ("failed", "0 points came back of 20")


def test_each_difference_from_the_fingerprint_fails_for_its_own_reason(node):
    fill(node.server)
    node.back_up("c")
    good = node.manifest().read_text()

    def both(key, value):
        def change(m):
            for when in ("before", "after"):
                m["fingerprint"][when][key] = value
        return change
    for key, value, why in (("points", 21, "20 points came back of 21"), ("config", "0" * 64, "configured otherwise"),
                            ("content", "0" * 64, "of 20 points that were looked at"), ("looked_at", 25, "of 25 points")):
        node.manifest().write_text(good)
        edit_manifest(node.manifest(), both(key, value))
        one = node.verdicts(code=1)["c"]
        assert one["verdict"] == "failed" and why in one["why"], key
    node.manifest().write_text(good)
    assert node.verdicts(code=0)["c"]["verdict"] == "proven"


def test_what_was_written_during_the_snapshot_is_compared_within_bounds(node):
    fill(node.server)
    node.back_up("c")

    def inexact(low, high):
        def change(m):
            f = m["fingerprint"]
            f["exact"] = False
            f["before"]["points"], f["after"]["points"] = low, high
            f["before"]["content"], f["after"]["content"] = "0" * 64, "1" * 64
        return change
    edit_manifest(node.manifest(), inexact(15, 22))
    one = node.verdicts(code=0)["c"]
    assert one["verdict"] == "partly_proven" and "written while the snapshot was made" in one["note"]
    edit_manifest(node.manifest(), inexact(100, 110))
    one = node.verdicts(code=1)["c"]
    assert one["verdict"] == "failed" and one["why"] == "20 points came back of 100 to 110"


def test_three_that_are_partly_proven_are_not_called_proven(node):
    for name in ("a", "b", "c"):
        fill(node.server, name)
    node.back_up("a", "b", "c", FINGERPRINT="off")
    report = json.loads((out := node.drill("--json")).stdout)
    assert (out.returncode, report["verdict"], report["proven"], report["partly_proven"], report["of"]) == (0, "partly_proven", 0, 3, 3)
    assert node.drill().stdout.splitlines()[-1] == "0 of 3 proven, 3 restored and partly proven"


def test_a_manifest_without_a_fingerprint_is_proven_as_far_as_possible(node):
    fill(node.server)
    node.back_up("c", FINGERPRINT="off")
    assert "fingerprint" not in json.loads(node.manifest().read_text())
    one = node.verdicts(code=0)["c"]
    assert one["verdict"] == "partly_proven" and "no fingerprint" in one["note"] and one["points"] == 20


def test_an_incomplete_newer_one_is_passed_over_and_named(node):
    fill(node.server)
    node.back_up("c")
    good = node.manifest()
    newer = json.loads(good.read_text())
    newer["snapshot"] = re.sub(r"\d{4}(-\d\d){5}$", "2036-01-01-00-00-00", newer["snapshot"])
    newer |= {"data": newer["snapshot"] + ".snapshot.zst", "slot": "2036-01-01T00:00:00Z", "created": "2036-01-01T00:00:00Z"}
    (good.parent / f"{newer['snapshot']}.json").write_text(json.dumps(newer))
    one = node.verdicts(code=0)["c"]
    assert one["snapshot"] == good.stem and "2036-01-01" in one["note"]


def test_nodes_side_by_side_are_no_reason_to_prove_nothing(node):
    fill(node.server)
    node.back_up("c", NODE_NAME="node-a")
    time.sleep(1.1)
    node.server.result("POST", "/collections/c/snapshots")
    assert node.tree.once(NODE_NAME="node-b").returncode == 0
    assert node.verdicts(code=0)["c"]["node"] == "node-b"
    assert node.verdicts("--node", "node-a", code=0)["c"]["node"] == "node-a"
    assert node.verdicts(code=0, NODE_NAME="node-a")["c"]["node"] == "node-a"


def test_nothing_to_prove_is_no_success(node):
    assert node.drill().returncode == 1
    fill(node.server)
    node.back_up("c")
    assert node.verdicts("--collection", "nope", code=1)["nope"]["verdict"] == "failed"


def test_wrong_use_is_told_apart(node):
    assert node.drill("--nope").returncode == 64
    assert node.drill("name").returncode == 64
    assert node.drill(DRILL_TIMEOUT="soon").returncode == 64
    assert node.drill("--force").returncode == 64


def test_the_report_is_kept_on_efs_and_only_the_last_sixty(node):
    fill(node.server)
    node.back_up("c", NODE_NAME="node-a")
    folder = node.tree.base / "drills" / "node-a"
    folder.mkdir(parents=True)
    for i in range(70):
        (folder / f"2026-01-{i // 24 + 1:02}T{i % 24:02}-00-00Z.json").write_text("{}")
    (folder / "notes.txt").write_text("kept")
    assert node.drill("--keep-report", NODE_NAME="node-a").returncode == 0
    kept = sorted(p.name for p in folder.glob("*.json"))
    assert len(kept) == 60 and (folder / "notes.txt").exists()
    newest = json.loads((folder / kept[-1]).read_text())
    assert newest["verdict"] == "proven" and newest["node"] == "node-a" and newest["drills"][0]["collection"] == "c"
    assert [b["collection"] for b in node.tree.ls()] == ["c"]  # it is no backup


def test_a_snapshot_of_a_newer_qdrant_fails_with_both_versions_and_one_of_an_older_one_is_proven(node):
    fill(node.server)
    node.back_up("c")
    here = json.loads(node.manifest().read_text())["qdrant_version"]
    major, minor, patch = (int(n) for n in here.split("."))

    def made_by(version, code):
        edit_manifest(node.manifest(), lambda m: m.update(qdrant_version=version))
        return node.verdicts(code=code)["c"]
    for newer in (f"{major + 1}.0.0", f"{major}.{minor + 1}.0-dev"):
        one = made_by(newer, 1)
        assert one["verdict"] == "failed" and newer in one["why"] and here in one["why"] and "QDRANT_BIN" in one["why"]
        assert one["points"] is None  # it was not even tried
    one = made_by(f"{major}.{minor}.{patch + 1}", 0)
    assert one["verdict"] == "proven" and f"{major}.{minor}.{patch + 1}" in one["note"] and here in one["note"]
    for older in (f"{major}.{minor - 1}.9", ""):
        one = made_by(older, 0)
        assert (one["verdict"], one["note"]) == ("proven", "")


def test_a_segment_of_a_newer_format_fails_though_the_manifest_does_not_tell(node):
    fill(node.server)
    node.back_up("c")
    edit_manifest(node.manifest(), lambda m: m.update(qdrant_version=""))
    segments = members(node.manifest(), "/segments/")

    def drilled(version, code):
        changed = {name: retar(data, replace={"snapshot/files/version.info": version}) for name, data in segments.items()}
        rewrite(node.manifest(), lambda data: retar(data, replace=changed))
        return node.verdicts(code=code)["c"]["verdict"]
    assert drilled(b"0.6.0", 0) == "proven"  # as it was
    assert drilled(b"9.0.0", 1) == "failed"
