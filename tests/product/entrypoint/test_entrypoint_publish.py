"""What is finished when a stop is asked for is on EFS when the container ends, as far as the budget goes."""
import os
import signal
import time

import pytest
from frozen import Frozen, usable
from harness import BUILD, checksum_of, events, manifests_of, patience, tar_of, wait_for

ZEROS_1_GIB = "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14"
SLACK = 1.8  # of a noisy machine
needs_fuse = pytest.mark.skipif(not usable(), reason="needs root and /dev/fuse, for a file system that hangs")


class Node:
    """A container with the real replicator, and a program in Qdrant's place."""

    def __init__(self, container, efs=None):
        self.container, self.snapshots = container, container.root / "snapshots"
        self.efs = efs or container.root / "efs"
        self.snapshots.mkdir()
        if not efs:
            self.efs.mkdir()

    def start(self, *rules, **env):
        c = self.container
        env = {"REPLICATOR_BIN": str(BUILD / "qdrant-replicator"), "EFS_ROOT": str(self.efs), "TIER": "t", "CPU_ARCH": "c",
               "SNAPSHOTS_DIR": str(self.snapshots), "QDRANT_URL": "http://127.0.0.1:1", "SNAPSHOT_INTERVAL": "0",
               "STATUS_LISTEN": "off", "DRILL_SCHEDULE": "never", "STOP_GRACE_SECONDS": "60"} | env
        c.start(c.qdrant_program(*rules), **env)
        wait_for(lambda: c.qdrant.starts() and self.said("started"))
        return self

    def finish(self, name="c-1-2026-11-24-07-59-23", data=None, checksum=None, size=0):
        """As Qdrant ends a snapshot."""
        data = tar_of(name) if data is None else data
        path = self.snapshots / "c" / f"{name}.snapshot"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        if size:
            os.truncate(path, size)
        new = path.with_suffix(".snapshot.tmp")
        new.write_text(checksum or checksum_of(data))
        new.rename(f"{path}.checksum")

    def published(self):
        return sorted(m.stem for m in manifests_of(self.efs))

    def said(self, event):
        return [line for line in events(self.container.stderr.read_text()) if line["event"] == event]


@pytest.fixture
def node(container):
    return Node(container)


@pytest.fixture
def frozen(tmp_path):
    fs = Frozen(tmp_path / "frozen-efs")
    yield fs
    fs.thaw()


@pytest.mark.parametrize("ago", [0, 1])
def test_a_snapshot_that_was_finished_just_before_term_is_on_efs_when_the_container_ends(node, ago):
    node.start("TERM=0@0.4")
    node.finish()
    time.sleep(ago)
    code, seconds = node.container.stop()
    assert code == 0 and seconds < 20
    assert node.published() == ["c-1-2026-11-24-07-59-23"] and not node.said("left_unpublished")
    assert node.said("replicator_publishes")


def test_qdrant_is_told_at_once_and_a_copy_that_goes_on_is_finished(node):
    node.start("TERM=0@0.1", RETENTION="monthly=13")
    node.finish("c-1-2026-11-24-07-59-23", b"", ZEROS_1_GIB, 1 << 30)
    wait_for(lambda: list(node.efs.rglob(".partial-*")))
    begun = time.monotonic()
    code, _ = node.container.stop()
    told = node.container.qdrant.all()[-1]
    assert code == 0 and told[0] == "TERM" and told[2] - begun < 1
    assert node.published() == ["c-1-2026-11-24-07-59-23"] and not list(node.efs.rglob(".partial-*"))


def test_with_nothing_to_publish_a_stop_takes_no_longer_than_qdrant(node):
    node.start("TERM=0")
    node.finish()
    wait_for(lambda: node.published())
    time.sleep(patience())  # its folder is pruned after that, which still belongs to it
    code, seconds = node.container.stop()
    assert code == 0 and seconds < SLACK
    assert not node.said("replicator_publishes") and not node.said("left_unpublished") and not node.said("replicator_killed")


def test_an_upload_is_not_waited_for_and_is_named(node):
    """Nobody can tell what is in it without Qdrant, which is about to end."""
    node.start("TERM=0", RETENTION="monthly=13")
    (node.snapshots / "c").mkdir()
    (node.snapshots / "c" / "mine.snapshot").write_bytes(tar_of("x"))
    time.sleep(2.5)  # longer than a checksum takes to follow
    code, seconds = node.container.stop()
    assert code == 0 and seconds < 6
    line, = node.said("left_unpublished")
    assert "c/mine.snapshot" in line["message"] and line["level"] == "error"


def test_a_qdrant_that_ends_by_itself_leaves_time_for_what_is_finished(node):
    node.start()
    node.finish()
    time.sleep(0.3)
    os.kill(node.container.qdrant.pid(), signal.SIGSEGV)
    assert node.container.end() == 139
    assert node.published() == ["c-1-2026-11-24-07-59-23"]


def test_an_efs_that_comes_back_within_the_budget_gets_it(node):
    node.efs.rmdir()
    node.start("TERM=0")
    node.finish()
    wait_for(lambda: node.said("publish_failed"))
    node.container.signal("TERM")
    wait_for(lambda: node.said("replicator_publishes"))
    node.efs.mkdir()
    assert node.container.end() == 0
    assert node.published() == ["c-1-2026-11-24-07-59-23"] and not node.said("left_unpublished")


def test_what_does_not_fit_is_named_in_one_line_within_the_budget(node):
    node.efs.rmdir()
    node.start("TERM=7", STOP_GRACE_SECONDS="5")
    node.finish("c-1-2026-11-24-07-59-23")
    node.finish("c-1-2026-11-24-08-14-23")
    wait_for(lambda: len(node.said("publish_failed")) > 1)
    code, seconds = node.container.stop()
    assert code == 7 and 3 <= seconds < 5 + SLACK
    line, = node.said("left_unpublished")
    assert line["message"].startswith("2 snapshots") and "07-59-23" in line["message"] and "08-14-23" in line["message"]
    assert not node.said("replicator_killed")


@needs_fuse
def test_an_efs_that_hangs_makes_no_stop_longer_than_the_budget(container, frozen):
    node = Node(container, frozen.folder).start("TERM=4", STOP_GRACE_SECONDS="6")
    node.finish()
    wait_for(lambda: frozen.asked)
    time.sleep(2.5)  # until it is taken up
    code, seconds = container.stop()
    assert code == 4 and 4 <= seconds < 6 + SLACK
    said = [line["message"] for line in node.said("left_unpublished")]
    # By the replicator, where the machine leaves it time to; the entrypoint, which kills it, says it in any case.
    assert any("c-1-2026-11-24-07-59-23" in line for line in said) or any("hung and was killed" in line for line in said)


@needs_fuse
def test_an_efs_that_hangs_with_nothing_to_publish_holds_a_stop_up_no_longer_than_before(container, frozen):
    node = Node(container, frozen.folder).start("TERM=4", STOP_GRACE_SECONDS="20")
    wait_for(lambda: frozen.asked)
    code, seconds = container.stop()
    assert code == 4 and seconds < 2 + SLACK
    assert not node.said("left_unpublished")
