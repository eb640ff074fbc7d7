"""The whole container: from qdrant-client to files on EFS and back, with deaths on the way."""
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.parse

import pytest
from container import GRACE, Container, Prober, plain
from harness import BUILD, manifests_of, wait_for
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse
from server import SERVERS, Server

DIMENSIONS = 32
WRONG_KEY = "no-key-of-this-server"
# Of a collection's name: Qdrant makes {name}-{16 digits}-{time}.snapshot-temp-XXXXXX of it, and an overlay file
# system, as in a container, puts ".wh." before that.
LONGEST = 193


@pytest.fixture(params=SERVERS)
def kind(request):
    return request.param


@pytest.fixture
def container(kind, tmp_path):
    """Makes containers; none outlives its test."""
    made = []

    def make(**more):
        made.append(Container(kind, tmp_path / f"container{len(made)}", **more))
        return made[-1]
    yield make
    for c in made:
        c.end()


def listing(client, collection):
    """Qdrant's own listing; None while it stumbles over a file that it is just deleting (500, its own race)."""
    try:
        return [s.name for s in client.list_snapshots(collection)]
    except UnexpectedResponse as e:
        assert e.status_code == 500
        return None


def points(numbers):
    return [models.PointStruct(id=n, vector=[random.Random(n * 1000 + i).random() for i in range(DIMENSIONS)],
                               payload={"number": n}) for n in numbers]


def fill(client, name, count):
    client.create_collection(name, models.VectorParams(size=DIMENSIONS, distance=models.Distance.DOT))
    client.upsert(name, points(range(count)), wait=True)


def next_second():
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.01)


def whole(container):
    """Every manifest has its data, with coreutils and zstd as much as with our own tool."""
    for sums in container.tree.rglob("*.sha256"):
        check = subprocess.run(["sha256sum", "-c", "--", sums.name], cwd=sums.parent, capture_output=True)
        assert check.returncode == 0
    for manifest in manifests_of(container.tree):
        data = manifest.parent / json.loads(manifest.read_text())["data"]
        assert subprocess.run(["zstd", "-tq", data], capture_output=True).returncode == 0
    verify = container.tool("verify")
    return verify.returncode == 0, verify.stdout + verify.stderr


# From Qdrant to EFS and back

def test_snapshots_arrive_byte_for_byte_and_the_local_ones_go_down_to_local_keep(container, tmp_path, kind):
    c = container(LOCAL_KEEP="1").start()
    client = c.server.client()
    fill(client, "docs", 1000)
    made = {}
    for number in range(3):
        client.upsert("docs", points([1000 + number]), wait=True)
        name = client.create_snapshot("docs").name
        made[name] = (c.server.snapshots / "docs" / name).read_bytes()
        next_second()
    wait_for(lambda: all(c.has("collection", "docs", name) for name in made), 60)
    for name, data in made.items():
        assert plain(c.stored(name)) == data
    assert whole(c) == (True, "3 verified, 0 defective\n")
    newest = max(made)
    wait_for(lambda: listing(client, "docs") == [newest])
    folder = c.server.snapshots / "docs"
    wait_for(lambda: {p.name for p in folder.iterdir()} == {newest, f"{newest}.checksum"})
    assert (folder / newest).read_bytes() == made[newest]
    # Qdrant deleted them itself: so its listing never named a file that was gone.
    assert c.replies("DELETE /collections/{collection_name}/snapshots/{snapshot_name}") == {"200": 2}
    wait_for(lambda: len(c.events("published")) == 3 and len(c.events("deleted_locally")) == 2)
    assert c.stop()[0] == 0
    # And back: each of them restores the points of its moment on a new server.
    with Server(kind, tmp_path / "other") as other:
        for number, name in enumerate(sorted(made)):
            client = other.client()
            (other.snapshots / name).write_bytes(plain(c.stored(name)))
            client.recover_snapshot("docs", f"file://{other.snapshots / name}",
                                    priority=models.SnapshotPriority.SNAPSHOT,
                                    checksum=hashlib.sha256(made[name]).hexdigest())
            assert client.count("docs").count == 1001 + number
            assert client.retrieve("docs", [1000 + number])[0].payload == {"number": 1000 + number}


