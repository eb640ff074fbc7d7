"""The HTTP server: what it serves to whom, and that nothing delays it."""
import base64
import contextlib
import json
import select
import socket
import time

import pytest
from harness import patience
from machines import Machine
from status_driver import healthy


@pytest.fixture
def served(driver):
    healthy(driver)
    driver.serve()
    return driver


@pytest.mark.parametrize("path, kind", [("/", "text/html; charset=utf-8"), ("/status", "application/json"),
                                        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
                                        ("/health", "application/json")])
def test_get_and_head_are_answered_alike(served, path, kind):
    status, headers, body = served.ask(path)
    assert status == 200 and body
    assert headers["Content-Type"] == kind
    head_status, head, nothing = served.ask(path, method="HEAD")
    assert (head_status, nothing) == (200, b"")
    assert head["Content-Type"] == kind and abs(int(head["Content-Length"]) - len(body)) < 100


@pytest.mark.parametrize("path", ["/", "/status", "/metrics", "/health", "/nothing"])
def test_nothing_is_stored_framed_or_guessed(served, path):
    _, headers, _ = served.ask(path)
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]


def test_status_is_the_document(served):
    _, _, body = served.ask("/status")
    told = json.loads(body)
    assert {b["collection"] for b in told["backups"]} == {"docs", "images", "test_collection"}
    assert len(told["backups"][0]["sizes"]) == 96
    assert set(told) >= {"version", "now", "started", "uptime_seconds", "node", "efs", "qdrant", "schedule", "queue",
                         "rpo_seconds", "backups", "counts", "s3", "drill", "errors", "health"}


def test_health_is_503_and_says_what_to_do(served):
    assert served.ask("/health")[0] == 200
    served.do("efs", usable=False, why="cannot write /efs/prod-x86_64: Read-only file system")
    status, _, body = served.ask("/health")
    told = json.loads(body)
    assert (status, told["status"]) == (503, "failing")
    assert told["reasons"][0]["code"] == "efs_unusable"
    assert "Read-only file system" in told["reasons"][0]["message"]
    served.do("efs", usable=True)
    served.do("s3", collection="docs", why="403")  # a warning
    status, _, body = served.ask("/health")
    assert status == 200 and json.loads(body)["reasons"][0]["severity"] == "warning"


def test_a_query_does_not_matter(served):
    assert served.ask("/health?verbose=1")[0] == 200


@pytest.mark.parametrize("path", ["/nothing", "/status/", "//", "/../status", "/status%2f"])
def test_all_else_is_not_found(served, path):
    status, headers, body = served.ask(path)
    assert status == 404 and headers["Content-Type"] == "application/json"
    assert "error" in json.loads(body)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_refused(served, method):
    status, headers, body = served.ask("/status", method=method)
    assert status == 405 and headers["Allow"] == "GET, HEAD"
    assert "error" in json.loads(body)


@pytest.mark.parametrize("host, status", [
    ("localhost", 200), ("localhost:6336", 200), ("LOCALHOST:1", 200), ("127.0.0.1:8080", 200), ("[::1]:6336", 200),
    ("evil.example", 421), ("evil.example:6336", 421), ("localhost.evil.example", 421), ("127.0.0.1.evil.example", 421),
    ("[::1", 421), ("", 421)])
