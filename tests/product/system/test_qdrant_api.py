"""What the replicator asks of Qdrant's API, and what it takes from a server that answers badly."""
import http.server
import json
import socket
import threading
import time
import urllib.parse

import pytest
from harness import tar_of, wait_for

NAME = "c-1-2026-11-24-07-59-23"


class Recorder:
    """An HTTP server that notes each request and answers as `answer(handler, method, path)` says."""

    def __init__(self, answer):
        self.requests = seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do(self):
                seen.append((self.command, self.path, dict(self.headers)))
                try:
                    answer(self, self.command, self.path)
                except OSError:
                    pass

            do_GET = do_DELETE = do_POST = do_CONNECT = do

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve():
    running = []

    def start(answer):
        running.append(Recorder(answer))
        return running[-1]
    yield start
    for r in running:
        r.close()


def reply(handler, status, body, **headers):
    data = body if isinstance(body, bytes) else body.encode()
    handler.send_response(status)
    for k, v in ({"content-length": str(len(data))} | headers).items():
        handler.send_header(k, v)
    handler.end_headers()
    handler.wfile.write(data)


def good(tree):
    """As Qdrant: tells its version and a point count, deletes what it is asked to."""
    def answer(handler, method, path):
        if method == "DELETE":
            parts = [urllib.parse.unquote(p) for p in path.split("/")]
            folder = {3: [], 5: parts[2:3], 7: [parts[2], "shards", parts[4]] if len(parts) > 4 else []}[len(parts)]
            for suffix in ("", ".checksum"):
                tree.snapshots.joinpath(*folder, parts[-1] + suffix).unlink()
            reply(handler, 200, '{"result":true,"status":"ok","time":0}')
        elif path == "/":
            reply(handler, 200, '{"title":"qdrant - vector search engine","version":"1.18.2"}')
        elif path.endswith("/cluster"):
            shard = '{"shard_id":0,"points_count":5,"state":"Active"}'
            reply(handler, 200, '{"result":{"local_shards":[%s],"remote_shards":[]},"status":"ok","time":0}' % shard)
        else:
            reply(handler, 200, '{"result":{"status":"green","points_count":5},"status":"ok","time":0}')
    return answer


def test_version_and_point_count_go_into_the_manifest(tree, serve):
    server = serve(good(tree))
    tree.snapshot("my docs", NAME, tar_of("x"))
    assert tree.once(QDRANT_URL=server.url + "/").returncode == 0
    b, = tree.ls()
    assert (b["qdrant_version"], b["points"]) == ("1.18.2", 5)
    assert [path for _, path, _ in server.requests] == ["/", "/collections/my%20docs/cluster", "/collections/my%20docs"]


def test_qdrant_deletes_its_own_snapshots_of_every_kind_and_name(tree, serve):
    server = serve(good(tree))
    for c in ("c", "a b/../c".replace("/", "%2F"), "emoji 🎉", "q?x=1#y"):
        tree.snapshot(c, f"{c}-1-2026-11-24-07-59-23", tar_of(c))
    tree.snapshot("c/shards/3", "c-shard-3-2026-11-24-07-59-23", tar_of("s"))
    tree.snapshot(".", "full-snapshot-2026-11-24-07-59-23", tar_of("f"))
    run = tree.once(QDRANT_URL=server.url, LOCAL_KEEP="0", QDRANT_API_KEY="s3cret")
    assert run.returncode == 0 and run.stderr.count(", by Qdrant") == 6
    assert not [p for p in tree.snapshots.rglob("*") if p.is_file()] and len(tree.complete()) == 6
    assert all(h.get("api-key") == "s3cret" for _, p, h in server.requests if p != "/")  # "/" needs none


