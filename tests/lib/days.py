"""A collection that changes from slot to slot: its snapshots as Qdrant packs them, segments as tars in the tar."""
import contextlib
import datetime
import http.server
import io
import json
import random
import tarfile
import threading

from harness import manifests_of

DAY = datetime.datetime(2026, 11, 24, 8, tzinfo=datetime.timezone.utc)
MIB = 1 << 20


def slot(number):
    return DAY + datetime.timedelta(minutes=15 * number)


def name_of(number, collection="docs", seconds=23, peer=1):
    return f"{collection}-{peer}-{(slot(number) + datetime.timedelta(seconds=seconds)):%Y-%m-%d-%H-%M-%S}"


def packed(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(bytes(body)))
    return out.getvalue()


class Collection:
    """Two segments that only change in place, a write-ahead log that grows, and small files."""

    def __init__(self, seed=1, mib=3):
        self.random = random.Random(seed)
        self.vectors = bytearray(self.random.randbytes(mib * MIB + 12345))
        self.payload = bytearray(self.random.randbytes(MIB // 2))
        self.log = bytearray()

    def change(self, places=3):
        for _ in range(places):
            at = self.random.randrange(len(self.vectors) - 64)
            self.vectors[at:at + 64] = self.random.randbytes(64)
        at = self.random.randrange(len(self.payload) - 64)
        self.payload[at:at + 64] = self.random.randbytes(64)
        self.log += self.random.randbytes(2000)

    def replace(self):
        """As an optimizer does that rewrites all."""
        self.vectors = bytearray(self.random.randbytes(len(self.vectors)))

    def snapshot(self):
        return packed({"0/segments/a.tar": packed({"vectors/matrix.dat": self.vectors, "segment.json": b"{}"}),
                       "0/segments/b.tar": packed({"payload/page_0.dat": self.payload}),
                       "0/wal/open-1": self.log, "config.json": b'{"params": {}}', "version.info": b"0.6.0"})


class Version:
    """What a Qdrant says of itself; of its collections it knows nothing."""

    def __init__(self, version="1.18.2"):
        self.version = version
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps({"title": "qdrant - vector search engine", "version": outer.version}).encode()
                self.send_response(200 if self.path == "/" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # whoever asked may have been killed
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Day:
    def __init__(self, tree, version):
        self.tree, self.version, self.collection, self.bytes = tree, version, Collection(), {}
        self.env = {"COMPRESSION": "delta", "QDRANT_URL": version.url, "NODE_NAME": "n1", "LOCAL_KEEP": "1"}

    def publish(self, *numbers, peer=1, **env):
        for number in numbers:
            self.collection.change()
            data = self.collection.snapshot()
            self.bytes[number] = data
            self.tree.snapshot("docs", name_of(number, peer=peer), data)
            run = self.tree.once(**self.env | env)
            assert run.returncode == 0, run.stderr

    def manifest(self, number):
        return next(json.loads(p.read_text()) for p in manifests_of(self.tree.base) if p.stem == name_of(number))

    def path(self, number):
        m = self.manifest(number)
        return self.tree.base / m["frequency"] / "docs" / m["data"]

    def bases(self, number):
        return [b["data"].partition(".snapshot")[0] for b in self.manifest(number).get("bases", [])]

    def restored(self, number):
        """What `restore` gives of it, else None; what it printed last is in `said`."""
        out = self.tree.root / "out"
        out.unlink(missing_ok=True)
        run = self.tree.efs_tool("restore", "--snapshot", name_of(number), "--to", str(out))
        self.said = run.stdout + run.stderr
        return out.read_bytes() if run.returncode == 0 else None

    def newest(self):
        """The number of the slot that `restore` takes when it may choose, and its bytes are right."""
        out = self.tree.root / "out"
        out.unlink(missing_ok=True)
        run = self.tree.efs_tool("restore", "--collection", "docs", "--to", str(out))
        self.said = run.stdout + run.stderr
        assert run.returncode == 0, run.stderr
        return next(number for number, data in self.bytes.items() if data == out.read_bytes())

    def states(self):
        return {b["snapshot"]: (b["state"], b["reason"]) for b in self.tree.ls()}
