"""The HTTP side: requests read, routes found, keys checked, replies and refusals written as Qdrant does."""
import http.server
import json
import os
import pathlib
import re
import shutil
import ssl
import threading
import time
import traceback
import urllib.parse
import uuid

import fault
import snapshots as snap
import temporary

WITHOUT_KEY = ("/", "/healthz", "/readyz", "/livez")
ROUTES = []


def route(method, pattern):
    path = re.compile("^" + re.sub(r"{\w+}", "([^/]+)", pattern) + "$")

    def register(handler):
        ROUTES.append((method, path, f"{method} {pattern}", handler))
        return handler
    return register


class Text(str):
    """A reply that is plain text, not the usual JSON."""


class Refusal(Exception):
    """An error that is told in plain text: what fails before or after the usual reply is made."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status, self.text = status, text


class File(pathlib.PosixPath):
    """A reply that is a file's bytes."""


class Body:
    """The request's body, with or without a length given beforehand."""

    def __init__(self, headers, stream):
        self.stream = stream
        self.chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self.left = 0 if self.chunked else int(headers.get("content-length") or 0)
        self.ended = not self.chunked and self.left == 0

    def read(self, size=1 << 20):
        if self.chunked and self.left == 0 and not self.ended:
            self.left = int(self.stream.readline(100).split(b";")[0], 16)
            if self.left == 0:
                while self.stream.readline(1000).strip():
                    pass
                self.ended = True
        if self.ended:
            return b""
        data = self.stream.read(min(size, self.left))
        self.left -= len(data)
        if self.left == 0:
            if self.chunked:
                self.stream.readline(10)
            else:
                self.ended = True
        if not data:
            self.ended = True
        return data

    def all(self):
        return b"".join(iter(self.read, b""))

    def drain(self):
        while self.read():
            pass


class Upload:
    """A file in the upload folder; it stays open, so that its last CLOSE_WRITE comes after it was taken."""

    def __init__(self, folder):
        self.fd, self.path = temporary.new_file(folder, ".tmp")
        self.name = ""

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
        self.fd = None
        self.path.unlink(missing_ok=True)


def save_upload(body, content_type, folder):
    """The file of a multipart form, written to the upload folder while it arrives."""
    boundary = re.search(r'boundary="?([^";]+)', content_type or "")
    if not boundary:
        raise Refusal(400, "Could not find Content-Type header")
    end = b"\r\n--" + boundary[1].encode()
    data = b"\r\n"
    while b"\r\n\r\n" not in data:
        more = body.read()
        if not more:
            raise Refusal(400, "Multipart stream is incomplete")
        data += more
    head, data = data.split(b"\r\n\r\n", 1)
    name = re.search(rb'filename="([^"]*)"', head)
    upload = Upload(folder)
    upload.name = name[1].decode() if name else ""
    with open(upload.path, "wb") as out:
        while end not in data:
            more = body.read()
            if not more:
                upload.close()
                raise Refusal(400, "Multipart stream is incomplete")
            out.write(data[:-len(end)])
            data = data[-len(end):] + more
        out.write(data[:data.index(end)])
    body.drain()
    return upload


class Request:
    def __init__(self, server, query, headers, body):
        self.storage, self.snapshots, self.settings = server.storage, server.snapshots, server.settings
        self.startup, self.id, self.responses = server.startup, server.id, server.responses
        self.query, self.headers, self.body = query, headers, body

    def json(self):
        data = self.body.all()
        if not data:
            raise fault.malformed("EOF while parsing a value at line 1 column 0")
        try:
            value = json.loads(data)
        except ValueError as e:
            raise fault.malformed(e) from e
        if not isinstance(value, dict):
            raise fault.malformed("not an object")
        return value

    def wait(self, standard=True):
        return self.query.get("wait", str(standard)).lower() == "true"