def test_on_the_loopback_only_its_own_names_are_served(served, host, status):
    """DNS rebinding: a page elsewhere makes its own name point to 127.0.0.1, and a browser here asks us under it."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as s:
        s.sendall(f"GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert int(s.makefile("rb").readline().split()[1]) == status


NAMES = [("127.0.0.1", 200), ("10.0.0.7:6336", 200), ("[fd00::1]:6336", 200), ("localhost:8080", 200), ("qdrant", 200),
         ("qdrant-0.qdrant.internal:6336", 200), ("Node.LOCAL", 200), ("node.example.com", 200), ("NODE.example.com.:6336", 200),
         ("evil.example", 421), ("qdrant.internal.evil.example", 421), ("10.0.0.7.evil.example", 421), ("internal.com", 421),
         ("10.0.0", 421), ("[qdrant.internal]", 421), ("[]", 421), ("", 421)]


@pytest.mark.parametrize("host, status", NAMES)
def test_elsewhere_no_name_is_served_that_a_stranger_can_register(driver, host, status):
    healthy(driver)
    driver.serve("0.0.0.0:0", node="node.example.com")
    with socket.create_connection(("127.0.0.1", driver.port), timeout=10) as s:
        s.sendall(f"GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert int(s.makefile("rb").readline().split()[1]) == status


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "0.0.0.0:0"])
def test_more_names_are_served_where_that_is_set(drivers, listen):
    driver, another = drivers(), drivers()
    healthy(driver), healthy(another)
    driver.serve(listen, hosts="backups.example.com, *.corp.example")
    asked = {host: driver.ask("/status", host=host)[0] for host in
             ("Backups.example.com", "backups.example.com:443", "a.corp.example", "corp.example", "xbackups.example.com", "evil.example")}
    assert asked == {"Backups.example.com": 200, "backups.example.com:443": 200, "a.corp.example": 200, "corp.example": 421,
                     "xbackups.example.com": 421, "evil.example": 421}
    another.serve(listen, hosts="*")
    assert another.ask("/status", host="evil.example")[0] == 200


def test_who_sends_the_token_may_ask_under_any_name(driver):
    healthy(driver)
    driver.serve("0.0.0.0:0", TOKEN)
    assert driver.ask("/status", host="proxy.example")[0] == 421
    assert driver.ask("/status", host="proxy.example", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert driver.ask("/status", host="proxy.example", Authorization=f"Bearer {TOKEN}x")[0] == 421


@pytest.mark.parametrize("listen, address", [("127.0.0.1:0", "127.0.0.1"), ("localhost:0", "127.0.0.1"),
                                             (":0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "::1")])
def test_it_listens_where_it_is_told(driver, listen, address):
    healthy(driver)
    reply = driver.serve(listen)
    if "port" not in reply and ":" in address:
        pytest.skip(f"no IPv6 here: {reply['error']}")
    assert driver.ask("/health", address=address)[0] == 200


@pytest.mark.parametrize("listen", ["", "6336", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:6336",
                                    "[::1:6336", "[127.0.0.1]:6336", "a.name:6336", "127.0.0.1:-1", "1.2.3.4.5:1"])
def test_what_is_no_address_is_refused_by_name(driver, listen):
    healthy(driver)
    reply = driver.serve(listen)
    assert listen in reply["error"] and "127.0.0.1:6336" in reply["error"]


def test_a_port_in_use_is_said_and_survived(drivers):
    first, second = drivers(), drivers()
    healthy(first), healthy(second)
    port = first.serve()["port"]
    reply = second.serve(f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in reply["error"] and "in use" in reply["error"] and "STATUS_LISTEN" in reply["error"]
    assert second.serve()["port"] != port
    assert second.ask("/health")[0] == 200


def test_clients_that_dawdle_delay_nobody(served):
    idle = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(20)]
    for s in idle:
        s.sendall(b"GET /status HTTP/1.1\r\nHost: local")  # and no more
    begin = time.monotonic()
    for _ in range(20):
        assert served.ask("/health")[0] == 200
    assert time.monotonic() - begin < 2 * patience()
    for s in idle:
        s.close()


def test_slow_connections_do_not_silence_the_health_check(served):
    idle = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(150)]
    for s in idle:
        s.sendall(b"GET /status HTTP/1.1\r\nHost: local")
    begin = time.monotonic()
    assert served.ask("/health")[0] == 200 and served.ask("/restored")[0] == 200
    assert time.monotonic() - begin < 2 * patience()
    for s in idle:
        s.close()


def own_address():
    """One of this machine's that is no loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("has no address but the loopback's")
        return s.getsockname()[0]


