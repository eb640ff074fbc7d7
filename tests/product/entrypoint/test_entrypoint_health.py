"""qdrant-entrypoint health: what it asks, how it judges, and that it is over in time whatever the others do."""
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from frozen import Frozen, usable
from harness import BUILD, freeze, wait_for
from peers import (OK, BlackHole, Peer, answers, answers_and_stays, closes, dribbles, floods, http, in_own_network,
                   resets, silent)
from running import (BARE, ENTRYPOINT, NOT_BARE, WRAPPER, can_be_pid_1, cpu_ticks, for_everyone, switches,
                     wait_until_quiet)
from server import REAL, SERVERS, Server, free_port

# With the shortest budget, which keeps these tests short, the deadline for the answers is 0.8 s, for the whole 1 s. The rest is
# slack for a busy machine and for tools.
BUDGET = "1"
DEADLINE, LONGEST = 0.8, 1.5 if BARE else 15
WELL, FAILING = b'{"status":"ok","reasons":[]}', b'{"status":"failing","reasons":["no backup for 45 min"]}'


class Health:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds
        self.lines = out.splitlines()

    def __repr__(self):
        return f"{self.code} after {self.seconds:.3f} s: {self.out!r} {self.err!r}"

    @property
    def qdrant(self):
        return next(line for line in self.lines if line.startswith("qdrant: "))

    @property
    def replicator(self):
        return next(line for line in self.lines if line.startswith("replicator: "))


def environment(qdrant=None, replicator=None, **env):
    base = {"PATH": os.environ["PATH"], "HEALTH_QDRANT": qdrant and qdrant.at, "HEALTH_TIMEOUT_SECONDS": BUDGET}
    base |= {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
    if replicator:
        base |= {"EFS_ROOT": "/nowhere", "STATUS_LISTEN": replicator.at}
    return {k: v for k, v in (base | env).items() if v is not None}


def health(*peers, prefix=(), args=("health",), program=ENTRYPOINT, longest=LONGEST, before_exec=None, **env):
    """Runs it for these peers, Qdrant and replicator, and sees to it that it is over in time."""
    begun = time.monotonic()
    run = subprocess.run([*prefix, *WRAPPER, program, *args], env=environment(*peers, **env), timeout=60,
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, preexec_fn=before_exec)
    result = Health(run.returncode, run.stdout, run.stderr, time.monotonic() - begun)
    assert result.seconds < longest, result
    assert "Sanitizer" not in result.err and "runtime error" not in result.err, result
    return result


def health_at_once(*peers, **more):
    """Long before the deadline. On a busy machine that may take a second try."""
    for _ in range(3):
        run = health(*peers, **more)
        if run.seconds < (DEADLINE - 0.1 if BARE else LONGEST):
            return run
    raise AssertionError(run)


@pytest.fixture
def peer():
    made = []

    def make(*args, kind=Peer, **more):
        made.append(kind(*args, **more))
        return made[-1]
    yield make
    for p in made:
        p.close()


class Nobody:
    def __init__(self):
        self.at = f"127.0.0.1:{free_port()}"


# ---------------------------------------------------------------- Qdrant

@pytest.fixture(params=SERVERS)
def qdrant(request, tmp_path):
    with Server(request.param, tmp_path, api_key="a secret") as server:
        yield server


def test_a_qdrant_that_is_ready_is_healthy_and_one_that_hangs_or_is_gone_is_not(qdrant):
    env = {k: v for k, v in qdrant.env.items() if k.startswith("QDRANT__SERVICE__")}
    ready = health(**env)
    assert ready.code == 0 and re.fullmatch(r"qdrant: ready \(\d+ ms\)", ready.qdrant), ready
    assert "secret" not in ready.out
    freeze(qdrant.process.pid)
    hangs = health(**env)
    qdrant.process.send_signal(signal.SIGCONT)
    qdrant.wait_until_ready()
    assert hangs.code == 1 and "not ready: no answer" in hangs.qdrant, hangs
    qdrant.stop()
    gone = health(**env)
    assert gone.code == 1, gone
    assert gone.qdrant == f"qdrant: not ready: nothing listens at 127.0.0.1:{qdrant.port} (connection refused)"


def test_it_asks_for_readyz_and_sends_no_key(peer):
    server = peer()
    assert health(server, QDRANT__SERVICE__API_KEY="k", QDRANT_API_KEY="k").code == 0
    assert server.requests == [f"GET /readyz HTTP/1.1\r\nHost: {server.at}\r\nConnection: close\r\n\r\n".encode()]


@pytest.mark.parametrize("code", [100, 204, 301, 401, 404, 500, 503, 599])
def test_no_status_but_200_is_ready(peer, code):
    run = health(peer(answers(http(code, b"some shards are not ready\n"))))
    assert run.code == 1
    assert re.fullmatch(rf"qdrant: not ready: \S+ answered {code} \(\d+ ms\): some shards are not ready", run.qdrant)


@pytest.mark.parametrize("reply", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200\r\n\r\n",
                                   b"HTTP/1.1 200 \r\n\r\n", b"HTTP/1.1 200 OK\n\n", b"HTTP/1.1 200 OK\r\n",
                                   http(200, b"x" * 3000), b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 2000])
