"""`make demo` itself, so that what the README promises stays true."""
import os
import pathlib
import subprocess

from harness import BUILD

SCRIPT = pathlib.Path(__file__).parent / "demo.sh"


def demo(tmp_path, **env):
    return subprocess.run([SCRIPT], env=os.environ | {"BUILD": str(BUILD), "TMPDIR": str(tmp_path)} | env,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)


def test_the_demo_runs_through_and_leaves_nothing_behind(tmp_path):
    run = demo(tmp_path)
    assert run.returncode == 0 and run.stdout.endswith("That is all.\n"), run.stdout + run.stderr
    for line in ("2 verified, 0 defective", ".snapshot.zst: OK", "would prune", "5 Beijing", "ended with 0"):
        assert line in run.stdout
    assert run.stderr == "" and list(tmp_path.iterdir()) == []


def test_a_qdrant_that_does_not_start_fails_the_demo_and_leaves_nothing_behind(tmp_path):
    run = demo(tmp_path, QDRANT_BIN="/bin/false")
    assert run.returncode == 1 and "qdrant-entrypoint has ended" in run.stderr and "step 2" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_qdrant_bin_is_told(tmp_path):
    run = demo(tmp_path, QDRANT_BIN="/nowhere/qdrant")
    assert run.returncode == 1 and "QDRANT_BIN=/nowhere/qdrant is no program" in run.stderr
