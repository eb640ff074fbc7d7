"""In Qdrant's place: an HTTP server that answers each route as a test wants, and as Qdrant would where a test does
not say. It has no collections, only their names; its snapshots are small tars."""
import collections
import http.server
import json
import re
import threading
import time
import urllib.parse

from harness import checksum_of, tar_of

GIGABYTE = 1 << 30
Request = collections.namedtuple("Request", "when method path route headers")


def status(code, body="", kind="text/plain"):
    """Nothing but this status, with a body as Qdrant's where none is given."""
    def answer(h):
        text = body or json.dumps({"status": {"error": f"a test's {code}"}, "time": 0})
        h.reply(code, text, kind if body else "application/json")
    return answer


def said(value):
    """200 with this as JSON."""
    return lambda h: h.reply(200, json.dumps(value) if not isinstance(value, (str, bytes)) else value)


def redirect(code, base):
    return lambda h: h.reply(code, "", location=base + h.path)


def huge(h):
    """A gigabyte, unless the client goes away."""
    h.begin(200, {"connection": "close"})
    h.write(b'{"result":"')
    for _ in range(GIGABYTE >> 20):
        h.write(b"x" * (1 << 20))


def announced_huge(h):
    h.begin(200, {"content-length": str(GIGABYTE)})
    for _ in range(GIGABYTE >> 20):
        h.write(b" " * (1 << 20))


def dribble(h):
    """Never ends, and never pauses long enough to look dead."""
    h.begin(200, {"connection": "close"})
    while not h.bad.closing.wait(0.2):
        h.write(b" ")


def close(h):
    h.close_connection = True
    h.connection.close()


def silence(h):
    h.bad.closing.wait(3600)
    h.close_connection = True


def cut_body(h):
    h.begin(200, {"content-length": "5000"})
    h.write(b'{"result":{"name":"c-1-')
    close(h)


def no_http(h):
    h.write(b"220 mail.example.org ESMTP\r\n")
    close(h)


BAD = {"401": status(401), "403": status(403), "404": status(404), "422": status(422), "500": status(500), "503": status(503),
       "302 without a place": status(302), "html": said("<html><body>Welcome to nginx!</body></html>"),
       "cut json": said('{"result":{"name":"c-1-2026-11-24-'), "wrong type": said({"result": "yes", "status": "ok"}),
       "wrong types": said({"result": {"name": 7, "size": "big", "collections": {"name": "good"}}}),
       "null": said({"result": None, "status": "ok"}), "deep json": said("[" * 100000), "empty": said(""), "not utf-8": said(b"\xff\xfe\x00"),
       "a gigabyte": huge, "a gigabyte, announced": announced_huge, "never ends": dribble, "closed": close, "never answers": silence,
       "cut body": cut_body, "no http": no_http}


def _now():
    return time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime())


