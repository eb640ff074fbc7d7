"""The snapshots themselves: files, contents, and what comes back when they are restored."""
import calendar
import hashlib
import json
import re
import stat
import tarfile
import time

import pytest
from contract_steps import (CITIES, KEY, add_point, make_collection, next_second, points_of, real_snapshot,
                            take_snapshot, upload)
from edge_engine import points_of_collection, points_of_shard
from server import REAL

FIVE = {i + 1: ({"city": city}, vector) for i, (city, vector) in enumerate(CITIES)}
SIX = FIVE | {6: ({"city": "Bengaluru"}, [0.30, 0.05, 0.10, 0.40])}
SEGMENT = r"segments/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tar"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def file_of(server, collection, description):
    return server.snapshots / collection / description["name"]


def shard_snapshot(server, collection):
    description = server.result("POST", f"/collections/{collection}/shards/0/snapshots")
    return server.snapshots / collection / "shards" / "0" / description["name"], description


def full_snapshot(server):
    description = server.result("POST", "/snapshots")
    return server.snapshots / description["name"], description


def members(path):
    with tarfile.open(path) as tar:
        return {m.name: m for m in tar}


def listed(server, path):
    return {d["name"] for d in server.result("GET", path)}


# Files

def test_the_reply_describes_the_file(qdrant):
    make_collection(qdrant, "described")
    shard = shard_snapshot(qdrant, "described")
    full = full_snapshot(qdrant)
    next_second()
    own = take_snapshot(qdrant, "described")
    for path, told in ((file_of(qdrant, "described", own), own), shard, full):
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        assert told["size"] == len(data) and told["checksum"] == digest
        assert (path.parent / f"{path.name}.checksum").read_bytes() == digest.encode()
        made = calendar.timegm(time.strptime(told["creation_time"], "%Y-%m-%dT%H:%M:%S"))
        assert abs(made - path.stat().st_mtime) <= 2


def test_names_have_the_collection_the_peer_and_the_time(qdrant):
    make_collection(qdrant, "named")
    t = r"\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d\.snapshot"
    names = [take_snapshot(qdrant, "named")["name"], shard_snapshot(qdrant, "named")[1]["name"]]
    next_second()
    names += [take_snapshot(qdrant, "named")["name"], full_snapshot(qdrant)[1]["name"]]
    first, shard, second, full = names
    assert re.fullmatch(rf"named-\d{{1,16}}-{t}", first) and re.fullmatch(rf"named-shard-0-{t}", shard)
    assert re.fullmatch(rf"full-snapshot-{t}", full)
    assert first.split("-")[1] == second.split("-")[1] and first != second


def test_a_snapshot_is_for_its_owner_only_its_checksum_for_everybody(qdrant):
    make_collection(qdrant, "modes")
    path = file_of(qdrant, "modes", take_snapshot(qdrant, "modes"))
    shard, _ = shard_snapshot(qdrant, "modes")
    for p in (path, shard):
        assert mode(p) == 0o600 and mode(p.with_name(p.name + ".checksum")) == 0o644


def test_a_full_storage_snapshot_may_be_read_by_everybody(qdrant):
    path, _ = full_snapshot(qdrant)
    assert mode(path) == 0o644 and mode(path.with_name(path.name + ".checksum")) == 0o644


def test_the_folder_is_made_by_the_first_snapshot_only(qdrant):
    make_collection(qdrant, "folder")
    assert not (qdrant.snapshots / "folder").exists()
    take_snapshot(qdrant, "folder")
    assert (qdrant.snapshots / "folder").is_dir()


def test_in_one_second_the_next_snapshot_replaces_the_one_before(qdrant):
    make_collection(qdrant, "twice")
    for number in range(100, 120):
        next_second()
        first = take_snapshot(qdrant, "twice")
        add_point(qdrant, "twice", number)
        second = take_snapshot(qdrant, "twice")
        if first["name"] == second["name"]:
            break
    else:
        pytest.fail("no two snapshots within one second")
    assert first["checksum"] != second["checksum"]
    data = file_of(qdrant, "twice", second).read_bytes()
    assert hashlib.sha256(data).hexdigest() == second["checksum"]
    described = {d["name"]: d for d in qdrant.result("GET", "/collections/twice/snapshots")}
    assert described[second["name"]] == second


