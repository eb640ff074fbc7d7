"""The fingerprint survives a restore, whatever a collection is made of."""
import json
import uuid

import pytest
from drilling import fill

PLAIN = {"vectors": {"size": 4, "distance": "Cosine"}}
VECTOR = [0.1, -0.7071067811865475, 3e-9, 12345.678]


def points(n, vector, ids=None, payload=lambda i: {"n": i}):
    return [{"id": ids(i) if ids else i, "vector": vector(i), "payload": payload(i)} for i in range(n)]


def dense(i):
    return [x * (i + 1) for x in VECTOR]


KINDS = {
    "cosine vectors": (PLAIN, points(50, dense)),
    "named vectors": ({"vectors": {"a": {"size": 4, "distance": "Dot"}, "b ü": {"size": 2, "distance": "Euclid"}}},
                      points(50, lambda i: {"a": dense(i), "b ü": [0.5, i / 3]})),
    "points without some of the vectors": ({"vectors": {"a": {"size": 4, "distance": "Dot"}, "b": {"size": 2, "distance": "Dot"}}},
                                           points(50, lambda i: {"a": dense(i)} if i % 2 else {"b": [0.1, 0.2]})),
    "sparse vectors": ({"vectors": {"a": {"size": 4, "distance": "Dot"}}, "sparse_vectors": {"s": {}}},
                       points(50, lambda i: {"a": dense(i), "s": {"indices": [1, 7 + i, 4000000000], "values": [0.1, 2.5, -1 / 3]}})),
    "UUID ids": (PLAIN, points(50, dense, ids=lambda i: str(uuid.uuid5(uuid.NAMESPACE_DNS, str(i))))),
    "ids of both kinds, up to 64 bits": (PLAIN, points(50, dense, ids=lambda i: 2**64 - 1 - i * 2**57 if i % 2 else str(uuid.UUID(int=i << 120)))),
    "payloads of any shape": (PLAIN, points(50, dense, payload=lambda i: {
        "null": None, "none": [], "empty": {}, "é🎉\u0001\"\\": "ü\n\t", "big": 2**53 + 2 * i, "small": -1e-300, "float": 0.1 + 0.2,
        "integer": -i, "deep": {"z": [{"y": [1, 2, {"x": [True, False, None]}]}], "a": "b"}})),
    "no payload": (PLAIN, [{"id": i, "vector": dense(i)} for i in range(50)]),
    "no points": (PLAIN, []),
}
REAL = {
    "quantization": (PLAIN | {"quantization_config": {"scalar": {"type": "int8", "always_ram": True}}}, points(50, dense)),
    "vectors of 16 bits": ({"vectors": {"size": 4, "distance": "Dot", "datatype": "float16"}}, points(50, lambda i: [0.1, 0.333, i, 2])),
    "multivectors": ({"vectors": {"m": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}}},
                     points(50, lambda i: {"m": [[0.5, 1.5], [i + 0.25, 0.75]]})),
    "several shards": (PLAIN | {"shard_number": 3}, points(90, dense)),
    "on disk": ({"vectors": {"size": 4, "distance": "Dot", "on_disk": True}, "on_disk_payload": True}, points(50, dense)),
}


def make(server, what):
    config, all_points = what
    server.result("PUT", "/collections/c", config)
    if all_points:
        server.result("PUT", "/collections/c/points?wait=true", {"points": all_points})
    return len(all_points)


def proven(node, n):
    node.back_up("c")
    manifest = json.loads(node.manifest().read_text())
    assert manifest["fingerprint"]["exact"] is True
    one = node.verdicts(code=0)["c"]
    assert (one["verdict"], one["points"], one["note"]) == ("proven", n, ""), one
    return one, manifest


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_proven_with(node, kind):
    one, _ = proven(node, make(node.server, KINDS[kind]))
    assert one["all"] is True


@pytest.mark.real
@pytest.mark.parametrize("kind", REAL)
def test_it_is_proven_by_the_real_server_with(node, kind):
    if node.server.kind != "real":
        pytest.skip("the stand-in does not have these")
    proven(node, make(node.server, REAL[kind]))


@pytest.mark.real
def test_it_is_proven_with_payload_indexes_and_after_deletions(node):
    if node.server.kind != "real":
        pytest.skip("the stand-in has no payload indexes")
    fill(node.server, n=100)
    for field, schema in (("n", "integer"), ("of", "keyword"), ("nested.a", {"type": "text", "tokenizer": "word", "lowercase": True})):
        node.server.result("PUT", "/collections/c/index?wait=true", {"field_name": field, "field_schema": schema})
    node.server.result("POST", "/collections/c/points/delete?wait=true", {"points": [3, 7, 99]})
    proven(node, 97)


def test_a_large_collection_is_proven_by_a_sample(node):
    fill(node.server, n=0)
    for start in range(0, 3000, 1000):
        node.server.result("PUT", "/collections/c/points?wait=true", {"points": [
            {"id": i if i % 3 else str(uuid.uuid5(uuid.NAMESPACE_DNS, str(i))), "vector": dense(i), "payload": {"n": i}}
            for i in range(start, start + 1000)]})
    one, manifest = proven(node, 3000)
    assert one["all"] is False and 100 <= one["looked_at"] <= 400
    assert manifest["fingerprint"]["before"]["looked_at"] == one["looked_at"]


def test_aliases_are_in_the_manifest_and_shown(node):
    fill(node.server)
    actions = [{"create_alias": {"collection_name": "c", "alias_name": a}} for a in ("prod", "älias")]
    node.server.result("POST", "/collections/aliases", {"actions": actions})
    node.back_up("c")
    manifest = json.loads(node.manifest().read_text())
    assert sorted(manifest["aliases"]) == ["prod", "älias"] and "aliases_left_out" not in manifest
    shown = node.tree.efs_tool("show", manifest["snapshot"])
    assert "fingerprint" in shown.stdout and "älias" in shown.stdout


