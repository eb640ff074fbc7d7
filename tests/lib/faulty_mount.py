"""A mount that fails or hangs (faulty_mount.c), for a qdrant-efs of a test."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import time

import pytest
from harness import BUILD, wait_for

SOURCE = pathlib.Path(__file__).with_suffix(".c")
COMPILER = shutil.which("cc") or shutil.which("gcc")


def faulty(**env):
    """The environment of a process for which paths with these texts in them are broken: EIO=, HANG=."""
    if os.environ.get("SANITIZED"):
        pytest.skip("a sanitizer must be the first library, and reads of its own hang, too")
    out = BUILD / "faulty_mount.so"
    new = out.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", new, SOURCE], check=True)
    new.rename(out)
    return {"LD_PRELOAD": str(out)} | {f"FAULT_{k}": str(v) for k, v in env.items()}


def hung(tree, command, hang, *args, **env):
    """A qdrant-efs that hangs in a read of a path with that text in it."""
    mark = tree.root / f"hangs-{time.monotonic_ns()}"
    p = subprocess.Popen([BUILD / "qdrant-efs", command, *args], env=tree.env | env | faulty(HANG=hang, MARK=mark),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: mark.exists() or p.poll() is not None, 60)
    assert p.poll() is None, p.communicate()
    return p


@contextlib.contextmanager
def meanwhile(tree, command, path, at, *args, **env):
    """A qdrant-efs whose `at`-th opening of a path that ends so takes as long as what is done in here; afterwards it
    has ended, with what it printed in `out` and `err`."""
    mark, go = (tree.root / f"{word}-{time.monotonic_ns()}" for word in ("waits", "goes"))
    p = subprocess.Popen([BUILD / "qdrant-efs", command, *args], env=tree.env | env | faulty(WAIT=path, AT=at, GO=go, MARK=mark),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: mark.exists() or p.poll() is not None, 60)
        assert p.poll() is None, p.communicate()
        yield p
    finally:
        go.touch()
        p.out, p.err = p.communicate(timeout=60)


def ended(p, number):
    """(exit code, seconds, standard error) after that signal."""
    begin = time.monotonic()
    p.send_signal(number)
    _, err = p.communicate(timeout=30)
    return p.returncode, time.monotonic() - begin, err
