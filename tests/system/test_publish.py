"""What reaches EFS, and what never does."""
import hashlib
import json
import os
import signal
import subprocess
import tarfile
import time

from harness import DATA, tar_of, wait_for

NAME = "c-1-2026-11-24-07-59-23"


def test_real_snapshots_come_back_byte_for_byte(real_tree, tmp_path):
    t = real_tree
    assert t.once().returncode == 0
    assert len(t.complete()) == 3
    for data in t.base.rglob("*.snapshot.zst"):
        assert subprocess.run(["sha256sum", "-c", data.name + ".sha256"], cwd=data.parent).returncode == 0
        plain = subprocess.run(["zstd", "-dc", data], stdout=subprocess.PIPE, check=True).stdout
        source = next(t.snapshots.rglob(data.name.removesuffix(".zst")))
        assert plain == source.read_bytes()
        assert hashlib.sha256(plain).hexdigest() == source.with_name(source.name + ".checksum").read_text()


def test_real_snapshots_open_in_the_engine_with_the_right_points(real_tree, tmp_path):
    import qdrant_edge as edge
    t = real_tree
    assert t.once().returncode == 0
    for name, ids in (("07-59-23", {1, 2, 3, 4, 5}), ("07-59-25", {1, 2, 3, 4, 5, 6})):
        data = next(t.base.rglob(f"*{name}.snapshot.zst"))
        plain = tmp_path / "plain.tar"
        subprocess.run(["zstd", "-q", "-f", "-d", data, "-o", plain], check=True)
        folder, shard = tmp_path / f"x{name}", tmp_path / f"shard{name}"
        with tarfile.open(plain) as tar:
            tar.extractall(folder)
        inner = tmp_path / "shard.tar"
        with tarfile.open(inner, "w") as tar:
            for f in sorted((folder / "0").iterdir()):
                tar.add(f, arcname=f.name)
        edge.EdgeShard.unpack_snapshot(str(inner), str(shard))
        engine = edge.EdgeShard.load(str(shard)) if hasattr(edge.EdgeShard, "load") else edge.EdgeShard(str(shard))
        points = engine.retrieve(point_ids=[1, 2, 3, 4, 5, 6], with_payload=True, with_vector=False)
        assert {p.id for p in points} == ids


def test_without_compression_the_bytes_are_stored_as_they_are(tree):
    data = tar_of("plain")
    tree.snapshot("c", NAME, data)
    assert tree.once(COMPRESSION="none").returncode == 0
    assert next(tree.base.rglob("*.snapshot")).read_bytes() == data
    assert tree.efs_tool("verify").returncode == 0


def test_a_checksum_that_differs_is_never_published(tree):
    path = tree.snapshot("c", NAME, tar_of("x"), checksum="0" * 64)
    run = tree.once()
    assert run.returncode == 1 and '"mismatch"' in run.stderr
    assert tree.files() == [] and path.exists()


def test_orphan_checksums_and_foreign_files_are_neither_error_nor_backup(tree):
    (tree.snapshots / "tmp/upload").mkdir(parents=True)
    (tree.snapshots / "tmp/upload/x.snapshot").write_bytes(tar_of("x"))
    tree.snapshot("c", NAME, b"").unlink()
    (tree.snapshots / "c/x.tmp").write_text("x")
    assert tree.once().returncode == 0
    assert tree.files() == []


def test_a_different_snapshot_of_the_same_name_is_not_overwritten(tree):
    tree.snapshot("c", NAME, tar_of("one"))
    assert tree.once().returncode == 0
    before = {f: (tree.efs / f).read_bytes() for f in tree.files()}
    assert tree.once().returncode == 0
    tree.snapshot("c", NAME, tar_of("two"))
    run = tree.once()
    assert run.returncode == 1 and '"conflict"' in run.stderr
    assert before == {f: (tree.efs / f).read_bytes() for f in tree.files()}


def test_a_data_file_that_got_lost_is_mended(tree):
    tree.snapshot("c", NAME, tar_of("one"))
    assert tree.once().returncode == 0
    next(tree.base.rglob("*.zst")).unlink()
    assert tree.ls()[0]["state"] == "incomplete"
    assert tree.once().returncode == 0
    assert tree.efs_tool("verify").returncode == 0


def test_an_upload_without_checksum_is_published_once_quiet_and_whole(tree):
    tree.start()
    tree.snapshot("up", "whole", tar_of("whole"), checksum=False)
    tree.snapshot("up", "cut", tar_of("cut")[:700], checksum=False)
    wait_for(lambda: '"mismatch"' in (tree.root / "log").read_text())
    wait_for(lambda: tree.complete() == {("collection", "up", "whole")})


def test_hostile_names_stay_inside_the_tree(tree):
    for c in ("%2e%2e", "-rf", "a b", "emoji 🎉", "back\\slash", "..x", "new\nline"):
        tree.snapshot(c, f"{c.strip('.-')}-1-2026-11-24-07-59-23", tar_of(c))
    assert tree.once().returncode == 0
    assert {p.name for p in tree.efs.iterdir()} == {"test-cpu"}
    assert {c for _, c, _ in tree.complete()} >= {"%2e%2e", "-rf", "a b", "emoji 🎉", "back\\slash", "..x", "new\nline"}
    for sums in tree.base.rglob("*.sha256"):
        if "\n" not in sums.name and "\\" not in sums.name:
            assert subprocess.run(["sha256sum", "-c", "--", sums.name], cwd=sums.parent).returncode == 0