def test_with_wait_false_the_snapshot_comes_later(qdrant):
    make_collection(qdrant, "later")
    assert qdrant.request("POST", "/collections/later/snapshots?wait=false")[1]["status"] == "accepted"
    assert qdrant.request("POST", "/collections/nope/snapshots?wait=false")[0] == 202
    end = time.monotonic() + 20
    while not list((qdrant.snapshots / "later").glob("*.checksum")):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert len(listed(qdrant, "/collections/later/snapshots")) == 1


def test_the_download_is_the_file(qdrant):
    make_collection(qdrant, "down")
    name = take_snapshot(qdrant, "down")["name"]
    status, data = qdrant.request("GET", f"/collections/down/snapshots/{name}")
    assert status == 200 and data == (qdrant.snapshots / "down" / name).read_bytes()


def test_a_snapshot_is_deleted_with_its_checksum(qdrant):
    make_collection(qdrant, "deleted")
    shard, _ = shard_snapshot(qdrant, "deleted")
    full, _ = full_snapshot(qdrant)
    next_second()
    own = file_of(qdrant, "deleted", take_snapshot(qdrant, "deleted"))
    for path, url in ((own, "/collections/deleted/snapshots"), (full, "/snapshots"),
                      (shard, "/collections/deleted/shards/0/snapshots")):
        assert path.name in listed(qdrant, url)
        assert qdrant.result("DELETE", f"{url}/{path.name}") is True
        assert path.name not in listed(qdrant, url)
        assert not path.exists() and not path.with_name(path.name + ".checksum").exists()


def test_a_deleted_collection_leaves_its_snapshots_but_not_their_listing(qdrant):
    make_collection(qdrant, "gone")
    path = file_of(qdrant, "gone", take_snapshot(qdrant, "gone"))
    assert qdrant.result("DELETE", "/collections/gone") is True
    assert path.exists() and path.with_name(path.name + ".checksum").exists()
    assert qdrant.request("GET", "/collections/gone/snapshots")[0] == 404
    assert qdrant.request("DELETE", f"/collections/gone/snapshots/{path.name}")[0] == 404
    assert path.exists()


def test_a_snapshot_by_alias_goes_to_the_collections_folder_and_leaves_an_empty_one(qdrant):
    make_collection(qdrant, "aliased")
    qdrant.result("POST", "/collections/aliases",
                  {"actions": [{"create_alias": {"collection_name": "aliased", "alias_name": "other"}}]})
    name = take_snapshot(qdrant, "other")["name"]
    assert name.startswith("aliased-") and (qdrant.snapshots / "aliased" / name).exists()
    assert list((qdrant.snapshots / "other").iterdir()) == []


# The whole storage

def test_a_full_snapshot_takes_the_collections_snapshots_and_leaves_their_checksums(fresh):
    server = fresh().start()
    for name in ("docs", "other"):
        make_collection(server, name)
    path, _ = full_snapshot(server)
    inner = members(path)
    with tarfile.open(path) as tar:
        mapping = json.load(tar.extractfile("config.json"))
    assert mapping["collections_aliases"] == {} and set(mapping["collections_mapping"]) == {"docs", "other"}
    assert set(inner) == {"config.json", *mapping["collections_mapping"].values()}
    for name, snapshot in mapping["collections_mapping"].items():
        assert [p.name for p in (server.snapshots / name).iterdir()] == [f"{snapshot}.checksum"]
        assert server.result("GET", f"/collections/{name}/snapshots") == []
        with tarfile.open(path) as tar:
            digest = hashlib.file_digest(tar.extractfile(snapshot), "sha256").hexdigest()
        assert (server.snapshots / name / f"{snapshot}.checksum").read_text() == digest
    assert not list(server.snapshots.glob("config-*"))


def test_a_full_snapshot_takes_an_ordinary_one_of_the_same_second_with_it(fresh):
    server = fresh().start()
    make_collection(server, "docs")
    for _ in range(20):
        next_second()
        own = take_snapshot(server, "docs")["name"]
        path, _ = full_snapshot(server)
        if own in members(path):
            break
    else:
        pytest.fail("no two snapshots within one second")
    assert own not in listed(server, "/collections/docs/snapshots")
    assert not (server.snapshots / "docs" / own).exists()


# Inside

