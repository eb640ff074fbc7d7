"""The recorded conversation, held again: every request gets the reply that the real server gave."""
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from contract_steps import KEY, make_collection, next_second, take_snapshot
from recordings import conversation, mask, plain_replies

DOCS = 100  # points; the recorded collection had 100,000
RECORDED = conversation()
FIRST_SNAPSHOT = "test_collection-3168761614717268-2026-11-24-07-45-12.snapshot"


@pytest.fixture(scope="module")
def replies(qdrant):
    """[(status, reply)] for each recorded request, from the state that the recording began with."""
    make_collection(qdrant, "docs", [{"id": i, "vector": [0.1, 0.2, 0.3, i / DOCS]} for i in range(DOCS)])
    take_snapshot(qdrant, "docs")
    make_collection(qdrant, "test_collection")
    first = take_snapshot(qdrant, "test_collection")["name"]
    next_second()
    out = []
    for method, path, body, _, _ in RECORDED:
        if body and "location" in body:
            location = body["location"].replace(FIRST_SNAPSHOT, first)
            body = body | {"location": location.replace("/qdrant/snapshots", str(qdrant.snapshots))}
        status, reply = qdrant.request(method, path, body)
        if "error" in (reply.get("status") or ()):
            text = reply["status"]["error"]
            reply["status"]["error"] = text.replace(str(qdrant.snapshots), "/qdrant/snapshots")
        out.append((status, reply))
    return out


@pytest.mark.parametrize("number", range(len(RECORDED)),
                         ids=[f"{i:02} {method} {path}" for i, (method, path, *_) in enumerate(RECORDED)])
def test_a_request_gets_the_recorded_status_and_reply(replies, number):
    *_, status, reply = RECORDED[number]
    assert replies[number][0] == status
    assert mask(replies[number][1]) == mask(reply)


def test_what_stands_for_a_checksum_is_one(replies):
    found = re.findall(r"'checksum': '([^']*)'", str(replies))
    assert len(found) > 5 and all(re.fullmatch("[0-9a-f]{64}", c) for c in found)


def test_without_a_key_it_is_401_in_plain_text(qdrant):
    (status, text), *_ = plain_replies()[0]
    for path in ("/collections", "/metrics", "/telemetry", "/cluster", "/snapshots", "/nothing/there"):
        assert qdrant.request("GET", path, key=None) == (status, text)
    assert qdrant.request("DELETE", "/collections/docs/snapshots/x", key=None) == (status, text)


def test_a_wrong_key_is_401_in_plain_text(qdrant):
    assert qdrant.request("GET", "/collections", key="wrong") == (401, "Invalid API key or JWT")


def test_the_key_is_also_taken_as_a_bearer_token(qdrant):
    for key, status in ((KEY, 200), ("wrong", 401)):
        headers = {"authorization": f"Bearer {key}"}
        assert qdrant.request("GET", "/collections", key=None, headers=headers)[0] == status


def test_health_is_told_without_a_key(qdrant):
    for path, reply in zip(("/healthz", "/livez", "/readyz"), plain_replies()[0][1:]):
        assert qdrant.request("GET", path, key=None) == reply
    status, version = qdrant.request("GET", "/", key=None)
    assert status == 200
    assert (version["title"], version["version"]) == ("qdrant - vector search engine", "1.18.2")


def test_the_telemetry_has_the_servers_name_version_and_start(qdrant):
    t = qdrant.result("GET", "/telemetry")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", t["id"])
    assert {k: t["app"][k] for k in ("name", "version")} == {"name": "qdrant", "version": "1.18.2"}
    assert re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", t["app"]["startup"])
    collections = qdrant.result("GET", "/collections")["collections"]
    assert t["collections"]["number_of_collections"] == len(collections)


def test_the_metrics_are_the_recorded_ones(qdrant, replies):
    status, text = qdrant.request("GET", "/metrics")
    got = set(text.split("\n"))
    volatile = ("audit_log_dir_size_bytes", "collection_running_optimizations")
    expected = {line.replace(" 100000", f" {DOCS}").replace(" 100010", f" {DOCS + 10}")
                for line in plain_replies()[1] if not line.startswith(volatile)}
    assert status == 200 and expected - got == set()
    assert {f"# TYPE {n} gauge" for n in ("snapshot_creation_running", "snapshot_recovery_running")} < got


def test_a_collection_is_in_the_snapshot_metrics_from_its_beginning(fresh):
    server = fresh().start()
    make_collection(server, "untouched")
    lines = server.request("GET", "/metrics")[1].split("\n")
    for name in ("snapshot_creation_running", "snapshot_recovery_running", "snapshot_created_total"):
        assert f'{name}{{id="untouched"}} 0' in lines


def test_while_a_snapshot_is_made_the_metrics_say_so(fresh):
    """Not of a small one: it must be seen in the making."""
    server = fresh().start()
    make_collection(server, "large", [{"id": i, "vector": [0.1, 0.2, 0.3, i / 20000], "payload": {"t": "x" * 1000}}
                                      for i in range(20000)])
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(lambda: [take_snapshot(server, "large") for _ in range(5)])
        seen = set()
        while not made.done():
            text = server.request("GET", "/metrics")[1]
            seen |= set(re.findall(r'^snapshot_creation_running\{id="large"} (\d+)$', text, re.M))
    assert "1" in seen and len(made.result()) == 5


def test_paths_that_nobody_serves_are_404_without_a_body(qdrant):
    assert qdrant.request("GET", "/nothing/there") == (404, "")