def test_efs_inside_the_snapshots_folder_does_not_loop(tree):
    inside = tree.snapshots / "efs"
    inside.mkdir()
    tree.snapshot("c", NAME, tar_of("one"))
    for root in (inside, tree.snapshots):
        for _ in range(2):
            assert tree.once(EFS_ROOT=str(root), COMPRESSION="none").returncode == 0
    assert len(list(inside.rglob("*.json"))) == 1
    assert len(list((tree.snapshots / "test-cpu").rglob("*.json"))) == 1


def test_published_snapshots_leave_the_local_disk_down_to_local_keep(tree):
    for i in range(4):
        tree.snapshot("c", f"c-1-2026-11-24-07-59-0{i}", tar_of(str(i)))
    tree.snapshot("c", "c-1-2026-11-24-06-00-00", tar_of("bad"), checksum="0" * 64)
    assert tree.once(LOCAL_KEEP="1").returncode == 1
    assert sorted(p.name for p in (tree.snapshots / "c").glob("*.snapshot")) == [
        "c-1-2026-11-24-06-00-00.snapshot", "c-1-2026-11-24-07-59-03.snapshot"]


def test_tiers_and_retention(tree):
    for day in range(1, 8):
        for hour in range(0, 24, 3):
            tree.snapshot("c", f"c-1-2026-11-{day:02}-{hour:02}-00-00", tar_of(f"{day}{hour}"))
    assert tree.once(RETENTION="15min=1h,hourly=1d,daily=3,monthly=1").returncode == 0
    by_tier = {}
    for b in tree.ls():
        by_tier.setdefault(b["frequency"], []).append(b["slot"][5:13])
    assert by_tier["daily"] == ["11-05T09", "11-06T09", "11-07T09"]
    assert by_tier["monthly"] == ["11-01T09"]
    assert len(by_tier["hourly"]) == 7


def test_prune_refuses_what_it_cannot_read(tree):
    for i in range(3):
        tree.snapshot("c", f"c-1-2026-11-24-1{i}-20-00", tar_of(str(i)))
        tree.snapshot("c", f"c-1-2026-11-24-1{i}-40-00", tar_of(str(i)))
    assert tree.once().returncode == 0
    next((tree.base / "15min").rglob("*.json")).write_text("{")
    run = tree.efs_tool("prune", RETENTION="15min=1")
    assert run.returncode == 1 and len(list(tree.base.rglob("*.zst"))) == 6


def test_verify_names_each_defect(tree):
    for i in range(3):
        tree.snapshot("c", f"c-1-2026-11-24-07-59-0{i}", tar_of(str(i), 50000))
    assert tree.once().returncode == 0
    a, b, c = sorted(tree.base.rglob("*.zst"), key=lambda p: p.name)
    bits = bytearray(a.read_bytes())
    bits[len(bits) // 2] ^= 1
    a.write_bytes(bits)
    b.write_bytes(b.read_bytes()[:-1])
    run = tree.efs_tool("verify")
    assert run.returncode == 1
    assert a.name[:-13] in run.stderr and b.name[:-13] in run.stderr and c.name[:-13] not in run.stderr


def test_kill_in_mid_copy_leaves_nothing_half_published(tree):
    path = tree.snapshot("c", NAME, os.urandom(1) + b"\0" * 10)
    with open(path, "wb") as f:
        f.truncate(3 << 30)
    digest = subprocess.run(["sha256sum", path], stdout=subprocess.PIPE, text=True).stdout.split()[0]
    path.with_name(path.name + ".checksum").write_text(digest)
    for sig in (signal.SIGKILL, signal.SIGTERM):
        p = tree.start(COMPRESSION="zstd:1")
        wait_for(lambda: list(tree.base.rglob(".partial-*")))
        p.send_signal(sig)
        p.wait(10)
        assert not list(tree.base.rglob("*.json")) and not list(tree.base.rglob("*.zst"))
    assert tree.once().returncode == 0
    assert len(tree.complete()) == 1 and not list(tree.base.rglob(".partial-*"))


def test_overflow_of_the_kernels_queue_loses_nothing(tree):
    p = tree.start(LOCAL_KEEP="1000000")
    p.send_signal(signal.SIGSTOP)
    data = tar_of("small", 100)
    for c in range(1000):
        for i in range(10):
            tree.snapshot(f"c{c}", f"c{c}-1-2026-11-24-0{i}-59-23", data)
    p.send_signal(signal.SIGCONT)
    wait_for(lambda: sum(1 for _ in tree.base.rglob("*.json")) == 10000, 240)
    assert '"overflow"' in (tree.root / "log").read_text()


def test_wrong_settings_are_named(tree):
    for name, value in (("COMPRESSION", "gzip"), ("COMPRESSION", "zstd:20"), ("RETENTION", "daily=x"),
                        ("LOCAL_KEEP", "-1"), ("TIER", "../x"), ("QDRANT_URL", "ftp://x"), ("EFS_ROOT", "relative"),
                        ("COMPRESSION_THREADS", "1e9"), ("LOG_LEVEL", "loud"), ("QDRANT_API_KEY_FILE", "/nope")):
        run = tree.once(**{name: value})
        assert run.returncode == 64 and name in run.stderr and len(run.stderr.splitlines()) == 1
    assert json.loads(tree.once(EFS_ROOT="").stderr)["event"] == "wrong_setting"


def test_the_key_is_in_no_log(tree):
    tree.snapshot("c", NAME, tar_of("one"))
    tree.snapshot("c", "c-1-2026-11-24-08-59-23", tar_of("two"))
    run = tree.once(QDRANT_API_KEY="s3cret", LOG_LEVEL="debug", LOCAL_KEEP="0")
    assert "s3cret" not in run.stderr + run.stdout
