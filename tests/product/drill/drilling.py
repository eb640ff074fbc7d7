"""What the tests do with drills, in words."""
import hashlib
import io
import json
import os
import pathlib
import stat
import subprocess
import tarfile
import time

from harness import BUILD, wait_for

DAY = {"SNAPSHOT_INTERVAL": "1d"}  # one slot from midnight to midnight: a run at once


class Nodes:
    def __init__(self, server, tree, tmp_path):
        self.server, self.tree, self.tmp = server, tree, tmp_path
        self.place = tmp_path / "scratch"
        tree.snapshots = server.snapshots
        tree.env |= {"QDRANT_URL": server.url, "SNAPSHOTS_DIR": str(server.snapshots), "MIN_FREE": "0",
                     "QDRANT_API_KEY": server.api_key, "QDRANT_BIN": server.program, "DRILL_DIR": str(self.place),
                     "DRILL_SCHEDULE": "never", "PATH": server.env["PATH"]}

    def back_up(self, *collections, **env):
        """A snapshot of each, as the schedule makes them, published."""
        log = self.tree.root / "log"
        log.unlink(missing_ok=True)
        p = self.tree.start(**DAY, **env)
        wait_for(lambda: {line["collection"] for line in self.tree.logged("published")} >= set(collections), 60)
        p.terminate()
        p.wait(30)

    @staticmethod
    def told(env):
        """A program of a test's own leaves word outside the scratch folder, where a confined one writes nothing."""
        return ({"CONFINE": "off"} if "QDRANT_BIN" in env else {}) | env

    def drill(self, *args, **env):
        env = self.told(env)
        return subprocess.run([BUILD / "qdrant-efs", "drill", *args], env=self.tree.env | env, capture_output=True,
                              text=True, timeout=300)

    def verdicts(self, *args, code=None, **env):
        """{collection: its part of the report}"""
        out = self.drill("--json", *args, **env)
        report = json.loads(out.stdout)
        assert code is None or out.returncode == code, (out.returncode, out.stdout, out.stderr)
        return {d["collection"]: d for d in report["drills"]}

    def start_drill(self, *args, **env):
        return subprocess.Popen([BUILD / "qdrant-efs", "drill", *args], env=self.tree.env | self.told(env),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def manifest(self, collection="c"):
        found = sorted(self.tree.base.glob(f"*/{collection}/*.json"), key=lambda p: p.name)
        return found[-1]

    def left(self):
        """What drills have left in the scratch place beside their lock."""
        ours = self.place / ".qdrant-drill"
        return sorted(p.name for p in ours.iterdir() if p.name != "lock") if ours.exists() else []

    def program(self, name, text):
        path = self.tmp / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)


def left_in(place):
    """Processes whose folder is in there."""
    left = []
    for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):
        try:
            where = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
        if where.startswith(str(place)):
            left.append((pid, where))
    return left


def no_trace(node):
    """After any test: no process of a drill is left, and no key in what was said. One that was killed may take a moment to die."""
    end = time.monotonic() + 10
    while (left := left_in(node.place)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left
    for path in node.tree.root.glob("*"):
        if path.is_file():
            assert "k3y" not in path.read_text(errors="replace")


def fill(server, name="c", n=20, **more):
    server.result("PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": "Dot"}, **more})
    if n:
        put(server, name, range(n))


def put(server, name, ids):
    points = [{"id": i, "vector": [0.1, 0.25, -0.3, i], "payload": {"of": name, "n": i, "nested": {"b": [1, None], "a": "é"}}}
              for i in ids]
    server.result("PUT", f"/collections/{name}/points?wait=true", {"points": points})


def edit_manifest(path, change):
    m = json.loads(path.read_text())
    change(m)
    path.write_text(json.dumps(m))


def data_of(manifest):
    return manifest.parent / json.loads(manifest.read_text())["data"]


def rewrite(manifest, change):
    """Replace the snapshot by what `change` makes of its bytes, with hashes and sizes that are right again."""
    path = data_of(manifest)
    original = subprocess.run(["zstd", "-q", "-d", "-c", path], check=True, capture_output=True).stdout
    new = change(original)
    stored = subprocess.run(["zstd", "-q", "-1", "-c"], input=new, check=True, capture_output=True).stdout
    path.write_bytes(stored)
    stored_sha = hashlib.sha256(stored).hexdigest()
    pathlib.Path(f"{path}.sha256").write_text(f"{stored_sha}  {path.name}\n")
    edit_manifest(manifest, lambda m: m.update(size=len(new), sha256=hashlib.sha256(new).hexdigest(),
                                               stored_size=len(stored), stored_sha256=stored_sha))


def members(manifest, part):
    """{name: bytes} of a backup's members with `part` in their names."""
    data = subprocess.run(["zstd", "-q", "-d", "-c", data_of(manifest)], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile() and part in m.name}


def retar(data, keep=lambda name: True, replace=None, more=None):
    """The same tar without some members, with others in their place, or more."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            if not keep(member.name):
                continue
            body = old.extractfile(member).read() if member.isfile() else None
            if replace and member.name in replace:
                body = replace[member.name]
            plain = tarfile.TarInfo(member.name)
            plain.type, plain.mode, plain.mtime = member.type, member.mode, member.mtime
            if body is not None:
                plain.type, plain.size = tarfile.REGTYPE, len(body)
            new.addfile(plain, io.BytesIO(body) if body is not None else None)
        for name, body in (more or {}).items():
            plain = tarfile.TarInfo(name)
            plain.size = len(body)
            new.addfile(plain, io.BytesIO(body))
    return out.getvalue()


def wait_for_file(path, seconds=20):
    wait_for(lambda: path.exists() and path.read_text(), seconds)
    return path.read_text()


def parent(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def gone(pid, seconds=10):
    """Has the process ended, also as a zombie of somebody else's?"""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
