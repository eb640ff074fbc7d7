"""verify --deep: what hashes cannot tell, since they are right."""
import json
import os
import subprocess
import tarfile

import pytest
from harness import BUILD, DATA
from restoring import data_of, flip, publish
from tars import changed, cut_before_the_mark, cut_between_members, members_of, tar_with, without

# A sanitizer's shadow takes more than any memory.
LIMITED = 'exec "$@"' if os.environ.get("SANITIZED") else 'ulimit -v 400000; exec "$@"'
NAME = "test_collection-1-2026-11-24-09-00-00"


@pytest.fixture(scope="session")
def whole():
    """The members of the real server's snapshot, its holes filled (which would be 67 MB: the logs are cut)."""
    source = next((DATA / "snapshots" / "test_collection").glob("*07-59-25.snapshot.zst"))
    data = subprocess.run(["zstd", "-q", "-d", "-c", source], check=True, stdout=subprocess.PIPE).stdout
    return [(n, d[:4096] if "/wal/" in n else d) for n, d in members_of(data)]


def deep(tree, data, name=NAME, folder="test_collection", **env):
    """Publish it as it is, and verify it: (1 when there is a defect, lines of standard error without the path in front)."""
    tree.snapshot(folder, name, data)
    publish(tree, **env)
    plain = tree.efs_tool("verify")
    assert plain.returncode == 0, "hashes alone find nothing"
    run = tree.efs_tool("verify", "--deep")
    lines = [line for line in run.stderr.splitlines() if name in line]
    assert all(line.startswith("qdrant-efs: corrupt: ") for line in lines)
    return int(bool(lines)), [line.split(": ", 3)[3] for line in lines]


def test_the_real_servers_snapshots_have_no_defect(real_tree):
    publish(real_tree)
    run = real_tree.efs_tool("verify", "--deep")
    assert run.returncode == 0 and run.stderr == "" and run.stdout == "5 verified, 0 defective\n"


def test_a_snapshot_without_its_holes_is_as_good(tree, whole):
    assert deep(tree, tar_with(whole)) == (0, [])


@pytest.mark.parametrize("part,defect", [
    ("0/segments/", "0: no segment"), ("version.info", "no version.info"), ("/shard_config", "0: no shard_config.json"),
    ("0/", "0: no shard_config.json")])
def test_what_is_missing_is_named(tree, whole, part, defect):
    members = [(n, d) for n, d in whole if n != part and part not in n] if part != "0/" else [m for m in whole if m[0][:2] != "0/"]
    code, defects = deep(tree, tar_with(members))
    assert code == 1 and defect in defects


def test_no_config_is_named(tree, whole):
    code, defects = deep(tree, tar_with([m for m in whole if m[0] != "config.json"]))
    assert code == 1 and defects == ["no config.json"]


def test_a_shard_that_the_configuration_promises_must_be_there(tree, whole):
    def two(config):
        config = json.loads(config)
        config["params"]["shard_number"] = 2
        return json.dumps(config).encode()
    members = changed([m for m in whole if m[0] != "0/shard_config.json"], "config.json", two)
    members.append(("0/shard_config.json", b'{"type":"ReplicaSet"}'))
    code, defects = deep(tree, tar_with(members))
    assert code == 1 and "1: no shard_config.json" in defects


def test_a_shard_of_another_node_has_no_segments(tree, whole):
    """As in a cluster: the state of the shard tells that it is not local."""
    here = [("1/" + n[2:], d) for n, d in whole if n.startswith("0/")]  # without a shard of its own it would be no backup
    members = changed(without(whole, "0/segments/"), "replica_state", lambda d: d.replace(b'"is_local":true', b'"is_local":false')) + here
    assert deep(tree, tar_with(members)) == (0, [])


@pytest.mark.parametrize("part,garbage,defect", [
    ("config.json", b"garbage", "config.json: no JSON"), ("config.json", b"{}", "params.shard_number is missing"),
    ("config.json", b"", "config.json: no JSON"), ("config.json", b'{"params":{"shard_number":0}}', "params.shard_number"),
    ("version.info", b"new", "version.info: no version"), ("version.info", b"1.2", "version.info: no version"),
    ("shard_config.json", b"\x00\x01", "0/shard_config.json: no JSON"), ("replica_state", b"[]", "is_local is missing"),
    ("payload_index", b"{", "payload_index.json: no JSON"), ("version.info", b"9" * 1000, "larger than any")])
def test_garbage_in_a_file_is_named(tree, whole, part, garbage, defect):
    members = [(n, garbage) if (n.split("/")[-1] if part != "config.json" else n).startswith(part) and "segments" not in n
               else (n, d) for n, d in whole]
    assert members != whole
    code, defects = deep(tree, tar_with(members))
    assert code == 1 and any(defect in d for d in defects), defects


