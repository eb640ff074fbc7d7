"""The processes of one container: qdrant-entrypoint, with Qdrant and qdrant-replicator below it."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

from harness import BUILD, wait_for
from server import Server

GRACE = 25  # STOP_GRACE_SECONDS, of the 30 that Fargate gives by default


class Container:
    def __init__(self, kind, root, key="e2e-key", **env):
        root.mkdir(exist_ok=True)
        self.server = Server(kind, root, api_key=key)
        self.efs, self.log = root / "efs", root / "container.log"
        self.efs.mkdir()
        self.tree = self.efs / "test-cpu"
        self.env = self.server.env | {
            "QDRANT_BIN": self.server.program, "EFS_ROOT": str(self.efs), "TIER": "test", "CPU_ARCH": "cpu",
            "QDRANT_URL": self.server.url, "COMPRESSION": "zstd:1", "STOP_GRACE_SECONDS": str(GRACE),
            "SNAPSHOT_INTERVAL": "0", "DRILL_SCHEDULE": "never", "STATUS_LISTEN": "off"} | env
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = self.server.process = subprocess.Popen(
                [BUILD / "qdrant-entrypoint"], cwd=self.server.work, env=self.env, stdout=log, stderr=log)
        self.server.log = self.log
        self.server.wait_until_ready()
        wait_for(lambda: self.replicator() is not None)
        return self

    def stop(self):
        """TERM, as ECS sends it: (exit code, seconds)."""
        begin = time.monotonic()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        return self.process.returncode, time.monotonic() - begin

    def end(self):
        """After a test, whatever its outcome: nothing of ours runs on."""
        if self.process and self.process.poll() is None:
            for pid in self.children():
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait(60)

    def children(self):
        """{pid: name} of the entrypoint's own children."""
        pids = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(pid): pathlib.Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}

    def replicator(self):
        return next((pid for pid, name in self.children().items() if name == "qdrant-replicat"), None)

    def qdrant(self):
        return next(pid for pid, name in self.children().items() if name != "qdrant-replicat")

    # What is told

    def events(self, *names):
        """Our programs' log lines; Qdrant's go to the same place and are left out."""
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        parsed = [json.loads(line) for line in lines if line.startswith('{"time"') and line.endswith("}")]
        return [e for e in parsed if not names or e["event"] in names]

    def tool(self, *arguments):
        env = {k: self.env[k] for k in ("EFS_ROOT", "EFS_ALLOW_LOCAL", "TIER", "CPU_ARCH", "PATH")}
        return subprocess.run([BUILD / "qdrant-efs", *arguments], env=env, capture_output=True, text=True,
                              timeout=120)

    def backups(self):
        run = self.tool("ls", "--json")
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    def complete(self):
        return {(b["kind"], b["collection"], b["snapshot"])
                for b in self.backups() if b["state"] == "complete"}

    def has(self, kind, collection, file):
        return (kind, collection, file.removesuffix(".snapshot")) in self.complete()

    def stored(self, file):
        return next(self.tree.rglob(f"{file}.zst"))

    def partials(self):
        return list(self.tree.rglob(".partial-*")) if self.tree.exists() else []

    def replies(self, route):
        """How often Qdrant gave which status on a route."""
        telemetry = self.server.result("GET", "/telemetry")
        statuses = telemetry["requests"]["rest"]["responses"].get(route, {})
        return {status: n["count"] for status, n in statuses.items()}

    def big_snapshot(self, collection, size=1 << 29):
        """A finished snapshot that takes seconds to copy, though it is one hole; its name."""
        folder = self.server.snapshots / collection
        folder.mkdir(exist_ok=True)
        path = folder / f"{collection}-1-{time.strftime('%Y-%m-%d-%H-%M-%S', time.gmtime())}.snapshot"
        with open(path, "wb") as f:
            f.truncate(size)
        digest, block = hashlib.sha256(), bytes(1 << 22)
        for _ in range(size // len(block)):
            digest.update(block)
        new = path.with_name(path.name + ".tmp")
        new.write_text(digest.hexdigest())
        new.rename(path.with_name(path.name + ".checksum"))
        return path.name


def plain(stored):
    return subprocess.run(["zstd", "-dc", stored], stdout=subprocess.PIPE, check=True).stdout


class Prober(threading.Thread):
    """Asks Qdrant all the time whether it is there and has its points."""

    def __init__(self, server, collection, count):
        super().__init__(daemon=True)
        self.server, self.collection, self.count = server, collection, count
        self.asked, self.failures, self.done = 0, [], threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.02):
            try:
                path = f"/collections/{self.collection}/points/count"
                count = self.server.result("POST", path, {}, timeout=10)
                if count != {"count": self.count}:
                    self.failures.append(count)
            except (OSError, AssertionError) as e:
                self.failures.append(repr(e))
            self.asked += 1

    def stop(self):
        self.done.set()
        self.join()
        return self.failures
