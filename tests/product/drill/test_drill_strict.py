"""Fingerprints and Qdrant's strict mode: its users keep their reads, and what cannot be looked at is said."""
import json

from drilling import fill, put

READS = ("POST /collections/{collection_name}/points/scroll", "POST /collections/{collection_name}/points/count")


def reads(server):
    """How often points were read until now."""
    routes = server.result("GET", "/telemetry?details_level=3")["requests"]["rest"]["responses"]
    return sum(status["count"] for route in READS for status in routes.get(route, {}).values())


def strict(server, name, n, **limits):
    fill(server, name, n=0, strict_mode_config={"enabled": True} | limits)
    for start in range(0, n, 1000):
        put(server, name, range(start, min(n, start + 1000)))


def fingerprint(node, name="c"):
    return json.loads(node.manifest(name).read_text()).get("fingerprint")


def test_a_large_collection_is_looked_at_by_few_reads_and_proven(node):
    strict(node.server, "c", 3000)
    before = reads(node.server)
    node.back_up("c")
    assert 4 <= reads(node.server) - before <= 16
    assert fingerprint(node)["exact"] and 3 <= len(fingerprint(node)["places"]) <= 7
    one = node.verdicts(code=0)["c"]
    assert (one["verdict"], one["note"], one["all"]) == ("proven", "", False) and one["looked_at"] >= 100


def test_of_the_reads_that_strict_mode_allows_a_tenth_is_taken(node):
    strict(node.server, "c", 3000, read_rate_limit=60, max_query_limit=1000)
    before = reads(node.server)
    node.back_up("c")
    assert 1 <= reads(node.server) - before <= 6
    assert fingerprint(node)["exact"]
    users = [node.server.request("POST", "/collections/c/points/scroll", {"limit": 1})[0] for _ in range(53)]
    assert set(users) == {200}
    assert node.verdicts(code=0)["c"]["verdict"] == "proven"


def test_a_limit_of_points_in_a_reply_and_no_exact_count_do_not_keep_it_from_a_fingerprint(node):
    strict(node.server, "c", 1000, max_query_limit=300, search_allow_exact=False)
    node.back_up("c")
    assert not node.tree.logged("no_fingerprint")
    before = fingerprint(node)["before"]
    assert (before["points"], before["counted"], before["all"], before["looked_at"]) == (1000, True, True, 1000)
    assert node.verdicts(code=0)["c"]["verdict"] == "proven"


def test_a_collection_that_spares_no_read_goes_without_and_that_is_said_of_each(node):
    for name in ("c", "d"):
        strict(node.server, name, 20, read_rate_limit=19)
    strict(node.server, "e", 20)
    before = reads(node.server)
    node.back_up("c", "d", "e")
    assert reads(node.server) - before == 2  # of e
    assert fingerprint(node) is None and fingerprint(node, "d") is None and fingerprint(node, "e")["exact"]
    said = {line["collection"]: line for line in node.tree.logged("no_fingerprint")}
    assert set(said) == {"c", "d"} and len(node.tree.logged("no_fingerprint")) == 2
    assert all(line["level"] == "warn" and "19 reads a minute" in line["message"] for line in said.values())


# --- what is too large for one reply

MIB = 1 << 20


def put_large(server, name, sizes):
    for i, size in enumerate(sizes):
        point = {"id": i, "vector": [0.1, 0.25, -0.3, i], "payload": {"text": "x" * size}}
        server.result("PUT", f"/collections/{name}/points?wait=true", {"points": [point]})


def test_payloads_that_make_a_page_too_large_are_looked_at_in_smaller_pages(node):
    fill(node.server, "c", n=0)
    put_large(node.server, "c", [MIB] * 24)
    before = reads(node.server)
    node.back_up("c")
    assert not node.tree.logged("no_fingerprint") and reads(node.server) - before <= 16
    told = fingerprint(node)
    assert told["exact"] and told["after"]["looked_at"] > 0
    assert node.verdicts(code=0)["c"]["verdict"] == "proven"


def test_of_a_collection_with_one_point_that_is_too_large_the_others_are_looked_at_or_that_is_said(node):
    for name, sizes in (("first", [17 * MIB, 10]), ("last", [10] * 100 + [17 * MIB])):
        fill(node.server, name, n=0)
        put_large(node.server, name, sizes)
    node.back_up("first", "last")
    said = {line["collection"]: line for line in node.tree.logged("no_fingerprint")}
    for name in ("first", "last"):
        assert (fingerprint(node, name) is None) == (name in said)
    assert "first" in said and "1 point of it is longer than the 16 MiB" in said["first"]["message"] and said["first"]["level"] == "warn"
    drill = node.verdicts()
    assert drill["first"]["verdict"] != "proven" and drill["last"]["verdict"] != "refused"


def test_smaller_pages_stay_within_a_tenth_of_what_strict_mode_allows(node):
    fill(node.server, "c", n=0, strict_mode_config={"enabled": True, "read_rate_limit": 120})
    put_large(node.server, "c", [MIB] * 24)
    before = reads(node.server)
    node.back_up("c")
    assert reads(node.server) - before <= 12 and fingerprint(node)["exact"] and not node.tree.logged("no_fingerprint")
