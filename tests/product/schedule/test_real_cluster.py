"""Three real nodes: what each backs up, and what it says when another is gone."""
import http.client
import json
import time

import pytest
from harness import wait_for
from scheduling import attach, from_now, made
from server import REAL, cluster_of, free_port

pytestmark = [pytest.mark.real, pytest.mark.skipif(not REAL, reason="needs the real Qdrant server: set QDRANT_BIN to its binary")]


@pytest.fixture
def nodes(tmp_path, tree):
    with cluster_of(3, tmp_path) as servers:
        yield servers
        tree.stop()


def shards(server, collection):
    return server.result("GET", f"/collections/{collection}/cluster")["local_shards"]


def test_a_node_backs_up_its_own_shards_alone_and_tells_of_a_peer_that_is_gone(nodes, tree):
    first = nodes[0]
    first.result("PUT", "/collections/split?timeout=30", {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 2})
    points = [{"id": i, "vector": [0.1, 0.2, 0.3, i]} for i in range(300)]
    first.result("PUT", "/collections/split/points?wait=true", {"points": points})
    wait_for(lambda: sum(len(shards(s, "split")) for s in nodes) == 2)
    without = next(s for s in nodes if not shards(s, "split"))
    having = next(s for s in nodes if shards(s, "split"))

    attach(tree, without)
    p = tree.start(**from_now(300), NODE_NAME="without")
    wait_for(lambda: tree.logged("no_shard_here"))
    time.sleep(2)
    assert made(tree) == [] and tree.files() == [] and p.poll() is None
    # One that somebody makes all the same is 7 KB of nothing.
    without.result("POST", "/collections/split/snapshots?wait=true")
    wait_for(lambda: tree.logged("not_published"))
    assert tree.complete() == set()
    tree.stop()

    attach(tree, having)
    listen = free_port()
    tree.start(**from_now(4), NODE_NAME="having", STATUS_LISTEN=f"127.0.0.1:{listen}")
    wait_for(lambda: tree.complete())
    b = tree.ls()[0]
    assert b["points"] == sum(s["points_count"] for s in shards(having, "split")) and b["points_of"] == "node"
    assert 0 < b["points"] <= 300
    without.kill()

    def reasons():
        c = http.client.HTTPConnection("127.0.0.1", listen, timeout=5)
        c.request("GET", "/health")
        return [r["code"] for r in json.loads(c.getresponse().read())["reasons"]]
    wait_for(lambda: "peer_unreachable" in reasons(), 60)
