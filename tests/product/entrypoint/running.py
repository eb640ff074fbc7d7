"""Runs qdrant-entrypoint as a container runtime would: real processes, real signals, as PID 1 or not."""
import contextlib
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

from harness import BUILD, marked, wait_for

ENTRYPOINT = BUILD / "qdrant-entrypoint"
PROGRAM = [sys.executable, "-I", "-S", str(pathlib.Path(__file__).with_name("program.py"))]
NEW_NAMESPACE = ["unshare", "--fork", "--pid", "--mount-proc"]
SANITIZED = b"__asan_init" in ENTRYPOINT.read_bytes() if ENTRYPOINT.exists() else False
# A tool that runs it in the same process, such as "valgrind -q"; for checks by hand.
WRAPPER = os.environ.get("ENTRYPOINT_WRAPPER", "").split()
NOT_BARE = "measures the program itself, and here it carries a sanitizer or runs under a tool"
BARE = not SANITIZED and not WRAPPER


@functools.cache
def can_be_pid_1():
    return subprocess.run([*NEW_NAMESPACE, "true"], capture_output=True).returncode == 0


def status(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return line.split(":", 1)[1].split()[0]
    raise KeyError(field)


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def pid_inside(pid):
    """A process's pid in its own namespace."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])


def cpu_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def switches(pid):
    """How often it went to sleep or was put aside."""
    return sum(int(status(pid, name)) for name in ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"))


def wait_until_quiet(pid):
    """Until it has done what there was to do and sleeps."""
    seen = []

    def quiet():
        seen.append(switches(pid))
        time.sleep(0.3)
        return seen[-1] == switches(pid) and status(pid, "State") in "SD"
    wait_for(quiet, 10)


class Record:
    """What a program of ours wrote down, as (word, pid, time)."""

    def __init__(self, container, path):
        self.container, self.path = container, path

    def all(self):
        try:
            return [(w, int(p), float(t)) for w, p, t in map(str.split, self.path.read_text().splitlines())]
        except OSError:
            return []

    def starts(self):
        return [(pid, t) for word, pid, t in self.all() if word == "started"]

    def signals(self):
        return [word for word, _, _ in self.all() if word != "started"]

    def pid(self):
        """The newest one's, as it is here, outside; waits for the first."""
        wait_for(self.starts)
        inside = self.starts()[-1][0]
        return next(p for p in children(self.container.pid) if pid_inside(p) == inside)


class Container:
    """The entrypoint with what belongs to it."""

    def __init__(self, root, as_pid_1=False):
        self.root, self.as_pid_1 = root, as_pid_1
        self.mark = f"ENTRYPOINT_TEST={uuid.uuid4()}"
        name, value = self.mark.split("=")
        self.env = {"PATH": os.environ["PATH"], "LOG_LEVEL": "debug", "EFS_ROOT": str(root / "efs"),
                    "EFS_ALLOW_LOCAL": "1"}
        self.env[name] = value
        self.env |= {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        self.qdrant, self.replicator = Record(self, root / "qdrant"), Record(self, root / "replicator")
        self.env["REPLICATOR_BIN"] = self.script("default-replicator", self.replicator_program("TERM=0"))
        self.stderr = root / "stderr"
        self.process = self.pid = None
        self.init = []  # a program that runs the entrypoint under itself

    def script(self, name, command):
        """`command`, a list or shell text, as an executable file."""
        path = self.root / name
        if isinstance(command, list):
            command = "exec " + " ".join(f"'{word}'" for word in command)
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(0o755)
        return str(path)

    def qdrant_program(self, *rules):
        return [*PROGRAM, str(self.qdrant.path), *rules]

    def replicator_program(self, *rules):
        return [*PROGRAM, str(self.replicator.path), *rules]

    def start(self, command, replicator=None, stderr=None, argv=None, before_exec=None, pass_fds=(), **env):
        """`command` in Qdrant's place, or `argv` as it is. `replicator`: rules, or shell text."""
        if isinstance(replicator, str):
            env["REPLICATOR_BIN"] = self.script("replicator-script", replicator)
        elif replicator is not None:
            env["REPLICATOR_BIN"] = self.script("replicator-script", self.replicator_program(*replicator))
        argv = argv if argv is not None else ["--", *command]
        env = {k: v for k, v in (self.env | env).items() if v is not None}
        out = stderr if stderr is not None else open(self.stderr, "wb")
        prefix = NEW_NAMESPACE if self.as_pid_1 else []
        with open(self.root / "stdout", "wb") as stdout:
            self.process = subprocess.Popen([*prefix, *self.init, *WRAPPER, ENTRYPOINT, *argv], env=env,
                                            stdin=subprocess.DEVNULL, stdout=stdout, stderr=out,
                                            cwd=self.root, preexec_fn=before_exec, pass_fds=pass_fds)
        if stderr is None:
            out.close()
        self.pid = self.process.pid
        if self.as_pid_1:
            wait_for(lambda: self.process.poll() is not None or children(self.process.pid))
            self.pid = self.process.returncode is None and children(self.process.pid)[0]
        return self

    def start_both(self, *rules, **more):
        """Qdrant's program with these rules and the replicator's; waits until both run."""
        self.start(self.qdrant_program(*rules), **more)
        wait_for(self.qdrant.starts)
        if more.get("EFS_ROOT", "x"):
            wait_for(self.replicator.starts)
        return self

    def run(self, command=None, **more):
        """Start, wait for the end, return the exit code."""
        return self.start(command, **more).end()

    def signal(self, name):
        os.kill(self.pid, getattr(signal, "SIG" + name))

    def end(self, seconds=60):
        return self.process.wait(seconds)

    def stop(self, name="TERM"):
        """(exit code, seconds it took)"""
        begun = time.monotonic()
        self.signal(name)
        return self.end(), time.monotonic() - begun

    def output(self):
        return (self.root / "stdout").read_text()

    def log(self, event=None):
        text = self.stderr.read_bytes()
        lines = [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]
        return [line for line in lines if event in (None, line["event"])]

    def messages(self, event=None):
        return [line["message"] for line in self.log(event)]

    def left(self):
        """Pids of all that this container started and that still live, by a mark in their environment."""
        return marked(self.mark)

    def clean_up(self):
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process:
            self.process.wait(30)
        if self.stderr.exists() and not WRAPPER:
            strange = [line for line in self.stderr.read_text(errors="replace").splitlines()
                       if "Sanitizer" in line or "runtime error" in line]
            assert not strange, strange


@contextlib.contextmanager
def for_everyone(program):
    """A copy that any user can run: the build may be in a folder that is only its owner's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield shutil.copy(program, folder)
