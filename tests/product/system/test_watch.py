"""The daemon: what it notices, and what it survives."""
import hashlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import pytest
from harness import BUILD, freeze, manifests_of, tar_of, wait_for

NAME = "c-1-2026-11-24-07-59-23"


ZEROS_1_GIB = "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14"


def big(tree, gigabytes=1, checksum=ZEROS_1_GIB):
    """A snapshot that takes a while to copy and next to no disk."""
    path = tree.snapshot("big", "big-1-2026-11-24-07-59-23", b"", checksum=checksum)
    os.truncate(path, gigabytes << 30)
    return path


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_an_end_in_mid_copy_leaves_nothing_half_published(tree, sig):
    big(tree)
    p = tree.start()
    wait_for(lambda: list(tree.base.rglob(".partial-*")))
    p.send_signal(sig)
    assert p.wait(10) == (-9 if sig == signal.SIGKILL else 0)
    assert not list(manifests_of(tree.base)) and not list(tree.base.rglob("*.zst"))
    assert tree.once().returncode == 0
    assert len(tree.complete()) == 1 and not list(tree.base.rglob(".partial-*"))


def test_a_kill_at_any_moment_is_mended_by_the_next_run(tree):
    """Ended after a growing number of milliseconds, until a run gets through."""
    for i in range(12):
        tree.snapshot(f"c{i % 3}", f"c-1-2026-11-24-{i:02}-59-23", tar_of(str(i), 300_000))
    for delay in range(1, 400, 10):
        run = subprocess.Popen([BUILD / "qdrant-replicator", "--once"], env=tree.env, stderr=subprocess.DEVNULL)
        time.sleep(delay / 1000)
        run.kill()
        run.wait()
        for manifest in manifests_of(tree.base):
            assert manifest.with_name(manifest.stem + ".snapshot.zst").exists()
        assert all(b["state"] != "corrupt" for b in tree.ls())
    assert tree.once().returncode == 0
    assert len(tree.complete()) == 12 and tree.efs_tool("verify").returncode == 0
    assert len(tree.files()) == 36, tree.files()


def test_what_one_left_that_was_killed_at_the_top_of_the_tree_is_swept_by_the_next_start(tree):
    """As where README.txt is written: by a process of this host that is no more, under the name that it would have."""
    tree.snapshot("c", NAME, tar_of("one"))
    run = tree.start()
    wait_for(lambda: tree.complete())
    tree.stop()
    place = f"{socket.gethostname()}-{os.stat('/proc/self/ns/pid').st_ino:x}"
    left = tree.base / f".partial-{place}-{run.pid}-1-1"
    left.write_text("half of it")
    other = tree.base / ".partial-another-host-1-1-1"  # which may be writing it just now
    other.write_text("half of it")
    assert tree.once().returncode == 0
    assert not left.exists() and other.exists()


def test_a_source_that_vanishes_in_mid_copy_is_no_backup(tree):
    path = big(tree, 4)
    tree.start()
    wait_for(lambda: list(tree.base.rglob(".partial-*")))
    path.rename(tree.root / "taken")
    wait_for(lambda: tree.logged("vanished"), 120)
    assert tree.files() == [] and not tree.logged("mismatch")


def test_a_source_that_is_cut_in_mid_copy_is_reported(tree):
    path = big(tree, 4)
    tree.start()
    wait_for(lambda: list(tree.base.rglob(".partial-*")))
    os.truncate(path, 1000)
    wait_for(lambda: tree.logged("mismatch"))
    assert tree.files() == [] and path.exists()


def test_two_collections_are_copied_side_by_side(tree):
    big(tree, 20)
    tree.start()
    wait_for(lambda: list(tree.base.rglob(".partial-*")))
    tree.snapshot("small", "small-1-2026-11-24-07-59-23", tar_of("small"))
    wait_for(lambda: tree.complete() == {("collection", "small", "small-1-2026-11-24-07-59-23")})
    assert list(tree.base.rglob(".partial-*"))


