"""Builds and drives driver.c: a ledger that is filled by commands, and what operators see of it."""
import http.client
import json
import os
import pathlib
import re
import subprocess
import time

from harness import BUILD

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
QUARTER, DAY = 900, 86400


def objects():
    """What the build made of the sources, but for the main programs."""
    for folder in ("common", "aws", "qdrant", "efs", "replicator"):
        for source in sorted((ROOT / folder).rglob("*.c")):
            built = (BUILD / source.relative_to(ROOT)).with_suffix(".o")
            if source.name != "main.c" and source.parent != ROOT / "efs/cli" and built.exists():
                yield built


def build():
    program = BUILD / "status-driver"
    packages = re.search(r"^PKGS\s*=(.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    libraries = subprocess.check_output(["pkg-config", "--cflags", "--libs", *packages], text=True).split()
    flags = ["-std=c17", "-D_GNU_SOURCE", "-I.", "-O1", "-g", "-fPIE", "-pie", "-pthread"]
    if os.environ.get("SANITIZED"):
        flags += [f"-fsanitize={os.environ['SANITIZED']}", "-fno-sanitize-recover=all"]
    subprocess.run([os.environ.get("CC", "gcc"), *flags, HERE / "driver.c", *objects(), "-o", program, *libraries],
                   cwd=ROOT, check=True)
    return program


class Driver:
    """`now` is the time that calls take when they are given none: the test's, not the clock's."""

    def __init__(self, program, log, now=None):
        self.now, self.port = int(now or time.time()), None
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=open(log, "wb"), text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(20) == 0, "the driver ended badly; see its log for a sanitizer's report"

    def do(self, what, /, **members):
        self.process.stdin.write(json.dumps({"do": what, "now": self.now} | members) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def new(self, **members):
        self.do("new", **{"base": "/efs/prod-x86_64", "qdrant_url": "http://127.0.0.1:6333", "rpo": 1800,
                          "interval": QUARTER} | members)

    def published(self, collection, ago, frequency="15min", size=1 << 20, stored=1 << 19, **members):
        taken = self.now - ago
        stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(taken))
        self.do("published", **{"collection": collection, "taken": taken, "frequency": frequency, "size": size,
                                "stored": stored, "snapshot": f"{collection}-1-{stamp}", "delay": 2.5,
                                "now": taken + 3} | members)

    def wanted(self, *names, **members):
        self.do("collections", names=names, **members)

    def status(self):
        return self.do("status")

    def health(self):
        return self.status()["health"]

    def codes(self):
        return [(r["code"], r["severity"]) for r in self.health()["reasons"]]

    def backup(self, collection, kind="collection"):
        return next(b for b in self.status()["backups"] if (b["collection"], b["kind"]) == (collection, kind))

    def emf(self, **members):
        lines = self.do("emf", **{"namespace": "Qdrant/Backups", "tier": "prod", "cpu_arch": "x86_64"} | members)
        return [json.loads(line) for line in lines]

    def serve(self, listen="127.0.0.1:0", token="", **members):
        reply = self.do("serve", listen=listen, token=token, **members)
        self.port = reply.get("port")
        return reply

    def ask(self, path, method="GET", host=None, address="127.0.0.1", **headers):
        connection = http.client.HTTPConnection(address, self.port, timeout=10)
        if host:
            headers["Host"] = host
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        return reply.status, dict(reply.getheaders()), body


def healthy(d, collections=("docs", "images", "test_collection"), s3=True):
    """A node that has run for a day, with all in order."""
    start = d.now - DAY
    d.new(node="qdrant-0", s3=s3, now=start)
    d.do("task", arn="arn:aws:ecs:eu-central-1:123456789012:task/qdrant/0123456789abcdef0123456789abcdef",
         zone="eu-central-1a", family="qdrant-prod")
    d.wanted(*collections, now=start)
    d.do("efs", usable=True)
    d.do("qdrant", reachable=True, version="1.18.2")
    for n, name in enumerate(collections):
        fill(d, name, (n % 7 + 1) * 180_000_000)
    slot = d.now // QUARTER * QUARTER
    d.do("run", slot=slot, begun=slot + 1, ended=slot + 9, collections=len(collections), made=len(collections),
         bytes=len(collections) * 10**9)
    d.do("next_run", when=slot + QUARTER)
    d.do("drill", collection=collections[0], snapshot=f"{collections[0]}-1-x", seconds=41.5, now=d.now - 5 * 3600)
    if s3:
        d.do("s3", collection=collections[0], snapshot=f"{collections[0]}-1-x", stored=123456789, now=d.now - 300)


def fill(d, name, size, last=240):
    """A day of quarters, the newest `last` seconds old, growing a little."""
    for i in range(95, -1, -1):
        at = size + size * (95 - i) // 500 + ((i * 7919 + len(name) * 104729) % (size // 60))
        frequency = "monthly" if i == 95 else "daily" if i == 80 else "hourly" if i % 4 == 2 else "15min"
        d.published(name, last + i * QUARTER, frequency, size=at, stored=int(at / 1.6))
