"""The real Qdrant under the entrypoint."""
import os
import signal
import socket
import time

import pytest
from harness import wait_for
from running import ENTRYPOINT, children
from server import REAL, Server

pytestmark = [pytest.mark.real,
              pytest.mark.skipif(not REAL, reason="needs the real Qdrant server: QDRANT_BIN names it")]


@pytest.fixture
def supervised(tmp_path):
    """Makes servers whose process is the entrypoint."""
    made = []

    def make(**env):
        env = {"QDRANT_BIN": REAL, "QDRANT_INIT_FILE_PATH": ".qdrant-initialized", "EFS_ROOT": None} | env
        server = Server("real", tmp_path / str(len(made)), env=env)
        server.program = str(ENTRYPOINT)
        made.append(server)
        return server

    yield make
    for server in made:
        if server.process and server.process.poll() is None:
            for pid in children(server.process.pid):
                os.kill(pid, signal.SIGKILL)
            server.kill()


def fully_up(server):
    """Qdrant writes this file once all its services listen."""
    wait_for(lambda: (server.work / ".qdrant-initialized").exists())


def test_a_stop_ends_it_with_0_and_what_was_written_is_there_after_the_next_start(supervised):
    server = supervised()
    server.start()
    fully_up(server)
    server.result("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}})
    points = [{"id": n, "vector": [n, 1, 2, 3]} for n in range(1, 101)]
    server.result("PUT", "/collections/c/points", {"points": points})
    assert server.stop() == 0
    server.start()
    assert server.result("POST", "/collections/c/points/count", {"exact": True})["count"] == 100
    fully_up(server)
    assert server.stop() == 0


def test_further_stop_signals_neither_shorten_nor_stretch_the_stop_of_a_busy_one(supervised):
    """A request that never ends keeps it from stopping, for 30 s; the budget is over before."""
    server = supervised(STOP_GRACE_SECONDS="4")
    server.start()
    fully_up(server)
    stuck = socket.create_connection(("127.0.0.1", server.port))
    stuck.sendall(b"PUT /collections/c HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    server.ready()  # one worker: it has seen the other connection by now
    begun = time.monotonic()
    for name in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        server.process.send_signal(name)
        time.sleep(0.5)
    assert server.process.wait(30) == 137
    assert 4 <= time.monotonic() - begun < 6
    stuck.close()


def test_killed_while_starting_it_comes_back_in_recovery_mode(supervised):
    server = supervised(QDRANT_ALLOW_RECOVERY_MODE="true")
    mark = server.work / ".qdrant-initialized"
    server.wait_until_ready = lambda: None
    server.start()
    wait_for(lambda: children(server.process.pid))
    os.kill(children(server.process.pid)[0], signal.SIGKILL)
    assert not mark.exists(), "it was up already"
    del server.wait_until_ready
    server.wait_until_ready()
    assert "\napp_status_recovery_mode 1\n" in server.request("GET", "/metrics")[1]
    fully_up(server)
    assert server.stop() == 0


def test_killed_once_it_was_up_it_ends_with_137(supervised):
    server = supervised(QDRANT_ALLOW_RECOVERY_MODE="true")
    server.start()
    fully_up(server)
    os.kill(children(server.process.pid)[0], signal.SIGKILL)
    assert server.process.wait(30) == 137