@pytest.mark.parametrize("names", [["a b", "50%", "%2e%2e", "-rf", "größe 🎉", "a'b&c;d", "n" * LONGEST],
                                   [".x", "..x"]], ids=["odd", "with dots first"])
def test_collections_with_odd_names_are_published_and_deleted_through_qdrant(container, names):
    c = container(LOCAL_KEEP="0").start()
    made = set()
    for name in names:
        url = f"/collections/{urllib.parse.quote(name, safe='')}"
        c.server.result("PUT", url, {"vectors": {"size": 4, "distance": "Dot"}})
        snapshot = c.server.result("POST", f"{url}/snapshots")["name"]
        made.add(("collection", name, snapshot.removesuffix(".snapshot")))
    wait_for(lambda: c.complete() == made)
    wait_for(lambda: len(c.events("deleted_locally")) == len(names))
    assert not [p for name in names for p in (c.server.snapshots / name).iterdir()]
    assert c.replies("DELETE /collections/{collection_name}/snapshots/{snapshot_name}") == {"200": len(names)}
    assert {p.name for p in c.efs.iterdir()} == {"test-cpu"}
    assert whole(c)[0]


def test_local_deletion_keeps_no_full_storage_snapshot_from_its_end(container):
    """It makes one of each collection first and needs them all at the end; to us each looks finished and done with."""
    c = container(LOCAL_KEEP="0").start()
    for i in range(20):
        c.server.result("PUT", f"/collections/c{i}", {"vectors": {"size": 4, "distance": "Dot"}})
    for _ in range(2):
        name = c.server.result("POST", "/snapshots")["name"].removesuffix(".snapshot")
        wait_for(lambda: c.has("storage", "", name))
    assert c.stop()[0] == 0


def test_a_shard_snapshot_is_published_and_deleted_through_qdrant(container):
    c = container(LOCAL_KEEP="0").start()
    fill(c.server.client(), "docs", 10)
    name = c.server.client().create_shard_snapshot("docs", 0).name
    path = c.server.snapshots / "docs/shards/0" / name
    data = path.read_bytes()
    wait_for(lambda: c.has("shard", "docs", name))
    assert plain(c.stored(name)) == data
    wait_for(lambda: not path.exists())
    route = "DELETE /collections/{collection_name}/shards/{shard}/snapshots/{snapshot}"
    assert c.replies(route) == {"200": 1}


def test_of_a_full_storage_snapshot_the_full_one_is_the_backup(container, tmp_path, kind):
    c = container(LOCAL_KEEP="0").start()
    client = c.server.client()
    for name in ("docs", "other"):
        fill(client, name, 50)
    name = client.create_full_snapshot().name
    data = (c.server.snapshots / name).read_bytes()
    wait_for(lambda: c.has("storage", "", name))
    assert plain(c.stored(name)) == data
    wait_for(lambda: client.list_full_snapshots() == [])
    # The collections' own were taken away by Qdrant within milliseconds: neither backups nor errors.
    assert {k for k, *_ in c.complete()} == {"storage"}
    assert [e for e in c.events() if e["level"] == "error"] == []
    assert c.replies("DELETE /snapshots/{snapshot_name}") == {"200": 1}
    assert c.stop()[0] == 0
    full = tmp_path / "full.snapshot"
    full.write_bytes(plain(c.stored(name)))
    restored = Server(kind, tmp_path / "other")
    restored.start("--storage-snapshot", str(full))
    try:
        assert [restored.client().count(n).count for n in ("docs", "other")] == [50, 50]
    finally:
        restored.stop()


