"""What reaches EFS, and what never does."""
import hashlib
import json
import os
import subprocess
import tarfile
import time

import pytest
from harness import checksum_of, events, manifests_of, open_snapshot, tar_of, wait_for

NAME = "c-1-2026-11-24-07-59-23"


def test_real_snapshots_come_back_byte_for_byte_with_coreutils_and_zstd_alone(real_tree):
    t = real_tree
    assert t.once().returncode == 0
    assert len(t.complete()) == 5
    for data in t.base.rglob("*.snapshot.zst"):
        assert subprocess.run(["sha256sum", "--quiet", "-c", data.name + ".sha256"], cwd=data.parent).returncode == 0
        plain = subprocess.run(["zstd", "-dc", data], stdout=subprocess.PIPE, check=True).stdout
        source = next(t.snapshots.rglob(data.name.removesuffix(".zst")))
        assert plain == source.read_bytes()
        assert hashlib.sha256(plain).hexdigest() == source.with_name(source.name + ".checksum").read_text()


def test_real_snapshots_open_in_the_engine_with_the_right_points(real_tree, tmp_path):
    t = real_tree
    assert t.once().returncode == 0

    def opened(pattern, shard=False):
        data = next(t.base.rglob(pattern))
        plain = tmp_path / (data.name + ".tar")
        subprocess.run(["zstd", "-q", "-d", data, "-o", plain], check=True)
        return open_snapshot(plain, tmp_path / (data.name + ".d"), shard)

    for pattern, ids, shard in (("test_collection-*07-59-23.snapshot.zst", range(1, 6), False),
                                ("test_collection-*07-59-25.snapshot.zst", range(1, 7), False),
                                ("*-shard-0-*.snapshot.zst", range(1, 7), True)):
        points = opened(pattern, shard).retrieve(point_ids=list(range(1, 10)), with_payload=True, with_vector=True)
        assert {p.id for p in points} == set(ids)
        assert all(p.payload["city"] == "Bengaluru" for p in points if p.id == 6)
    docs = opened("docs-*07-59-31.snapshot.zst").retrieve(point_ids=list(range(6000)), with_payload=False, with_vector=True)
    assert len(docs) == 5000 and all(len(p.vector) == 128 for p in docs)


def test_a_full_storage_snapshot_holds_the_collections(real_tree, tmp_path):
    assert real_tree.once().returncode == 0
    data = next(real_tree.base.rglob("full-snapshot-*.zst"))
    assert data.parent.name == "%storage"
    plain = tmp_path / "full.tar"
    subprocess.run(["zstd", "-q", "-d", data, "-o", plain], check=True)
    with tarfile.open(plain) as tar:
        names = tar.getnames()
    assert any(n.startswith("docs-") for n in names) and any(n.startswith("test_collection-") for n in names)


