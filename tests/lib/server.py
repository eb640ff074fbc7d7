"""A Qdrant server for tests: the real one (env QDRANT_BIN), or the stand-in over the real engine.

    @pytest.fixture(params=SERVERS)
    def qdrant(request, tmp_path):
        with Server(request.param, tmp_path) as server:
            yield server
"""
import contextlib
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import warnings

import pytest
from harness import patience, wait_for

STANDIN = pathlib.Path(__file__).resolve().parents[1] / "standin/qdrant"
# Of the stand-in's python3, and of itself: both may be read by one that is confined.
STANDIN_PATH = f"{pathlib.Path(sys.executable).parent}:{STANDIN.parent}:{os.environ['PATH']}"
REAL = os.environ.get("QDRANT_BIN")
START_SECONDS, STOP_SECONDS = 60, 60

SERVERS = [
    pytest.param("standin", id="standin"),
    pytest.param("real", id="real", marks=[
        pytest.mark.real,
        pytest.mark.skipif(not REAL, reason="needs the real Qdrant server: set QDRANT_BIN to its binary")]),
]


def free_port():
    """Below the range from which the kernel serves outgoing connections, so that none takes it meanwhile."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Server:
    """One server of its own, with its folders below `root`. `env` adds settings or takes them away (None).
    With a `certificate` (harness.Certificate) it speaks TLS alone."""

    def __init__(self, kind, root, port=None, api_key=None, env=None, certificate=None):
        self.kind, self.root, self.api_key, self.certificate = kind, pathlib.Path(root), api_key, certificate
        self.program = str(STANDIN if kind == "standin" else REAL)
        self.work, self.log = self.root / "qdrant", self.root / "qdrant.log"
        self.storage, self.snapshots = self.work / "storage", self.work / "snapshots"
        self.work.mkdir(parents=True, exist_ok=True)
        self.snapshots.mkdir(exist_ok=True)
        self.port = port or free_port()
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        self.process = None
        self.env = self._environment(env or {})

    def _environment(self, more):
        env = {k: v for k, v in os.environ.items() if not k.startswith("QDRANT")}
        env |= {"PATH": STANDIN_PATH, "RUN_MODE": "production", "QDRANT__TELEMETRY_DISABLED": "true",
                "QDRANT__SERVICE__HOST": "127.0.0.1", "QDRANT__SERVICE__HTTP_PORT": str(self.port),
                "QDRANT__SERVICE__GRPC_PORT": str(free_port()),
                "QDRANT__STORAGE__STORAGE_PATH": str(self.storage),
                "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.snapshots)}
        if self.api_key:
            env["QDRANT__SERVICE__API_KEY"] = self.api_key
        if self.certificate:
            env |= {"QDRANT__SERVICE__ENABLE_TLS": "true", "QDRANT__TLS__CERT": str(self.certificate.file),
                    "QDRANT__TLS__KEY": str(self.certificate.key)}
        return {k: v for k, v in (env | more).items() if v is not None}

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self, *arguments):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program, *arguments], cwd=self.work, env=self.env,
                                            stdout=log, stderr=subprocess.STDOUT)
        self.wait_until_ready()
        return self

    def wait_until_ready(self):
        begin = time.monotonic()
        while not self.ready():
            ended = self.process.poll() if self.process else None
            assert ended is None, f"the server ended with {ended}: {self.log.read_text()[-2000:]}"
            assert time.monotonic() < begin + START_SECONDS * patience(), f"the server does not answer: {self.log.read_text()[-2000:]}"
            time.sleep(0.05)

    def ready(self):
        try:
            return self.request("GET", "/readyz")[0] == 200 and (self.kind == "standin" or self._grpc_ready())
        except OSError:
            return False

    def _grpc_ready(self):
        """Whether gRPC speaks HTTP/2. The real server (1.18.2) begins to serve it, and to take signals for it,
        after REST: a TERM between the two ends REST alone, and the process waits for another one."""
        with socket.create_connection(("127.0.0.1", int(self.env["QDRANT__SERVICE__GRPC_PORT"])), 5) as plain:
            tls = self.certificate and self.certificate.client(["h2"])
            with tls.wrap_socket(plain, server_hostname="127.0.0.1") if tls else plain as s:
                s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
                return len(s.recv(9)) > 0

    def stop(self):
        """TERM, and its exit code."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return self.process.returncode if self.process else None

    def kill(self):
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def client(self):
        from qdrant_client import QdrantClient
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a key without TLS, which does not leave this machine
            return QdrantClient(url=self.url, api_key=self.api_key, timeout=60, check_compatibility=False)

    def request(self, method, path, body=None, headers=None, key=True, timeout=60):
        """(status, reply): parsed where it is JSON, else its text. `key` True sends the server's own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        if self.certificate:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout,
                                                     context=self.certificate.client(["http/1.1"]))
        try:
            headers = dict(headers or {})
            if key is True and self.api_key:
                headers["api-key"] = self.api_key
            elif isinstance(key, str):
                headers["api-key"] = key
            if isinstance(body, (dict, list)):
                body, headers["content-type"] = json.dumps(body), "application/json"
            connection.request(method, urllib.parse.quote(path, safe="/?=&%"), body, headers)
            answer = connection.getresponse()
            data = answer.read()
            if answer.headers.get_content_type() == "application/json":
                return answer.status, json.loads(data)
            return answer.status, data.decode() if answer.headers.get_content_maintype() == "text" else data
        finally:
            connection.close()

    def result(self, method, path, body=None, **more):
        """The `result` of a request that must succeed."""
        status, reply = self.request(method, path, body, **more)
        assert status == 200 and reply["status"] == "ok", (method, path, status, reply)
        return reply["result"]


@contextlib.contextmanager
def cluster_of(n, root):
    """A cluster of so many real Qdrants, all of which may hold shards."""
    ports = [free_port() for _ in range(n)]
    servers = [Server("real", root / f"node{i}", env={"QDRANT__CLUSTER__ENABLED": "true", "QDRANT__CLUSTER__P2P__PORT": str(p)})
               for i, p in enumerate(ports)]
    uris = [f"http://127.0.0.1:{p}" for p in ports]
    try:
        servers[0].start("--uri", uris[0])
        for s, uri in zip(servers[1:], uris[1:]):
            s.start("--bootstrap", uris[0], "--uri", uri)
        wait_for(lambda: all(len(s.result("GET", "/cluster")["peers"]) == n for s in servers))
        time.sleep(1)  # until all may hold shards
        yield servers
    finally:
        for s in servers:
            if s.process:
                s.kill()
