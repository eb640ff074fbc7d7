"""A server in front of moto that does what AWS does and moto does not: it checks every signature (with botocore's
signer) and checksum, wants each x-amz- header signed, remembers the checksums of parts and lists them, and knows expired keys and
clocks that are wrong. It records each request, and tests have it fail as they like. Also small servers for what a
container asks on its link."""
import base64
import collections
import contextlib
import datetime
import email.utils
import hashlib
import http.client
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEYS = {"id-of-tests": "secret/of+tests"}


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path, _, self.raw_query = target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(self.raw_query, keep_blank_values=True))
        self.what = self._what()
        self.status = None  # of the reply

    def _what(self):
        if "X-Amz-Target" in self.headers:
            return self.headers["X-Amz-Target"].split(".")[1]
        q, part = self.query, "partNumber" in self.query
        return {("GET", True): "ListParts", ("DELETE", True): "AbortMultipartUpload", ("PUT", True): "UploadPart",
                ("POST", True): "CompleteMultipartUpload"}.get((self.method, "uploadId" in q)) if "uploadId" in q or part \
            else {"GET": "ListMultipartUploads", "POST": "CreateMultipartUpload"}[self.method] if "uploads" in q \
            else "ListObjectsV2" if "list-type" in q \
            else {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject"}.get(self.method, self.method)


class Reply:
    """What is sent back. `body` may be an iterator of pieces, sent without a length until the other side has had
    enough; `announce` is the Content-Length to claim; `drop` closes the connection without a word."""

    def __init__(self, status=200, body=b"", headers=None, announce=None, drop=False):
        self.status, self.body, self.headers, self.announce, self.drop = status, body, headers or {}, announce, drop


def error(status, code, message="as the test wants", more="", headers=None):
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>'
    return Reply(status, body.encode(), {"Content-Type": "application/xml", **(headers or {})})


def json_error(status, code, message="as the test wants"):
    return Reply(status, json.dumps({"__type": code, "message": message}).encode(),
                 {"Content-Type": "application/x-amz-json-1.1"})


class Server:
    """Serves on a port of its own; `answer(request)` gives the Reply."""

    def __init__(self, answer=None):
        outer = self
        if answer:
            self.answer = answer
        self.requests, self.broken = [], []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_one_request(self):
                with contextlib.suppress(ConnectionError, TimeoutError):
                    super().handle_one_request()
                    return
                self.close_connection = True

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.command, self.path, self.headers, body)
                outer.requests.append(request)
                try:
                    reply = outer.answer(request)
                except Exception as e:  # shown by whoever looks at `broken`
                    outer.broken.append(e)
                    reply = Reply(500)
                request.status = reply.status
                outer.send(self, reply, request)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def date(self):
        return email.utils.formatdate(usegmt=True)

    def send(self, handler, reply, request):
        if reply.drop:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.send_response_only(reply.status)
        for name, value in {"Date": self.date(), **reply.headers}.items():
            handler.send_header(name, value)
        whole = isinstance(reply.body, bytes)
        if whole and "Content-Length" not in reply.headers and reply.status != 204:
            handler.send_header("Content-Length", str(len(reply.body) if reply.announce is None else reply.announce))
        handler.close_connection = handler.close_connection or not whole or reply.announce is not None
        if handler.close_connection:
            handler.send_header("Connection", "close")
        handler.end_headers()
        if request.method != "HEAD":
            for piece in [reply.body] if whole else reply.body:
                handler.wfile.write(piece)

    def stop(self):
        self.http.shutdown()
        self.http.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Front(Server):
    def __init__(self, moto):
        super().__init__()
        self.moto = moto  # (host, port)
        self.faults = []  # (operation, how often, function of a request that gives a Reply or None)
        self.expired = set()  # session tokens
        self.keys = dict(KEYS)
        self.ahead = 0  # seconds that the clock here is ahead
        self.sums = {}  # (upload id, part number): checksum
        self.page = None  # entries on a page of ListParts and ListObjectsV2
        self.initiated = {}  # upload id: when
        self.lock = threading.Lock()

    # ---- for tests

    def fail(self, what, reply, times=1):
        """Instead of forwarding. `reply` is a Reply or a function of the request."""
        self.faults.append([what, times, reply if callable(reply) else lambda request: reply])

    def lose_reply(self, what, times=1):
        """The work is done, and the connection breaks before the reply."""
        self.fail(what, lambda request: self.forward(request) and Reply(drop=True), times)

    def done(self):
        return [r.what for r in self.requests]

    def count(self, what):
        return self.done().count(what)

    def last(self, what):
        return [r for r in self.requests if r.what == what][-1]

    # ---- what AWS does

    def date(self):
        return email.utils.formatdate(time.time() + self.ahead, usegmt=True)

    def answer(self, request):
        problem = self.refusal(request)
        if problem:
            return problem
        with self.lock:
            fault = next((f for f in self.faults if f[0] in (request.what, "*") and f[1] > 0), None)
            if fault:
                fault[1] -= 1
        reply = fault[2](request) if fault else None
        return reply or self.forward(request)

    def refusal(self, request):
        wrong = error if "X-Amz-Target" not in request.headers else json_error
        sent = datetime.datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(
            tzinfo=datetime.timezone.utc).timestamp()
        if request.headers.get("X-Amz-Security-Token") in self.expired:
            return wrong(400, "ExpiredToken" if wrong is error else "ExpiredTokenException")
        if abs(sent - time.time() - self.ahead) > 900:
            if wrong is error:
                return error(403, "RequestTimeTooSkewed", "The difference is too large.")
            return json_error(403, "InvalidSignatureException", "Signature expired: it is now earlier than then")
        if not self.signed(request):
            return wrong(403, "SignatureDoesNotMatch")
        digest = hashlib.sha256(request.body)
        if wrong is error and request.headers["x-amz-content-sha256"] != digest.hexdigest():
            return error(400, "XAmzContentSHA256Mismatch")
        checksum = request.headers.get("x-amz-checksum-sha256")
        if checksum and checksum != base64.b64encode(digest.digest()).decode():
            return error(400, "BadDigest")
        return None

    def signed(self, request):
        m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
                         r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})", request.headers["Authorization"])
        key, _, region, service, names, signature = m.groups()
        assert {n.lower() for n in request.headers if n.lower().startswith("x-amz-")} | {"host"} <= set(names.split(";"))
        copy = AWSRequest(method=request.method, url=f"http://{request.headers['Host']}{request.target}", data=request.body)
        for name in names.split(";"):
            copy.headers[name] = request.headers[name]
        signer = (botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth)(
            Credentials(key, self.keys[key]), service, region)
        copy.context["timestamp"] = request.headers["X-Amz-Date"]
        return signature == signer.signature(signer.string_to_sign(copy, signer.canonical_request(copy)), copy)

    def forward(self, request):
        target = request.target
        if request.what == "ListParts" and self.page:
            target += f"&max-parts={self.page}"
        if request.what == "ListObjectsV2" and self.page:
            target += f"&max-keys={self.page}"
        connection = http.client.HTTPConnection(*self.moto, timeout=60)
        headers = {n: v for n, v in request.headers.items() if n.lower() not in ("host", "connection")}
        connection.request(request.method, target, request.body, headers)
        answer = connection.getresponse()
        body = answer.read()
        headers = {n: v for n, v in answer.getheaders()
                   if n.lower() not in ("connection", "date", "transfer-encoding", "server")}
        connection.close()
        if request.method != "HEAD":
            headers.pop("Content-Length", None)
            headers.pop("content-length", None)
        if request.what == "UploadPart" and answer.status == 500:  # how moto says it
            return error(404, "NoSuchUpload")
        if request.what == "UploadPart" and answer.status == 200:
            self.sums[request.query["uploadId"], request.query["partNumber"]] = request.headers["x-amz-checksum-sha256"]
        if request.what == "ListParts":
            body = self.with_sums(request.query["uploadId"], body)
        if request.what == "ListMultipartUploads":
            for upload, when in self.initiated.items():  # moto gives all of them one date
                body = re.sub(rb"(<UploadId>%s</UploadId>.*?<Initiated>)[^<]*" % re.escape(upload.encode()),
                              lambda m: m[1] + when.encode(), body, flags=re.S)
        return Reply(answer.status, body, headers)

    def with_sums(self, upload, body):
        def add(m):
            number = re.search(rb"<PartNumber>(\d+)</PartNumber>", m[0])[1].decode()
            checksum = self.sums.get((upload, number))
            extra = f"<ChecksumSHA256>{checksum}</ChecksumSHA256></Part>" if checksum else "</Part>"
            return m[0].replace(b"</Part>", extra.encode())
        return re.sub(rb"<Part>.*?</Part>", add, body, flags=re.S).replace(b"ListPartsResponse", b"ListPartsResult")