def test_errors_have_the_texts_of_the_real_server(qdrant, replies):
    c = "/collections/test_collection"
    nope = "Not found: Collection `nope` doesn't exist!"
    good = {"location": f"file://{qdrant.snapshots}/x"}
    (qdrant.snapshots / "x").write_bytes(b"x" * 1000)
    for method, path, body, status, text in (
            ("PUT", c, {"vectors": {"size": 4, "distance": "Dot"}}, 409,
             "Wrong input: Collection `test_collection` already exists!"),
            ("PUT", "/collections/a:b", {"vectors": {"size": 4, "distance": "Dot"}}, 422,
             "Validation error in path parameters: "
             '[collection_name: collection name cannot contain ":" char]'),
            ("PUT", c + "/points", {"points": [{"id": 1, "vector": [1, 2, 3]}]}, 400,
             "Wrong input: Vector dimension error: expected dim: 4, got 3"),
            ("POST", c + "/points/count", None, 400,
             "Format error in JSON body: EOF while parsing a value at line 1 column 0"),
            ("GET", "/collections/nope", None, 404, nope),
            ("GET", "/collections/nope/snapshots", None, 404, nope),
            ("DELETE", "/collections/nope/snapshots/x", None, 404, nope),
            ("POST", "/collections/nope/shards/0/snapshots", None, 404, nope),
            ("POST", c + "/shards/7/snapshots", None, 404, "Not found: shard 7 not found"),
            ("GET", c + "/shards/7/snapshots", None, 404, "Not found: shard 7 not found"),
            ("DELETE", c + "/snapshots/x.snapshot", None, 404, "Not found: Snapshot x.snapshot not found"),
            ("DELETE", "/snapshots/x.snapshot", None, 404, "Not found: Snapshot x.snapshot not found"),
            ("DELETE", c + "/shards/0/snapshots/x.snapshot", None, 404,
             f'Not found: Snapshot "{qdrant.snapshots}/test_collection/shards/0/x.snapshot" not found'),
            ("PUT", c + "/snapshots/recover", {"location": "ftp://x/y"}, 400,
             "Bad request: URL ftp://x/y with scheme ftp is not supported"),
            ("PUT", c + "/snapshots/recover", good | {"checksum": "g" * 64}, 422,
             "Validation error in JSON body: [checksum: invalid characters, expected 0-9, a-f, A-F]"),
            ("PUT", c + "/snapshots/recover", good, 500,
             "Service internal error: File IO error: Malformed tar archive, reached unknown entry")):
        got, reply = qdrant.request(method, path, body)
        assert (got, reply["status"]) == (status, {"error": text}), (method, path, body)


def test_a_snapshot_that_is_not_there_is_refused_in_plain_text_when_downloaded(qdrant, replies):
    for path in ("/collections/test_collection/snapshots/x.snapshot", "/snapshots/x.snapshot"):
        assert qdrant.request("GET", path) == (404, "Not found: Snapshot x.snapshot not found")


def test_no_name_leads_out_of_the_snapshots_folder(qdrant, replies):
    (qdrant.work / "secret.snapshot").write_text("secret")
    c = "/collections/test_collection"
    for path in ("/snapshots/..%2fsecret.snapshot", f"{c}/snapshots/..%2f..%2fsecret.snapshot",
                 f"{c}/shards/0/snapshots/..%2f..%2f..%2f..%2fsecret.snapshot"):
        assert qdrant.request("DELETE", path)[0] == 404 and qdrant.request("GET", path)[0] == 404
    assert (qdrant.work / "secret.snapshot").exists()


def test_the_telemetry_numbers_the_operations_of_each_local_shard(qdrant):
    """By which a stop knows what was written to since a snapshot (qdrant/marks.h)."""
    def told():
        everything = qdrant.result("GET", "/telemetry?details_level=3")["collections"]["collections"]
        one, = [c for c in everything if c["id"] == "numbered"]
        shard, = one["shards"]
        assert one["config"] and shard["id"] == 0 and shard["local"]["update_queue"]["length"] == 0
        return shard["local"]["update_queue"]["op_num"], shard["local"]["num_points"]
    qdrant.result("PUT", "/collections/numbered", {"vectors": {"size": 2, "distance": "Dot"}})
    seen = [told()]
    for body in ({"points": [{"id": 1, "vector": [1, 0]}]}, {"points": [{"id": 1, "vector": [0, 1]}]}):
        qdrant.result("PUT", "/collections/numbered/points?wait=true", body)
        seen.append(told())
    qdrant.result("PUT", "/collections/numbered/index?wait=true", {"field_name": "n", "field_schema": "integer"})
    seen.append(told())
    qdrant.result("POST", "/collections/numbered/points/count", {})
    qdrant.result("POST", "/collections/numbered/snapshots?wait=true")
    assert len({op for op, _ in seen}) == len(seen) and told() == seen[-1], seen


def test_the_telemetry_counts_the_replies_of_each_route(qdrant, replies):
    def counts(route):
        replied = qdrant.result("GET", "/telemetry")["requests"]["rest"]["responses"].get(route, {})
        return {status: n["count"] for status, n in replied.items()}
    route = "DELETE /collections/{collection_name}/snapshots/{snapshot_name}"
    before = counts(route)
    name = take_snapshot(qdrant, "test_collection")["name"]
    qdrant.result("DELETE", f"/collections/test_collection/snapshots/{name}")
    assert qdrant.request("DELETE", f"/collections/test_collection/snapshots/{name}", key="wrong")[0] == 401
    after = counts(route)
    assert {s: after[s] - before.get(s, 0) for s in ("200", "401")} == {"200": 1, "401": 1}
    for route in ("GET /collections/{collection_name}", "POST /collections/{collection_name}/points/count",
                  "POST /snapshots", "POST /collections/{collection_name}/shards/{shard}/snapshots"):
        assert counts(route)["200"] >= 1
