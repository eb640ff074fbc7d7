"""qdrant-efs diff: what changed between two backups, by their manifests and by their files."""
import json

import pytest
from days import Collection, Version, name_of
from harness import tar_of
from tars import changed, members_of, tar_with

A, B = name_of(0), name_of(1)
REAL = [f"test_collection-1235153728432657-2026-11-24-07-59-{s}" for s in ("23", "25")]


def publish(tree, *bodies, names=(A, B), collection="docs", **env):
    for name, body in zip(names, bodies):
        tree.snapshot(collection, name, body)
        run = tree.once(**env)
        assert run.returncode == 0, run.stderr


def told(tree, *args):
    run = tree.efs_tool("diff", *args)
    assert run.returncode == 0, run.stderr
    return run.stdout


def as_json(tree, *args):
    return json.loads(told(tree, *args, "--json"))


@pytest.fixture(params=["zstd:1", "delta"])
def two(tree, request):
    """Of a day, the second one a whole or a delta; a segment, the log and the configuration have changed."""
    v, c = Version(), Collection(mib=1)
    env = {"COMPRESSION": request.param, "QDRANT_URL": v.url, "NODE_NAME": "n1", "LOCAL_KEEP": "1"}
    publish(tree, c.snapshot(), **env)
    c.vectors[100:164] = bytes(64)
    c.log += bytes(5000)
    body = changed(members_of(c.snapshot()), "config.json", lambda _: b'{"params": {"shard_number": 2}, "wal": {"a": 1}}')
    publish(tree, tar_with([*body, ("0/segments/c.tar", tar_with([("segment.json", b"{}")]))]), names=(B,), **env)
    v.stop()
    return tree


def test_files_segments_and_settings_that_differ_are_named_and_no_others(two):
    lines = told(two, A, B, "--files").splitlines()
    assert lines[0].startswith(f"A               {A}, monthly of 2026-11-24T08:00:23Z, docs")
    assert lines[1].startswith(f"B               {B}, 15min of 2026-11-24T08:15:23Z, docs") and "B is newer by   15 min" in lines
    assert "configuration   changed" in lines
    assert "  params.shard_number: - -> 2" in lines and '  wal: - -> {"a":1}' in lines
    assert "by segment, holes counted: 4 differ, 1 the same" in lines  # b has not changed
    parts = [line.split(":")[0].strip() for line in lines if "files changed" in line]
    assert parts[0] == "0" and set(parts) == {"0", "0/segments/a", "0/segments/c", "(collection)"}  # the log has grown most
    files = {line.split()[-1]: line.split()[0] for line in lines if " -> " in line and line.split()[0] in ("changed", "new", "gone")}
    assert files == {"0/segments/a/vectors/matrix.dat": "changed", "0/segments/c/segment.json": "new", "0/wal/open-1": "changed",
                     "config.json": "changed"}
    assert lines[-1].startswith("3 files the same, ") and lines[-1].endswith("; 3 changed, 1 new, 0 gone")


def test_the_other_way_round_what_was_new_is_gone(two):
    there, back = as_json(two, A, B, "--files"), as_json(two, B, A, "--files")
    assert there["seconds"] == 900 == -back["seconds"] and there["size"] == -back["size"] > 5000
    assert {f["path"]: f["change"] for f in there["files"]}["0/segments/c/segment.json"] == "new"
    assert {f["path"]: f["change"] for f in back["files"]}["0/segments/c/segment.json"] == "gone"
    log = next(f for f in there["files"] if f["path"] == "0/wal/open-1")
    assert (log["size_a"], log["size_b"]) == (0, 5000)
    assert there["settings"] == [{"name": "params.shard_number", "a": None, "b": 2}, {"name": "wal", "a": None, "b": {"a": 1}}]
    assert there["a"]["snapshot"] == A and there["configuration"] == "changed" and there["content"] == "unknown"
    segment = next(s for s in there["segments"] if s["name"] == "0/segments/a")
    assert (segment["same"], segment["changed"], segment["new"], segment["gone"]) == (1, 1, 0, 0)


def test_without_files_the_data_are_not_read(two):
    for p in two.base.rglob("*.snapshot.*"):
        if p.suffix in (".zst", ".delta"):
            p.write_bytes(bytes(p.stat().st_size))  # as long as it was
    text = told(two, A, B)
    assert "by file" not in text and "configuration   not known" in text and "size " in text
    run = two.efs_tool("diff", A, B, "--files")
    assert run.returncode == 1 and A in run.stderr and run.stdout == ""


def test_a_real_snapshot_and_the_next_one(real_tree):
    assert real_tree.once().returncode == 0
    d = as_json(real_tree, *REAL, "--files")
    assert {"config.json", "version.info"}.isdisjoint({f["path"] for f in d["files"]})
    assert d["configuration"] == "same" and d["settings"] == []
    assert any(s["name"].startswith("0/segments/") and s["size_b"] > 0 for s in d["segments"])
    same = as_json(real_tree, REAL[0], REAL[0], "--files")
    assert same["files"] == [] and same["content"] == "same" and all(s["changed"] + s["new"] + s["gone"] == 0 for s in same["segments"])
    whole = as_json(real_tree, *["full-snapshot-2026-11-24-07-59-36"] * 2, "--files")
    assert any("/0/segments/" in s["name"] for s in whole["segments"])  # of the collections inside


def test_the_same_twice_is_said_to_be_the_same_in_each_byte(tree):
    publish(tree, tar_of("x"), tar_of("x"))
    lines = told(tree, A, B).splitlines()
    assert "points' content the same: each byte" in lines and [x for x in lines if x.startswith("size ")][0].endswith("the same")


@pytest.mark.parametrize("args,code,words", [([A], 64, "give all that it needs: diff A B"), ([A, B, A], 64, "unexpected argument"),
                                             ([A, "docs-9"], 1, "docs-9"), (["docs-9", B], 1, "docs-9"),
                                             ([A, B, "--node", "other"], 1, "other")], ids=str)
def test_what_cannot_be_compared_is_named(tree, args, code, words):
    publish(tree, tar_of("x"), tar_of("y"))
    run = tree.efs_tool("diff", *args)
    assert run.returncode == code and words in run.stderr and run.stdout == ""


def test_what_is_no_snapshot_is_told_of(tree):
    publish(tree, tar_of("x"), b"no tar" * 500)
    assert tree.efs_tool("diff", A, B).returncode == 0
    run = tree.efs_tool("diff", A, B, "--files")
    assert run.returncode == 1 and f"{B}: cut short, or no snapshot of Qdrant's" in run.stderr
