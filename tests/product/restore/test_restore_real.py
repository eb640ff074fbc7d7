"""What only the real server can show: shards, indexes, several vectors, and searches that find the same."""
import hashlib
import json
import os
import random
import time

import pytest
from harness import wait_for
from restoring import count, publish, restore, restored, snapshot, uploads
from server import REAL

pytestmark = [pytest.mark.real, pytest.mark.skipif(not REAL, reason="needs the real Qdrant server: set QDRANT_BIN to its binary")]
# RESTORE_POINTS=100000 RESTORE_DIMENSIONS=256 RESTORE_QUERIES=100: what a product has to stand, in some minutes.
POINTS, DIMENSIONS, QUERIES = (int(os.environ.get(f"RESTORE_{name}", standard)) for name, standard in
                               (("POINTS", 6000), ("DIMENSIONS", 64), ("QUERIES", 20)))
CONFIG = {
    "vectors": {"text": {"size": DIMENSIONS, "distance": "Cosine"},
                "image": {"size": 16, "distance": "Euclid", "on_disk": True, "multivector_config": {"comparator": "max_sim"}}},
    "sparse_vectors": {"words": {"modifier": "idf"}},
    "shard_number": 2,
    "on_disk_payload": True,
    "quantization_config": {"scalar": {"type": "int8", "always_ram": True}},
    "optimizers_config": {"indexing_threshold": 100},
}


def point(i, rng):
    words = sorted(rng.sample(range(500), 8))
    return {"id": i, "vector": {"text": [round(rng.uniform(-1, 1), 4) for _ in range(DIMENSIONS)],
                                "image": [[round(rng.random(), 4) for _ in range(16)] for _ in range(rng.randint(1, 3))],
                                "words": {"indices": words, "values": [round(rng.uniform(0.1, 1), 4) for _ in words]}},
            "payload": {"city": rng.choice(["Berlin", "東京", "Bengaluru"]), "n": i, "tags": ["a", "b"][: i % 3],
                        "at": {"lon": rng.uniform(-180, 180), "lat": rng.uniform(-80, 80)}}}


def green(server, name):
    wait_for(lambda: server.result("GET", f"/collections/{name}")["status"] == "green", 600)


@pytest.fixture
def large(real_qdrant):
    rng = random.Random(7)
    real_qdrant.result("PUT", "/collections/large", CONFIG)
    for field, schema in (("city", "keyword"), ("n", "integer"), ("at", "geo")):
        real_qdrant.result("PUT", "/collections/large/index?wait=true", {"field_name": field, "field_schema": schema})
    for start in range(0, POINTS, 500):
        real_qdrant.result("PUT", "/collections/large/points?wait=true", {"points": [point(i, rng) for i in range(start, start + 500)]})
    green(real_qdrant, "large")
    return real_qdrant


def digest(server, name):
    """Of all points, with all that is theirs."""
    whole, offset = hashlib.sha256(), None
    while True:
        page = server.result("POST", f"/collections/{name}/points/scroll",
                             {"limit": 1000, "with_payload": True, "with_vector": True, "offset": offset})
        whole.update(json.dumps(page["points"], sort_keys=True).encode())
        offset = page["next_page_offset"]
        if offset is None:
            return whole.hexdigest()


def searches(server, name):
    """What many searches find, exactly: by each kind of vector, and with a filter."""
    rng, found = random.Random(11), []
    for i in range(QUERIES):
        p = point(i, rng)
        using = ("text", "image", "words")[i % 3]
        query = {"query": p["vector"][using], "using": using, "limit": 10, "with_payload": True, "params": {"exact": True}}
        if i % 2:
            query["filter"] = {"must": [{"key": "city", "match": {"value": p["payload"]["city"]}}]}
        found.append([(hit["id"], hit["score"], hit["payload"]["n"])
                      for hit in server.result("POST", f"/collections/{name}/points/query", query)["points"]])
    return found


def test_a_large_collection_comes_back_with_all_its_points_and_finds_the_same(tree, large):
    before, found = digest(large, "large"), searches(large, "large")
    stem = snapshot(large, "large")
    publish(tree)
    assert tree.efs_tool("verify", "--deep").returncode == 0
    large.result("POST", "/collections/large/points/delete?wait=true", {"filter": {"must": [{"key": "n", "range": {"lt": POINTS - 1000}}]}})
    assert count(large, "large") == 1000
    result, = restored(tree, "--force")
    assert (result["snapshot"], result["points"], result["points_before"]) == (stem, POINTS, 1000)
    assert digest(large, "large") == before and searches(large, "large") == found
    result, = restored(tree, "--rename", "beside")
    assert digest(large, "beside") == before and searches(large, "beside") == found
    info = large.result("GET", "/collections/beside")
    assert set(info["payload_schema"]) == {"city", "n", "at"} and info["config"]["params"]["shard_number"] == 2
    assert uploads(large) == []


def test_a_shard_is_restored_alone(tree, large):
    time.sleep(1.01)
    large.result("POST", "/collections/large/shards/1/snapshots?wait=true")
    publish(tree)
    assert tree.efs_tool("verify", "--deep").returncode == 0
    assert restore(tree, "--collection", "large", "--shard", "1").returncode == 1  # it has points
    large.result("POST", "/collections/large/points/delete?wait=true", {"filter": {"must": [{"key": "n", "range": {"lt": POINTS}}]}})
    restored(tree, "--collection", "large", "--shard", "1")
    left = count(large, "large")
    assert 0 < left < POINTS
    run = restore(tree, "--collection", "large", "--shard", "1", "--rename", "nope")
    assert run.returncode == 1 and "restore the collection first" in run.stderr
    assert uploads(large) == []


def test_an_upload_that_cannot_be_unpacked_is_not_left_behind(tree, real_qdrant):
    """Its hash is right, and Qdrant refuses it: the collection is never made, so that its API does not know the file."""
    tree.snapshot("c", "c-1-2026-11-24-08-00-00", b"no tar at all" * 1000)
    publish(tree)
    run = restore(tree)
    assert run.returncode == 1 and "Qdrant answered 500" in run.stderr
    assert uploads(real_qdrant) == [] and real_qdrant.request("GET", "/collections/c")[0] == 404
