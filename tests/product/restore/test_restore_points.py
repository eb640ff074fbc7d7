"""`restore --points` and `--filter`: a few points out of a backup, into the collection that goes on."""
import json

import pytest
from restoring import attach, count, fill, publish, restore, restored, scroll, snapshot, upsert
from server import SERVERS, STANDIN_PATH, Server

UUID = "5c56c793-69f3-4fbf-87e6-c4bf54c28c26"


@pytest.fixture(params=SERVERS)
def server(request, tree, tmp_path):
    """Five cities and one under a UUID are backed up."""
    with Server(request.param, tmp_path / "server", api_key="k3y-that-nobody-may-see") as s:
        attach(tree, s)
        tree.env |= {"QDRANT_BIN": s.program, "DRILL_DIR": str(tmp_path / "scratch"), "PATH": STANDIN_PATH}
        fill(s, "docs")
        upsert(s, "docs", [{"id": UUID, "vector": [1, 2, 3, 4], "payload": {"city": "Rome", "deep": {"n": [1, 2.5, None]}}}])
        snapshot(s, "docs")
        publish(tree)
        yield s
        assert not [p for p in (tmp_path / "scratch/.qdrant-drill").glob("*") if p.name != "lock"]


def cities(server):
    return {p["id"]: p["payload"]["city"] for p in scroll(server, "docs")["points"]}


def delete(server, *ids):
    server.result("POST", "/collections/docs/points/delete?wait=true", {"points": list(ids)})


def test_points_that_were_deleted_come_back_and_nothing_else_is_touched(server, tree):
    before = scroll(server, "docs")
    delete(server, 2, UUID)
    upsert(server, "docs", [{"id": 1, "vector": [0, 0, 0, 1], "payload": {"city": "Potsdam"}}, {"id": 99, "vector": [1, 0, 0, 0], "payload": {"city": "new"}}])
    run = restore(tree, "--collection", "docs", "--points", f"2,{UUID}")
    assert run.returncode == 0 and ": 2 points put back into docs, " in run.stdout, run.stdout + run.stderr
    now = {p["id"]: p for p in scroll(server, "docs")["points"]}
    was = {p["id"]: p for p in before["points"]}
    assert now[2] == was[2] and now[UUID] == was[UUID]
    assert now[1]["payload"]["city"] == "Potsdam" and now[99]["payload"]["city"] == "new" and len(now) == 7


def test_what_is_there_is_left_as_it_is_unless_it_is_forced(server, tree):
    upsert(server, "docs", [{"id": 1, "vector": [0, 0, 0, 1], "payload": {"city": "Potsdam"}}])
    delete(server, 3)
    run = restore(tree, "--collection", "docs", "--points", "1,3")
    assert run.returncode == 0 and "1 point put back into docs; 1 are there already and were left as they are (--force replaces them)" in run.stdout, run.stdout
    assert cities(server)[1] == "Potsdam" and cities(server)[3] == "Moscow"
    one, = restored(tree, "--collection", "docs", "--points", "1,3", "--force")
    assert (one["points_written"], one["points_replaced"], one["points_kept"]) == (2, 2, 0) and cities(server)[1] == "Berlin"


def test_by_a_filter(server, tree):
    delete(server, 1, 2, 3)
    text = json.dumps({"must": [{"key": "city", "match": {"any": ["Berlin", "Moscow"]}}]})
    one, = restored(tree, "--collection", "docs", "--filter", text)
    assert (one["points_found"], one["points_written"], one["points"]) == (2, 2, 5) and set(cities(server).values()) == {"Berlin", "Moscow", "New York", "Beijing", "Rome"}
    run = restore(tree, "--collection", "docs", "--filter", json.dumps({"must": [{"key": "city", "match": {"value": "Nowhere"}}]}))
    assert run.returncode == 1 and "none in the backup matches the filter" in run.stderr


def test_what_the_backup_does_not_have_is_named(server, tree):
    delete(server, 2)
    run = restore(tree, "--collection", "docs", "--points", "2,700,701")
    assert run.returncode == 1 and "1 points were put back, and not in the backup are 700, 701" in run.stderr and cities(server)[2] == "London"


def test_a_dry_run_writes_nothing(server, tree):
    delete(server, 2)
    run = restore(tree, "--collection", "docs", "--points", "2", "--dry-run")
    assert run.returncode == 0 and "1 point would be put back into docs" in run.stdout and count(server, "docs") == 5


def test_more_than_a_page_of_them(server, tree):
    upsert(server, "docs", [{"id": i, "vector": [i, 1, 2, 3], "payload": {"city": f"c{i}"}} for i in range(1000, 1300)])
    snapshot(server, "docs")
    publish(tree)
    delete(server, *range(1000, 1300))
    one, = restored(tree, "--collection", "docs", "--points", ",".join(map(str, range(1000, 1300))))
    assert one["points_written"] == 300 and count(server, "docs") == 306
    delete(server, *range(1000, 1300))
    one, = restored(tree, "--collection", "docs", "--filter", "{}")
    assert (one["points_found"], one["points_written"], one["points_kept"]) == (306, 300, 6) and count(server, "docs") == 306


def test_a_number_that_json_does_not_keep_is_refused(server, tree):
    upsert(server, "docs", [{"id": 7, "vector": [1, 1, 1, 1], "payload": {"city": "x", "user": 9007199254740993}}])
    snapshot(server, "docs")
    publish(tree)
    delete(server, 7)
    run = restore(tree, "--collection", "docs", "--points", "7")
    assert run.returncode == 1 and "the point 7 has a whole number beyond 2^53" in run.stderr and 7 not in cities(server)


def test_into_a_collection_that_is_not_there(server, tree):
    server.result("DELETE", "/collections/docs")
    run = restore(tree, "--collection", "docs", "--points", "1")
    assert run.returncode == 1 and "put back into a collection that is there" in run.stderr


@pytest.mark.parametrize("args, why", [
    (["--points", "1"], "need one --collection"),
    (["--collection", "docs", "--points", "1", "--filter", "{}"], "not both"),
    (["--collection", "docs", "--points", "1,,2"], "use numbers below 2^53 and UUIDs"),
    (["--collection", "docs", "--points", "1,"], "use numbers below 2^53 and UUIDs"),
    (["--collection", "docs", "--points", "-1"], "use numbers below 2^53 and UUIDs"),
    (["--collection", "docs", "--points", "9007199254740993"], "use numbers below 2^53 and UUIDs"),
    (["--collection", "docs", "--points", UUID[:-1]], "use numbers below 2^53 and UUIDs"),
    (["--collection", "docs", "--filter", "city=Berlin"], "is no JSON object"),
    (["--collection", "docs", "--filter", "[]"], "is no JSON object"),
    (["--collection", "docs", "--filter", "{}", "--force"], "would replace every point"),
    (["--collection", "docs", "--points", "1, 2"], "without spaces"),
    (["--collection", "docs", "--points", "1", "--set"], "name each node with --node"),
    (["--collection", "docs", "--points", "1", "--swap"], "no --swap"),
    (["--collection", "docs", "--points", "1", "--to", "/tmp/x"], "no --to"),
], ids=lambda v: v if isinstance(v, str) else " ".join(v[2:]))
def test_wrong_use(args, why, tree):
    run = restore(tree, *args)
    assert run.returncode == 64 and why in run.stderr, run.stderr