def test_a_collection_snapshot_has_the_members_of_a_real_one(qdrant, tmp_path):
    make_collection(qdrant, "inside")
    path = file_of(qdrant, "inside", take_snapshot(qdrant, "inside"))
    (tmp_path / "real").write_bytes(
        real_snapshot("test_collection", "test_collection-1235153728432657-2026-11-24-07-59-23.snapshot"))

    def shape(names):
        return {re.sub(r"(wal)/.*", r"\1/*", re.sub(SEGMENT, "segments/UUID.tar", n)) for n in names}
    assert shape(members(path)) == shape(members(tmp_path / "real"))
    with tarfile.open(path) as tar, tarfile.open(tmp_path / "real") as real:
        for name in ("version.info", "payload_index.json", "shard_key_mapping.json", "0/shard_config.json"):
            assert tar.extractfile(name).read() == real.extractfile(name).read()
        config, other = (json.load(t.extractfile("config.json")) for t in (tar, real))
        for c in (config, other):
            del c["optimizer_config"]["default_segment_number"]  # by the number of processors
        assert config == other
        peer = int(path.name.split("-")[1])
        assert json.load(tar.extractfile("0/replica_state.json")) == {
            "is_local": True, "this_peer_id": peer, "peers": {str(peer): "Active"}}
        segment = next(n for n in tar.getnames() if n.startswith("0/segments/"))
        with tarfile.open(fileobj=tar.extractfile(segment)) as inner:
            assert all(n.startswith("snapshot/files/") for n in inner.getnames())


def test_holes_are_not_stored(qdrant):
    make_collection(qdrant, "holes")
    path = file_of(qdrant, "holes", take_snapshot(qdrant, "holes"))
    assert sum(m.size for m in members(path).values()) > 64 << 20 and path.stat().st_size < 1 << 20


def test_a_shard_snapshot_has_an_empty_log(qdrant):
    make_collection(qdrant, "empty_log")
    path, _ = shard_snapshot(qdrant, "empty_log")
    inside = members(path)
    names = {re.sub(r"closed-\d+", "closed-N", re.sub(SEGMENT, "segments/UUID.tar", n)) for n in inside}
    assert names == {"segments/UUID.tar", "wal", "wal/closed-N", "replica_state.json", "shard_config.json"}
    log = next(m for n, m in inside.items() if n.startswith("wal/"))
    with tarfile.open(path) as tar:
        data = tar.extractfile(log.name).read()
    assert len(data) == 32 << 20 and data.startswith(b"wal\0") and not any(data[8:])


def test_the_engine_opens_a_collection_snapshot_with_its_points(qdrant, tmp_path):
    make_collection(qdrant, "opened")
    five = file_of(qdrant, "opened", take_snapshot(qdrant, "opened"))
    next_second()
    add_point(qdrant, "opened", 6)
    six = file_of(qdrant, "opened", take_snapshot(qdrant, "opened"))
    assert points_of_collection(five, tmp_path / "five") == FIVE
    assert points_of_collection(six, tmp_path / "six") == SIX


def test_the_engine_opens_a_shard_snapshot_with_its_points(qdrant, tmp_path):
    make_collection(qdrant, "opened_shard")
    add_point(qdrant, "opened_shard", 6)
    assert points_of_shard(shard_snapshot(qdrant, "opened_shard")[0], tmp_path) == SIX


def test_the_engine_opens_what_is_in_a_full_snapshot(fresh, tmp_path):
    server = fresh().start()
    make_collection(server, "in_full")
    path, _ = full_snapshot(server)
    with tarfile.open(path) as tar:
        name = json.load(tar.extractfile("config.json"))["collections_mapping"]["in_full"]
        tar.extract(name, tmp_path)
    assert points_of_collection(tmp_path / name, tmp_path) == FIVE


# Restoring

def location(path):
    return path.resolve().as_uri()


def recover(server, collection, path, **more):
    return server.result("PUT", f"/collections/{collection}/snapshots/recover",
                         {"location": location(path)} | more)


def test_recover_puts_a_collection_back_to_its_snapshot(qdrant):
    make_collection(qdrant, "back")
    path = file_of(qdrant, "back", take_snapshot(qdrant, "back"))
    digest = path.with_name(path.name + ".checksum").read_text()
    for body in ({}, {"checksum": digest}, {"priority": "snapshot"}, {"priority": "replica"},
                 {"priority": "no_sync", "checksum": digest.upper()}):
        add_point(qdrant, "back", 6)
        assert points_of(qdrant, "back") == SIX
        assert recover(qdrant, "back", path, **body) is True
        assert points_of(qdrant, "back") == FIVE
    assert path.exists()


