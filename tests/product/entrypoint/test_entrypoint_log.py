"""Log lines: right for machines whatever is in them, and never a reason to wait."""
import fcntl
import json
import os
import random
import re
import signal
import socket
import subprocess
import time

import pytest
from harness import wait_for
from running import ENTRYPOINT, children, for_everyone, wait_until_quiet

ALLOWED = " is not allowed; use a whole number from 1 to 3600 (25 is used)"


def lines_for(container, value, **env):
    """What the entrypoint says about STOP_GRACE_SECONDS=value, as bytes."""
    env = {k.encode(): v.encode() for k, v in (container.env | env).items()}
    env[b"STOP_GRACE_SECONDS"] = value
    run = subprocess.run([ENTRYPOINT, "--", "true"], env=env, capture_output=True)
    assert run.returncode == 0
    return run.stderr


def message_about(container, value):
    return next(o["message"] for o in map(json.loads, lines_for(container, value).splitlines())
                if o["event"] == "wrong_setting")


def fill(pipe):
    """Fill it to the last byte, by a description of our own so that the shared one stays as it is."""
    own = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    for size in (65536, 4096, 1):
        try:
            while True:
                os.write(own, b"x" * size)
        except BlockingIOError:
            pass
    os.close(own)


def drain(pipe):
    """All that is in it."""
    os.set_blocking(pipe, False)
    data = b""
    try:
        while chunk := os.read(pipe, 65536):
            data += chunk
    except BlockingIOError:
        pass
    return data


def test_every_line_is_one_json_object_with_the_five_fields(anywhere):
    anywhere.start_both("TERM=0", replicator=["TERM=1"])
    assert anywhere.stop()[0] == 0
    lines = [json.loads(line) for line in anywhere.stderr.read_text().splitlines()]
    for line in lines:
        assert list(line) == ["time", "level", "program", "event", "message"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["time"])
        assert line["level"] in ("debug", "info", "warn", "error") and line["program"] == "qdrant-entrypoint"
    said = [(line["level"], line["event"]) for line in lines]
    assert sorted(said[:2]) == [("info", "qdrant_started"), ("info", "replicator_started")]  # each when it runs
    assert said[2] == ("info", "stop_asked")
    assert sorted(said[3:]) == [("info", "qdrant_ended"), ("info", "replicator_ended")]
    started = next(line["message"] for line in lines if line["event"] == "qdrant_started")
    assert started.endswith(f", pid {anywhere.qdrant.starts()[0][0]}")


def test_text_lines_have_the_same_in_words(container):
    assert container.run(["sh", "-c", "exit 3"], LOG_FORMAT="text", EFS_ROOT="") == 3
    lines = container.stderr.read_text().splitlines()
    parts = ("warn  no_backups: EFS_ROOT is", "info  qdrant_started: started", "error qdrant_ended: Qdrant")
    assert len(lines) == len(parts)
    for line, rest in zip(lines, parts):
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ " + rest, line), line


@pytest.mark.parametrize("level, events", [
    ("debug", ["signal", "qdrant_started", "no_backups", "qdrant_ended"]),
    ("info", ["qdrant_started", "no_backups", "qdrant_ended"]),
    ("", ["qdrant_started", "no_backups", "qdrant_ended"]),
    ("warn", ["no_backups", "qdrant_ended"]),
    ("error", ["qdrant_ended"])])  # one that ended by itself
def test_log_level_is_respected(container, level, events):
    container.start_both("HUP=1", LOG_LEVEL=level, EFS_ROOT="")
    container.signal("HUP")
    time.sleep(0.3)
    os.kill(container.qdrant.pid(), signal.SIGHUP)
    assert container.end() == 1
    assert sorted(line["event"] for line in container.log()) == sorted(events)


def test_values_in_any_encoding_come_out_as_json_with_a_mark_for_what_is_not_utf8(container):
    dice = random.Random(3)
    awkward = [b'"', b"\\", b'\\"', b"a\tb\r\n\x01\x1f\x7f", "é€𝄞\u2028\u0085\uffff".encode(), b"\xff",
               b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xf0\x9f\x92", b"\x80\xbf",
               b"\xc3(", b"\xe2\x28\xa1", b"\xf8\x88"]
    pool = [bytes([b]) for b in range(1, 256)] + awkward
    values = awkward + [b"x" + b"".join(dice.choices(pool, k=60)) for _ in range(100)]
    for value in values:
        shown = value[:200].decode("utf-8", "replace")
        assert message_about(container, value) == f"STOP_GRACE_SECONDS={shown}{ALLOWED}"


def test_a_value_cannot_forge_a_line_or_reach_the_terminal(container):
    for log_format in ("json", "text"):
        out = lines_for(container, b"1\n{\"event\":\"forged\"}\n\x1b[2J\xc2\x9b2J", LOG_FORMAT=log_format)
        assert b"\x1b" not in out and b"\xc2\x9b" not in out
        assert not [line for line in out.splitlines() if line.startswith(b'{"event"')]


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("text", [b"y", "€".encode(), b"\x01", b"\xff", b'"'], ids=repr)
def test_a_very_long_line_is_cut_and_stays_whole(container, text, log_format):
    env = container.env | {"LOG_FORMAT": log_format, "LOG_LEVEL": "error", "EFS_ROOT": ""}
    run = subprocess.run([ENTRYPOINT, "--", text * 30000], env=env, capture_output=True)
    line = run.stderr.splitlines()[0]
    assert run.returncode == 126 and b"cannot_run" in line
    assert 4080 < len(line) < 4096, "PIPE_BUF: more would not go into a pipe as a whole"
    assert (json.loads(line)["message"] if log_format == "json" else line.decode()).endswith("...")