@pytest.mark.parametrize("change,defect", [
    (lambda d: d[:len(d) // 2 // 512 * 512], "cut short"), (cut_between_members, "no version.info in it"),
    (lambda d: b"", "not a whole tar"), (lambda d: b"\x07" * 4096, "not a whole tar"), (lambda d: d + b"x", "not a whole tar"),
    (lambda d: tar_with(without(members_of(d), "segment.json")), "no segment.json in it"),
    (lambda d: tar_with(without(members_of(d), "version.info")), "no version.info in it"),
    (lambda d: tar_with(changed(members_of(d), "segment.json", lambda _: b"{")), "segment.json: no JSON")])
def test_a_defect_in_a_segments_tar_is_found(tree, whole, change, defect):
    code, defects = deep(tree, tar_with(changed(whole, "0/segments/", change)))
    assert code == 1 and all(d.startswith("0/segments/") for d in defects) and any(defect in d for d in defects), defects


@pytest.mark.parametrize("cut", [cut_between_members, cut_before_the_mark, lambda d: d[:len(d) // 2], lambda d: d[:1000],
                                 lambda d: d[:0]])
def test_a_tar_that_was_cut_is_found_though_its_hash_is_right(tree, whole, cut):
    code, defects = deep(tree, cut(tar_with(whole)))
    assert code == 1 and defects


def test_paths_that_climb_and_links_are_found(tree, whole):
    code, defects = deep(tree, tar_with([*whole, ("../evil", b"x"), ("/etc/passwd", b"x"), ("0/a/../../b", b"x")]))
    assert code == 1 and len(defects) == 3 and all("climbs" in d for d in defects)
    data = tar_with([("link", b"")], tarfile.SYMTYPE)[:512] + tar_with(whole)
    assert deep(tree, data, NAME.replace("09-00", "09-15")) == (1, ["link: neither a file nor a folder: Qdrant refuses it"])


def test_a_huge_member_is_only_read_through(tree, whole):
    data = tar_with([*whole, ("0/wal/bomb", bytes(1 << 30))])
    tree.snapshot("test_collection", NAME, data)
    publish(tree)
    del data
    run = subprocess.run(["sh", "-c", LIMITED, "sh", BUILD / "qdrant-efs", "verify", "--deep"], env=tree.env,
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def sparse_tar_of_zeros(name, size):
    """A member of GNU's sparse form that is one hole."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.GNUTYPE_SPARSE
    info.size = 0
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT)[:512])
    def number(n, width):
        return bytes([0x80]) + n.to_bytes(width - 1, "big") if n >= 8 ** (width - 1) else b"%0*o\0" % (width - 1, n)
    block[386:386 + 24] = number(size, 12) + number(0, 12)
    block[483:495] = number(size, 12)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("name", ["0/wal/open-9", "0/segments/x.tar", "payload_index.json"])
def test_a_hole_without_end_takes_neither_time_nor_memory(tree, whole, name):
    members = [m for m in whole if m[0] != name]
    data = sparse_tar_of_zeros(name, 1 << 50) + tar_with(members)
    tree.snapshot("test_collection", NAME, data)
    publish(tree)
    run = subprocess.run(["sh", "-c", LIMITED, "sh", BUILD / "qdrant-efs", "verify", "--deep"], env=tree.env,
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == (0 if "wal" in name else 1) and (run.stderr == "" or name in run.stderr), run.stderr


def test_a_hash_that_is_wrong_is_one_line(tree, whole):
    tree.snapshot("test_collection", NAME, tar_with(whole) + bytes(1 << 20))
    publish(tree, COMPRESSION="none")
    flip(data_of(tree, NAME), 0.3)
    run = tree.efs_tool("verify", "--deep")
    line, = run.stderr.splitlines()
    assert run.returncode == 1 and "SHA-256" in line


def test_a_sum_file_that_differs_is_found(real_tree):
    publish(real_tree)
    sums = next(real_tree.base.rglob("*07-59-25.snapshot.zst.sha256"))
    sums.write_text("0" * 64 + "  x\n")
    run = real_tree.efs_tool("verify", "--deep")
    line, = run.stderr.splitlines()
    assert run.returncode == 1 and ".sha256" in line
    states = {b["snapshot"]: b["state"] for b in json.loads(real_tree.efs_tool("verify", "--deep", "--json").stdout)}
    assert sorted(states.values()) == ["complete"] * 4 + ["corrupt"]


def test_a_full_storage_snapshot_is_read_down_to_its_segments(tree, whole):
    good = tar_with(whole)
    bad = tar_with([m for m in whole if m[0] != "version.info"])
    config = {"collections_mapping": {"a": "a.snapshot", "b": "b.snapshot"}, "collections_aliases": {}}
    entries = [("a.snapshot", good), ("b.snapshot", bad), ("config.json", json.dumps(config).encode())]
    code, defects = deep(tree, tar_with(entries), "full-snapshot-2026-11-24-09-00-00", ".")
    assert code == 1 and defects == ["b.snapshot: no version.info"]
    code, defects = deep(tree, tar_with(without(entries, "b.snap")), "full-snapshot-2026-11-24-09-15-00", ".")
    assert "b.snapshot: the snapshot of b is missing" in defects