def test_points_can_be_added_after_a_recovery_and_survive_the_next_snapshot(qdrant, tmp_path):
    make_collection(qdrant, "onward")
    path = file_of(qdrant, "onward", take_snapshot(qdrant, "onward"))
    recover(qdrant, "onward", path)
    add_point(qdrant, "onward", 6)
    next_second()
    six = file_of(qdrant, "onward", take_snapshot(qdrant, "onward"))
    assert points_of_collection(six, tmp_path) == SIX


def test_recover_makes_a_collection_that_is_not_there(qdrant):
    make_collection(qdrant, "origin")
    path = file_of(qdrant, "origin", take_snapshot(qdrant, "origin"))
    assert recover(qdrant, "made_anew", path) is True
    assert points_of(qdrant, "made_anew") == FIVE
    config = qdrant.result("GET", "/collections/made_anew")["config"]
    assert config == qdrant.result("GET", "/collections/origin")["config"]


@pytest.mark.parametrize("path, points", [
    (("test_collection", "test_collection-1235153728432657-2026-11-24-07-59-23.snapshot"), FIVE),
    (("test_collection", "test_collection-1235153728432657-2026-11-24-07-59-25.snapshot"), SIX)],
    ids=("five", "six"))
def test_a_snapshot_of_a_real_server_is_restored_from_an_upload(qdrant, path, points):
    collection = f"uploaded_{len(points)}"
    data = real_snapshot(*path)
    digest = hashlib.sha256(data).hexdigest()
    status, reply = upload(qdrant, collection, data, path[-1], f"?priority=snapshot&checksum={digest}")
    assert (status, reply["result"]) == (200, True)
    assert points_of(qdrant, collection) == points


def test_five_thousand_points_of_a_real_server_are_restored(qdrant):
    name = "docs-1235153728432657-2026-11-24-07-59-31.snapshot"
    assert upload(qdrant, "many", real_snapshot("docs", name), name)[0] == 200
    assert qdrant.result("POST", "/collections/many/points/count", {"exact": True})["count"] == 5000
    vector = qdrant.result("GET", "/collections/many/points/1")["vector"]
    assert len(vector) == 128
    nearest = qdrant.result("POST", "/collections/many/points/query", {"query": vector, "limit": 1})["points"]
    assert [p["id"] for p in nearest] == [1]


def test_an_upload_stays_as_a_snapshot_without_a_checksum(qdrant):
    name = "test_collection-1235153728432657-2026-11-24-07-59-23.snapshot"
    data = real_snapshot("test_collection", name)
    upload(qdrant, "stays", data, name)
    folder = qdrant.snapshots / "stays"
    assert [p.name for p in folder.iterdir()] == [name] and (folder / name).read_bytes() == data
    assert mode(folder / name) == 0o600
    described = qdrant.result("GET", "/collections/stays/snapshots")
    assert [(d["name"], d["size"], "checksum" in d) for d in described] == [(name, len(data), False)]
    assert list((qdrant.snapshots / "tmp/upload").iterdir()) == []


def test_an_upload_with_a_wrong_checksum_leaves_nothing(qdrant):
    status, reply = upload(qdrant, "refused", b"some bytes", "x.snapshot", f"?checksum={'0' * 64}")
    digest = hashlib.sha256(b"some bytes").hexdigest()
    text = f"Checksum mismatch: expected {digest}, actual {'0' * 64}"
    assert (status, reply["status"]) == (400, {"error": text})
    assert not (qdrant.snapshots / "refused").exists()
    assert qdrant.request("GET", "/collections/refused")[0] == 404
    assert list((qdrant.snapshots / "tmp/upload").iterdir()) == []


def test_the_name_of_an_upload_cannot_leave_the_collections_folder(qdrant):
    name = "test_collection-1235153728432657-2026-11-24-07-59-23.snapshot"
    data = real_snapshot("test_collection", name)
    assert upload(qdrant, "hostile", data, "../../../climbed.snapshot")[0] == 200
    assert [p.name for p in (qdrant.snapshots / "hostile").iterdir()] == ["climbed.snapshot"]


def test_recover_with_a_wrong_checksum_changes_nothing(qdrant):
    make_collection(qdrant, "kept")
    path = file_of(qdrant, "kept", take_snapshot(qdrant, "kept"))
    add_point(qdrant, "kept", 6)
    digest = path.with_name(path.name + ".checksum").read_text()
    status, reply = qdrant.request("PUT", "/collections/kept/snapshots/recover",
                                   {"location": location(path), "checksum": "0" * 64})
    text = f"Wrong input: Snapshot checksum mismatch: expected {'0' * 64}, got {digest}"
    assert (status, reply["status"]) == (400, {"error": text})
    assert points_of(qdrant, "kept") == SIX