def test_a_wrong_key_stops_neither_publishing_nor_the_deletion_of_local_files(container):
    c = container(LOCAL_KEEP="0", QDRANT_API_KEY=WRONG_KEY).start()
    fill(c.server.client(), "docs", 10)
    name = c.server.client().create_snapshot("docs").name
    wait_for(lambda: c.has("collection", "docs", name))
    wait_for(lambda: list((c.server.snapshots / "docs").iterdir()) == [])
    assert c.replies("DELETE /collections/{collection_name}/snapshots/{snapshot_name}") == {"401": 1}
    assert c.server.client().list_snapshots("docs") == []
    assert c.events("deleted_locally")
    assert WRONG_KEY not in c.log.read_text() and c.server.api_key not in c.log.read_text()


# Deaths

def test_the_replicator_killed_in_mid_copy_is_restarted_and_publishes_while_qdrant_answers(container):
    c = container().start()
    fill(c.server.client(), "docs", 100)
    prober = Prober(c.server, "docs", 100)
    qdrant, replicator = c.qdrant(), c.replicator()
    name = c.big_snapshot("docs")
    wait_for(c.partials, 60)
    os.kill(replicator, signal.SIGKILL)
    wait_for(lambda: c.replicator() not in (None, replicator), 60)
    assert not list(manifests_of(c.tree))
    wait_for(lambda: c.has("collection", "docs", name), 120)
    assert prober.stop() == [] and prober.asked > 20
    assert c.qdrant() == qdrant
    wait_for(lambda: c.partials() == [])
    assert whole(c)[0]


def test_term_in_mid_copy_finishes_the_copy_within_the_budget(container):
    c = container().start()
    fill(c.server.client(), "docs", 100)
    name = c.big_snapshot("docs", 1 << 27)  # the budget is enough for it on a busy machine, too
    wait_for(c.partials, 60)
    code, seconds = c.stop()
    assert code == 0 and seconds < GRACE
    assert c.has("collection", "docs", name) and c.partials() == [] and whole(c)[0]


def test_term_in_mid_copy_with_no_time_left_leaves_nothing_half_published_and_the_next_start_publishes(container):
    c = container(STOP_GRACE_SECONDS="2").start()
    fill(c.server.client(), "docs", 100)
    name = c.big_snapshot("docs")
    wait_for(c.partials, 60)
    code, seconds = c.stop()
    assert seconds < 2 + 2.5 and (code == 0 or c.events("qdrant_killed"))
    assert not list(manifests_of(c.tree)) and c.complete() == set()
    assert name in c.events("left_unpublished")[0]["message"] or c.events("replicator_killed")
    small = c.start().server.client().create_snapshot("docs").name
    wait_for(lambda: c.has("collection", "docs", name) and c.has("collection", "docs", small), 120)
    wait_for(lambda: c.partials() == [])
    assert whole(c)[0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_a_signal_that_ends_qdrant_ends_the_container_with_128_and_its_number(container, number):
    c = container().start()
    replicator = c.replicator()
    os.kill(c.qdrant(), number)
    assert c.process.wait(GRACE) == 128 + number
    assert not os.path.exists(f"/proc/{replicator}")


def test_the_code_that_qdrant_ends_with_is_the_containers(container):
    c = container()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", c.server.port))
        taken.listen()
        for program in (c.server.program, BUILD / "qdrant-entrypoint"):
            run = subprocess.run([program], cwd=c.server.work, env=c.env, capture_output=True, timeout=60)
            assert run.returncode == 1


def test_a_snapshot_taken_just_before_the_end_is_published_after_the_next_start(container):
    c = container().start()
    fill(c.server.client(), "docs", 10)
    name = c.server.client().create_snapshot("docs").name
    code, _ = c.stop()
    assert code == 0
    c.start()
    wait_for(lambda: c.has("collection", "docs", name))
    assert whole(c)[0]
