"""Other machines: a network of its own for each, from which it opens connections to this one."""
import concurrent.futures
import ctypes
import os
import socket
import subprocess

import pytest

NEW_NETWORK = 0x40000000  # CLONE_NEWNET


class Machine:
    """Sockets stay in the network in which they were made: whoever holds them, they come from this machine."""

    def __init__(self, number):
        self.name, self.here, self.own = f"qb{os.getpid() % 100000}n{number}", f"198.51.{number}.1", f"198.51.{number}.2"
        self.thread = concurrent.futures.ThreadPoolExecutor(1)

    def __enter__(self):
        made = subprocess.run(["ip", "netns", "add", self.name], capture_output=True, text=True)
        if made.returncode != 0:
            pytest.skip(f"cannot make a network: {made.stderr.strip()}")
        self._ip("link", "add", f"{self.name}a", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        self._ip("address", "add", f"{self.here}/30", "dev", f"{self.name}a")
        self._ip("link", "set", f"{self.name}a", "up")
        self._ip("-n", self.name, "address", "add", f"{self.own}/30", "dev", "eth0")
        self._ip("-n", self.name, "link", "set", "eth0", "up")
        self.thread.submit(self._move).result()
        return self

    def __exit__(self, *_):
        self.thread.shutdown()
        subprocess.run(["ip", "link", "delete", f"{self.name}a"], capture_output=True)
        subprocess.run(["ip", "netns", "delete", self.name], check=True)

    @staticmethod
    def _ip(*command):
        subprocess.run(["ip", *command], check=True)

    def _move(self):
        """The thread alone: a network belongs to a thread."""
        fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(fd, NEW_NETWORK) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(fd)

    def connect(self, port, receive=None):
        def make():
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            if receive:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
            s.settimeout(20)
            s.connect((self.here, port))
            return s
        return self.thread.submit(make).result()