def test_a_snapshot_cut_short_is_refused_and_changes_nothing(qdrant):
    make_collection(qdrant, "cut")
    path = file_of(qdrant, "cut", take_snapshot(qdrant, "cut"))
    add_point(qdrant, "cut", 6)
    (path.parent / "half.snapshot").write_bytes(path.read_bytes()[:20000])
    status, _ = qdrant.request("PUT", "/collections/cut/snapshots/recover",
                               {"location": location(path.parent / "half.snapshot")})
    assert status == 500 and points_of(qdrant, "cut") == SIX


def test_a_snapshot_of_other_vectors_is_refused(qdrant):
    make_collection(qdrant, "narrow")
    qdrant.result("PUT", "/collections/wide", {"vectors": {"size": 8, "distance": "Dot"}})
    path = file_of(qdrant, "narrow", take_snapshot(qdrant, "narrow"))
    status, reply = qdrant.request("PUT", "/collections/wide/snapshots/recover", {"location": location(path)})
    assert status == 400
    assert reply["status"]["error"].startswith(
        "Wrong input: Snapshot is not compatible with existing collection: Collection vectors: ")


def test_recover_fetches_a_snapshot_from_another_node_with_its_key(qdrant, fresh):
    make_collection(qdrant, "fetched")
    name = take_snapshot(qdrant, "fetched")["name"]
    other = fresh().start()
    where = {"location": f"{qdrant.url}/collections/fetched/snapshots/{name}"}
    assert other.request("PUT", "/collections/fetched/snapshots/recover", where)[0] >= 400
    other.result("PUT", "/collections/fetched/snapshots/recover", where | {"api_key": KEY})
    assert points_of(other, "fetched") == FIVE


@pytest.mark.real
@pytest.mark.skipif(not REAL, reason="needs both servers: set QDRANT_BIN to the real one's binary")
def test_the_other_servers_snapshots_are_restored(qdrant, kind, fresh):
    other = fresh(kind={"standin": "real", "real": "standin"}[kind]).start()
    make_collection(other, "exchanged")
    add_point(other, "exchanged", 6)
    path = file_of(other, "exchanged", take_snapshot(other, "exchanged"))
    assert upload(qdrant, "exchanged", path.read_bytes(), path.name)[0] == 200
    assert points_of(qdrant, "exchanged") == SIX
    add_point(qdrant, "exchanged", 7)
    assert set(points_of(qdrant, "exchanged")) == {1, 2, 3, 4, 5, 6, 7}


def test_a_shard_is_recovered_from_its_snapshot(qdrant):
    make_collection(qdrant, "shard_back")
    for city in ("Mysore", "Madras", "Bombay", "Bengaluru"):
        add_point(qdrant, "shard_back", 6, city)
    path, _ = shard_snapshot(qdrant, "shard_back")
    add_point(qdrant, "shard_back", 7)
    url = "/collections/shard_back/shards/0/snapshots/recover"
    assert qdrant.result("PUT", url, {"location": path.name}) is True
    assert points_of(qdrant, "shard_back") == SIX
    add_point(qdrant, "shard_back", 6, "Mysore")  # the log goes on behind what the snapshot holds
    assert points_of(qdrant, "shard_back")[6][0] == {"city": "Mysore"}


def test_vectors_with_names_and_points_with_uuids_come_back(qdrant):
    one, two = "5c56c793-69f3-4fbf-87e6-c4bf54c28c26", "0b1f9d7e-3f1d-4e1f-9a54-1d2c3b4a5968"
    qdrant.result("PUT", "/collections/shapes", {"vectors": {"image": {"size": 2, "distance": "Euclid"},
                                                             "text": {"size": 3, "distance": "Dot"}},
                                                 "sparse_vectors": {"words": {}}})
    points = {one: ({"nested": {"list": [1, 2.5, None, "é"]}},
                    {"image": [1.5, 2.5], "text": [1.0, 2.0, 3.0],
                     "words": {"indices": [3, 70000], "values": [0.5, 1.5]}}),
              two: ({}, {"image": [0.5, 0.25]})}
    qdrant.result("PUT", "/collections/shapes/points?wait=true",
                  {"points": [{"id": i, "payload": p, "vector": v} for i, (p, v) in points.items()]})
    path = file_of(qdrant, "shapes", take_snapshot(qdrant, "shapes"))
    recover(qdrant, "shapes_again", path)
    assert points_of(qdrant, "shapes_again") == points
