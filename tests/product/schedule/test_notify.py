"""NOTIFY_URL: told of each good run and of failures, and nothing waits for it."""
import http.server
import json
import os
import signal
import threading
import time

import pytest
from bad_server import status
from harness import events, tar_of, wait_for
from scheduling import DAY, from_now

SECRET = "/5d3c-nobody-may-see"


class Receiver:
    """Takes what is told: (path, document, how many backups there were then). `code` is what it answers, None: nothing, ever."""

    def __init__(self, tree):
        receiver = self
        self.told, self.code, self.closing = [], 200, threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                assert self.headers["content-type"] == "application/json"
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                there = len([p for p in tree.base.glob("*/*/*.json") if p.parts[-3] in ("15min", "hourly", "daily", "monthly")])
                receiver.told.append((self.path, body, there))
                if receiver.code is None:
                    receiver.closing.wait(60)
                    return
                self.send_response(receiver.code)
                self.send_header("content-length", "0")
                self.end_headers()

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}{SECRET}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def receiver(tree):
    r = Receiver(tree)
    yield r
    tree.stop()
    r.close()
    assert SECRET[1:] not in (tree.root / "log").read_text()


def test_a_run_is_told_when_all_of_it_is_on_efs_and_once(bad, tree, receiver):
    bad.names = ["a", "b", "c"]
    tree.start(SNAPSHOT_INTERVAL=DAY, NOTIFY_URL=receiver.url, NODE_NAME="n1", LOG_LEVEL="debug")
    wait_for(lambda: receiver.told, 60)
    path, body, there = receiver.told[0]
    assert path == SECRET and there == 3 == len(tree.complete())
    assert {k: body[k] for k in ("event", "node", "tree", "collections", "made", "failed", "waiting", "health", "reasons")} == {
        "event": "success", "node": "n1", "tree": "test-cpu", "collections": 3, "made": 3, "failed": 0, "waiting": 0, "health": "ok",
        "reasons": []}
    assert body["slot"].endswith("T00:00:00Z") and body["bytes"] > 0 and body["seconds"] >= 0 and body["version"]
    wait_for(lambda: tree.logged("notified"))
    looks = len(bad.order())
    time.sleep(3)  # two looks of the notifier
    assert len(receiver.told) == 1 and len(bad.order()) == looks


def test_a_run_that_made_less_is_told_with_fail_behind_the_path(bad, tree, receiver):
    bad.names = ["good", "sick"]
    bad.answers[("make", "sick")] = status(500)
    tree.start(NOTIFY_URL=receiver.url + "?create=1", **from_now(20))
    wait_for(lambda: receiver.told, 90)
    path, body, _ = receiver.told[0]
    assert path == SECRET + "/fail?create=1" and body["event"] == "failure" and body["failed"] == 1 and body["made"] >= 1


@pytest.mark.parametrize("code", [500, 404, 302])
def test_an_address_that_refuses_is_said_once_and_backups_go_on(bad, tree, receiver, code):
    receiver.code = code
    tree.start(SNAPSHOT_INTERVAL=DAY, NOTIFY_URL=receiver.url)
    wait_for(lambda: tree.logged("notify_failed"), 120)
    line, = tree.logged("notify_failed")
    assert line["level"] == "warn" and f"127.0.0.1: it answered {code}" in line["message"] and len(receiver.told) == 3
    assert len(tree.complete()) == 1


def test_one_that_never_answers_holds_up_no_backup_and_no_stop(bad, tree, receiver):
    receiver.code = None
    p = tree.start(SNAPSHOT_INTERVAL=DAY, NOTIFY_URL=receiver.url)
    wait_for(lambda: receiver.told, 60)
    tree.snapshot("c", "c-1-2026-11-24-07-59-23", tar_of("more"))
    wait_for(lambda: len(tree.complete()) == 2, 30)
    begin = time.monotonic()
    p.send_signal(signal.SIGTERM)
    assert p.wait(20) == 0 and time.monotonic() - begin < 5


def test_the_address_of_a_file_is_read_each_time(bad, tree, receiver):
    path = tree.root / "url"
    path.write_text("http://127.0.0.1:1/old\n")
    path.chmod(0o600)
    tree.start(SNAPSHOT_INTERVAL=DAY, NOTIFY_URL_FILE=str(path), NOTIFY_URL="http://127.0.0.1:1/none")
    path.write_text(receiver.url + "\n")  # before the run has settled
    wait_for(lambda: receiver.told, 60)
    assert receiver.told[0][0] == SECRET


@pytest.mark.parametrize("name,value", [("NOTIFY_URL", "ftp://x/secret"), ("NOTIFY_URL", "hc-ping.com/secret"), ("NOTIFY_URL_FILE", "/nope"),
                                        ("NOTIFY_URL_FILE", os.devnull)])
def test_a_wrong_address_is_named_and_not_shown(tree, name, value):
    run = tree.once(**{name: value})
    line, = events(run.stderr)
    assert run.returncode == 64 and f"{name}=" in line["message"] and "https://HOST/PATH" in line["message"] and "secret" not in run.stderr


def test_it_has_no_flag(tree):
    run = tree.replicator("--notify-url", "https://hc-ping.com/secret")
    assert run.returncode == 64 and "--notify-url" in run.stderr and "secret" not in run.stderr
