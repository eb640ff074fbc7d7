"""A backup may be hostile: what the Qdrant that takes it can reach."""
import ctypes
import json
import os
import pathlib
import platform
import signal
import struct
import subprocess

import pytest
from drilling import fill, gone
from harness import BUILD, wait_for

LANDLOCK = 444  # landlock_create_ruleset(2), on every processor


def landlock_version():
    return ctypes.CDLL(None).syscall(LANDLOCK, None, 0, 1)


needs_landlock = pytest.mark.skipif(landlock_version() < 2, reason="needs a kernel with Landlock (5.19)")

ATTACK = """
echo hostile > {outside}/file
echo hostile > {efs}/forged
cat {efs}/*/*/c/*.json > stolen
cat {storage}/raft_state.json {storage}/aliases/* >> stolen
ls / >> stolen
{check}
grep -E "^(Cap(Eff|Prm)|NoNewPrivs)" /proc/self/status > status
env > environment
cp stolen status environment {word} 2> /dev/null
exec {program} "$@"
"""


@pytest.fixture
def attacker(node, tmp_path):
    """A program in Qdrant's place that reads and writes where it should not, and then is Qdrant. What it found is in its own folder."""
    outside, word = tmp_path / "outside", tmp_path / "word"
    outside.mkdir()
    word.mkdir()

    class Attacker:
        def program(self, check=""):
            places = {"outside": outside, "efs": node.tree.efs, "storage": node.server.storage, "word": word, "program": node.server.program}
            return node.program("attacker", ATTACK.format(check=check, **places))

        def wrote(self):
            return [p for p in (outside / "file", node.tree.efs / "forged") if p.exists()]

        def said(self, name):
            return (word / name).read_text()
    return Attacker()


@needs_landlock
def test_it_writes_nothing_outside_its_folder_and_reads_no_backup(node, attacker):
    fill(node.server)
    node.back_up("c")
    run = node.drill("--json", QDRANT_BIN=attacker.program("test ! -s stolen || exit 9"), CONFINE="second",
                     PATH=f"{node.tree.env['PATH']}:{os.path.dirname(node.server.program)}")
    assert run.returncode == 0, run.stdout + run.stderr  # an honest drill passes so
    assert json.loads(run.stdout)["drills"][0]["verdict"] == "proven"
    assert attacker.wrote() == [] and not list((node.tmp / "word").iterdir())


def test_off_it_may_do_what_its_user_may(node, attacker):
    """Which shows, too, that the attacks of this file would be seen."""
    fill(node.server)
    node.back_up("c")
    run = node.drill(QDRANT_BIN=attacker.program(), CONFINE="off", MY_OWN="for a program of my own", AWS_SECRET_ACCESS_KEY="k3y")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "MY_OWN" in attacker.said("environment") and "AWS" not in attacker.said("environment")
    assert len(attacker.wrote()) == 2 and '"collection"' in attacker.said("stolen")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_one_that_is_confined_dies_with_its_drill(node, how):
    fill(node.server)
    node.back_up("c")
    drill = node.start_drill(QDRANT_BIN=node.program("sleeps", "exec sleep 60\n"), CONFINE="second")
    children = pathlib.Path(f"/proc/{drill.pid}/task/{drill.pid}/children")
    wait_for(lambda: [p for p in children.read_text().split() if pathlib.Path(f"/proc/{p}/comm").read_text() == "sleep\n"])
    pid = int(children.read_text().split()[0])
    drill.send_signal(how)
    drill.wait(60)
    assert gone(pid, 30)


def without_landlock():
    """As on Fargate's kernel: the system call is unknown. For preexec_fn; a filter of seccomp(2) that inherits."""
    def insn(code, yes, no, k):
        return struct.pack("HBBI", code, yes, no, k)
    enosys = 0x00050000 | 38
    program = insn(0x20, 0, 0, 0) + insn(0x15, 0, 1, LANDLOCK) + insn(0x06, 0, 0, enosys) + insn(0x06, 0, 0, 0x7fff0000)
    code = ctypes.create_string_buffer(program)
    libc = ctypes.CDLL(None, use_errno=True)
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, head, 0, 0) == 0


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="the filter is for a 64-bit little-endian machine")
def test_where_the_kernel_has_no_landlock_it_says_so_and_drills_without_capabilities_and_our_environment(node, attacker):
    fill(node.server)
    node.back_up("c")
    env = node.tree.env | {"QDRANT_BIN": attacker.program(), "CONFINE": "second", "MY_SECRET": "k3y-of-another", "LC_ALL": "C"}
    run = subprocess.run([BUILD / "qdrant-efs", "drill"], env=env, capture_output=True, text=True, preexec_fn=without_landlock, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "no Landlock" in run.stderr
    status = dict(line.split(":\t") for line in attacker.said("status").splitlines())
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0 and status["NoNewPrivs"] == "1"
    names = {line.split("=", 1)[0] for line in attacker.said("environment").splitlines()}
    strange = {n for n in names if not n.startswith(("QDRANT", "LC_")) and n not in
               {"PATH", "LANG", "TZ", "TMPDIR", "RUN_MODE", "PWD", "OLDPWD", "SHLVL", "_", "LD_LIBRARY_PATH", "RUST_BACKTRACE", "SSL_CERT_FILE", "SSL_CERT_DIR"}}
    assert "LC_ALL" in names and strange == set()
    assert os.environ.get("HOME") is None or "HOME" not in names
