"""What health says of EFS is what happened there last."""
import ctypes
import json
import os
import time

import pytest
from harness import tar_of, wait_for
from server import free_port
from status_of import get, reasons

LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MNT_DETACH = 1, 32, 2
NAMES = [f"c-1-2026-11-24-{n:02}-14-23" for n in range(8, 20)]


class Volume:
    """A file system of its own in EFS's place, that turns read-only for real."""

    def __init__(self, folder):
        self.folder = str(folder).encode()

    def mount(self, flags=0):
        if LIBC.mount(b"none", self.folder, b"tmpfs", flags, b"size=64m") != 0:
            pytest.skip(f"cannot mount: {os.strerror(ctypes.get_errno())}")

    def unmount(self):
        LIBC.umount2(self.folder, MNT_DETACH)


@pytest.fixture
def efs(tree):
    v = Volume(tree.efs)
    v.mount()
    yield v
    v.unmount()


def status(port):
    return json.loads(get(port, "/status")[1])


@pytest.fixture
def node(tree):
    port = free_port()
    tree.start(STATUS_LISTEN=f"127.0.0.1:{port}", RETENTION="15min=100")
    wait_for(lambda: status(port)["efs"]["usable"] is not None)
    return port


def test_a_read_only_efs_fails_health_with_the_first_backup_it_refuses_and_is_well_with_the_first_it_takes(tree, efs, node):
    tree.snapshot("c", NAMES[0], tar_of("0"))
    wait_for(lambda: tree.logged("published"))
    assert reasons(node).keys() <= {"qdrant_unreachable"}
    efs.mount(MS_REMOUNT | MS_RDONLY)
    for name in NAMES[1:4]:
        tree.snapshot("c", name, tar_of(name))
    wait_for(lambda: {"efs_unusable", "publish_failing"} <= reasons(node).keys())
    now = status(node)
    assert get(node, "/health")[0] == 503 and now["efs"]["usable"] is False and "Read-only" in now["efs"]["why"]
    wait_for(lambda: status(node)["queue"]["failing"] == 3)
    assert "Read-only" in reasons(node)["publish_failing"]["message"]
    metrics = get(node, "/metrics")[1].splitlines()
    assert {"qdrant_backup_efs_usable 0", "qdrant_backup_publish_failing 3", "qdrant_backup_healthy 0"} <= set(metrics)
    efs.mount(MS_REMOUNT)
    wait_for(lambda: len(tree.logged("published")) == 4, 60)
    wait_for(lambda: reasons(node).keys() <= {"qdrant_unreachable"})
    now = status(node)
    assert now["efs"]["usable"] is True and now["queue"]["failing"] == 0
    assert now["efs"]["checked"] >= tree.logged("published")[-1]["time"][:19]


def test_many_that_wait_are_tried_one_a_second_said_by_the_first_ones_and_published_at_once_when_efs_is_back(tree, efs, node):
    efs.mount(MS_REMOUNT | MS_RDONLY)
    for n in range(80):
        tree.snapshot(f"many-{n}", f"many-{n}-1-2026-11-24-08-14-23", tar_of(str(n)))
    wait_for(lambda: status(node)["queue"]["failing"] == 80, 60)
    before, began = len(tree.logged("publish_failed")), time.monotonic()
    assert before <= 12 and all(line["collection"].startswith("many-") for line in tree.logged("publish_failed"))
    wait_for(lambda: time.monotonic() > began + 5)
    assert len(tree.logged("publish_failed")) <= 15 and "80 finished snapshots" in reasons(node)["publish_failing"]["message"]
    efs.mount(MS_REMOUNT)
    wait_for(lambda: len(tree.logged("published")) == 80, 60)  # and not after waits of up to five minutes
    wait_for(lambda: reasons(node).keys() <= {"qdrant_unreachable"})


def test_an_efs_that_comes_back_with_nothing_to_publish_is_noticed_within_a_minute(tree, efs):
    efs.mount(MS_REMOUNT | MS_RDONLY)
    port = free_port()
    tree.start(STATUS_LISTEN=f"127.0.0.1:{port}")
    wait_for(lambda: "efs_unusable" in reasons(port))
    efs.mount(MS_REMOUNT)
    wait_for(lambda: "efs_unusable" not in reasons(port), 60)
    assert len(tree.logged("efs_unusable")) == 1


def test_an_efs_whose_last_backup_failed_and_that_is_well_again_with_nothing_left_to_publish_is_noticed(tree, efs, node):
    tree.snapshot("c", NAMES[0], tar_of("0"))
    wait_for(lambda: tree.logged("published"))
    efs.mount(MS_REMOUNT | MS_RDONLY)
    tree.snapshot("c", NAMES[1], tar_of("1"))
    wait_for(lambda: "efs_unusable" in reasons(node))
    for path in (tree.snapshots / "c").glob(f"{NAMES[1]}*"):
        path.unlink()
    efs.mount(MS_REMOUNT)
    wait_for(lambda: reasons(node).keys() <= {"qdrant_unreachable"}, 45)