def test_a_very_long_value_leaves_room_for_what_is_allowed(container):
    assert message_about(container, b"x" * 100000) == f"STOP_GRACE_SECONDS={'x' * 200}{ALLOWED}"


def test_no_argument_and_no_secret_is_in_any_line(container):
    assert container.run(argv=["--api-key", "s3cret"], QDRANT_BIN="true", QDRANT__SERVICE__API_KEY="s3cret",
                         QDRANT_API_KEY="s3cret", STOP_GRACE_SECONDS="x") == 0
    assert "s3cret" not in container.stderr.read_text()


def ends_with(code):
    """A Qdrant that ends with this code on TERM, for users that cannot write the record."""
    return ["sh", "-c", f"trap 'exit {code}' TERM; while :; do sleep 0.05; done"]


def runs(pid):
    """The shell of ends_with has its trap and is in its loop."""
    return children(pid) and children(children(pid)[0])


@pytest.mark.parametrize("user", [0, 54321], ids=["own description", "shared description"])
def test_a_full_stderr_that_nobody_reads_holds_nothing_up_and_what_was_lost_is_counted(container, user):
    """Another user than the pipe's owner cannot open it again and has to write to the shared description."""
    if os.geteuid() != 0 and user:
        pytest.skip("needs root, to become another user")
    reading, writing = os.pipe()
    fill(writing)
    with for_everyone(ENTRYPOINT) as program:
        p = subprocess.Popen([program, "--", *ends_with(17)], env=container.env | {"EFS_ROOT": ""},
                             stderr=writing, cwd="/", preexec_fn=lambda: user and os.setuid(user))
        wait_for(lambda: runs(p.pid))
        wait_until_quiet(p.pid)
        assert len(drain(reading)) >= 65536
        begun = time.monotonic()
        p.terminate()
        assert p.wait(30) == 17 and time.monotonic() - begun < 3
    lines = [json.loads(line) for line in drain(reading).splitlines()]
    assert [line["event"] for line in lines] == ["lines_lost", "stop_asked", "qdrant_ended"]
    assert lines[0]["message"].startswith("2 log lines were lost")
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("user", [0, 54321], ids=["own description", "shared description"])
def test_the_stop_works_while_stderr_stays_full(container, user):
    if os.geteuid() != 0 and user:
        pytest.skip("needs root, to become another user")
    reading, writing = os.pipe()
    fill(writing)
    with for_everyone(ENTRYPOINT) as program:
        p = subprocess.Popen([program, "--", *ends_with(18)], env=container.env | {"STOP_GRACE_SECONDS": "2"},
                             stderr=writing, cwd="/", preexec_fn=lambda: user and os.setuid(user))
        wait_for(lambda: runs(p.pid))
        begun = time.monotonic()
        p.terminate()
        assert p.wait(30) == 18 and time.monotonic() - begun < 4
    os.close(reading)
    os.close(writing)


def test_stderr_does_not_become_non_blocking_for_qdrant(container):
    reading, writing = os.pipe()
    container.start_both("TERM=0", stderr=writing)
    assert not fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK
    assert container.stop()[0] == 0
    assert b"qdrant_started" in drain(reading)
    os.close(reading)
    os.close(writing)


def test_a_stderr_whose_reader_is_gone_ends_nothing(anywhere):
    reading, writing = os.pipe()
    os.close(reading)
    anywhere.start_both("TERM=19", stderr=writing)
    assert anywhere.stop()[0] == 19
    os.close(writing)


def test_a_socket_as_stderr_works_full_or_not(container):
    ours, theirs = socket.socketpair()
    env = container.env | {"EFS_ROOT": ""}
    p = subprocess.Popen([ENTRYPOINT, "--", *ends_with(20)], env=env, stderr=theirs)
    wait_for(lambda: runs(p.pid))
    assert b"qdrant_started" in ours.recv(65536)
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            theirs.send(b"x" * 1000)
    theirs.setblocking(True)
    begun = time.monotonic()
    p.terminate()
    assert p.wait(30) == 20 and time.monotonic() - begun < 3


def test_a_file_as_stderr_is_appended_to_where_the_shared_position_is(container):
    with open(container.root / "log", "wb") as f:
        f.write(b"before\n")
        f.flush()
        run = subprocess.run([ENTRYPOINT, "--", "sh", "-c", "echo from Qdrant >&2"], stderr=f,
                             env=container.env | {"EFS_ROOT": "", "LOG_FORMAT": "text"})
    assert run.returncode == 0
    lines = (container.root / "log").read_text().splitlines()
    assert lines[0] == "before" and "from Qdrant" in lines and len(lines) == 5