@pytest.mark.parametrize("status", [200, 401, 403, 404, 500])
def test_what_qdrant_does_not_delete_is_deleted_directly(tree, serve, status):
    server = serve(lambda h, m, p: reply(h, status, "<html>no</html>"))
    tree.snapshot("c", NAME, tar_of("x"))
    run = tree.once(QDRANT_URL=server.url, LOCAL_KEEP="0")
    assert run.returncode == 0 and f"Qdrant answered {status}" in run.stderr
    assert ("QDRANT_API_KEY" in run.stderr) == (status in (401, 403))
    assert not list(tree.snapshots.rglob("*.snapshot*")) and len(tree.complete()) == 1


def test_a_file_that_took_the_place_of_a_published_one_is_not_deleted(tree, serve):
    """Between the decision and the call a new snapshot of the same name came."""
    def answer(handler, method, path):
        if method == "DELETE":
            (tree.snapshots / "c" / f"{NAME}.snapshot").unlink()
            tree.snapshot("c", NAME, tar_of("another", 5000))
        reply(handler, 200, "{}")
    server = serve(answer)
    tree.snapshot("c", NAME, tar_of("x"))
    run = tree.once(QDRANT_URL=server.url, LOCAL_KEEP="0")
    assert run.returncode == 1 and '"conflict"' in run.stderr
    assert (tree.snapshots / "c" / f"{NAME}.snapshot").read_bytes() == tar_of("another", 5000)


def test_nothing_is_deleted_locally_while_qdrant_makes_a_snapshot(tree, serve):
    """A full-storage snapshot first makes one of each collection, and fails if one of them is gone at its end."""
    running = [1]

    def answer(handler, method, path):
        if path == "/metrics":
            reply(handler, 200, f'app_info{{name="qdrant"}} 1\nsnapshot_creation_running{{id="a"}} 0\n'
                                f'snapshot_creation_running{{id="b"}} {running[0]}\nsnapshot_recovery_running{{id="a"}} 1\n')
        else:
            good(tree)(handler, method, path)
    server = serve(answer)
    tree.snapshot("c", NAME, tar_of("x"))
    p = tree.start(QDRANT_URL=server.url, LOCAL_KEEP="0")
    wait_for(lambda: any(path == "/metrics" for _, path, _ in server.requests))
    time.sleep(1)
    assert len(tree.complete()) == 1 and (tree.snapshots / "c" / f"{NAME}.snapshot").exists()
    running[0] = 0
    wait_for(lambda: not list(tree.snapshots.rglob("*.snapshot")), 40)
    wait_for(lambda: tree.logged("deleted_locally"))
    assert p.poll() is None


def asked_for_metrics(server):
    return sum(path == "/metrics" for _, path, _ in server.requests)


def many(tree, n):
    for i in range(n):
        tree.snapshot(f"c{i:02}", f"c{i:02}-1-2026-11-24-07-59-23", tar_of(f"{i}"))


def test_a_tidy_of_many_collections_asks_for_the_metrics_once(tree, serve):
    """They grow with the collections: asked for each file that is deleted, the whole grows with their square."""
    server = serve(good(tree))
    many(tree, 60)
    run = tree.once(QDRANT_URL=server.url, LOCAL_KEEP="0")
    assert run.returncode == 0 and run.stderr.count(", by Qdrant") == 60
    deletes = sum(method == "DELETE" for method, _, _ in server.requests)
    assert deletes == 60 and 1 <= asked_for_metrics(server) <= 12  # again after some seconds: on a slow machine some more


