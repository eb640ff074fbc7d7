"""restore --to and --stdout: the verified snapshot as a file."""
import os
import pathlib
import shlex
import shutil
import signal
import subprocess

import pytest
from harness import BUILD, open_snapshot, tar_of, wait_for
from restoring import data_of, flip, publish, restore, restored
from server import SERVERS, Server

NAME = "c-1-2026-11-24-08-00-00"


@pytest.fixture
def one(tree):
    tree.snapshot("c", NAME, tar_of(NAME, 3_000_000))
    publish(tree)
    return tree


def partials(folder):
    return [p for p in folder.iterdir() if p.name.startswith(".partial-")]


@pytest.mark.parametrize("compression", ["none", "zstd:1", "zstd:19"])
@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 512, 1 << 20, (2 << 20) + 7])
def test_the_file_has_the_very_bytes_of_the_snapshot(tree, compression, size):
    data = os.urandom(size)
    tree.snapshot("c", NAME, data)
    publish(tree, COMPRESSION=compression)
    restored(tree, "--to", str(tree.root / "out"))
    assert (tree.root / "out").read_bytes() == data and partials(tree.root) == []
    run = subprocess.run([BUILD / "qdrant-efs", "restore", "--stdout"], env=tree.env, stdout=subprocess.PIPE)
    assert run.returncode == 0 and run.stdout == data


def test_the_real_snapshots_open_in_the_engine_and_have_the_points_of_their_time(real_tree):
    publish(real_tree)
    out = real_tree.root / "out"
    out.mkdir()
    first, second = (f"test_collection-1235153728432657-2026-11-24-07-59-{s}" for s in ("23", "25"))
    for name, points in ((first, 5), (second, 6)):
        restored(real_tree, "--to", str(out), "--snapshot", name)
        shard = open_snapshot(out / f"{name}.snapshot", real_tree.root / name)
        assert shard.info().points_count == points
    result, = restored(real_tree, "--collection", "test_collection", "--shard", "0", "--to", str(out))
    assert open_snapshot(pathlib.Path(result["file"]), real_tree.root / "shard", shard=True).info().points_count == 6


def test_a_file_that_is_there_is_not_replaced_without_force(one):
    out = one.root / "out"
    out.write_text("mine")
    run = restore(one, "--to", str(out))
    assert run.returncode == 1 and str(out) in run.stderr and "--force" in run.stderr and out.read_text() == "mine"
    restored(one, "--to", str(out), "--force")
    assert out.read_bytes() == tar_of(NAME, 3_000_000)


def test_a_folder_gets_a_file_for_each_collection(one):
    one.snapshot("d", "d-1-2026-11-24-08-00-00", tar_of("d"))
    one.snapshot(".e", ".e-1-2026-11-24-08-00-00", tar_of("e"))
    publish(one)
    run = restore(one, "--to", str(one.root / "out"))
    assert run.returncode == 64 and "folder" in run.stderr
    (one.root / "out").mkdir()
    files = {r["file"] for r in restored(one, "--to", str(one.root / "out"))}
    assert files == {str(p) for p in (one.root / "out").iterdir()} and len(files) == 3
    assert restore(one, "--stdout").returncode == 64


def test_a_folder_that_cannot_be_written_to_is_named(one):
    run = restore(one, "--to", str(one.root / "nope" / "out"))
    assert run.returncode == 1 and "nope" in run.stderr


def test_a_full_disk_leaves_no_half_file(one):
    (one.root / "small").mkdir()
    run = subprocess.run(["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1m none "$1" && shift && "$@"; e=$?; ls -A "$0"; exit $e',
                          one.root / "small", one.root / "small", BUILD / "qdrant-efs", "restore", "--to",
                          one.root / "small" / "out"], env=one.env, capture_output=True, text=True)
    if "unshare" in run.stderr or "mount:" in run.stderr:
        pytest.skip("needs mount namespaces")
    assert run.returncode == 1 and "No space left" in run.stderr and run.stdout == ""


def test_killed_in_the_middle_it_leaves_no_file_and_the_next_one_sweeps(one, tmp_path):
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    folder, size = tmp_path / "out", len(tar_of(NAME, 3_000_000))
    folder.mkdir()
    p = subprocess.Popen(["strace", "-D", "-qq", "-o", "/dev/null", "-e", "inject=fsync:delay_enter=60000000",
                          BUILD / "qdrant-efs", "restore", "--to", folder / "file"], env=one.env)
    wait_for(lambda: partials(folder) and partials(folder)[0].stat().st_size == size)  # and now it syncs, for a minute
    status = pathlib.Path(f"/proc/{p.pid}/status").read_text()
    p.kill()
    os.kill(int(status.split("TracerPid:")[1].split()[0]), signal.SIGKILL)  # it would hold it for its minute
    p.wait(20)
    assert len(partials(folder)) == 1 and not (folder / "file").exists()
    restored(one, "--to", str(folder / "file"))
    assert [f.name for f in folder.iterdir()] == ["file"]


def test_stdout_tells_by_its_exit_code_that_what_it_wrote_is_not_good(tree):
    tree.snapshot("c", "c-1-2026-11-24-07-00-00", tar_of("older"))
    tree.snapshot("c", NAME, tar_of(NAME, 3_000_000))
    publish(tree, COMPRESSION="none")
    flip(data_of(tree, NAME), 0.9)
    run = subprocess.run([BUILD / "qdrant-efs", "restore", "--stdout"], env=tree.env, capture_output=True)
    assert run.returncode == 1 and b"SHA-256" in run.stderr
    assert len(run.stdout) < len(tar_of(NAME, 3_000_000))  # never a whole one, and nothing of an older one
    assert tar_of(NAME, 3_000_000).startswith(run.stdout)


def test_a_standard_output_that_is_full_or_gone_is_an_error(one):
    with open("/dev/full", "w") as out:
        assert subprocess.run([BUILD / "qdrant-efs", "restore", "--stdout"], env=one.env, stdout=out,
                              stderr=subprocess.PIPE).returncode == 1
    p = subprocess.Popen([BUILD / "qdrant-efs", "restore", "--stdout"], env=one.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.close()
    assert p.wait(20) == 1


def test_a_full_storage_snapshot_comes_as_a_file_with_the_command_that_restores_it(real_tree):
    publish(real_tree)
    out = real_tree.root / "it's all"
    run = restore(real_tree, "--storage-snapshot", "--to", str(out))
    assert run.returncode == 0
    line = next(line for line in run.stdout.splitlines() if "--storage-snapshot" in line)
    assert shlex.split(line) == ["qdrant", "--storage-snapshot", str(out)]
    assert restore(real_tree, "--snapshot", "full-snapshot-2026-11-24-07-59-36").returncode == 64


@pytest.mark.parametrize("kind", SERVERS)
def test_qdrant_starts_with_the_full_storage_snapshot(real_tree, tmp_path, kind):
    publish(real_tree)
    restored(real_tree, "--storage-snapshot", "--to", str(tmp_path / "full.snapshot"))
    server = Server(kind, tmp_path / "server")
    try:
        server.start("--storage-snapshot", str(tmp_path / "full.snapshot"))
        assert server.result("POST", "/collections/test_collection/points/count", {"exact": True})["count"] == 6
    finally:
        server.stop()
