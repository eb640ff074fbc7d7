"""Qdrant comes first: memory, page cache, processor and file descriptors of a replicator beside it."""
import ctypes
import mmap
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

import pytest
from days import Version, name_of
from harness import BUILD, patience, tar_of, wait_for

SANITIZED = bool(os.environ.get("SANITIZED"))


def status(pid, key):
    return int(re.search(rf"^{key}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def cached(path) -> float:
    """The part of a file that is in the page cache."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path, "r+b") as f:
        size = os.fstat(f.fileno()).st_size
        pages = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE
        with mmap.mmap(f.fileno(), size) as m:
            vec = (ctypes.c_ubyte * pages)()
            address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(m)))
            if libc.mincore(address, ctypes.c_size_t(size), vec) != 0:
                pytest.skip("mincore is not allowed here")
            del address
    return sum(v & 1 for v in vec) / pages


def random_file(path, size):
    rng = random.Random(7)
    with open(path, "wb") as f:
        for _ in range(size >> 20):
            f.write(rng.randbytes(1 << 20))
        f.flush()
        os.fsync(f.fileno())


@pytest.mark.skipif(SANITIZED, reason="a sanitizer needs memory of its own")
def test_memory_is_bounded_at_64_mib_for_a_snapshot_of_any_size(tree):
    for c, size in (("sparse", 2 << 30), ("dense", 256 << 20)):
        path = tree.snapshot(c, f"{c}-1-2026-11-24-07-59-23", b"")
        if c == "sparse":
            os.truncate(path, size)
        else:
            random_file(path, size)
        path.with_name(path.name + ".checksum").write_text(os.popen(f"sha256sum {path}").read()[:64])
    p = tree.start()
    wait_for(lambda: len(tree.complete()) == 2, 180)
    assert status(p.pid, "VmHWM") < 64 << 10, "kB"


def test_what_it_read_and_wrote_leaves_the_page_cache(tree):
    path = tree.snapshot("c", "c-1-2026-11-24-07-59-23", b"")
    random_file(path, 256 << 20)
    path.with_name(path.name + ".checksum").write_text(os.popen(f"sha256sum {path}").read()[:64])
    if cached(path) < 0.9:
        pytest.skip("this file system does not cache")
    assert tree.once(COMPRESSION="none").returncode == 0
    assert cached(path) < 0.05
    assert cached(next(tree.base.rglob("*.snapshot"))) < 0.3, "all but what was written since the last sync"


@pytest.mark.skipif(SANITIZED, reason="a sanitizer has threads of its own")
def test_idle_it_sleeps(tree):
    p = tree.start()
    tree.snapshot("c", "c-1-2026-11-24-07-59-23", tar_of("x"))
    wait_for(lambda: len(tree.complete()) == 1)
    time.sleep(8)  # the local disk was tidied, too
    tasks = [int(t.name) for t in pathlib.Path(f"/proc/{p.pid}/task").iterdir()]
    before = {t: status(t, "voluntary_ctxt_switches") for t in tasks}
    time.sleep(5)
    wakeups = sum(status(t, "voluntary_ctxt_switches") - n for t, n in before.items())
    assert wakeups <= 5, "the wall clock is looked at every two seconds; the rest sleeps"


@pytest.mark.skipif(SANITIZED, reason="a sanitizer and valgrind do not go together")
def test_valgrind_finds_nothing(tree):
    if not shutil.which("valgrind"):
        pytest.skip("valgrind is not installed")
    for i in range(4):
        tree.snapshot(f"c{i % 2}", f"c-1-2026-11-24-0{i}-59-23", tar_of(str(i), 50_000))
    tree.snapshot("c0", "c-1-2026-11-24-08-59-23", tar_of("bad"), checksum="0" * 64)
    os.utime(tree.snapshot("up", "upload", tar_of("up"), checksum=False), (1e9, 1e9))
    env = tree.env | {"RETENTION": "15min=1,hourly=1", "LOCAL_KEEP": "1"}
    for command, code in ((["qdrant-replicator", "--once"], 1), (["qdrant-efs", "verify"], 0), (["qdrant-efs", "ls", "--json"], 0),
                          (["qdrant-efs", "prune"], 0), (["qdrant-efs", "show", "c-1-2026-11-24-03-59-23"], 0),
                          (["qdrant-efs", "forget", "c0"], 0)):
        run = subprocess.run(["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite",
                              BUILD / command[0], *command[1:]], env=env, capture_output=True, text=True)
        assert run.returncode == code, run.stderr


def test_file_descriptors_do_not_grow(tree):
    p = tree.start(LOCAL_KEEP="0")
    count = lambda: len(os.listdir(f"/proc/{p.pid}/fd"))
    tree.snapshot("c", "c-1-2026-11-24-07-59-23", tar_of("x"))
    wait_for(lambda: len(tree.complete()) == 1 and not list(tree.snapshots.rglob("*.snapshot")))
    before = count()
    for i in range(20):
        tree.snapshot(f"c{i}", f"c-1-2026-11-24-07-59-{i:02}", tar_of(str(i)), checksum=None if i % 2 else "0" * 64)
    wait_for(lambda: len(tree.logged("mismatch")) == 10)
    assert count() == before


def test_a_stop_is_quick_also_in_mid_copy(tree):
    path = tree.snapshot("big", "big-1-2026-11-24-07-59-23", b"")
    os.truncate(path, 8 << 30)
    path.with_name(path.name + ".checksum").write_text("0" * 64)
    p = tree.start()
    wait_for(lambda: list(tree.base.rglob(".partial-*")))
    begin = time.monotonic()
    p.send_signal(signal.SIGTERM)
    assert p.wait(10) == 0 and time.monotonic() - begin < 2 * patience()
    assert tree.files() == []


@pytest.mark.skipif(SANITIZED, reason="a sanitizer needs memory of its own")
def test_memory_is_bounded_at_64_mib_for_a_delta_of_a_delta_too(tree):
    """Two at once, of a sparse file and of a dense one, on two others each."""
    version = Version()
    tree.env |= {"COMPRESSION": "delta", "QDRANT_URL": version.url, "NODE_NAME": "n1", "LOCAL_KEEP": "1"}
    p = tree.start()
    for number in (0, 2, 3):
        for c, size in (("sparse", 1 << 30), ("dense", 128 << 20)):
            data = tree.root / c
            if not data.exists():
                random_file(data, size if c == "dense" else 1 << 20)
                os.truncate(data, size)
            with open(data, "r+b") as f:
                for at in range(number * 1000, size, 16 << 20):
                    f.seek(at)
                    f.write(b"changed")
            folder = tree.snapshots / c
            folder.mkdir(exist_ok=True)
            name = f"{name_of(number, c)}.snapshot"
            subprocess.run(["cp", "--sparse=always", data, folder / "being-copied"], check=True)
            os.rename(folder / "being-copied", folder / name)
            (folder / f"{name}.checksum").write_text(os.popen(f"sha256sum {data}").read()[:64])
        wanted = {name_of(number, c) for c in ("sparse", "dense")}
        wait_for(lambda wanted=wanted: wanted <= {b["snapshot"] for b in tree.ls() if b["state"] == "complete"}, 180)
    assert [b["codec"] for b in tree.ls()].count("delta") == 4
    assert status(p.pid, "VmHWM") < 64 << 10, "kB"
    version.stop()