def test_only_the_status_line_decides(peer, reply):
    assert health(peer(answers(reply))).code == 0


@pytest.mark.parametrize("reply", [b"SSH-2.0-OpenSSH\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"\r\n", b"HTTP/2 200 OK\r\n",
                                   b"HTTP/1.1 OK\r\n", b"HTTP/1.1 2000 OK\r\n", b"HTTP/1.1 20\r\n", b"\0" * 9,
                                   b"HTTP/1.1 099 x\r\n", b"HTTP/1.1  200 OK\r\n", b"http/1.1 200 OK\r\n",
                                   b"HTTP/1.1 200 " + b"x" * 300])
def test_what_is_not_http_is_not_ready_and_known_at_once(peer, reply):
    run = health_at_once(peer(answers_and_stays(reply)))
    assert run.code == 1 and "is not HTTP" in run.qdrant and "QDRANT__SERVICE__ENABLE_TLS" in run.qdrant, run


@pytest.mark.parametrize("serve, text", [(closes, "closed the connection without an answer"),
                                         (answers(b"HTTP/1.1 200 OK"), "closed the connection without an answer"),
                                         (resets, "cannot ask")])
def test_a_connection_that_ends_without_a_status_line_is_not_ready_and_known_at_once(peer, serve, text):
    run = health_at_once(peer(serve))
    assert run.code == 1 and text in run.qdrant, run


# ---------------------------------------------------------------- in time

SLOW = {
    "says nothing": (lambda peer: peer(silent), "no answer from"),
    "dribbles": (lambda peer: peer(dribbles(OK, 0.1)), "no answer from"),
    "is a black hole": (lambda peer: peer(kind=BlackHole), "no connection to"),
}


@pytest.mark.parametrize("how", SLOW)
def test_a_qdrant_that_does_not_answer_in_time_is_not_ready(peer, how):
    make, text = SLOW[how]
    run = health(make(peer))
    assert run.code == 1 and run.seconds >= DEADLINE
    assert re.search(text + r" \S+ within \d{3,} ms$", run.qdrant), run


@pytest.mark.parametrize("budget, seconds", [("3", 3), (None, 10)], ids=["3", "the default"])
def test_health_timeout_seconds_is_how_long_it_waits_in_all(peer, budget, seconds):
    run = health(peer(silent), HEALTH_TIMEOUT_SECONDS=budget, longest=seconds + LONGEST)
    assert run.code == 1 and run.seconds >= seconds - 0.2, run
    assert re.search(rf"no answer from \S+ within {seconds - 1}\d{{3}} ms$", run.qdrant), run


def test_a_qdrant_that_is_slow_on_a_busy_machine_is_healthy_within_the_budget(peer):
    def late(connection, p):
        time.sleep(2)
        answers(OK)(connection, p)
    run = health(peer(late), HEALTH_TIMEOUT_SECONDS=None, longest=10 + LONGEST)
    assert run.code == 0 and re.fullmatch(r"qdrant: ready \(2\d{3} ms\)", run.qdrant), run


@pytest.mark.parametrize("how", SLOW)
def test_both_are_asked_side_by_side_and_a_slow_one_takes_no_time_from_the_other(peer, how):
    make, text = SLOW[how]
    run = health(make(peer), make(peer))
    assert run.code == 1 and text in run.qdrant and "not answering: " + text in run.replicator, run
    run = health(peer(), make(peer))
    assert run.code == 0 and "ready" in run.qdrant and text in run.replicator, run
    run = health(make(peer), peer(answers(http(200, WELL))))
    assert run.code == 1 and text in run.qdrant and "replicator: ok" in run.replicator, run