@pytest.mark.parametrize("what", ["silent", "cut in the headers", "answered and kept", "reset"])
@pytest.mark.parametrize("outside", [False, True], ids=["loopback", "outside"])
def test_however_many_slow_connections_there_are_the_health_check_gets_in(driver, what, outside):
    healthy(driver)
    driver.serve("0.0.0.0:0" if outside else "127.0.0.1:0")
    idle, address = [], own_address() if outside else "127.0.0.1"
    for n in range(600):
        s = socket.create_connection((address, driver.port), timeout=60)
        if what == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if what == "cut in the headers":
            s.sendall(b"GET /status HTTP/1.1\r\nHost: local")
        if what == "answered and kept":
            s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert s.recv(12) == b"HTTP/1.1 200", "who asks is answered, too"
        idle.append(s)
        if n % 50 == 0 or n > 590:
            assert driver.ask("/health")[0] == 200 and driver.ask("/restored")[0] == 200
    for s in idle:
        s.close()
    assert driver.ask("/health")[0] == 200


def test_a_slow_one_is_cut_off_before_one_that_has_asked(served):
    """Many that dawdle cost none its answer."""
    reader = socket.create_connection(("127.0.0.1", served.port), timeout=60)
    reader.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    idle = [socket.create_connection(("127.0.0.1", served.port), timeout=60) for _ in range(200)]
    idle[0].settimeout(60)
    assert idle[0].recv(1) == b"", "the first of them has gone"
    whole = b"".join(iter(lambda: reader.recv(65536), b""))
    assert whole.startswith(b"HTTP/1.1 200") and whole.rstrip().endswith(b"</html>")
    assert served.ask("/health")[0] == 200
    for s in idle:
        s.close()


def test_clients_that_dawdle_are_cut_off(served):
    idle = [socket.create_connection(("127.0.0.1", served.port), timeout=30) for _ in range(100)]
    begin = time.monotonic()
    assert idle[0].recv(1) == b""
    assert 5 < time.monotonic() - begin < 20
    assert served.ask("/health")[0] == 200
    for s in idle:
        s.close()


def drip(sockets, seconds):
    """A byte each half second to all that are open still. Returns when each was closed by the other side, in seconds."""
    begin, closed, left = time.monotonic(), {}, set(sockets)
    while left and time.monotonic() - begin < seconds:
        for s in select.select(list(left), [], [], 0)[0]:
            with contextlib.suppress(ConnectionError):
                assert s.recv(1000) == b"", "nothing is answered to half a request"
            closed[s] = time.monotonic() - begin
            left.discard(s)
        for s in left:
            with contextlib.suppress(ConnectionError):
                s.sendall(b"x")
        yield closed
        time.sleep(0.5)
    assert not left, f"{len(left)} are still open after {seconds} s"


def test_sixty_four_that_drip_from_another_machine_are_cut_off_and_the_health_check_gets_in(driver):
    healthy(driver)
    driver.serve("0.0.0.0:0")
    with Machine(1) as other, contextlib.ExitStack() as held:
        dripping = [held.enter_context(other.connect(driver.port)) for _ in range(64)]
        for s in dripping:
            with contextlib.suppress(ConnectionError):
                s.sendall(b"GET /status HTTP/1.1\r\nX: ")
        for closed in drip(dripping, 25 * patience()):
            begin = time.monotonic()
            assert driver.ask("/health")[0] == 200 and driver.ask("/restored")[0] == 200
            assert time.monotonic() - begin < 1 * patience()
        assert {s: t for s, t in closed.items() if s in dripping[:31] and t > 3 * patience()} == {}, "32 are one machine's limit"
        assert min(t for s, t in closed.items() if s in dripping[32:]) > 10
        assert driver.ask("/health", address=other.here)[0] == 200


