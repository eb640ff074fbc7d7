#!/usr/bin/env python3
"""Boots user-mode Linux, in which our programs meet a real NFSv4.1 mount. Host side.

The guest's root is the host's, mounted read-only; it writes to memory and to `work` alone. Everything the
guest does is in init.sh and guest.py. By hand:  uml.py [SCENARIO...]   uml.py --shell   uml.py --list
"""
import concurrent.futures
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TESTS = HERE.parents[1]
MEMORY = 1 << 30  # of a guest; what it does not use, it does not take
SECONDS = 300  # for a boot and all its scenarios
# What its console says where it cannot restore the registers of its first process.
TOO_LARGE = ("Attempted to kill init", "put_fp_registers", "fatal_sigsegv")


def missing(build):
    """Why the guest cannot run here, or None."""
    for program, package in (("linux.uml", "user-mode-linux"), ("rpc.nfsd", "nfs-kernel-server"),
                             ("mount.nfs4", "nfs-common"), ("modprobe", "kmod"), ("ip", "iproute2"),
                             ("tc", "iproute2"), ("unshare", "util-linux"), ("zstd", "zstd")):
        if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            return f"{program} is not there (Debian package {package})"
    if os.geteuid() != 0:
        return "only root can mount and export inside the guest"
    program = build / "qdrant-replicator"
    if program.exists() and any(mark in program.read_bytes() for mark in (b"__asan_init", b"__tsan_init")):
        return "a build with address or thread sanitizer does not fit into user-mode Linux's address space"
    return None


def unpack_snapshots(to):
    """The real snapshot files, as Qdrant left them."""
    source = TESTS / "data" / "snapshots"
    for f in source.rglob("*"):
        target = to / f.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if f.suffix == ".zst":
            subprocess.run(["zstd", "-q", "-d", f, "-o", target.with_suffix("")], check=True)
        elif f.is_file():
            shutil.copyfile(f, target)


def memory_folder(work):
    """Where the guest's memory (a file, unlinked at once) fits: /dev/shm is best, but small in containers."""
    try:
        st = os.statvfs("/dev/shm")
        if st.f_bavail * st.f_frsize > 2 * MEMORY and not st.f_flag & os.ST_NOEXEC:
            return "/dev/shm"
    except OSError:
        pass
    return str(work)


class Guest:
    def __init__(self, work, build):
        self.work, self.build = pathlib.Path(work), pathlib.Path(build).resolve()
        self.console = self.work / "console.log"
        self.results = self.work / "results.jsonl"

    def command(self, interactive):
        return ["linux.uml", f"mem={MEMORY >> 20}M", "quiet", f"uml_dir={self.work}/uml",
                "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",  # never written to
                f'init="{HERE / "init.sh"}"', f'nfs_work="{self.work}"',
                "con=null", "con0=fd:0,fd:1" if interactive else "con0=null,fd:1"]

    def prepare(self, names, shell=False, seconds=SECONDS):
        unpack_snapshots(self.work / "snapshots")
        (self.work / "names").write_text("".join(f"{n}\n" for n in names))
        values = {"NFS_TESTS": TESTS, "NFS_PYTHON": sys.executable, "NFS_SECONDS": seconds,
                  "NFS_SHELL": int(shell), "BUILD_DIR": self.build}
        (self.work / "parameters").write_text(
            "".join(f"export {k}={shlex.quote(str(v))}\n" for k, v in values.items()))
        self.env = dict(os.environ, TMPDIR=memory_folder(self.work), HOME=str(self.work),
                        PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")

    def run(self, names):
        """Boot, run the scenarios, power off; killed when the time is up. Returns {name: result} for each,
        with outcome (passed, failed, skipped), reason, output and seconds."""
        self.prepare(names)
        with open(self.console, "wb") as console:
            # A session of its own: the guest's processes are processes here, and must go with it.
            guest = subprocess.Popen(self.command(False), stdin=subprocess.DEVNULL, stdout=console,
                                     stderr=subprocess.STDOUT, env=self.env, start_new_session=True)
            try:
                guest.wait(SECONDS + 10)
            except subprocess.TimeoutExpired:
                pass
            finally:
                try:
                    os.killpg(guest.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                guest.wait()
        return {name: self.result_of(name) for name in names}

    def result_of(self, name):
        lines = self.results.read_text().splitlines() if self.results.exists() else []
        for result in map(json.loads, lines):
            if result["name"] == name:
                out = self.work / f"{name}.out"
                return result | {"output": out.read_text(errors="replace") if out.exists() else ""}
        console = self.console.read_text(errors="replace")
        told = {"output": "\n".join(console.splitlines()[-40:]), "seconds": 0}
        if not lines and all(mark in console for mark in TOO_LARGE):
            return told | {"outcome": "skipped", "reason": "user-mode Linux does not run on this processor, whose registers are "
                                                           "larger than it knows (AMX)"}
        return told | {"outcome": "failed", "reason": "the guest ended before it"}

    def shell(self):
        self.prepare([], shell=True, seconds=86400)
        subprocess.run(self.command(True), env=self.env)


def run(work, build, names):
    """Two guests side by side: a guest has one CPU, and a scenario mostly waits."""
    guests = []
    for i in range(2):
        folder = pathlib.Path(work) / f"guest-{i}"
        folder.mkdir()
        guests.append(Guest(folder, build))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        halves = pool.map(lambda i: guests[i].run(names[i::2]) if names[i::2] else {}, range(2))
        results = {}
        for half in halves:
            results |= half
    return results


def main(args):
    sys.path.insert(0, str(TESTS / "lib"))
    from nfs_scenarios import SCENARIOS
    build = pathlib.Path(os.environ.get("BUILD_DIR", TESTS.parent / "build")).resolve()
    if args == ["--list"]:
        print("\n".join(SCENARIOS))
        return 0
    if missing(build):
        sys.exit(f"uml.py: {missing(build)}")
    unknown = [n for n in args if n not in SCENARIOS and n != "--shell"]
    if unknown:
        sys.exit(f"uml.py: no such scenario: {' '.join(unknown)}; see --list")
    with tempfile.TemporaryDirectory(prefix="nfs-") as work:
        if args == ["--shell"]:
            Guest(work, build).shell()
            return 0
        results = run(work, build, args or list(SCENARIOS))
        for name, r in results.items():
            print(f"{r['outcome']:9} {r['seconds']:5.1f} s  {name}")
            if r["outcome"] != "passed":
                print(r["reason"], r["output"], sep="\n")
        return any(r["outcome"] == "failed" for r in results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
