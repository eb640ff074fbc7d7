import http.client
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from harness import Tree
from server import SERVERS, Server

from restoring import KEY, attach

REGION = "eu-west-1"
KEYS = {"aws_access_key_id": "AKIDTEST", "aws_secret_access_key": "sekret-of-aws", "region_name": REGION}


class Aws:
    """moto: S3 and Secrets Manager."""

    def __init__(self, server):
        self.server = server
        self.port = server.get_host_and_port()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "sekret-of-aws", "AWS_REGION": REGION,
                    "AWS_ENDPOINT_URL": self.url}

    def client(self, service):
        # moto gives the checksum of an object in parts as if it were the whole one's
        return boto3.client(service, endpoint_url=self.url, config=Config(response_checksum_validation="when_required"), **KEYS)

    def bucket(self, name="backups", **options):
        s3 = self.client("s3")
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}, **options)
        return s3

    def keys(self, bucket="backups"):
        return sorted(o["Key"] for o in self.client("s3").list_objects_v2(Bucket=bucket).get("Contents", []))


@pytest.fixture
def aws():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    boto3.DEFAULT_SESSION = None
    try:
        urllib.request.urlopen(urllib.request.Request(f"{Aws(server).url}/moto-api/reset", method="POST")).read()
        yield Aws(server)
    finally:
        server.stop()


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path)
    yield tree
    tree.stop()


@pytest.fixture(params=SERVERS)
def qdrant(request, tree, tmp_path):
    """A real Qdrant, or the stand-in, with a key; the tree's programs are told of it."""
    with Server(request.param, tmp_path / "server", api_key=KEY) as server:
        attach(tree, server)
        yield server


class Proxy:
    """In front of another server: passes on, or answers as `answer(method, path)` says: (status, body, headers), or None. Of
    bodies that are longer than that, the next ones end after `cuts` bytes."""

    def __init__(self, to):
        proxy = self
        self.to, self.answer, self.seen, self.cuts = to, lambda method, path: None, [], []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def any(self):
                size = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(size)
                proxy.seen.append((self.command, self.path, dict(self.headers)))
                said = proxy.answer(self.command, self.path)
                if said:
                    status, data, *headers = said
                    self.send_response(status)
                    for k, v in (headers[0] if headers else {}).items():
                        self.send_header(k, v)
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(data)
                    return
                c = http.client.HTTPConnection("127.0.0.1", proxy.to, timeout=30)
                c.request(self.command, self.path, body, {k: v for k, v in self.headers.items()})
                r = c.getresponse()
                # moto's name for it; the real one is Result
                data = r.read().replace(b"ListPartsResponse", b"ListPartsResult")
                self.send_response(r.status)
                for k, v in r.getheaders():
                    if k.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(k, v)
                self.send_header("content-length", str(len(data) if self.command != "HEAD" else r.headers.get("content-length", 0)))
                self.end_headers()
                if self.command == "GET" and proxy.cuts and len(data) > proxy.cuts[0]:
                    data, self.close_connection = data[:proxy.cuts.pop(0)], True
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = any

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def proxy(aws):
    p = Proxy(aws.port)
    yield p
    p.stop()
