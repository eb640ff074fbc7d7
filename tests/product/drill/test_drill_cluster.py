"""Of a cluster: a collection that is whole on this node is proven, one with shards elsewhere is not taken for broken."""
import json
import time

import drilling
import pytest
from drilling import fill
from harness import wait_for
from server import REAL, Server, free_port


@pytest.fixture
def node(tree, tmp_path):
    if not REAL:
        pytest.skip("needs the real Qdrant server: set QDRANT_BIN to its binary")
    ports = free_port(), free_port()
    first, second = (Server("real", tmp_path / f"server{i}", api_key="k3y-of-the-cluster",
                            env={"QDRANT__CLUSTER__ENABLED": "true", "QDRANT__CLUSTER__P2P__PORT": str(ports[i])}) for i in (0, 1))
    try:
        first.start("--uri", f"http://127.0.0.1:{ports[0]}")
        second.start("--bootstrap", f"http://127.0.0.1:{ports[0]}", "--uri", f"http://127.0.0.1:{ports[1]}")
        wait_for(lambda: len(first.result("GET", "/cluster")["peers"]) == 2)
        time.sleep(1)  # until both may hold shards
        n = drilling.Nodes(first, tree, tmp_path)
        yield n
        drilling.no_trace(n)
    finally:
        tree.stop()
        for server in (first, second):
            if server.process:
                server.kill()


@pytest.mark.real
def test_a_collection_is_proven_where_all_its_shards_are_and_refused_where_they_are_not(node):
    fill(node.server, "both", n=100, shard_number=2, replication_factor=2)
    fill(node.server, "split", n=100, shard_number=2)
    elsewhere = node.server.result("GET", "/collections/split/cluster")
    assert elsewhere["remote_shards"] and elsewhere["local_shards"]
    node.back_up("both", "split")
    assert "fingerprint" not in json.loads(node.manifest("split").read_text())
    found = node.verdicts(code=1)
    assert (found["both"]["verdict"], found["both"]["points"]) == ("proven", 100)
    assert found["split"]["verdict"] == "refused" and "one node of a cluster" in found["split"]["why"]