def route_of(method, path):
    """(what, collection): collection None where it is about none."""
    path = urllib.parse.urlsplit(path).path
    if path.endswith("/cluster"):  # 404 where a test does not say: it is not known whether this is one of a cluster
        found = re.fullmatch(r"/collections/([^/]+)/cluster", path)
        return ("shards", urllib.parse.unquote(found[1])) if found else ("cluster", None)
    found = re.fullmatch(r"/collections/([^/]+)(/snapshots)?(/[^/]+)?", path)
    if found:
        what = {("GET", True): "listing", ("POST", True): "make", ("DELETE", True): "delete"}.get((method, bool(found[2])), "info")
        return what, urllib.parse.unquote(found[1])
    if path.startswith("/snapshots"):
        return {"GET": "listing full", "POST": "make full"}.get(method, "delete"), None
    return {"/": "version", "/readyz": "readyz", "/metrics": "metrics", "/collections": "collections", "/telemetry": "telemetry"}.get(path, "unknown"), None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self):
        self.bad = self.server.bad
        route = route_of(self.command, self.path)
        self.bad.requests.append(Request(time.monotonic(), self.command, self.path, route, dict(self.headers)))
        try:
            self.bad.answer_to(route)(self)
        except OSError:  # the client went away
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_CONNECT = _answer

    def finish(self):
        try:
            super().finish()
        except (OSError, ValueError):  # closed on purpose
            pass

    def begin(self, code, headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def write(self, data):
        self.wfile.write(data)

    def reply(self, code, body, kind="application/json", **headers):
        data = body if isinstance(body, bytes) else body.encode()
        self.begin(code, {"content-type": kind, "content-length": str(len(data))} | headers)
        self.write(data)

    def log_message(self, *_):
        pass


class _Http(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # clients that go away


class BadServer:
    """`answers` is {(what, collection): answer}; without its collection, (what, None), for all of them. `seconds` is how
    long a snapshot takes; with files False none is written, for speed."""

    def __init__(self, snapshots, names=("c",), seconds=0.0, files=True):
        self.snapshots, self.names, self.seconds, self.files = snapshots, list(names), seconds, files
        self.answers, self.requests, self.running, self.closing = {}, [], {}, threading.Event()
        self.lock, self.peak = threading.Lock(), 0
        self.recovery_mode = False
        self.http = _Http(("127.0.0.1", 0), Handler)
        self.http.bad = self
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()

    def answer_to(self, route):
        return self.answers.get(route) or self.answers.get((route[0], None)) or getattr(self, "_" + route[0].replace(" ", "_"))(route[1])

    def asked(self, what, collection=None):
        """The requests of this kind; of all collections when it is about none."""
        return [r for r in list(self.requests) if r.route[0] == what and collection in (None, r.route[1])]

    def order(self):
        return [r.route[1] for r in self.asked("make")]

    # As Qdrant answers

    def _version(self, _):
        return said({"title": "qdrant - vector search engine", "version": "1.18.2"})

    def _readyz(self, _):
        return lambda h: h.reply(200, "all shards are ready", "text/plain")

    def _metrics(self, _):
        lines = [f"app_status_recovery_mode {int(self.recovery_mode)}"]
        lines += [f'snapshot_creation_running{{id="{n}"}} {self.running.get(n, 0)}' for n in self.names if '"' not in n and "\n" not in n]
        return lambda h: h.reply(200, "\n".join(lines) + "\n", "text/plain")

    def _collections(self, _):
        return said({"result": {"collections": [{"name": n} for n in self.names]}, "status": "ok", "time": 0})

    def _info(self, _):
        return said({"result": {"status": "green", "points_count": 5}, "status": "ok", "time": 0})

    def _folder(self, name):
        """None for what could be no folder of its own."""
        return None if name in (".", "..", "") or "/" in name or "\0" in name else self.snapshots / name

    def _list(self, folder):
        out = []
        for p in sorted(folder.glob("*.snapshot")) if folder and folder.is_dir() else []:
            when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(p.stat().st_mtime))
            out.append({"name": p.name, "creation_time": when, "size": p.stat().st_size})
            checksum = p.with_name(p.name + ".checksum")
            if checksum.exists():
                out[-1]["checksum"] = checksum.read_text()
        return said({"result": out, "status": "ok", "time": 0})

    def _listing(self, name):
        return self._list(self._folder(name))

    def _listing_full(self, _):
        return self._list(self.snapshots)

    def _make(self, name):
        def answer(h):
            with self.lock:
                self.running[name] = self.running.get(name, 0) + 1
                self.peak = max(self.peak, sum(self.running.values()))
            self.closing.wait(self.seconds)
            there = name in self.names and self._folder(name) is not None
            made = self._made(self._folder(name), f"{name}-1-{_now()}") if there else status(404)
            with self.lock:
                self.running[name] -= 1  # before the client can know
            made(h)
        return answer

    def _make_full(self, _):
        return lambda h: self._made(self.snapshots, f"full-snapshot-{_now()}")(h)

    def _made(self, folder, name):
        """Writes the files, in Qdrant's order, and tells of them."""
        data, path = tar_of(name), folder / f"{name}.snapshot"
        try:
            if self.files:
                folder.mkdir(exist_ok=True)
                path.with_suffix(".tmp").write_bytes(data)
                path.with_suffix(".tmp").rename(path)
                checksum = folder / f"{name}.snapshot.tmp"
                checksum.write_text(checksum_of(data))
                checksum.rename(folder / f"{name}.snapshot.checksum")
        except OSError as e:  # a name too long
            return status(500, f"Service internal error: {e}")
        return said({"result": {"name": path.name, "creation_time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()), "size": len(data),
                                "checksum": checksum_of(data)}, "status": "ok", "time": self.seconds})

    def _delete(self, _):
        return status(404)

    def _shards(self, _):
        return status(404)

    _cluster = _telemetry = _shards

    def _unknown(self, _):
        return status(404)