def test_overflow_of_the_kernels_queue_loses_nothing(tree):
    data, most = tar_of("small", 100), int(open("/proc/sys/fs/inotify/max_queued_events").read())
    assert most < 20000, "4 events a snapshot: too few to overflow this kernel's queue"
    collections = 500 if os.environ.get("SANITIZED") else 1000
    for c in range(collections):
        (tree.snapshots / f"c{c}").mkdir()
    p = tree.start(LOCAL_KEEP="100000")
    wait_for(lambda: sum(1 for _ in (pathlib.Path(f"/proc/{p.pid}/fdinfo")).iterdir()
                         for line in _.read_text().splitlines() if line.startswith("inotify")) > collections)
    freeze(p.pid)
    for c in range(collections):
        for i in range(10):
            tree.snapshot(f"c{c}", f"c{c}-1-2026-11-24-0{i}-59-23", data)
    p.send_signal(signal.SIGCONT)
    wait_for(lambda: sum(1 for _ in manifests_of(tree.base)) == collections * 10, 400)
    assert tree.logged("overflow")


def test_where_watches_run_out_it_scans_instead(tree):
    """A user namespace of its own has a limit of its own."""
    script = 'echo 2 > /proc/sys/user/max_inotify_watches && exec "$0"'
    probe = subprocess.run(["unshare", "-Ur", "sh", "-c", "echo 2 > /proc/sys/user/max_inotify_watches"])
    if probe.returncode != 0:
        pytest.skip("user namespaces cannot be made here")
    p = subprocess.Popen(["unshare", "-Ur", "sh", "-c", script, BUILD / "qdrant-replicator"], env=tree.env,
                         stderr=open(tree.root / "log", "ab"))
    tree.running.append(p)
    wait_for(lambda: tree.logged("started"))
    for i in range(5):
        tree.snapshot(f"c{i}", f"c{i}-1-2026-11-24-07-59-23", tar_of(str(i)))
    wait_for(lambda: tree.logged("no_watch"))
    wait_for(lambda: len(tree.complete()) == 5, 60)


def test_a_snapshots_folder_that_is_not_there_30_seconds_after_the_start_is_a_warning_once(tree):
    tree.snapshots.rmdir()
    tree.start()
    wait_for(lambda: [e["level"] for e in tree.logged("no_snapshots_dir")] == ["info", "warn"], 90)
    time.sleep(3)
    assert len(tree.logged("no_snapshots_dir")) == 2


def test_a_snapshots_folder_that_comes_later_or_comes_back_is_watched(tree):
    tree.snapshots.rmdir()
    tree.start()
    wait_for(lambda: tree.logged("no_snapshots_dir"))
    tree.snapshot("c", NAME, tar_of("one"))
    wait_for(lambda: len(tree.complete()) == 1)
    shutil.rmtree(tree.snapshots)
    tree.snapshots.mkdir()
    tree.snapshot("d", "d-1-2026-11-24-07-59-23", tar_of("two"))
    wait_for(lambda: len(tree.complete()) == 2)


def test_a_snapshots_folder_that_is_renamed_and_made_anew_is_said_and_watched(tree):
    tree.start()
    tree.snapshot("c", NAME, tar_of("one"))
    wait_for(lambda: len(tree.complete()) == 1)
    old = tree.snapshots.rename(tree.root / "renamed")
    tree.snapshots.mkdir()
    tree.snapshot("d", "d-1-2026-11-24-07-59-23", tar_of("two"))
    wait_for(lambda: len(tree.complete()) == 2, 10)
    line, = tree.logged("snapshots_dir_replaced")
    assert line["level"] == "warn" and str(tree.snapshots) in line["message"]
    (old / "e").mkdir()
    tree.snapshot("e", "e-1-2026-11-24-07-59-23", tar_of("three"))
    wait_for(lambda: len(tree.complete()) == 3, 10)


def test_a_snapshots_folder_that_is_renamed_for_good_is_said(tree):
    tree.start()
    tree.snapshots.rename(tree.root / "renamed")
    wait_for(lambda: tree.logged("no_snapshots_dir"), 10)