@pytest.mark.parametrize("serve", [answers_and_stays(OK), dribbles(OK, 0.03), floods(OK), floods(b"HTTP/1.1 200 OK\r\n")])
def test_once_the_status_line_is_there_the_rest_may_come_as_slowly_or_as_fast_as_it_likes(peer, serve):
    run = health(peer(serve), peer(serve))
    assert run.code == 0 and "qdrant: ready" in run.qdrant and "replicator: ok" in run.replicator, run


def test_a_flood_without_a_status_line_is_cut_off(peer):
    run = health_at_once(peer(floods()), peer(floods()))
    assert run.code == 1 and "not HTTP" in run.qdrant and "not HTTP" in run.replicator, run


def test_a_qdrant_that_thinks_for_half_a_second_as_1_18_does_before_a_503_is_understood(peer):
    def thinks(connection, p):
        time.sleep(0.5)
        answers(http(503, b"some shards are not ready"))(connection, p)
    assert "answered 503" in health(peer(thinks)).qdrant


# ---------------------------------------------------------------- where to ask

@pytest.mark.parametrize("host, listens", [
    (None, "127.0.0.1"), ("", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"),
    ("localhost", "127.0.0.1"), ("127.0.0.3", "127.0.0.3"), ("::", "::1"), ("[::]", "::1"), ("::1", "::1"),
    ("0:0:0:0:0:0:0:1", "::1")])
def test_qdrant_is_asked_where_its_settings_say_that_it_listens(peer, host, listens):
    server = peer(host=listens)
    run = health(QDRANT__SERVICE__HOST=host, QDRANT__SERVICE__HTTP_PORT=str(server.port))
    assert run.code == 0, run
    assert f"\r\nHost: {server.at}\r\n".encode() in server.requests[0]


@pytest.mark.parametrize("form", ["{}", "http://{}", "http://{}/"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_health_qdrant_overrides_what_qdrants_variables_say(peer, form, host):
    server = peer(host=host)
    assert health(HEALTH_QDRANT=form.format(server.at), QDRANT__SERVICE__HTTP_PORT="1",
                  QDRANT__SERVICE__HOST="a.name").code == 0
    assert server.connections == 1


def test_localhost_and_wildcards_stand_for_loopback_in_health_qdrant_and_status_listen_too(peer):
    server, replicator = peer(), peer(answers(http(200, WELL)))
    for host in ("localhost", "LOCALHOST", "0.0.0.0", ""):
        run = health(HEALTH_QDRANT=f"{host}:{server.port}", EFS_ROOT="/x", STATUS_LISTEN=f"{host}:{replicator.port}")
        assert run.code == 0 and "replicator: ok" in run.replicator, run
    server, replicator = peer(host="::1"), peer(answers(http(200, WELL)), host="::1")
    run = health(HEALTH_QDRANT=f"[::]:{server.port}", EFS_ROOT="/x", STATUS_LISTEN=f"[::]:{replicator.port}")
    assert run.code == 0 and "replicator: ok" in run.replicator, run


def test_the_standard_addresses_are_those_of_qdrant_and_of_the_replicator():
    def work():
        server, replicator = Peer(port=6333), Peer(answers(http(200, WELL)), port=6336)
        for listen in (None, ""):
            run = health(EFS_ROOT="/x", STATUS_LISTEN=listen)
            assert run.code == 0 and "replicator: ok" in run.replicator, run
        assert b"GET /health HTTP/1.1\r\n" in replicator.requests[0]
        server.close()
        replicator.close()
    if not in_own_network(work):
        pytest.skip("needs the right to make a network namespace (CAP_SYS_ADMIN)")


def test_a_qdrant_that_listens_on_two_colons_is_found_in_a_container_without_ipv6():
    def work():
        server = Peer(port=7000)
        run = health(QDRANT__SERVICE__HOST="::", QDRANT__SERVICE__HTTP_PORT="7000")
        assert run.code == 0, run
        server.close()
        assert "nothing listens at 127.0.0.1:7000 (connection refused)" in health(HEALTH_QDRANT="[::]:7000").qdrant
    if not in_own_network(work, ipv6=False):
        pytest.skip("needs the right to make a network namespace without IPv6 (CAP_SYS_ADMIN)")


# ---------------------------------------------------------------- TLS

@pytest.mark.parametrize("value", ["true", "TRUE", "1", "on", "yes"])
def test_with_tls_only_the_port_is_checked_and_that_is_said(peer, value):
    server = peer(silent)
    run = health_at_once(QDRANT__SERVICE__HTTP_PORT=str(server.port), QDRANT__SERVICE__ENABLE_TLS=value)
    assert run.code == 0, run
    assert re.fullmatch(r"qdrant: 127.0.0.1:\d+ accepts connections \(\d+ ms\); it speaks TLS, so no more is checked",
                        run.qdrant)
    server.close()
    run = health(QDRANT__SERVICE__HTTP_PORT=str(server.port), QDRANT__SERVICE__ENABLE_TLS=value)
    assert run.code == 1 and "not ready: nothing listens at" in run.qdrant


@pytest.mark.parametrize("value", ["", "false", "0", "no", "off"])
def test_with_tls_off_readyz_is_asked(peer, value):
    server = peer(answers(http(503)))
    assert health(server, QDRANT__SERVICE__ENABLE_TLS=value).code == 1


def test_the_scheme_of_health_qdrant_says_whether_it_speaks_tls(peer):
    server = peer(answers(http(503)))
    assert health(server, QDRANT__SERVICE__ENABLE_TLS="true").code == 0
    assert health(HEALTH_QDRANT=f"http://{server.at}", QDRANT__SERVICE__ENABLE_TLS="true").code == 1
    assert health(HEALTH_QDRANT=f"https://{server.at}").code == 0


@pytest.mark.real
@pytest.mark.skipif(not REAL, reason="needs the real Qdrant server: QDRANT_BIN names it")
@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl, for a certificate")
def test_the_real_qdrant_with_tls_is_healthy_and_if_that_is_only_in_its_file_the_check_says_what_to_set(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
                    "-days", "2", "-subj", "/CN=localhost"], cwd=tmp_path, check=True, capture_output=True)
    server = Server("real", tmp_path, env={"QDRANT__SERVICE__ENABLE_TLS": "true",
                                           "QDRANT__TLS__CERT": str(tmp_path / "cert.pem"),
                                           "QDRANT__TLS__KEY": str(tmp_path / "key.pem")})
    env = {k: v for k, v in server.env.items() if k.startswith("QDRANT__SERVICE__")}
    with open(server.log, "wb") as log:
        server.process = subprocess.Popen([REAL], cwd=server.work, env=server.env, stdout=log, stderr=log)
    try:
        wait_for(lambda: health(**env).code == 0)
        assert "speaks TLS" in health(**env).qdrant
        unaware = health(**env | {"QDRANT__SERVICE__ENABLE_TLS": None})
        assert unaware.code == 1 and "set QDRANT__SERVICE__ENABLE_TLS=true" in unaware.qdrant, unaware
    finally:
        server.kill()


@pytest.mark.real
@pytest.mark.skipif(not REAL, reason="needs the real Qdrant server: QDRANT_BIN names it")
@pytest.mark.parametrize("host", ["::", "[::]", "0.0.0.0", "localhost", "::1"])
def test_the_real_qdrant_is_found_wherever_it_listens(tmp_path, host):
    server = Server("real", tmp_path, env={"QDRANT__SERVICE__HOST": host})
    with open(server.log, "wb") as log:
        server.process = subprocess.Popen([REAL], cwd=server.work, env=server.env, stdout=log, stderr=log)
    try:
        wait_for(lambda: health(**{k: v for k, v in server.env.items() if k.startswith("QDRANT__SERVICE__")}).code == 0)
    finally:
        server.kill()


# ---------------------------------------------------------------- the replicator

def test_a_replicator_that_is_well_is_told_with_what_it_says(peer):
    run = health(peer(), peer(answers(http(200, WELL))))
    assert run.code == 0 and len(run.lines) == 2
    assert re.fullmatch(r'replicator: ok \(\d+ ms\): {"status":"ok","reasons":\[\]}', run.replicator), run


TROUBLES = {
    "says that it fails": (lambda peer: peer(answers(http(503, FAILING))),
                           r'failing: \S+ answered 503 \(\d+ ms\): {"status":"failing",'
                           r'"reasons":\["no backup for 45 min"\]}'),
    "answers something else": (lambda peer: peer(answers(http(404, b"no such page"))),
                               r"failing: \S+ answered 404 \(\d+ ms\): no such page"),
    "is gone": (lambda peer: Nobody(), r"not answering: nothing listens at \S+ \(connection refused\); its lines in the container's log say whether it runs"),
    "hangs": (lambda peer: peer(silent), r"not answering: no answer from \S+ within \d+ ms; its lines .*"),
    "is no HTTP server": (lambda peer: peer(answers(b"220 mail\r\n")), r"not answering: what \S+ answers is not HTTP; its lines .*"),
}


@pytest.mark.parametrize("how", TROUBLES)
def test_a_replicator_in_trouble_is_told_and_counts_only_with_health_strict(peer, how):
    make, text = TROUBLES[how]
    server, replicator = peer(), make(peer)
    for strict, code in ((None, 0), ("", 0), ("0", 0), ("1", 1)):
        run = health(server, replicator, HEALTH_STRICT=strict)
        assert run.code == code and "qdrant: ready" in run.qdrant
        assert re.fullmatch("replicator: " + text, run.replicator), run


def test_a_replicator_that_is_well_does_not_make_up_for_a_qdrant_that_is_not(peer):
    for strict in ("0", "1"):
        run = health(Nobody(), peer(answers(http(200, WELL))), HEALTH_STRICT=strict)
        assert run.code == 1 and "replicator: ok" in run.replicator


@pytest.mark.parametrize("listen", ["127.0.0.1:{}", ":{}", "localhost:{}", "0.0.0.0:{}", "[::1]:{}", "[::]:{}"])
def test_our_own_replicator_is_found_wherever_it_listens_and_what_it_says_is_told(container, peer, listen):
    efs, snapshots = container.root / "efs", container.root / "snapshots"
    efs.mkdir()
    snapshots.mkdir()
    env = {"EFS_ROOT": str(efs), "STATUS_LISTEN": listen.format(free_port()), "HEALTH_STRICT": "1"}
    server = peer()
    container.start(container.qdrant_program("TERM=0"), REPLICATOR_BIN=str(BUILD / "qdrant-replicator"),
                    SNAPSHOTS_DIR=str(snapshots), QDRANT_URL="http://127.0.0.1:1", **env)
    wait_for(lambda: "not answering" not in health(server, **env).replicator)
    told = health(server, **env)
    assert re.search(r' ms\): {.*"status": ?"(ok|failing)"', told.replicator), told
    assert told.code == (0 if "replicator: ok" in told.replicator else 1), told
    wait_for(container.qdrant.starts)  # and minds TERM
    assert container.stop()[0] == 0
    assert "not answering" in health(server, **env).replicator


@pytest.mark.parametrize("env, why", [({"EFS_ROOT": None}, "EFS_ROOT is not set"), ({"EFS_ROOT": ""}, "EFS_ROOT is not set"),
                                      ({"STATUS_LISTEN": "off"}, "STATUS_LISTEN is off")])
def test_a_replicator_that_need_not_be_there_is_not_asked_and_that_is_said(peer, env, why):
    replicator = peer(answers(http(503, FAILING)))
    for strict in ("0", "1"):
        run = health(peer(), replicator, **env, HEALTH_STRICT=strict)
        assert run.code == 0 and run.replicator.startswith(f"replicator: not asked: {why}"), run
    assert replicator.connections == 0


@pytest.mark.parametrize("value", ["6336", ":x", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:6336", "a.name:6336",
                                   "OFF", "http://127.0.0.1:6336"])
def test_a_wrong_setting_of_the_backups_is_told_but_makes_qdrant_unhealthy_only_with_health_strict(peer, value):
    for strict, code in (("0", 0), ("1", 1)):
        run = health(peer(), EFS_ROOT="/x", STATUS_LISTEN=value, HEALTH_STRICT=strict)
        assert run.code == code, run
        assert run.replicator.startswith(f"replicator: cannot be asked: STATUS_LISTEN={value} is not allowed; use "), run


@pytest.mark.parametrize("body, shown", [
    (b"\x1b[2J\x1b]0;x\x07 a\r\n b\tc\0d\x7f\n\n", "?[2J?]0;x? a   b c?d?"),
    ('"caf\u00e9"'.encode() + b"\xff", '"caf??"?'),
    (b"x" * 10000, "x" * 596 + "..."), (b"\n \t\r\n", ""), (b"%s%n%1000d", "%s%n%1000d")])
def test_what_the_replicator_says_cannot_leave_its_line_or_move_the_cursor(peer, body, shown):
    run = health(peer(), peer(answers(http(503, body))))
    assert len(run.lines) == 2 and run.out.isascii()
    assert re.sub(r".*? ms\)", "", run.replicator) == (f": {shown}" if shown else ""), run


# ---------------------------------------------------------------- settings and arguments

WRONG = [("HEALTH_QDRANT", v) for v in ("x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:+1",
                                        "127.0.0.1: 1", "a.name:6333", "http://127.0.0.1", "http://a.name:6333", ":",
                                        "::1:6333", "[::1]", "[::1:6333", "[127.0.0.1]:6333", "ftp://127.0.0.1:1", "1:2:3",
                                        "http://127.0.0.1:6333/path", "127.1:6333", "x" * 5000, "\x1b[2J\n")]
WRONG += [("HEALTH_STRICT", v) for v in ("2", "true", "yes", " 1")]
WRONG += [("HEALTH_TIMEOUT_SECONDS", v) for v in ("0", "-1", "+1", "1.5", "x", " 1", "1 ", "61", "9" * 40)]
WRONG += [("HEALTH_START_SECONDS", v) for v in ("-1", "+1", "1.5", "x", " 1", "1 ", "86401", "9" * 40)]
WRONG += [("QDRANT__SERVICE__HTTP_PORT", v) for v in ("0", "65536", "-1", "x", "6333 ", "9" * 40)]
WRONG += [("QDRANT__SERVICE__HOST", v) for v in ("qdrant.internal", "127.0.0.1:6333", "256.0.0.1", "fe80::1%lo", "[::", "*")]


@pytest.mark.parametrize("name, value", WRONG)
def test_a_wrong_setting_is_one_line_with_its_name_its_value_and_what_is_allowed_and_ends_with_64(name, value):
    run = health_at_once(**{name: value})
    shown = re.sub(r"[^ -~]", "?", value.replace("\n", " "))
    shown = shown if len(shown) < 104 else shown[:100] + "..."
    assert run.code == 64 and run.out == "", run
    assert run.err.startswith(f"qdrant-entrypoint health: {name}={shown} is not allowed; use "), run
    assert run.err.count("\n") == 1


@pytest.mark.parametrize("args", [["x"], ["--strict"], ["--help", "x"], [""]])
def test_a_wrong_argument_ends_with_64(args):
    run = health(args=["health", *args])
    assert run.code == 64 and run.out == "" and "no argument but --help" in run.err, run


def test_help_names_the_exit_codes():
    for flag in ("--help", "-h"):
        run = health(args=["health", flag])
        assert run.code == 0 and "0 healthy, 1 unhealthy, 64" in run.out, run


@pytest.mark.parametrize("argv", [["--config-path", "health"], ["--", "health"], ["-health"]])
def test_only_health_in_the_first_place_is_the_subcommand(container, argv):
    folder = container.root / "path"
    folder.mkdir()
    shown = container.script("path/health", "echo started \"$@\"; exit 5")
    path = f"{folder}:{os.environ['PATH']}"
    assert container.run(argv=argv, QDRANT_BIN=shown, PATH=path, EFS_ROOT="") == 5
    assert container.output() == " ".join(["started", *(argv if argv[0] != "--" else [])]) + "\n"


# ---------------------------------------------------------------- the container's start

def inside(container):
    """What runs a program in the container, as `docker exec` does."""
    return ["nsenter", "-t", str(container.pid), "-p", "-m"]


@pytest.fixture
def young(containers):
    """A container that has just started and whose Qdrant is not there yet."""
    if not can_be_pid_1() or not shutil.which("nsenter"):
        pytest.skip("needs nsenter, and the right to make a PID namespace (CAP_SYS_ADMIN)")
    made = containers(as_pid_1=True)
    made.start(made.qdrant_program("TERM=0"))
    wait_for(made.qdrant.starts)  # before that its /proc may still be the machine's, whose process 1 is old
    return made


def test_while_the_container_is_young_a_qdrant_that_is_not_there_yet_is_starting(young):
    nobody = Nobody()
    run = health(nobody, prefix=inside(young), HEALTH_START_SECONDS="600")
    assert run.code == 0, run
    assert re.fullmatch(rf"qdrant: starting: nothing listens at {nobody.at} \(connection refused\); for \d s of HEALTH_START_SECONDS=600",
                        run.qdrant)


def test_while_the_container_is_young_a_qdrant_that_says_itself_that_it_is_not_ready_is_starting(young, peer):
    run = health(peer(answers(http(503))), prefix=inside(young), HEALTH_START_SECONDS="600")
    assert run.code == 0 and "qdrant: starting: " in run.qdrant and "503" in run.qdrant


def test_once_the_container_is_old_enough_a_qdrant_that_is_not_there_is_not_ready(young):
    time.sleep(2.1)
    run = health(Nobody(), prefix=inside(young), HEALTH_START_SECONDS="2")
    assert run.code == 1 and "qdrant: not ready: " in run.qdrant, run


def test_without_health_start_seconds_nothing_is_starting(young):
    for value in (None, "", "0"):
        run = health(Nobody(), prefix=inside(young), HEALTH_START_SECONDS=value)
        assert run.code == 1 and "not ready" in run.qdrant, run


@pytest.mark.parametrize("serve", [silent, closes, answers(http(500)), answers(b"x\r\n")])
def test_a_qdrant_that_is_there_and_misbehaves_is_never_starting(young, peer, serve):
    run = health(peer(serve), prefix=inside(young), HEALTH_START_SECONDS="600")
    assert run.code == 1 and "not ready" in run.qdrant, run


def test_a_start_does_not_excuse_the_replicator(young):
    run = health(Nobody(), Nobody(), prefix=inside(young), HEALTH_START_SECONDS="600", HEALTH_STRICT="1")
    assert run.code == 1 and "starting" in run.qdrant and "not answering" in run.replicator, run


def test_the_check_does_not_wake_process_1_up_once(young, peer):
    server, replicator = peer(), peer(answers(http(200, WELL)))
    wait_for(lambda: young.qdrant.starts() and young.replicator.starts())
    wait_until_quiet(young.pid)
    before = young.stderr.read_text(), switches(young.pid), cpu_ticks(young.pid)
    for _ in range(10):
        assert health(server, replicator, prefix=inside(young)).code == 0
    assert (young.stderr.read_text(), switches(young.pid), cpu_ticks(young.pid)) == before
    assert young.qdrant.signals() == [] and young.stop()[0] == 0


# ---------------------------------------------------------------- what it needs, what it touches

WITHOUT_PROC = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"]


@pytest.mark.skipif(subprocess.run([*WITHOUT_PROC, "true"], capture_output=True).returncode != 0,
                    reason="needs the right to mount (CAP_SYS_ADMIN)")
@pytest.mark.skipif(not BARE, reason="sanitizers and tools need /proc")
def test_it_needs_no_proc(peer):
    assert health(peer(), peer(answers(http(200, WELL))), prefix=WITHOUT_PROC, HEALTH_START_SECONDS="600").code == 0
    run = health(Nobody(), prefix=WITHOUT_PROC, HEALTH_START_SECONDS="600")
    assert run.code == 1 and "not ready" in run.qdrant and "does not tell the container's age" in run.qdrant, run


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_it_works_as_another_user(peer):
    with for_everyone(ENTRYPOINT) as copy:
        assert health(peer(), peer(answers(http(200, WELL))), program=copy, prefix=[],
                      before_exec=lambda: os.setuid(54321)).code == 0


@pytest.mark.skipif(not BARE, reason=NOT_BARE)
def test_the_exit_code_is_right_whether_or_not_somebody_reads_the_output(peer):
    server, nobody = peer(), Nobody()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    full = writing
    closed_reading, closed = os.pipe()
    os.close(closed_reading)
    for stdout in (full, closed, None):
        for who, code in ((server, 0), (nobody, 1)):
            begun = time.monotonic()
            run = subprocess.run([ENTRYPOINT, "health"], env=environment(who), stdout=stdout, timeout=60,
                                 preexec_fn=None if stdout else lambda: os.closerange(0, 3))
            assert run.returncode == code and time.monotonic() - begun < LONGEST
    for fd in (reading, full, closed):
        os.close(fd)


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, to see what it opens")
@pytest.mark.skipif(not BARE, reason=NOT_BARE)
def test_it_opens_nothing_but_libc_and_dev_null_and_with_health_start_seconds_the_stat_of_process_1(peer, tmp_path):
    trace = tmp_path / "trace"
    well = peer(), peer(answers(http(200, WELL)))
    for peers, allowed in ((well, set()), ((Nobody(), Nobody()), {"/proc/1/stat"})):
        health(*peers, prefix=["strace", "-f", "-o", trace, "-e", "trace=file"], longest=10, EFS_ROOT=str(tmp_path / "efs"),
               QDRANT__STORAGE__SNAPSHOTS_PATH=str(tmp_path), HEALTH_START_SECONDS="600")
        calls = [line for line in trace.read_text().splitlines() if "execve(" not in line and "(" in line]
        paths = {path for line in calls for path in re.findall(r'"([^"]*)"', line)}
        loader = {p for p in paths if re.match(r"/etc/ld\.so\.|/(usr/)?lib(64)?/.*libc\.so\.6$", p)}
        assert len(calls) >= 3 and loader, calls
        assert paths - loader - {"/dev/null", ""} == allowed, calls


@pytest.mark.skipif(not usable(), reason="needs root and /dev/fuse, for a file system that hangs")
def test_an_efs_that_hangs_does_not_hang_it(peer, tmp_path):
    efs = Frozen(tmp_path / "frozen-efs")
    try:
        run = health(peer(), peer(answers(http(503, FAILING))), EFS_ROOT=efs.folder)
        assert run.code == 0 and "failing" in run.replicator and efs.asked == [], run
    finally:
        efs.thaw()


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace: system calls fail by it")
@pytest.mark.skipif(not BARE, reason=NOT_BARE)
@pytest.mark.parametrize("call, text", [("socket", "cannot ask"), ("connect", "cannot ask"), ("getsockopt", "cannot ask"),
                                        ("sendto", "cannot ask"), ("recvfrom", "cannot ask"), ("?poll,ppoll", "cannot ask")])
def test_a_system_call_that_fails_is_told_with_its_reason_and_is_not_ready(peer, call, text):
    prefix = ["strace", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error=ENOMEM"]
    run = health(peer(), peer(), prefix=prefix, longest=10)
    assert run.code == 1
    if "poll" not in call:  # without poll nothing can be printed without the risk to wait
        assert f"{text} " in run.qdrant and "Cannot allocate memory" in run.qdrant, run


@pytest.mark.skipif(not BARE, reason=NOT_BARE)
def test_signals_of_a_tool_do_not_end_its_wait(peer):
    """STOP and CONT interrupt poll; the deadline counts on."""
    process = subprocess.Popen([ENTRYPOINT, "health"], env=environment(peer(silent)), stdout=subprocess.PIPE, text=True)
    begun = time.monotonic()
    for _ in range(5):
        time.sleep(0.05)
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 1 and "no answer" in out
    assert DEADLINE - 0.1 <= time.monotonic() - begun < LONGEST


@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind")
@pytest.mark.skipif(not BARE, reason=NOT_BARE)
@pytest.mark.parametrize("serve", [answers(OK), answers(http(503, b"x" * 9000)), floods(), resets, silent],
                         ids=["well", "long", "flood", "reset", "silent"])
def test_valgrind_finds_nothing(peer, serve):
    valgrind = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--track-fds=yes"]
    run = health(peer(serve), peer(serve), prefix=valgrind, longest=30, HEALTH_START_SECONDS="600")
    assert run.code in (0, 1) and len(run.lines) == 2, run
    opened = re.findall(r"Open (?:AF_INET )?(?:file descriptor|socket).*\n==\d+== *(.*)", run.err)
    assert set(opened) <= {"<inherited from parent>"}, run


@pytest.mark.skipif(not BARE, reason=NOT_BARE)
def test_it_is_cheap(peer):
    """Docker runs it every few seconds beside Qdrant."""
    server, replicator = peer(), peer(answers(http(200, WELL)))
    before = os.times()
    for _ in range(20):
        health_at_once(server, replicator)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used / 20 < 0.05, used
