"""Qdrant first, on the disk too: on a small disk no write of Qdrant's fails because of backups.

DISK_SECONDS: how long Qdrant is written to while EFS is away (10). The disk is the larger for it, by what Qdrant itself
takes meanwhile."""
import json
import os
import time
import urllib.request

import pytest
from harness import wait_for
from scheduling import attach, from_now, troubles
from server import SERVERS, Server, free_port
from small_disk import MIB, Writer, fill_up, left, small_disk

SECONDS = int(os.environ.get("DISK_SECONDS", 10))
SIZE, POINTS = 1024, 4000  # with Qdrant's own some 30 MiB
LONG = 120  # seconds; all of it is only needed on a busy machine
FLOOR = 192  # MiB: three times what Qdrant (1.18.2) needs for its writes


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", 800 + max(0, SECONDS - 10) * 20) as folder:  # see Writer
        yield folder


@pytest.fixture(params=SERVERS)
def crowded(request, tree, disk):
    """A Qdrant with one collection of some MiB, on a small disk."""
    with Server(request.param, disk / "server") as server:
        make(server, "docs")
        attach(tree, server, MIN_FREE="64m", COMPRESSION="none", FINGERPRINT="off", LOCAL_KEEP="1",
               STATUS_LISTEN=f"127.0.0.1:{free_port()}", QDRANT__STORAGE__STORAGE_PATH=str(server.storage))
        yield server
        tree.stop()


def make(server, name):
    server.result("PUT", f"/collections/{name}", {"vectors": {"size": SIZE, "distance": "Dot"}})
    for body in Writer(server, name, POINTS, SIZE).bodies:
        server.request("PUT", f"/collections/{name}/points?wait=true", body.encode(), {"content-type": "application/json"})


def ask(tree, path):
    try:
        with urllib.request.urlopen(f"http://{tree.env['STATUS_LISTEN']}{path}", timeout=10) as reply:
            text = reply.read().decode()
    except urllib.error.HTTPError as e:
        text = e.read().decode()
    return json.loads(text) if path != "/metrics" else text


def reasons(tree):
    return {r["code"] for r in ask(tree, "/health")["reasons"]}


def metric(tree, name):
    return next(float(line.split()[1]) for line in ask(tree, "/metrics").splitlines() if line.startswith(f"qdrant_backup_{name} "))


def local(server, collection="docs"):
    return sorted(p.name for p in (server.snapshots / collection).glob("*.snapshot"))


def take_away_efs(tree):
    tree.efs.rename(tree.root / "efs-away")


def bring_back_efs(tree):
    (tree.root / "efs-away").rename(tree.efs)


def test_with_EFS_away_two_snapshots_wait_and_no_write_of_qdrants_fails(tree, crowded, record_property):
    tree.start(**from_now(4))
    wait_for(lambda: len(tree.complete()) >= 1, LONG)
    take_away_efs(tree)
    lowest = left(crowded.snapshots)
    with Writer(crowded, "docs", POINTS, SIZE) as writer:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end or not tree.logged("snapshots_held"):
            assert not writer.refused, writer.refused[0]
            if writer.alone:
                pytest.skip(f"Qdrant filled the disk by itself after {writer.written * 100} points, with no snapshot on it: {writer.alone[0][1]}")
            assert time.monotonic() < end + LONG, "nothing was held"
            lowest = min(lowest, left(crowded.snapshots))
            time.sleep(0.1)
    record_property("written", writer.written * 100)
    print(f"{writer.written * 100} points written in {SECONDS} s, at least {lowest:.0f} MiB free, {len(writer.silent)} without a reply")
    assert not writer.refused and writer.written > 0
    said = tree.logged("snapshots_held")
    assert {(x["level"], x["collection"]) for x in said} == {("error", "docs")} and "EFS has not" in said[-1]["message"]
    assert "snapshots_held" in reasons(tree) and ask(tree, "/status")["disk"]["held"] == 1
    wait_for(lambda: 2 <= metric(tree, "disk_unpublished") <= 3 and metric(tree, "disk_held") == 1, LONG)
    bring_back_efs(tree)
    held = local(crowded)[-1].removesuffix(".snapshot")
    wait_for(lambda: ("collection", "docs", held) in tree.complete(), LONG)  # what waited is published ...
    made = len(tree.logged("snapshot_made"))
    wait_for(lambda: len(tree.logged("snapshot_made")) > made and "snapshots_held" not in reasons(tree), LONG)  # ... and it goes on