def test_a_file_system_mounted_over_the_snapshots_folder_is_noticed_within_a_minute(tree):
    tree.start()
    tree.snapshot("c", NAME, tar_of("one"))
    wait_for(lambda: len(tree.complete()) == 1)
    if subprocess.run(["mount", "-t", "tmpfs", "none", tree.snapshots], capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount")
    try:
        tree.snapshot("d", "d-1-2026-11-24-07-59-23", tar_of("two"))
        wait_for(lambda: len(tree.complete()) == 2, 60)
        assert tree.logged("snapshots_dir_replaced")
        tree.snapshot("d", "d-1-2026-11-24-08-59-23", tar_of("three"))
        wait_for(lambda: len(tree.complete()) == 3, 10)
        tree.stop()
    finally:
        subprocess.run(["umount", "-l", tree.snapshots], check=True)


def test_a_snapshots_folder_behind_a_link_is_watched(tree):
    link = tree.root / "link"
    link.symlink_to(tree.snapshots)
    tree.start(SNAPSHOTS_DIR=str(link))
    tree.snapshot("c", NAME, tar_of("one"))
    wait_for(lambda: len(tree.complete()) == 1)
    tree.snapshot("c", "c-1-2026-11-24-08-59-23", tar_of("two"))
    wait_for(lambda: len(tree.complete()) == 2)


def test_a_collection_folder_that_is_renamed_keeps_its_new_name(tree):
    tree.start()
    tree.snapshot("old", "old-1-2026-11-24-07-59-23", tar_of("one"))
    wait_for(lambda: len(tree.complete()) == 1)
    (tree.snapshots / "old").rename(tree.snapshots / "new")
    tree.snapshot("new", "new-1-2026-11-24-08-59-23", tar_of("two"))
    wait_for(lambda: ("collection", "new", "new-1-2026-11-24-08-59-23") in tree.complete())


def test_a_backup_moved_away_on_efs_is_published_again_by_the_next_start(tree):
    tree.start()
    tree.snapshot("c", NAME, tar_of("one"))
    wait_for(lambda: len(tree.complete()) == 1)
    tree.stop()
    shutil.rmtree(tree.base)
    tree.start()
    wait_for(lambda: len(tree.complete()) == 1)


def test_a_full_disk_is_reported_leaves_nothing_and_is_tried_again(tree):
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tree.efs], capture_output=True)
    if mount.returncode != 0:
        pytest.skip("needs the right to mount")
    try:
        tree.snapshot("c", NAME, os.urandom(3_000_000))
        p = tree.start()
        wait_for(lambda: tree.logged("publish_failed"))
        assert "No space left" in tree.logged("publish_failed")[0]["message"]
        wait_for(lambda: tree.files() == [])
        subprocess.run(["mount", "-o", "remount,size=20m", tree.efs], check=True)
        wait_for(lambda: len(tree.complete()) == 1)
        assert p.poll() is None and len(list((tree.snapshots / "c").iterdir())) == 2
        tree.stop()
    finally:
        subprocess.run(["umount", "-l", tree.efs], check=True)


def test_two_replicators_on_one_efs_publish_each_snapshot_once(tree):
    """During a deployment the old task and the new one run side by side."""
    for i in range(30):
        tree.snapshot(f"c{i % 3}", f"c-1-2026-11-{i % 28 + 1:02}-07-59-23", tar_of(str(i), 200_000))
    runs = [subprocess.Popen([BUILD / "qdrant-replicator", "--once"], env=tree.env, stderr=subprocess.PIPE, text=True)
            for _ in range(3)]
    for run in runs:
        assert run.wait(60) == 0, run.stderr.read()
    assert tree.once().returncode == 0
    assert tree.efs_tool("verify").returncode == 0
    assert len(tree.complete()) == 30 and all(b["state"] == "complete" for b in tree.ls())


def test_two_nodes_with_a_storage_snapshot_of_one_name_overwrite_and_lose_nothing(tree):
    """Such names have no peer id: two nodes on one schedule make the same."""
    runs, other = [], tree.root / "other"
    for folder, seed in ((tree.snapshots, 1), (other, 2)):
        folder.mkdir(exist_ok=True)
        data = os.urandom(30_000_000)
        path = folder / "full-snapshot-2026-11-24-08-00-00.snapshot"
        path.write_bytes(data)
        path.with_name(path.name + ".checksum").write_text(hashlib.sha256(data).hexdigest())
    for folder in (tree.snapshots, other):
        runs.append(subprocess.Popen([BUILD / "qdrant-replicator", "--once"], stderr=subprocess.PIPE, text=True,
                                     env=tree.env | {"SNAPSHOTS_DIR": str(folder), "LOCAL_KEEP": "0", "COMPRESSION": "none"}))
    assert sorted(r.wait(60) for r in runs) == [0, 1]
    left = [f for f in (tree.snapshots, other) if list(f.glob("*.snapshot"))]
    assert len(left) == 1, "the one that is not on EFS"
    assert tree.efs_tool("verify").returncode == 0 and len(tree.files()) == 3
    run = tree.once(SNAPSHOTS_DIR=str(left[0]))
    assert run.returncode == 1 and '"conflict"' in run.stderr