def test_a_full_storage_snapshot_that_begins_amid_a_tidy_loses_none_of_its_files(tree, serve):
    """The first of its files tells of it: from then on Qdrant is asked again, and nothing is deleted until its end."""
    state = {"running": 0, "deleted": 0, "begun": False}
    own = tree.snapshots / "c00" / "c00-1-2026-11-24-08-00-00.snapshot"
    as_qdrant = good(tree)

    def answer(handler, method, path):
        if path == "/metrics":
            if not state["begun"]:
                time.sleep(3)  # as of thousands of collections: its answer would hold for 30 s
            reply(handler, 200, f'snapshot_creation_running{{id="c01"}} {state["running"]}\n')
            return
        if method == "DELETE":
            state["deleted"] += 1
            if state["deleted"] == 5:
                state.update(begun=True, running=1)
                tree.snapshot("c00", own.name.removesuffix(".snapshot"), tar_of("its own"))
                wait_for(lambda: any("c00-1-2026-11-24-08" in line["message"] for line in tree.logged("published")), 20)
        as_qdrant(handler, method, path)
    server = serve(answer)
    many(tree, 30)
    tree.start(QDRANT_URL=server.url, LOCAL_KEEP="0")
    wait_for(lambda: state["begun"] and len(tree.complete()) == 31, 60)
    time.sleep(6)  # longer than it is waited for quiet
    assert state["deleted"] == 5 and own.exists()
    state["running"] = 0
    wait_for(lambda: not list(tree.snapshots.rglob("*.snapshot")), 60)


def test_behind_a_shared_address_only_names_with_a_peer_id_are_deleted_through_it(tree, serve):
    """QDRANT_FQDN may be answered by another node, which may have a shard snapshot of the same name."""
    tree.snapshot("c/shards/3", "c-shard-3-2026-11-24-07-59-23", tar_of("s"))
    tree.snapshot(".", "full-snapshot-2026-11-24-07-59-23", tar_of("f"))
    run = tree.once(QDRANT_URL="", QDRANT_FQDN="localhost", LOCAL_KEEP="0")
    assert run.returncode == 0 and run.stderr.count(", directly") == 2


def test_the_key_follows_no_redirect_and_no_proxy(tree, serve):
    other = serve(lambda h, m, p: reply(h, 200, "{}"))
    server = serve(lambda h, m, p: reply(h, 307, "", location=other.url + p))
    tree.snapshot("c", NAME, tar_of("x"))
    run = tree.once(QDRANT_URL=server.url, LOCAL_KEEP="0", QDRANT_API_KEY="s3cret", http_proxy=other.url,
                    HTTP_PROXY=other.url, ALL_PROXY=other.url, all_proxy=other.url)
    assert run.returncode == 0 and server.requests and not other.requests


def endless(handler, method, path):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x" * 65536)


def drip(handler, method, path):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.2)


@pytest.mark.parametrize("answer", [
    endless, drip, lambda h, m, p: reply(h, 200, "<html>"), lambda h, m, p: reply(h, 200, '{"version":'),
    lambda h, m, p: reply(h, 200, "[" * 100000), lambda h, m, p: reply(h, 200, '{"version":7,"result":{"points_count":"x"}}'),
    lambda h, m, p: reply(h, 200, json.dumps({"version": "v" * 5000, "result": {"points_count": -1e300}})),
    lambda h, m, p: h.connection.close(), lambda h, m, p: reply(h, 200, b"\xff\x00\xfe", **{"content-length": "9999"})],
    ids=["endless", "never ends", "html", "cut json", "deep json", "wrong types", "wrong values", "closed", "cut body"])
def test_a_bad_answer_keeps_no_backup_back(tree, serve, answer):
    server = serve(answer)
    tree.snapshot("c", NAME, tar_of("x"))
    tree.snapshot("d", "d-1-2026-11-24-07-59-23", tar_of("y"))
    begin = time.monotonic()
    run = tree.once(QDRANT_URL=server.url)
    assert run.returncode == 0, run.stderr
    assert len(tree.complete()) == 2 and all(b["points"] is None for b in tree.ls())
    assert tree.efs_tool("verify").returncode == 0 and time.monotonic() - begin < 30


def test_a_black_hole_delays_the_first_backup_only(tree):
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(1)
        for i in range(8):
            tree.snapshot(f"c{i}", f"c{i}-1-2026-11-24-07-59-23", tar_of(str(i)))
        begin = time.monotonic()
        assert tree.once(QDRANT_URL=f"http://127.0.0.1:{hole.getsockname()[1]}").returncode == 0
        assert len(tree.complete()) == 8 and time.monotonic() - begin < 20