def test_a_first_snapshot_that_would_fill_the_disk_is_not_made(tree, crowded):
    """Nothing is known of it but what the collection takes on the disk."""
    fill_up(crowded.root, 64 + 22)  # Qdrant refuses writes with less than 64 MiB
    with Writer(crowded, "docs", 10, SIZE, batch=1) as writer:
        tree.start(**from_now(3600))
        wait_for(lambda: writer.refused or tree.logged("disk_low"), LONG)
    assert not writer.refused and not tree.logged("snapshot_made")
    assert "MIN_FREE" in tree.logged("disk_low")[0]["message"] and not local(crowded)
    assert ask(tree, "/status")["disk"]["floor_bytes"] == FLOOR * MIB


def test_a_published_snapshot_makes_room_for_the_next_one_whatever_LOCAL_KEEP_says(tree, crowded):
    tree.start(**from_now(15))
    wait_for(lambda: len(tree.complete()) >= 1 and len(local(crowded)) == 1, LONG)
    size = (crowded.snapshots / "docs" / local(crowded)[0]).stat().st_size / MIB
    need = ask_need(crowded)
    fill_up(crowded.root, FLOOR + need - size / 2)
    published, first = len(tree.complete()), local(crowded)[0]
    wait_for(lambda: len(tree.complete()) > published, LONG)
    assert first not in local(crowded) and not tree.logged("disk_low")


def ask_need(server):
    """What the replicator takes a snapshot for: the collection's folder and some."""
    blocks = sum(p.lstat().st_blocks for p in (server.storage / "collections" / "docs").rglob("*") if p.is_file())
    return blocks * 512 * 1.125 / MIB + 4


def test_below_MIN_FREE_what_is_safe_on_EFS_goes(tree, crowded):
    """And where Qdrant itself fills the disk, it is said."""
    tree.start(**from_now(4), LOCAL_KEEP="100")
    wait_for(lambda: len(local(crowded)) >= 3 and len(tree.complete()) >= 3, LONG)
    fill_up(crowded.root, FLOOR - 1)
    wait_for(lambda: [x for x in tree.logged("deleted_locally") if "Qdrant needs the room" in x["message"]], LONG)
    fill_up(crowded.root, 80, "more")
    wait_for(lambda: not local(crowded) and "disk_low" in reasons(tree), LONG)
    wait_for(lambda: metric(tree, "disk_free_bytes") < metric(tree, "disk_floor_bytes"), LONG)


def test_near_the_end_of_the_disk_even_what_is_not_on_EFS_goes(tree, crowded):
    take_away_efs(tree)
    tree.start(**from_now(4))
    wait_for(lambda: tree.logged("snapshots_held") and len(tree.logged("publish_failed")) >= 4, LONG)  # each was tried
    waiting = local(crowded)
    fill_up(crowded.root, FLOOR - 1)
    wait_for(lambda: local(crowded) == waiting[-1:], LONG)
    fill_up(crowded.root, 100, "more")
    with Writer(crowded, "docs", 10, SIZE, batch=1) as writer:
        wait_for(lambda: not local(crowded), LONG)
    assert not writer.refused
    wait_for(lambda: [x["level"] for x in tree.logged("snapshot_given_up")] == ["error"] * len(waiting))
    assert troubles(tree)


def test_snapshots_of_a_deleted_collection_go_once_they_are_safe(tree, crowded):
    make(crowded, "other")
    tree.start(**from_now(10), LOCAL_KEEP="100")
    wait_for(lambda: len(local(crowded)) >= 1 and len(local(crowded, "other")) >= 1 and len(tree.complete()) >= 2, LONG)
    crowded.result("DELETE", "/collections/other")
    wait_for(lambda: not local(crowded, "other"), LONG)
    assert local(crowded) and not tree.logged("snapshot_given_up")
    assert any(c == "other" for _, c, _ in tree.complete())