class Later:
    """Work that the client need not wait for (?wait=false)."""

    def __init__(self, request, work):
        self.request, self.work = request, work


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        self.close_connection = True
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                return
            with self.server.in_flight():
                self._answer()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _answer(self):
        self.start = time.monotonic()
        url = urllib.parse.urlsplit(self.path)
        path = "/" + "/".join(p for p in url.path.split("/") if p)
        query = dict(urllib.parse.parse_qsl(url.query))
        self.body = Body(self.headers, self.rfile)
        try:
            handler, arguments = self._find(path)
            refusal = self._refusal(path)
            if refusal:
                self._text(401, refusal)
                return
            if self._may_only_read() and not self._reads(path):
                self._forbidden()
                return
            if not handler:
                self._bytes(404, b"", None)
                return
            result = handler(Request(self.server, query, self.headers, self.body), *arguments)
            if isinstance(result, Later):
                if not result.request.wait():
                    self.server.background(result.work)
                    self._json(202, {"status": "accepted"})
                    return
                result = result.work()
            self._result(result)
        except Refusal as r:
            self._text(r.status, r.text)
        except fault.Fault as f:
            self._json(f.status, {"status": {"error": f.text}})
        except (ConnectionError, TimeoutError):
            raise
        except Exception as e:
            traceback.print_exc()
            self._json(500, {"status": {"error": f"Service internal error: {e}"}})

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _answer

    def _refusal(self, path):
        key = self.server.settings.api_key
        if key is None or path in WITHOUT_KEY:
            return None
        given = self.headers.get("api-key")
        authorization = self.headers.get("authorization", "")
        if given is None and authorization.startswith("Bearer "):
            given = authorization.removeprefix("Bearer ")
        if given is None:
            return "Must provide an API key or an Authorization bearer token"
        return None if given in (key, self.server.settings.read_only_api_key) else "Invalid API key or JWT"

    def _may_only_read(self):
        key = self.server.settings.read_only_api_key
        return key is not None and self.headers.get("api-key") == key

    def _reads(self, path):
        return self.command == "GET" or path.rpartition("/")[2] in ("scroll", "count", "query")

    def _forbidden(self):
        """Before it reads the body, so that whoever is still sending finds the connection closed."""
        text = b'{"status":{"error":"Forbidden: Global manage access is required"},"time":0.0}'
        self.send_response(403)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _find(self, path):
        for method, pattern, self.route, handler in ROUTES:
            found = pattern.match(path) if method == self.command else None
            if found:
                return handler, [urllib.parse.unquote(v) for v in found.groups()]
        self.route = None
        return None, []

    def _result(self, result):
        if isinstance(result, File):
            self._file(result)
        elif isinstance(result, Text):
            kind = "application/json" if result.startswith("{") else "text/plain; charset=utf-8"
            self._bytes(200, result.encode(), kind)
        else:
            self._json(200, {"result": result, "status": "ok"})

    def _json(self, status, reply):
        reply["time"] = time.monotonic() - self.start if status != 422 else 0.0
        self._bytes(status, json.dumps(reply, separators=(",", ":"), ensure_ascii=False).encode(),
                    "application/json")

    def _text(self, status, text):
        self._bytes(status, text.encode(), "text/plain; charset=utf-8")

    def _head(self, status, size, kind):
        self.body.drain()
        if self.route:
            self.server.responses.add(self.route, status, time.monotonic() - self.start)
        self.send_response(status)
        self.send_header("content-length", str(size))
        if kind:
            self.send_header("content-type", kind)

    def _bytes(self, status, data, kind):
        self._head(status, len(data), kind)
        self.end_headers()
        self.wfile.write(data)

    def _file(self, path):
        with open(path, "rb") as f:
            self._head(200, os.fstat(f.fileno()).st_size, "application/octet-stream")
            self.send_header("content-disposition", f'attachment; filename="{path.name}"')
            self.end_headers()
            shutil.copyfileobj(f, self.wfile, 1 << 20)


class Responses:
    """How many there were of each status on each route, for /telemetry."""

    def __init__(self):
        self.counts, self.lock = {}, threading.Lock()

    def add(self, route, status, seconds):
        with self.lock:
            entry = self.counts.setdefault(route, {}).setdefault(str(status), [0, 0.0])
            entry[0] += 1
            entry[1] += seconds

    def told(self):
        with self.lock:
            return {route: {status: {"count": n, "avg_duration_micros": round(1e6 * s / n)}
                            for status, (n, s) in statuses.items()}
                    for route, statuses in self.counts.items()}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, settings, storage):
        self.settings, self.storage, self.snapshots = settings, storage, snap.Snapshots(storage)
        self.startup = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.id = str(uuid.uuid4())
        self.responses = Responses()
        self.busy, self.idle = 0, threading.Condition()
        self.tls = None
        if settings.tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.set_alpn_protocols(["http/1.1"])
            self.tls.load_cert_chain(settings.tls_cert, settings.tls_key)
        super().__init__((settings.host, settings.http_port), Handler)

    def finish_request(self, request, client_address):
        """On the connection's own thread, so that a client that never shakes hands holds up nobody."""
        if not self.tls:
            super().finish_request(request, client_address)
            return
        try:
            with self.tls.wrap_socket(request, server_side=True) as secure:
                super().finish_request(secure, client_address)
        except OSError:  # it does not speak TLS, or trusts another authority
            pass

    def in_flight(self):
        return _Busy(self)

    def background(self, work):
        def run():
            try:
                work()
            except fault.Fault as f:
                print(f"ERROR {f.text}", flush=True)
            except Exception:
                traceback.print_exc()
            finally:
                busy.__exit__()
        busy = _Busy(self)
        busy.__enter__()
        threading.Thread(target=run, daemon=True).start()

    def wait_until_idle(self, seconds):
        """Requests that are being answered get their answers; idle connections do not count."""
        with self.idle:
            self.idle.wait_for(lambda: self.busy == 0, seconds)


class _Busy:
    def __init__(self, server):
        self.server = server

    def __enter__(self):
        with self.server.idle:
            self.server.busy += 1

    def __exit__(self, *_):
        with self.server.idle:
            self.server.busy -= 1
            self.server.idle.notify_all()
