"""A small disk of its own for a Qdrant: ext4 in a file. And a client that writes to it all the while."""
import contextlib
import json
import os
import pathlib
import subprocess
import threading
import time

import pytest

MIB = 1 << 20


@contextlib.contextmanager
def small_disk(root, mib):
    """A folder on a disk of that size."""
    image, folder = pathlib.Path(f"{root}.img"), pathlib.Path(root)
    folder.mkdir(parents=True)
    with open(image, "wb") as f:
        f.truncate(mib * MIB)
    for command in (["mkfs.ext4", "-q", "-F", "-m", "0", image], ["mount", "-o", "loop", image, folder]):
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError as e:
            pytest.skip(f"needs {e.filename}")
        if done.returncode != 0:
            pytest.skip(f"needs the right to mount a loop device: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        image.unlink()


def left(folder):
    """What is free there, in MiB."""
    fs = os.statvfs(folder)
    return fs.f_bavail * fs.f_frsize / MIB


def fill_up(folder, mib, name="filler"):
    """Somebody's file that leaves so many MiB free."""
    path = pathlib.Path(folder) / name
    path.unlink(missing_ok=True)
    size = int((left(folder) - mib) * MIB)
    assert size > 0, f"only {left(folder):.0f} MiB are free"
    subprocess.run(["fallocate", "-l", str(size), path], check=True)
    return path


class Writer:
    """Overwrites the points of a collection as fast as Qdrant takes them, and keeps what it refuses: `refused` while there
    are snapshots on its disk or were a moment ago, `alone` when it has filled the disk by itself. Qdrant (1.18.2)
    that is written to without a pause gives back nothing of what was overwritten since its first snapshot, nor does the
    stand-in: with a thousand dimensions that is up to 20 MiB a second."""

    MOMENT = 5  # seconds

    def __init__(self, server, collection, points, size, batch=100):
        self.server, self.path = server, f"/collections/{collection}/points?wait=true"
        self.bodies = [json.dumps({"points": [{"id": i, "vector": [1 + i % 7] * size} for i in range(n, n + batch)]},
                                  separators=(",", ":")) for n in range(0, points, batch)]
        self.written, self.refused, self.alone, self.silent, self.over = 0, [], [], [], threading.Event()
        self.looked = self.seen = 0
        self.thread = threading.Thread(target=self._write, daemon=True)

    def _look(self, now):
        """When were there any, whole or in the making, that take room?"""
        self.looked = now
        if any(f.is_file() and not f.name.endswith(".checksum") for f in self.server.snapshots.rglob("*")):
            self.seen = now

    def _write(self):
        while not self.over.is_set():
            body, now = self.bodies[self.written % len(self.bodies)], time.monotonic()
            if now > self.looked + 1:
                self._look(now)
            try:
                status, reply = self.server.request("PUT", self.path, body.encode(), {"content-type": "application/json"})
            except OSError as e:  # a Qdrant whose optimizer is busy may keep one waiting for minutes
                self.silent.append(str(e))
                continue
            if status == 200:
                self.written += 1
                continue
            self._look(time.monotonic())
            (self.refused if self.looked < self.seen + self.MOMENT else self.alone).append((status, str(reply)[:300]))
            time.sleep(0.05)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(60)