def test_one_machine_takes_no_place_from_another(driver):
    healthy(driver)
    driver.serve("0.0.0.0:0")
    with Machine(1) as one, Machine(2) as other, contextlib.ExitStack() as held:
        kept = held.enter_context(other.connect(driver.port))
        for _ in range(200):
            held.enter_context(one.connect(driver.port)).sendall(b"GET /")
        kept.sendall(b"GET /health HTTP/1.1\r\nHost: qdrant\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 200"


def test_an_answer_that_is_not_taken_ends(driver):
    """Nor does it help to take of it now and then, which is not silence."""
    healthy(driver, [f"a-collection-with-quite-a-long-name-{n}" for n in range(10000)])
    driver.serve("0.0.0.0:0")
    size = len(driver.ask("/metrics")[2])
    with Machine(1) as other, other.connect(driver.port, receive=4096) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: qdrant\r\n\r\n")
        begin, taken, got = time.monotonic(), 0, b"x"
        with contextlib.suppress(ConnectionError):
            while got and time.monotonic() - begin < 50 * patience():
                got = slow.recv(size // 600)
                taken += len(got)
                time.sleep(0.1)  # it would take a minute
        assert 25 < time.monotonic() - begin < 45 * patience() and taken < size
    assert driver.ask("/health")[0] == 200


def test_a_browser_that_stays_is_not_cut_off(served):
    """The page asks each five seconds, by the same connection."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as s:
        for _ in range(5):
            s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert s.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(5)


def test_many_askers_at_once_get_whole_answers(served):
    import concurrent.futures
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for status, _, body in pool.map(lambda _: served.ask("/status"), range(80)):
            assert status == 200 and json.loads(body)["backups"]


def test_headers_without_end_are_refused(served):
    status, _, _ = served.ask("/status", cookie="x" * 30000)
    assert status in (413, 414, 431)
    assert served.ask("/health")[0] == 200


TOKEN = "t0ken-of-twenty-four-bytes"


def basic(word):
    return "Basic " + base64.b64encode(word.encode()).decode()


@pytest.mark.parametrize("said,good", [
    (None, False), (f"Bearer {TOKEN}", True), (f"bearer {TOKEN}", True), (f"Bearer {TOKEN}x", False), (f"Bearer {TOKEN[:-1]}", False),
    ("Bearer ", False), (TOKEN, False), (basic(f"anybody:{TOKEN}"), True), (basic(f":{TOKEN}"), True), (basic(TOKEN), False),
    (basic("anybody:"), False), ("Basic !!!!", False), ("Basic x", False), ("Basic " + "QUFB" * 1000, False)])
def test_from_another_machine_the_token_has_to_be_sent(driver, said, good):
    healthy(driver)
    driver.serve("0.0.0.0:0", TOKEN)
    headers = {"Authorization": said} if said else {}
    for path in ("/", "/status", "/metrics", "/nothing"):
        status, answered, body = driver.ask(path, address=own_address(), **headers)
        assert (status != 401) == good
        assert good or (answered["WWW-Authenticate"].startswith("Basic ") and b"token" in body and len(body) < 100)
    for path in ("/health", "/restored"):
        status, _, body = driver.ask(path, address=own_address(), **headers)
        assert status == 200 and ("error" in json.loads(body)) != good


def test_a_load_balancer_without_the_token_gets_the_code_of_a_bad_health(driver):
    driver.new()
    driver.serve("0.0.0.0:0", TOKEN)
    with_it = driver.ask("/health", address=own_address(), Authorization=f"Bearer {TOKEN}")[0]
    assert driver.ask("/health", address=own_address())[0] == with_it


def test_on_this_machine_nobody_needs_the_token(driver):
    healthy(driver)
    driver.serve("0.0.0.0:0", TOKEN)
    assert {driver.ask(path)[0] for path in ("/", "/status", "/metrics", "/health", "/restored")} == {200}