class KeysServer(Server):
    """Hands out keys that live for `life` seconds, other ones each time."""

    def __init__(self, life=3600, front=None, token=None, same=False):
        super().__init__()
        self.life, self.front, self.token, self.same = life, front, token, same
        self.given = []

    def answer(self, request):
        if self.token and request.headers.get("Authorization") != self.token:
            return Reply(401, b"no")
        n = 1 if self.same else len(self.given) + 1
        end = datetime.datetime.fromtimestamp(time.time() + self.life, datetime.timezone.utc)
        keys = {"RoleArn": "arn:aws:iam::1:role/x", "AccessKeyId": f"ASIA{n}", "SecretAccessKey": f"secret{n}",
                "Token": f"token{n}", "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
        self.given.append(keys)
        if self.front:
            self.front.keys[keys["AccessKeyId"]] = keys["SecretAccessKey"]
        return Reply(200, json.dumps(keys).encode(), {"Content-Type": "application/json"})


@contextlib.contextmanager
def black_hole():
    """A port that takes no connection and refuses none: its queue is full."""
    with socket.socket() as s, contextlib.ExitStack() as stack:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        for _ in range(4):
            c = stack.enter_context(socket.socket())
            c.setblocking(False)
            c.connect_ex(s.getsockname())
        yield f"http://127.0.0.1:{s.getsockname()[1]}"


def endless(piece=b"x" * 65536, limit=1 << 30, pause=0.0):
    """Up to a gigabyte; with a pause, a reply that never ends."""
    for _ in range(limit // len(piece)):
        yield piece
        if pause:
            time.sleep(pause)


BAD = collections.OrderedDict([
    ("html", lambda: Reply(200, b"<html><body>Log in to the hotel's network</body></html>", {"Content-Type": "text/html"})),
    ("empty", lambda: Reply(200, b"")),
    ("cut off", lambda: Reply(200, b'{"SecretString": "half', announce=5000)),
    ("a gigabyte", lambda: Reply(200, endless())),
    ("never ending", lambda: Reply(200, endless(b" ", pause=0.2))),
    ("closed at once", lambda: Reply(drop=True)),
])
