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
    """Until gRPC answers, too: a stop signal that comes before it listens is one that it never sees."""
    port = int(server.env["QDRANT__SERVICE__GRPC_PORT"])

    def answers():
        with socket.create_connection(("127.0.0.1", port), 10) as grpc:
            grpc.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")  # empty SETTINGS
            return grpc.recv(1)
    wait_for(answers)


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
    """A request that never ends keeps it from stopping, mostly for 30 s; the budget is over before. HUP would
    end it at once, with 129."""
    server = supervised(STOP_GRACE_SECONDS="4")
    server.start()
    fully_up(server)
    stuck = socket.create_connection(("127.0.0.1", server.port))
    stuck.sendall(b"PUT /collections/c HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")
    assert b" 100 " in stuck.recv(100), "it waits for the body now"
    begun = time.monotonic()
    for name in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        server.process.send_signal(name)
        time.sleep(0.5)
    code, seconds = server.process.wait(30), time.monotonic() - begun
    assert (code == 137 and 4 <= seconds < 6) or (code == 0 and seconds < 4), (code, seconds)
    stuck.close()


def test_killed_before_it_left_its_mark_it_comes_back_in_recovery_mode(supervised):
    server = supervised(QDRANT_ALLOW_RECOVERY_MODE="true", QDRANT_INIT_FILE_PATH="no-such-folder/mark")
    server.start()
    fully_up(server)
    assert "\napp_status_recovery_mode 0\n" in server.request("GET", "/metrics")[1]
    os.kill(children(server.process.pid)[0], signal.SIGKILL)
    wait_for(lambda: "\napp_status_recovery_mode 1\n" in server.request("GET", "/metrics")[1])
    fully_up(server)
    assert server.stop() == 0


def test_killed_once_it_was_up_it_ends_with_137(supervised):
    server = supervised(QDRANT_ALLOW_RECOVERY_MODE="true")
    server.start()
    wait_for((server.work / ".qdrant-initialized").exists)
    os.kill(children(server.process.pid)[0], signal.SIGKILL)
    assert server.process.wait(30) == 137
