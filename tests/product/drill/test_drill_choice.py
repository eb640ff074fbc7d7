"""Which backup a drill takes, and what it says of those that it passes over; custom sharding; signals."""
import json
import os
import signal
import time

import drilling
import pytest
from drilling import data_of, fill, gone, retar, rewrite
from faulty_mount import ended, faulty, hung
from harness import patience
from server import SERVERS, Server, free_port
from signing import make_key


def again(node, collection="c"):
    """Another backup, of a second of its own; its manifest, and that of the one before."""
    before = node.manifest(collection)
    time.sleep(1.1)
    node.server.result("POST", f"/collections/{collection}/snapshots")
    assert node.tree.once().returncode == 0
    return node.manifest(collection), before


def by_snapshot(node, *args, code, **env):
    out = node.drill("--json", *args, **env)
    assert out.returncode == code, (out.stdout, out.stderr)
    return {d["snapshot"]: d for d in json.loads(out.stdout)["drills"]}


def test_a_backup_that_qdrant_refuses_has_failed_and_the_next_older_one_is_proven(node):
    fill(node.server)
    node.back_up("c")
    newest, older = again(node)
    rewrite(newest, lambda data: retar(data, keep=lambda name: not name.endswith("/shard_config.json")))
    found = by_snapshot(node, code=1)
    assert {s: d["verdict"] for s, d in found.items()} == {newest.stem: "failed", older.stem: "proven"}
    assert "Qdrant answered" in found[newest.stem]["why"] and newest.stem in found[older.stem]["note"]
    assert list(by_snapshot(node, "--strict", code=1)) == [newest.stem]
    assert node.left() == []


def test_a_time_in_the_future_is_not_drilled_as_the_newest_and_is_told(node):
    fill(node.server)
    node.back_up("c")
    newest, older = again(node)
    ahead = {"created": "2036-01-01T00:00:00Z", "slot": "2036-01-01T00:00:00Z"}
    newest.write_text(json.dumps(json.loads(newest.read_text()) | ahead))
    long_ago = time.time() - 30 * 86400
    os.utime(newest, (long_ago, long_ago))
    assert list(by_snapshot(node, code=0)) == [older.stem]
    one = by_snapshot(node, "--snapshot", newest.stem, code=0)[newest.stem]
    assert "ran ahead" in one["note"]


def test_one_manifest_that_cannot_be_read_does_not_fail_the_drill_of_the_rest(node):
    fill(node.server)
    node.back_up("c")
    newest, older = again(node)
    env = faulty(EIO=newest.name)
    one, = by_snapshot(node, code=0, **env).values()
    assert (one["snapshot"], one["verdict"]) == (older.stem, "proven") and "it is unreadable" in one["note"]
    assert list(by_snapshot(node, code=0, **faulty(EIO=older.name))) == [newest.stem]


def test_a_number_of_points_that_is_an_estimate_is_partly_proven(node):
    fill(node.server)
    node.back_up("c")
    again(node)  # made by hand: no fingerprint
    one = node.verdicts(code=0)["c"]
    assert one["verdict"] == "partly_proven" and "estimate" in one["note"]
    manifest = node.manifest()
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"points": 40}))
    one = node.verdicts(code=1)["c"]
    assert one["verdict"] == "failed" and one["why"] == "20 points came back of about 40"


@pytest.fixture(params=SERVERS)
def keyed(request, tree, tmp_path):
    """A cluster of one node, and a collection with custom sharding on it."""
    p2p = free_port()
    server = Server(request.param, tmp_path / "server", api_key="k3y-of-the-one-that-serves",
                    env={"QDRANT__CLUSTER__ENABLED": "true", "QDRANT__CLUSTER__P2P__PORT": str(p2p)})
    server.start("--uri", f"http://127.0.0.1:{p2p}")
    server.result("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}, "sharding_method": "custom"})
    for i, key in enumerate(("a", "b")):
        server.result("PUT", "/collections/c/shards", {"shard_key": key})
        server.result("PUT", "/collections/c/points?wait=true", {"shard_key": key, "points": [
            {"id": i * 50 + n, "vector": [1, 2, 3, n], "payload": {"of": key}} for n in range(50)]})
    node = drilling.Nodes(server, tree, tmp_path)
    yield node
    drilling.no_trace(node)
    tree.stop()
    server.stop()


def test_custom_sharding_is_proven_by_all_its_points_at_the_start_of_a_second_qdrant(keyed):
    keyed.back_up("c")
    one = keyed.verdicts(code=0)["c"]
    assert (one["verdict"], one["points"], one["all"]) == ("proven", 100, True) and keyed.left() == []
    drilling.edit_manifest(keyed.manifest(), lambda m: m["fingerprint"]["after"].update(points=101) or
                           m["fingerprint"]["before"].update(points=101))
    one = keyed.verdicts(code=1)["c"]
    assert (one["verdict"], one["why"]) == ("failed", "100 points came back of 101")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_drill_that_hangs_on_efs_within_two_seconds_and_its_qdrant_with_it(node, number):
    fill(node.server)
    node.back_up("c")
    p = hung(node.tree, "drill", data_of(node.manifest()).name)
    second = [pid for pid, _ in drilling.left_in(node.place)]
    assert second and node.left() != []
    code, seconds, err = ended(p, number)
    assert code == 128 + number and seconds < 2 * patience() and f"signal {int(number)}" in err
    assert all(gone(pid) for pid in second) and node.left() == []



def test_one_without_a_signature_is_passed_over_where_signatures_are_required(node, tmp_path):
    private, public = make_key(tmp_path / "keys", "one")
    fill(node.server)
    node.back_up("c", SIGNING_KEY_FILE=private)
    unsigned, signed = again(node)
    required = {"VERIFY_KEYS": public, "REQUIRE_SIGNATURE": "1"}
    assert list(by_snapshot(node, code=0, VERIFY_KEYS=public)) == [unsigned.stem]
    one, = by_snapshot(node, code=0, **required).values()
    assert (one["snapshot"], one["verdict"]) == (signed.stem, "proven")
    assert one["note"] == f"the newer {unsigned.stem} was passed over: it is unsigned"
    unsigned.with_name(unsigned.name + ".sig").write_bytes(signed.with_name(signed.name + ".sig").read_bytes())
    one, = by_snapshot(node, code=0, **required).values()
    assert one["snapshot"] == signed.stem and one["note"] == f"the newer {unsigned.stem} was passed over: it is corrupt"
    one, = by_snapshot(node, "--snapshot", unsigned.stem, code=1, **required).values()
    assert one["verdict"] == "failed" and "signature" in one["why"]
