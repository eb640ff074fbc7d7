"""Tasks that come and go with their disks, on one EFS that stays."""
import calendar
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from container import Container
from harness import BUILD, files_of, wait_for
from restoring import count, fill, path_of, scroll, upsert
from server import free_port

ODD = ["docs.tmp", "emoji 🎉 東京", ".hidden", "per%cent", "-dash", "a b+c&d=e", "quote'$(x);`y`"]


class Efs:
    def __init__(self, root):
        self.root, self.tree = pathlib.Path(root), pathlib.Path(root) / "test-cpu"
        self.tree.mkdir(parents=True)

    def files(self):
        return files_of(self.root)

    def data_of(self, stem):
        return next(p for p in self.root.rglob("*") if p.name == f"{stem}.snapshot.zst")

    def manifests(self, collection):
        found = [json.loads(p.read_text()) for p in self.tree.glob(f"*/{collection}/*.json")]
        return sorted((m for m in found if m["collection"] == collection), key=lambda m: m["created"])

    def age(self, collection, seconds):
        """Make its backups older, as if they had been taken so long before."""
        for path in list(self.tree.glob(f"*/{collection}/*.json")):
            manifest = json.loads(path.read_text())
            old = manifest["snapshot"]
            taken = calendar.timegm(time.strptime(old[-19:], "%Y-%m-%d-%H-%M-%S")) - seconds
            new = old[:-19] + time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(taken))
            slot = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(taken // 900 * 900))
            text = json.dumps(manifest | {"slot": slot}).replace(old, new)
            for file in path.parent.glob(f"{old}.*"):
                if file.suffix == ".sha256":
                    file.write_text(file.read_text().replace(old, new))
                file.rename(file.with_name(file.name.replace(old, new)))
            path.with_name(f"{new}.json").write_text(text)

    def sha256_of(self, stem):
        """Of the snapshot as Qdrant made it."""
        return next(m["sha256"] for m in (json.loads(p.read_text()) for p in self.tree.rglob(f"{stem}.json")))

    def replace(self, stem, content):
        """As if this had been published under that name: whole, and what its manifest says."""
        data = self.data_of(stem)
        manifest_path = next(self.tree.rglob(f"{stem}.json"))
        stored = subprocess.run(["zstd", "-q", "-c"], input=content, stdout=subprocess.PIPE, check=True).stdout
        data.write_bytes(stored)
        digest = hashlib.sha256(stored).hexdigest()
        manifest = json.loads(manifest_path.read_text())
        manifest |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(),
                     "stored_size": len(stored), "stored_sha256": digest}
        manifest_path.write_text(json.dumps(manifest))
        sums = data.with_name(data.name + ".sha256")
        sums.write_text(digest + sums.read_text()[64:])

    def spoil(self, stem):
        data = bytearray(self.data_of(stem).read_bytes())
        data[len(data) // 2] ^= 1
        self.data_of(stem).write_bytes(data)


def runs(pid):
    """Has it still files open? One that nobody has reaped yet has not, once its threads are gone."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except FileNotFoundError:
        return False


RESTORE_IS_OVER = ("boot_restore_not_needed", "boot_restore_finished")


class Task(Container):
    """One task: qdrant-entrypoint, Qdrant, the replicator, and a disk that goes with it."""

    def __init__(self, kind, root, efs, **env):
        super().__init__(kind, root, **env)
        self.efs, self.tree, self.status = efs.root, efs.tree, free_port()
        standard = {"EFS_ROOT": str(efs.root), "STATUS_LISTEN": f"127.0.0.1:{self.status}", "SNAPSHOT_INTERVAL": "0",
                    "DRILL_SCHEDULE": "never", "MIN_FREE": "0", "LOCAL_KEEP": "100"}
        self.env = {k: v for k, v in (self.env | standard | env).items() if v is not None}
        self.prefix = []

    def begin(self):
        """Start, and wait for nothing."""
        self.before = len(self.events(*RESTORE_IS_OVER))
        with open(self.log, "ab") as log:
            self.process = self.server.process = subprocess.Popen(
                [*self.prefix, BUILD / "qdrant-entrypoint"], cwd=self.server.work, env=self.env, stdout=log, stderr=log)
        self.server.log = self.log
        return self

    def start(self):
        self.begin()
        self.server.wait_until_ready()
        wait_for(lambda: self.replicator() is not None)
        return self

    @staticmethod
    def program(name):
        return BUILD / name

    def let_in(self):
        """Can anybody reach Qdrant?"""
        try:
            self.server.request("GET", "/")
            return True
        except OSError:
            return False

    def wrap(self, script):
        """Have the staging Qdrant begin with these lines of sh: those of its arguments are there."""
        wrapper = self.log.with_name("staging-qdrant")
        real = self.env["QDRANT_BIN"] if not hasattr(self, "real") else self.real
        self.real = real
        wrapper.write_text(f'#!/bin/sh\ncase "$*" in *--snapshot*)\n{script}\n;; esac\nexec "{real}" "$@"\n')
        wrapper.chmod(0o755)
        self.env |= {"QDRANT_BIN": str(wrapper), "CONFINE": "off"}  # the lines write where one that is confined does not

    def held(self):
        """The staging Qdrant waits before it restores, until go_on()."""
        self.is_at, self.may = self.log.with_name("held"), self.log.with_name("may-go-on")
        self.is_at.unlink(missing_ok=True)
        self.may.unlink(missing_ok=True)
        if not hasattr(self, "real"):
            self.wrap(f'touch "{self.is_at}"; while [ ! -e "{self.may}" ]; do sleep 0.05; done')
        return self

    def is_held(self):
        return self.is_at.exists()

    def go_on(self):
        self.may.touch()

    def strays(self):
        """Processes of the staging Qdrant that outlive what started them."""
        found = []
        for p in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if str(self.server.storage / ".restore").encode() in p.read_bytes():
                    found.append(p)
            except OSError:
                pass
        return found

    def kill_all(self):
        """Everything at once, as when the kernel runs out of memory; the disk stays."""
        children = self.children()
        for pid in [self.process.pid, *children]:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(60)
        wait_for(lambda: not any(runs(pid) for pid in children))  # else Qdrant's port is not free yet

    def kill_replicator(self):
        pid = self.replicator()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.replicator() not in (None, pid), 60)

    def lose_disk(self):
        self.stop()
        shutil.rmtree(self.server.work)
        self.server.work.mkdir()

    # What it has

    def fill(self, *collections):
        for name in collections:
            fill(self.server, name)

    def backup(self, *collections):
        """Have a snapshot made of each, and wait until they are on EFS; the stem of the last."""
        time.sleep(1.01)  # a snapshot's name has no more than the second
        made = {("collection", name, self.server.result("POST", path_of(name) + "/snapshots?wait=true")["name"][:-9])
                for name in collections}
        wait_for(lambda: made <= self.complete(), 60)
        return max(stem for _, _, stem in made)

    def collections(self):
        return sorted(c["name"] for c in self.server.result("GET", "/collections")["collections"])

    def points(self):
        return {name: scroll(self.server, name) for name in self.collections()}

    # What it says

    def ask(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.status, timeout=5)
        wait_for(lambda: connection.connect() is None)  # a replicator that has just been started may not listen yet
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode()
            return answer.status, json.loads(body) if "json" in answer.headers["content-type"] else body
        finally:
            connection.close()

    def restored(self):
        return self.ask("/restored")

    def health(self, **env):
        run = subprocess.run([BUILD / "qdrant-entrypoint", "health"], env=self.env | env, capture_output=True, text=True,
                             timeout=20)
        return run.returncode, run.stdout

    def wait_restored(self, seconds=90):
        """Until it says so on the page and in the log, which is written by a thread of its own."""
        wait_for(lambda: self.restored()[0] == 200, seconds)
        said = self.restored()[1]
        wait_for(lambda: said["state"] == "off" or len(self.events(*RESTORE_IS_OVER)) > self.before)
        return said

    def marker(self):
        return json.loads((self.server.storage / ".restore.json").read_text())

    def failing(self):
        return {r["code"] for r in self.ask("/health")[1]["reasons"] if r["severity"] == "failing"}


__all__ = ["Efs", "ODD", "Task", "count", "fill", "path_of", "scroll", "upsert"]
