"""moto behind the front of aws_front.py, and the driver program."""
import hashlib
import json
import os
import signal
import subprocess

import pytest
from harness import BUILD

os.environ["S3_UPLOAD_PART_MIN_SIZE"] = "1"  # before moto is imported: small files can have many parts
import boto3  # noqa: E402
from aws_front import Front  # noqa: E402

REGION, BUCKET = "eu-west-1", "backups-of-tests"
DRIVER = BUILD / "aws_driver"


@pytest.fixture(scope="session")
def moto():
    import logging
    from moto.server import ThreadedMotoServer
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


class Aws:
    """An account with one bucket, seen with boto3; and the driver, run against it."""

    def __init__(self, moto, front, tmp):
        self.front, self.tmp = front, tmp
        options = {"endpoint_url": "http://%s:%d" % moto, "region_name": REGION, "aws_access_key_id": "x",
                   "aws_secret_access_key": "y"}
        self.s3, self.secrets = boto3.client("s3", **options), boto3.client("secretsmanager", **options)
        self.env = {"PATH": os.environ["PATH"], "AWS_REGION": REGION, "AWS_ENDPOINT_URL": front.url,
                    "AWS_ACCESS_KEY_ID": "id-of-tests", "AWS_SECRET_ACCESS_KEY": "secret/of+tests"}
        self.running = []

    def start(self, *args, env=None, **more):
        env = {k: v for k, v in (self.env | (env or {})).items() if v is not None}
        p = subprocess.Popen([DRIVER, "--peak", self.tmp / "peak", *map(str, args)], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, **more)
        self.running.append(p)
        return p

    def end(self, p, timeout=60):
        """The lines that it printed."""
        out, err = p.communicate(timeout=timeout)
        assert err == "" and p.returncode in (0, 1), (p.returncode, err)
        return [json.loads(line) for line in out.splitlines()]

    def run(self, *args, env=None, timeout=60):
        return self.end(self.start(*args, env=env), timeout)

    def one(self, *args, env=None):
        lines = self.run(*args, env=env)
        assert len(lines) == 1, lines
        return lines[0]

    def peak(self):
        """Of the last run, in MiB; None with a sanitizer, which has a use for memory of its own."""
        return None if os.environ.get("SANITIZED") else int((self.tmp / "peak").read_text()) / 1024

    def file(self, data):
        path = self.tmp / "source"
        path.write_bytes(data)
        return path

    def put_args(self, data, key, *flags):
        return ["--bucket", BUCKET, "--sha256", hashlib.sha256(data).hexdigest(), *flags, "put", self.file(data), key]

    def put(self, data, key, *flags, env=None):
        return self.one(*self.put_args(data, key, *flags), env=env)

    def get(self, key, *flags):
        to = self.tmp / "back"
        return self.one("--bucket", BUCKET, *flags, "get", key, to), to.read_bytes()

    def object(self, key):
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def uploads(self):
        return self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])

    def stop(self):
        for p in self.running:
            if p.poll() is None:
                p.send_signal(signal.SIGKILL)
            p.wait()


@pytest.fixture
def front(moto):
    with Front(moto) as front:
        yield front
    assert not front.broken, front.broken


@pytest.fixture
def aws(moto, front, tmp_path):
    import http.client
    c = http.client.HTTPConnection(*moto)
    c.request("POST", "/moto-api/reset")
    assert c.getresponse().status == 200
    a = Aws(moto, front, tmp_path)
    a.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield a
    a.stop()
