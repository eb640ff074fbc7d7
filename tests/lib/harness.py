"""What the suites share: the built programs, and a tree with local snapshots and an "EFS"."""
import hashlib
import io
import json
import os
import pathlib
import signal
import ssl
import subprocess
import tarfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD_DIR", ROOT / "build"))
DATA = ROOT / "tests/data"
# What takes minutes and finds little that the rest does not.
takes_minutes = pytest.mark.skipif(not os.environ.get("LONG"), reason="takes minutes: LONG=1 has it run")
os.environ["EFS_ALLOW_LOCAL"] = "1"  # an "EFS" is an ordinary folder here; test_local.py is without it


def tar_of(seed: str, size: int = 2000) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        body = (hashlib.sha256(seed.encode()).hexdigest() * (size // 64 + 1)).encode()[:size]
        info = tarfile.TarInfo("config.json")
        info.size = len(body)
        tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


def checksum_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def open_snapshot(tar: pathlib.Path, work: pathlib.Path, shard: bool = False):
    """Open a collection's (or a shard's) snapshot in the real engine; returns the EdgeShard."""
    import qdrant_edge
    work.mkdir()
    if not shard:
        with tarfile.open(tar) as whole:
            whole.extractall(work / "collection")
        tar = work / "shard.tar"
        with tarfile.open(tar, "w") as inner:
            for f in sorted((work / "collection" / "0").iterdir()):
                inner.add(f, arcname=f.name)
    qdrant_edge.EdgeShard.unpack_snapshot(str(tar), str(work / "shard"))
    return qdrant_edge.EdgeShard.load(str(work / "shard"))


class Certificate:
    """A certificate authority of its own (`ca`), and a server's certificate by it (`file`, `key`) for 127.0.0.1."""

    def __init__(self, folder: pathlib.Path):
        folder.mkdir(parents=True)
        self.ca, self.file, self.key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
        self._make(self.ca, folder / "ca.key", "/CN=An authority for tests", "basicConstraints=critical,CA:true")
        self._make(self.file, self.key, "/CN=127.0.0.1", "basicConstraints=CA:false", "-CA", self.ca, "-CAkey",
                   folder / "ca.key", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")

    @staticmethod
    def _make(out, key, subject, extension, *more):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "30", "-subj", subject, "-addext", extension, "-keyout", key, "-out", out, *more],
                       check=True, capture_output=True)

    def client(self, protocols):
        context = ssl.create_default_context(cafile=str(self.ca))
        context.set_alpn_protocols(protocols)
        return context


def events(text: str) -> list:
    """The log lines, each checked to be JSON."""
    return [json.loads(line) for line in text.splitlines()]


def files_of(root):
    """All that is there; without heartbeats, which come when they come, and what is for people alone."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*")
                  if p.is_file() and "heartbeat" not in p.parts and p.name not in ("README.txt", "index.tsv"))


def manifests_of(base):
    return (p for p in base.rglob("*.json") if "heartbeat" not in p.parts)


class Tree:
    def __init__(self, root: pathlib.Path):
        self.root, self.snapshots, self.efs = root, root / "snapshots", root / "efs"
        self.snapshots.mkdir(parents=True)
        self.efs.mkdir()
        self.base = self.efs / "test-cpu"
        self.env = dict(os.environ, EFS_ROOT=str(self.efs), SNAPSHOTS_DIR=str(self.snapshots), TIER="test",
                        CPU_ARCH="cpu", LOCAL_KEEP="100", QDRANT_URL="http://127.0.0.1:1", LOG_FORMAT="json",
                        SNAPSHOT_INTERVAL="0", STATUS_LISTEN="off", DRILL_SCHEDULE="never")
        for name in ("QDRANT_BIN", "RETENTION", "COMPRESSION", "NODE_NAME", "LOG_LEVEL", "NO_COLOR", "COLLECTIONS"):
            self.env.pop(name, None)
        self.running = []

    def snapshot(self, collection, name, data, checksum=True):
        folder = self.snapshots / collection
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.snapshot"
        path.write_bytes(data)
        if checksum:
            text = checksum if isinstance(checksum, str) else checksum_of(data)
            (folder / f"{name}.snapshot.checksum").write_text(text)
        return path

    def once(self, **env):
        return self.replicator("--once", **env)

    def replicator(self, *args, **env):
        return subprocess.run([BUILD / "qdrant-replicator", *args], env=self.env | env, capture_output=True, text=True,
                              timeout=300)

    def log(self):
        return events((self.root / "log").read_text())

    def logged(self, event):
        return [line for line in self.log() if line["event"] == event]

    def start(self, **env):
        p = subprocess.Popen([BUILD / "qdrant-replicator"], env=self.env | env,
                             stdout=open(self.root / "stdout", "ab"), stderr=open(self.root / "log", "ab"))
        self.running.append(p)
        wait_for(lambda: self.logged("started") or p.poll() is not None)
        assert p.poll() is None, (self.root / "log").read_text()
        return p

    def efs_tool(self, *args, **env):
        return subprocess.run([BUILD / "qdrant-efs", *args], env=self.env | env, capture_output=True, text=True)

    def ls(self):
        out = self.efs_tool("ls", "--json")
        assert out.returncode == 0, out.stderr
        return json.loads(out.stdout)

    def complete(self):
        return {(b["kind"], b["collection"], b["snapshot"]) for b in self.ls() if b["state"] == "complete"}

    def files(self):
        return files_of(self.efs)

    def stop(self):
        for p in self.running:
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
        for p in self.running:
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                raise


def patience():
    """By how much longer things may take: how many want each processor of this machine, which others may use, too."""
    return min(8, max(1, os.getloadavg()[0] / os.cpu_count()))


def wait_for(what, seconds=30):
    begin = time.monotonic()
    while True:
        try:
            if what():
                return
        except (OSError, ValueError):  # a file that is not there yet, a line half written
            pass
        assert time.monotonic() < begin + seconds * patience(), "waited in vain"
        time.sleep(0.05)


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):  # gone, or going
        return False
    return state not in "ZX"


def marked(*marks):
    """Pids of all that live and have these NAME=VALUE in their environment."""
    found = []
    for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            words = environ.read_bytes().split(b"\0")
        except OSError:
            continue
        if all(m.encode() in words for m in marks) and alive(environ.parent.name):
            found.append(int(environ.parent.name))
    return found


def freeze(pid):
    """SIGSTOP, and wait until it has reached every thread: until then one may still answer."""
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: all(task.joinpath("stat").read_text().rpartition(")")[2].split()[0] in "TZ"
                         for task in pathlib.Path(f"/proc/{pid}/task").iterdir()))