def test_the_manifest_says_what_is_there(real_tree):
    t = real_tree
    assert t.once(NODE_NAME="").returncode == 0
    path = next(t.base.rglob("test_collection-*07-59-25.json"))
    m = json.loads(path.read_text())
    data = path.parent / m["data"]
    source = next(t.snapshots.rglob("*07-59-25.snapshot"))
    assert m["format"] == 1 and m["collection"] == "test_collection" and m["kind"] == "collection"
    assert m["snapshot"] == "test_collection-1235153728432657-2026-11-24-07-59-25"
    assert m["node"]["peer_id"] == "1235153728432657"
    assert m["slot"] == "2026-11-24T07:45:00Z" and m["created"] == "2026-11-24T07:59:25Z"
    assert m["size"] == source.stat().st_size and m["stored_size"] == data.stat().st_size
    assert m["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert m["stored_sha256"] == hashlib.sha256(data.read_bytes()).hexdigest()
    assert m["codec"] == "zstd:1" and m["qdrant_checksum"] is True and m["points"] is None
    assert m["frequency"] == path.relative_to(t.base).parts[0]
    assert m["written_by"].startswith("qdrant-replicator@") and m["seconds"] >= 0


@pytest.mark.parametrize("codec", ["none", "zstd:1", "zstd:3", "zstd:19"])
def test_every_codec_comes_back(tree, codec):
    data = tar_of("plain", 3_000_000)
    tree.snapshot("c", NAME, data)
    assert tree.once(COMPRESSION=codec, COMPRESSION_THREADS="0").returncode == 0
    stored = next(p for p in tree.base.rglob("*.snapshot*") if p.suffix in (".snapshot", ".zst"))
    if codec == "none":
        assert stored.read_bytes() == data
    else:
        assert subprocess.run(["zstd", "-dc", stored], stdout=subprocess.PIPE, check=True).stdout == data
        assert stored.stat().st_size < len(data) / 10
    assert tree.efs_tool("verify").returncode == 0


def test_an_empty_and_a_tiny_snapshot_are_published_as_they_are(tree):
    tree.snapshot("c", NAME, b"")
    tree.snapshot("c", "c-1-2026-11-24-08-59-23", b"x")
    assert tree.once().returncode == 0
    assert len(tree.complete()) == 2 and tree.efs_tool("verify").returncode == 0


def test_a_checksum_that_differs_is_never_published_and_deletes_nothing(tree):
    path = tree.snapshot("c", NAME, tar_of("x"), checksum="0" * 64)
    run = tree.once(LOCAL_KEEP="0")
    assert run.returncode == 1 and '"mismatch"' in run.stderr and str(path) in run.stderr
    assert tree.files() == [] and path.exists()


def test_a_truncated_snapshot_is_reported_and_leaves_nothing(tree):
    data = tar_of("x", 100_000)
    path = tree.snapshot("c", NAME, data[:50_000], checksum=hashlib.sha256(data).hexdigest())
    run = tree.once()
    assert run.returncode == 1 and '"mismatch"' in run.stderr
    assert tree.files() == [] and path.exists()


def test_one_bad_snapshot_does_not_keep_the_others_back(tree):
    tree.snapshot("c", NAME, tar_of("x"), checksum="0" * 64)
    tree.snapshot("c", "c-1-2026-11-24-08-59-23", tar_of("y"))
    tree.snapshot("d", "d-1-2026-11-24-08-59-23", tar_of("z"))
    assert tree.once().returncode == 1
    assert {name for _, _, name in tree.complete()} == {"c-1-2026-11-24-08-59-23", "d-1-2026-11-24-08-59-23"}


def test_orphan_checksums_and_foreign_files_are_neither_error_nor_backup(tree):
    (tree.snapshots / "tmp/upload").mkdir(parents=True)
    (tree.snapshots / "tmp/upload/x.snapshot").write_bytes(tar_of("x"))
    (tree.snapshots / "tmp/c-1-2026-11-24-07-59-23.snapshot-AbCdEf.tar").write_bytes(b"x")
    tree.snapshot("c", NAME, b"").unlink()
    (tree.snapshots / "c/x.tmp").write_text("x")
    (tree.snapshots / "c/.hidden.snapshot").write_text("x")
    (tree.snapshots / "c/folder.snapshot").mkdir()
    (tree.snapshots / "c/link.snapshot").symlink_to("/etc/passwd")
    os.mkfifo(tree.snapshots / "c/fifo.snapshot")
    (tree.snapshots / "config-2026-11-24-07-59-36.json").write_text("{}")
    assert tree.once().returncode == 0
    assert tree.files() == []


def test_a_different_snapshot_of_the_same_name_is_not_overwritten(tree):
    tree.snapshot("c", NAME, tar_of("one"))
    assert tree.once().returncode == 0
    before = {f: (tree.efs / f).read_bytes() for f in tree.files()}
    tree.snapshot("c", NAME, tar_of("two"))
    run = tree.once()
    assert run.returncode == 1 and '"conflict"' in run.stderr
    assert before == {f: (tree.efs / f).read_bytes() for f in tree.files()}


@pytest.mark.parametrize("checksum", ["its own", "the other's", "none"])
def test_one_that_took_the_name_of_a_published_one_within_a_second_is_told_apart_and_stays(tree, checksum):
    """Qdrant names snapshots by the second, and writes the data before their checksum."""
    one, two = tar_of("one"), tar_of("two")
    path = tree.snapshot("c", NAME, one)
    assert tree.once().returncode == 0 and len(one) == len(two)
    new = path.with_suffix(".new")
    new.write_bytes(two)
    new.rename(path)
    if checksum == "its own":
        path.with_name(path.name + ".checksum").write_text(checksum_of(two))
    elif checksum == "none":
        path.with_name(path.name + ".checksum").unlink()
        os.utime(path, (1, 1))
    run = tree.once(LOCAL_KEEP="0")
    assert path.read_bytes() == two, "it is not on EFS"
    if checksum != "none":  # else it is an upload like any other
        assert run.returncode == 1 and '"conflict"' in run.stderr and "different snapshot of this name" in run.stderr
        assert len(tree.complete()) == 1
    assert tree.efs_tool("verify").returncode == 0


def test_the_same_snapshot_is_skipped_without_rewriting(tree):
    tree.snapshot("c", NAME, tar_of("one"))
    assert tree.once().returncode == 0
    before = {f: (tree.efs / f).stat().st_mtime_ns for f in tree.files()}
    assert len(before) == 3
    assert tree.once(COMPRESSION="none").returncode == 0
    assert before == {f: (tree.efs / f).stat().st_mtime_ns for f in tree.files()}


def test_data_that_got_lost_is_mended_in_its_place(tree):
    tree.snapshot("c", NAME, tar_of("one"))
    assert tree.once().returncode == 0
    before = tree.files()
    next(tree.base.rglob("*.zst")).unlink()
    assert tree.ls()[0]["state"] == "incomplete"
    assert tree.once().returncode == 0
    assert tree.efs_tool("verify").returncode == 0 and tree.files() == before


def test_a_lost_manifest_is_written_again(tree):
    tree.snapshot("c", NAME, tar_of("one"))
    assert tree.once().returncode == 0
    next(manifests_of(tree.base)).unlink()
    assert tree.once().returncode == 0
    assert len(tree.complete()) == 1 and len(tree.files()) == 3


def test_what_is_corrupt_on_efs_is_not_overwritten_but_reported(tree):
    tree.snapshot("c", NAME, tar_of("one"))
    assert tree.once().returncode == 0
    next(manifests_of(tree.base)).write_text("{}")
    run = tree.once()
    assert run.returncode == 1 and '"conflict"' in run.stderr
    assert next(manifests_of(tree.base)).read_text() == "{}"


def test_an_upload_without_checksum_that_is_no_snapshot_is_never_published(tree):
    p = tree.start()
    whole, cut = tar_of("whole", 200_000), tar_of("cut", 200_000)
    tree.snapshot("up", "whole", whole, checksum=False)
    tree.snapshot("up", "cut", cut[:100_352], checksum=False)
    tree.snapshot("up", "no-end", cut.rstrip(b"\0")[:-5].ljust(len(cut) // 512 * 512 - 10240, b"x"), checksum=False)
    tree.snapshot("up", "no-tar", b"hello" * 1000, checksum=False)
    wait_for(lambda: len(tree.logged("mismatch")) == 3)
    wait_for(lambda: tree.logged("upload_refused"))
    line, = tree.logged("upload_refused")
    assert "whole.snapshot" in line["message"] and p.poll() is None and tree.files() == []


def test_an_upload_cut_inside_a_sparse_member_is_not_whole(tree):
    """A write-ahead log is 32 MiB of zeros in the tar: its end looks like the end of the tar."""
    path = tree.root / "zeros.tar"
    member = tree.root / "wal"
    with open(member, "wb") as f:
        f.truncate(1 << 20)
    with tarfile.open(path, "w") as tar:
        tar.add(member, "wal")
    data = path.read_bytes()
    up = tree.snapshot("up", "cut", data[:512 * 1000], checksum=False)
    os.utime(up, (1e9, 1e9))
    run = tree.once()
    assert run.returncode == 1 and '"mismatch"' in run.stderr and tree.files() == []


def test_an_upload_that_is_still_being_written_is_waited_for(tree):
    tree.start()
    data = tar_of("slow", 400_000)
    path = tree.snapshot("up", "slow", b"", checksum=False)
    with open(path, "wb", buffering=0) as f:
        for i in range(4):
            f.write(data[i * 100_000:(i + 1) * 100_000 if i < 3 else None])
            time.sleep(1)
            assert not tree.logged("upload_refused")
    wait_for(lambda: tree.logged("upload_refused"))
    assert not tree.logged("mismatch")  # it was whole when it was looked at


HOSTILE = ("%2e%2e", "%2Ex", ".x", "-rf", "a b", "emoji 🎉", "back\\slash", "..x", "new\nline", "shards", "15min", "%storage", "%shard-0",
           "ca\rriage", "*", "$(id)", "x" * 200)


def test_hostile_names_stay_inside_the_tree_and_pass_sha256sum(tree):
    for c in HOSTILE:
        tree.snapshot(c, f"{c}-1-2026-11-24-07-59-23", tar_of(c))
    assert tree.once().returncode == 0
    assert {n for _, _, n in tree.complete()} == {f"{c}-1-2026-11-24-07-59-23" for c in HOSTILE}
    assert not [f for f in tree.files() if "/." in f]
    assert {p.name for p in tree.efs.iterdir()} == {"test-cpu"}
    assert {c for _, c, _ in tree.complete()} == set(HOSTILE)
    assert tree.efs_tool("verify").returncode == 0
    for sums in tree.base.rglob("*.sha256"):
        assert subprocess.run(["sha256sum", "--quiet", "-c", "--", sums.name], cwd=sums.parent).returncode == 0


def test_a_collection_named_tmp_is_no_backup_and_said_aloud(tree):
    tree.snapshot("tmp", "tmp-1-2026-11-24-07-59-23", tar_of("x"))
    run = tree.once()
    assert '"collection_tmp"' in run.stderr and tree.files() == []


def test_names_that_cannot_be_stored_are_named_and_the_others_served(tree):
    tree.snapshot("c", NAME, tar_of("good"))
    tree.snapshot("long", "x" * 236, tar_of("long"), checksum=False)
    tree.snapshot("%" * 86, NAME, tar_of("escaped"))
    folder = os.fsencode(tree.snapshots) + b"/bad-\xff"
    os.mkdir(folder)
    with open(folder + b"/x.snapshot", "wb") as f:
        f.write(tar_of("x"))
    run = tree.once()
    assert run.returncode == 1 and len(tree.complete()) == 1
    assert sum(line["event"] == "name_unfit" for line in events(run.stderr)) == 3


def test_efs_inside_the_snapshots_folder_does_not_loop(tree):
    inside = tree.snapshots / "efs"
    inside.mkdir()
    tree.snapshot("c", NAME, tar_of("one"))
    for root in (inside, tree.snapshots, str(inside) + "/./", str(tree.snapshots) + "//"):
        for _ in range(2):
            assert tree.once(EFS_ROOT=str(root), COMPRESSION="none").returncode == 0
    assert len(list(manifests_of(inside))) == 1
    assert len(list(manifests_of(tree.snapshots / "test-cpu"))) == 1


def test_once_is_no_success_without_efs_or_without_the_snapshots_folder(tree):
    run = tree.once(EFS_ROOT=str(tree.root / "nowhere"))
    assert run.returncode == 1 and '"efs_unusable"' in run.stderr
    run = tree.once(SNAPSHOTS_DIR=str(tree.root / "nowhere"))
    assert run.returncode == 1 and '"no_snapshots_dir"' in run.stderr
    assert tree.once().returncode == 0


def test_efs_that_is_not_mounted_is_never_made_up(tree):
    tree.efs.rmdir()
    tree.snapshot("c", NAME, tar_of("one"))
    p = tree.start()
    wait_for(lambda: tree.logged("publish_failed") and tree.logged("efs_unusable"))
    assert not tree.efs.exists() and p.poll() is None
    tree.efs.mkdir()
    wait_for(lambda: len(tree.complete()) == 1)


def test_the_key_is_in_no_log_and_no_manifest(tree):
    tree.snapshot("c", NAME, tar_of("one"))
    tree.snapshot("c", "c-1-2026-11-24-08-59-23", tar_of("two"))
    run = tree.once(QDRANT_API_KEY="s3cret", LOG_LEVEL="debug", LOCAL_KEEP="0")
    assert run.returncode == 0 and "s3cret" not in run.stderr + run.stdout
    assert all(b"s3cret" not in (tree.efs / f).read_bytes() for f in tree.files())