def test_data_that_another_task_left_without_a_manifest_is_taken_over_if_it_is_the_same(tree):
    tree.snapshot("c", NAME, tar_of("one", 100_000))
    assert tree.once().returncode == 0
    next(manifests_of(tree.base)).unlink()
    before = next(tree.base.rglob("*.zst")).stat()
    assert tree.once().returncode == 0
    after = next(tree.base.rglob("*.zst")).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert len(tree.complete()) == 1 and len(tree.files()) == 3


def test_data_that_another_task_may_be_about_to_finish_is_left_alone(tree):
    tree.snapshot("c", NAME, tar_of("one", 100_000))
    assert tree.once().returncode == 0
    next(manifests_of(tree.base)).unlink()
    data = next(tree.base.rglob("*.zst"))
    data.write_bytes(b"of another task, with another level of compression")
    run = tree.once()
    assert run.returncode == 1 and "another task" in run.stderr and data.read_bytes().startswith(b"of another")
    os.utime(data, (1e9, 1e9))
    assert tree.once().returncode == 0 and tree.efs_tool("verify").returncode == 0


def test_a_checksum_that_comes_late_is_looked_at(tree):
    """An orphan .checksum of the same name was there; the right one follows."""
    tree.start()
    data = tar_of("x")
    path = tree.snapshot("c", NAME, data, checksum="0" * 64)
    wait_for(lambda: tree.logged("mismatch"))
    late = path.with_name("late")
    late.write_text(hashlib.sha256(data).hexdigest())
    late.rename(path.with_name(path.name + ".checksum"))
    wait_for(lambda: len(tree.complete()) == 1)


def test_once_is_no_success_when_it_was_stopped_before_its_end(tree):
    big(tree, 20, checksum="0" * 64)
    p = subprocess.Popen([BUILD / "qdrant-replicator", "--once"], env=tree.env, stderr=subprocess.DEVNULL)
    wait_for(lambda: list(tree.base.rglob(".partial-*")))
    p.send_signal(signal.SIGTERM)
    assert p.wait(10) == 1


def test_once_is_no_success_when_a_folder_could_not_be_listed(tree):
    if os.getuid() != 0:
        pytest.skip("needs root, to run as somebody who may not read")
    tree.snapshot("c", NAME, tar_of("x"))
    secret = tree.snapshots / "secret"
    secret.mkdir(mode=0o700)
    for folder in (tree.root, *tree.root.parents):
        if folder.stat().st_uid == 0 and folder.stat().st_mode & 0o005 != 0o005 and "pytest" in str(folder):
            folder.chmod(0o755)
    tree.efs.chmod(0o777)
    run = subprocess.run([BUILD / "qdrant-replicator", "--once"], env=tree.env, capture_output=True, text=True, user=65534)
    assert run.returncode == 1 and '"scan_failed"' in run.stderr, run.stderr
    assert len(tree.complete()) == 1


def test_log_lines_that_nobody_reads_hold_nothing_up(tree):
    read, write = os.pipe()
    os.write(write, b"x" * 65536)  # all that a pipe takes
    p = subprocess.Popen([BUILD / "qdrant-replicator"], env=tree.env, stderr=write)
    tree.running.append(p)
    os.close(write)
    for i in range(3):
        tree.snapshot("c", f"c-1-2026-11-24-0{i}-59-23", tar_of(str(i)))
    wait_for(lambda: len(tree.complete()) == 3)
    p.send_signal(signal.SIGTERM)
    assert p.wait(10) == 0
    assert os.read(read, 65536) == b"x" * 65536
    os.close(read)


def test_a_stop_at_any_moment_is_a_clean_one(tree):
    """Also before the threads are all there: SIGTERM never kills, and never goes unheard."""
    for delay in range(0, 60, 2):
        p = subprocess.Popen([BUILD / "qdrant-replicator"], env=tree.env, stderr=subprocess.PIPE)
        first = p.stderr.read(1)  # the first log line: all handlers stand
        assert first == b"{"
        time.sleep(delay / 1000)
        p.send_signal(signal.SIGTERM)
        assert p.wait(10) == 0
        p.stderr.close()
