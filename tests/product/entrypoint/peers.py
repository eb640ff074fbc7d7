"""Servers for the health check to ask: that answer, and that misbehave in every way a peer can."""
import contextlib
import ctypes
import fcntl
import pathlib
import socket
import struct
import threading
import time

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nall shards are ready"
CLONE_NEWNET, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8914, 1
LIBC = ctypes.CDLL(None, use_errno=True)


def http(status, body=b"", reason=b"Reason"):
    return b"HTTP/1.1 %d %s\r\ncontent-length: %d\r\n\r\n%s" % (status, reason, len(body), body)


def read_request(connection):
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        more = connection.recv(4096)
        if not more:
            break
        request += more
    return request


def answers(reply):
    """Reads the request, sends `reply` and closes."""
    def serve(connection, peer):
        peer.requests.append(read_request(connection))
        connection.sendall(reply)
    return serve


def answers_and_stays(reply):
    """The same, but leaves the connection open."""
    def serve(connection, peer):
        answers(reply)(connection, peer)
        peer.over.wait()
    return serve


def dribbles(reply, seconds):
    """A byte each so many seconds."""
    def serve(connection, peer):
        for i in range(len(reply)):
            connection.sendall(reply[i:i + 1])
            if peer.over.wait(seconds):
                return
    return serve


def silent(connection, peer):
    peer.over.wait()


def closes(connection, peer):
    peer.requests.append(read_request(connection))


def resets(connection, peer):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def floods(begin=b""):
    def serve(connection, peer):
        connection.sendall(begin)
        while not peer.over.is_set():
            connection.sendall(b"x" * 65536)
    return serve


class Peer:
    """Listens from the start, serves each connection in a thread."""

    def __init__(self, serve=answers(OK), host="127.0.0.1", port=0):
        self.serve, self.requests, self.connections = serve, [], 0
        self.over = threading.Event()
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, port))
        self.socket.listen(16)
        self.port = self.socket.getsockname()[1]
        self.at = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:  # closed
                return
            self.connections += 1
            threading.Thread(target=self.one, args=[connection], daemon=True).start()

    def one(self, connection):
        with connection, contextlib.suppress(OSError):
            self.serve(connection, self)

    def close(self):
        self.over.set()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes accept up
        self.socket.close()


class BlackHole:
    """An address where nobody answers a SYN: a full backlog drops it."""

    def __init__(self):
        self.requests, self.filling = [], []
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(0)
        self.port = self.socket.getsockname()[1]
        self.at = f"127.0.0.1:{self.port}"
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", self.port))
            self.filling.append(s)
        time.sleep(0.1)

    def close(self):
        for s in [*self.filling, self.socket]:
            s.close()


def in_own_network(work, ipv6=True):
    """Runs work() in a network of its own, where every port is free, and returns what it returns. False: not
    possible here."""
    done = []

    def run():
        if LIBC.unshare(CLONE_NEWNET) != 0:  # of this thread alone, and of what it starts
            return
        try:
            if not ipv6:
                pathlib.Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
            with socket.socket() as s:
                fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
        except OSError:
            return
        try:
            done.append(work())
        except BaseException as e:  # noqa: B036 to be raised where the test is
            done.append(e)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if done and isinstance(done[0], BaseException):
        raise done[0]
    return bool(done)
