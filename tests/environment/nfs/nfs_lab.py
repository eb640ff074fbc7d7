"""What the scenarios are made of: the NFS server of the guest, tasks with mounts of their own, and faults.

Inside the guest only. A scenario may hang on its mounts; nothing here that undoes a fault touches one.
"""
import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import tarfile
import termios
import time

from harness import BUILD, Tree

ROOT = pathlib.Path("/run/lab")
SNAPSHOTS = pathlib.Path("/run/work/snapshots")
# As efs-utils and Fargate mount EFS; the rest of its options are the kernel's standard.
OPTIONS = "vers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"
MiB = 1 << 20
CLONE_NEWUTS, MNT_DETACH, SYS_PIDFD_GETFD = 0x04000000, 2, 438
# What a container's restart keeps and what not: the host name stays, process ids start at 1.
NEW_PIDS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """The scenario cannot run here, and why."""


# -- saying what is expected -------------------------------------------------------------------------------

began = time.monotonic()  # guest.py sets it anew for each scenario


def say(what):
    """The story of a scenario, shown when it fails."""
    print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def until(condition, what, seconds=20):
    """Wait for it; an OSError means not yet."""
    end = time.monotonic() + seconds
    while True:
        try:
            value = condition()
            if value:
                say(what)
                return value
        except OSError:
            pass
        check(time.monotonic() < end, f"waited {seconds} s in vain until {what}")
        time.sleep(0.005)


def run(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, timeout=30,
                          **options)


def change(result, call):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{call}: {os.strerror(ctypes.get_errno())}")


# -- the server --------------------------------------------------------------------------------------------

def server_threads():
    return int(pathlib.Path("/proc/fs/nfsd/threads").read_text())


def start_server():
    if server_threads() == 0:
        run("rpc.nfsd", "-N", "3", "-V", "4.1", "--no-udp", "4")


def stop_server():
    """Connections are closed, and new ones refused: hard mounts wait."""
    run("rpc.nfsd", "0")


def network(what):
    """Let tc-netem(8) spoil the way to EFS: "loss 100%" swallows all packets and nobody says so, as a mount
    target that is gone or a dead TLS tunnel does; "delay 3ms" is EFS's distance."""
    run("modprobe", "-d", "/run/modules", "sch_netem")
    run("tc", "qdisc", "replace", "dev", "lo", "root", "netem", *what.split())


def network_good():
    subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], capture_output=True)  # fails where it is good


def export(folder):
    run("exportfs", "-i", "-o", "rw,fsid=0,no_root_squash,no_subtree_check,insecure,sync", f"*:{folder}")


def unexport(folder):
    """The server refuses all that is asked about it, as when a file system policy is taken away."""
    run("exportfs", "-u", f"*:{folder}")
    run("exportfs", "-f")


# -- processes ---------------------------------------------------------------------------------------------

def stat_of(pid, task=None):
    """State, parent and session of a process or thread: proc(5)."""
    path = pathlib.Path(f"/proc/{pid}/task/{task}/stat" if task else f"/proc/{pid}/stat")
    fields = path.read_text().rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[3])


def threads(pid):
    return os.listdir(f"/proc/{pid}/task")


def pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def descendants(pid):
    parent, found = {}, {pid}
    for p in pids():
        try:
            parent[p] = stat_of(p)[1]
        except OSError:
            continue
    while more := {p for p in parent if parent[p] in found} - found:
        found |= more
    return found - {pid}


def gone(pid):
    try:
        return stat_of(pid)[0] == "Z"
    except OSError:
        return True


def hangs_in_kernel(pid):
    """A thread of it waits in the kernel, uninterruptibly or for a kill only."""
    return any(stat_of(pid, t)[0] == "D" for t in threads(pid))


def pause(pid):
    """SIGCONT lets it go on. A thread stops only when it returns from the kernel, and first gets done what it
    was about there."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: all(stat_of(pid, t)[0] == "T" for t in threads(pid)), f"process {pid} is stopped")


def unread_file_events(pid):
    """Bytes of file events that the process has not taken yet, asked on its own inotify descriptor."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        if "inotify" in os.readlink(f"/proc/{pid}/fd/{fd}"):
            pidfd = os.pidfd_open(pid)
            copy = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(fd), 0)
            os.close(pidfd)
            check(copy >= 0, f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
            try:
                return struct.unpack("i", fcntl.ioctl(copy, termios.FIONREAD, b"\0" * 4))[0]
            finally:
                os.close(copy)
    raise AssertionError(f"process {pid} watches no files")


def processes(session):
    """For a report: what is left of a scenario, and where in the kernel it waits."""
    lines = ["processes:"]
    for p in pids():
        try:
            if stat_of(p)[2] != session:
                continue
            name = pathlib.Path(f"/proc/{p}/cmdline").read_text(errors="replace").replace("\0", " ")
            for t in threads(p):
                state, stack = stat_of(p, t)[0], pathlib.Path(f"/proc/{p}/task/{t}/stack").read_text()
                calls = [line.split()[1].split("+")[0] for line in stack.splitlines()]
                lines.append(f"  {p}/{t} {state} {name[:80]} {' < '.join(calls) if state == 'D' else ''}")
        except OSError:
            continue
    return "\n".join(lines) + "\n"


def clean_up(name, session):
    """After a scenario, whatever became of it: the network, the server, no process, no mount."""
    network_good()
    start_server()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        left = []
        for p in pids():
            try:
                if stat_of(p)[2] == session:
                    os.kill(p, signal.SIGKILL)
                    left.append(p)
            except OSError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        if not left:
            break
        time.sleep(0.05)
    subprocess.run(["exportfs", "-ua"], capture_output=True)
    mounts = [line.split()[1] for line in open("/proc/mounts")]
    for mount in reversed([m for m in mounts if m.startswith(f"{ROOT}/{name}/")]):
        if libc.umount2(mount.encode(), 0) != 0:
            libc.umount2(mount.encode(), MNT_DETACH)


def mount_tmpfs(where, size):
    change(libc.mount(b"efs", str(where).encode(), b"tmpfs", 0, f"size={size}".encode()), "mount")


# -- a scenario's world ------------------------------------------------------------------------------------

def write_snapshot(path, seed, size):
    """A tar of `size` bytes that do not compress, the same ones for the same seed; returns its SHA-256. Block
    by block: memory is what costs time in user-mode Linux."""
    block = random.Random(seed).randbytes(MiB)
    info = tarfile.TarInfo("config.json")
    info.size = size
    hasher = hashlib.sha256()
    with open(path, "wb") as f:
        for part in (info.tobuf(), *(block for _ in range(size // MiB)), b"\0" * 1024):
            f.write(part)
            hasher.update(part)
    return hasher.hexdigest()


class Lab:
    """One EFS and the tasks that mount it."""

    def __init__(self, name, size="320m"):
        self.root = ROOT / name
        self.export = self.root / "export"
        self.tasks = []
        self.uts = os.open("/proc/self/ns/uts", os.O_RDONLY)
        self.export.mkdir(parents=True)
        mount_tmpfs(self.export, size)
        export(self.export)

    def replace(self):
        """Another, empty file system is exported in place of this one: old file handles are stale."""
        unexport(self.export)
        mount_tmpfs(self.export, "320m")
        export(self.export)

    def resize(self, size):
        run("mount", "-o", f"remount,size={size}", self.export)

    def task(self, name="task-a", options=""):
        task = Task(self, name, options)
        self.tasks.append(task)
        return task

    # The server's own view: no cache in between, and it never hangs.
    def stored(self, pattern):
        """Without heartbeats, which come when they come."""
        return sorted(p for p in self.export.rglob(pattern) if p.is_file() and "heartbeat" not in p.parts)

    def partials(self):
        return self.stored(".partial-*")

    def published(self):
        return self.stored("*.json")

    def nothing_half_done(self):
        equal([p.name for p in self.partials() + self.stored(".nfs*")], [], "left behind on EFS")

    def hold_in_mid_copy(self, pid):
        """Stop the process while a copy of it is under way; SIGCONT lets it go on."""
        network("delay 20ms")  # so that the copy lasts
        until(self.partials, "a copy to EFS has begun")
        pause(pid)
        network_good()
        check(self.partials() and not self.published(), "the copy was over before it could be stopped")

    def describe(self):
        """For a failure: what is where, and what the programs said."""
        print("on EFS, as the server sees it:")
        for p in sorted(self.export.rglob("*")):
            if p.is_file():
                print(f"  {p.stat().st_size:10} {p.relative_to(self.export)}")
        for task in self.tasks:
            print(f"log of {task.name}:\n{task.log_text()}")
        print(processes(os.getsid(0)))
        print("kernel:\n" + "\n".join(run("dmesg").stdout.splitlines()[-8:]), flush=True)


class Task(Tree):
    """One Fargate task: a host name of its own, local snapshots, and a mount of its own."""

    def __init__(self, lab, name, options):
        super().__init__(lab.root / name)
        self.lab, self.name = lab, name
        self.env["EFS_ALLOW_LOCAL"] = "0"  # this one is no local folder
        # The guest's local disk is small: what is published shall stay there all the same, to be compared with.
        self.env |= {"MIN_FREE": "0", "QDRANT__STORAGE__WAL__WAL_CAPACITY_MB": "1"}
        change(libc.unshare(CLONE_NEWUTS), "unshare")
        socket.sethostname(name)
        self.uts = os.open("/proc/self/ns/uts", os.O_RDONLY)
        change(libc.setns(lab.uts, CLONE_NEWUTS), "setns")
        # nosharecache: otherwise two mounts of one export would share all their caches.
        run("mount", "-t", "nfs4", "-o", f"{OPTIONS},nosharecache{options and ',' + options}", "127.0.0.1:/",
            self.efs)

    @contextlib.contextmanager
    def on_its_host(self):
        """Programs started inside have this task's host name. (preexec_fn would fork all of Python.)"""
        change(libc.setns(self.uts, CLONE_NEWUTS), "setns")
        try:
            yield
        finally:
            change(libc.setns(self.lab.uts, CLONE_NEWUTS), "setns")

    def popen(self, *command, **env):
        """As a process of this task, with its log."""
        with open(self.root / "log", "ab") as log, self.on_its_host():
            p = subprocess.Popen([str(c) for c in command], env=self.env | env, stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=log)
        self.running.append(p)
        return p

    def once(self, **env):
        with self.on_its_host():
            return super().once(**env)

    def start(self, **env):
        before = len(self.events("started"))
        p = self.popen(BUILD / "qdrant-replicator", **env)
        until(lambda: len(self.events("started")) > before, "the replicator has started")
        return p

    def entrypoint(self, *qdrant, new_pids=False, **env):
        """qdrant-entrypoint with a program in Qdrant's place; returns it and the replicator's pid."""
        p = self.popen(*(NEW_PIDS if new_pids else ()), BUILD / "qdrant-entrypoint", "--", *qdrant, **env)

        def replicator():
            return [c for c in descendants(p.pid)
                    if os.readlink(f"/proc/{c}/exe") == str(BUILD / "qdrant-replicator")]
        return p, until(replicator, "the entrypoint has started the replicator")[0]

    def log_text(self):
        path = self.root / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def events(self, name):
        return events_in(self.log_text(), name)

    def make(self, collection="docs", time_of_day="07-59-23", size=16 * MiB, seed=1):
        """A finished snapshot, completed in the order in which Qdrant does; returns its name."""
        name = f"{collection}-1235153728432657-2025-06-10-{time_of_day}"
        folder = self.snapshots / collection
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / f"{name}.snapshot"
        checksum = folder / f"{name}.snapshot.tmp"
        checksum.write_text(write_snapshot(data, seed, size))
        checksum.rename(folder / f"{name}.snapshot.checksum")
        return name

    def listed(self):
        return sorted(b["snapshot"] for b in self.ls() if b["state"] == "complete")

    def right(self, *names):
        """Exactly these backups are on EFS, each complete and equal to its source, and nothing else."""
        self.right_as_in(self, *names)

    def right_as_in(self, source, *names):
        """As right(), of what another task published."""
        backups = self.verified()
        equal(sorted(b["snapshot"] for b in backups), sorted(names), "backups listed")
        for b in backups:
            data = pathlib.Path(b["path"])
            manifest = json.loads((data.parent / f"{b['snapshot']}.json").read_text())
            snapshot = next(source.snapshots.rglob(b["snapshot"] + ".snapshot"))
            equal(sha256_of(data), manifest["stored_sha256"], f"SHA-256 of {data.name}")
            equal(manifest["sha256"], sha256_of(snapshot), f"SHA-256 of the snapshot in {b['snapshot']}.json")
        self.lab.nothing_half_done()

    def verified(self):
        """All backups, after qdrant-efs has found no defect."""
        verify = self.efs_tool("verify", "--json")
        equal(verify.returncode, 0, f"exit code of qdrant-efs verify, which said\n{verify.stderr}")
        return json.loads(verify.stdout)

    def right_once_more(self, *names):
        """The next replicator publishes one more; then all is right."""
        another = self.make("docs", "23-59-59", size=MiB, seed=99)
        equal(self.once().returncode, 0, "exit code of the next replicator")
        self.right(*names, another)


def sha256_of(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def events_in(log, name=None, level=None):
    """The replicator's log lines of that event and level, as dictionaries."""
    found = []
    for line in log.splitlines():
        try:
            e = json.loads(line)
        except ValueError:
            continue  # the program in Qdrant's place, or a line that is being written
        if name in (None, e["event"]) and level in (None, e["level"]):
            found.append(e)
    return found
