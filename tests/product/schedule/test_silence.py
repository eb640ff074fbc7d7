"""What would make no backup and say nothing is said: in the log, in health, and by exit codes."""
import json

import pytest
from bad_server import BadServer
from harness import wait_for
from scheduling import DAY, attach, fill
from server import free_port
from status_of import get, reasons


@pytest.fixture
def node(tree):
    """Starts the replicator; its port."""
    def start(**env):
        port = free_port()
        tree.start(SNAPSHOT_INTERVAL=DAY, STATUS_LISTEN=f"127.0.0.1:{port}", **env)
        return port
    return start


def test_collections_that_means_nothing_fails_health(tree, qdrant, node):
    fill(qdrant, "docs", "pics")
    port = node(COLLECTIONS="dosc,pic")
    wait_for(lambda: "collections_none" in reasons(port))
    assert get(port, "/health")[0] == 503 and "dosc,pic" in reasons(port)["collections_none"]["message"]
    assert "qdrant_backup_healthy 0" in get(port, "/metrics")[1].splitlines()
    line, = tree.logged("collections_none")
    assert line["level"] == "error" and "none of Qdrant's 2 collections" in line["message"]
    run = tree.replicator("snapshot", COLLECTIONS="dosc,pic")
    assert run.returncode == 1 and "none of Qdrant's 2 collections" in run.stderr


def test_a_name_that_is_mistyped_is_a_warning_and_the_others_are_served(tree, qdrant, node):
    fill(qdrant, "docs", "pics")
    port = node(COLLECTIONS="docs,pix,other*,!tmp")
    wait_for(lambda: tree.logged("published"))
    assert reasons(port)["collection_not_there"]["severity"] == "warning" and get(port, "/health")[0] == 200
    line, = tree.logged("collection_not_there")
    assert line["level"] == "warn" and '"pix"' in line["message"]


def test_a_qdrant_without_collections_is_no_failure(tree, qdrant, node):
    port = node(COLLECTIONS="docs*")
    wait_for(lambda: tree.logged("qdrant_ready"))
    wait_for(lambda: json.loads(get(port, "/status")[1])["qdrant"]["version"])
    assert reasons(port) == {} and not tree.logged("collections_none")


def test_a_qdrant_that_keeps_its_snapshots_elsewhere_fails_health(tree, node):
    with BadServer(tree.snapshots, names=("c",), files=False) as server:
        attach(tree, server, FINGERPRINT="off")
        port = node()
        wait_for(lambda: "snapshot_not_here" in reasons(port))
        tree.stop()
    assert tree.logged("snapshot_made")
    line, = tree.logged("snapshot_not_here")
    assert line["level"] == "error" and line["collection"] == "c" and str(tree.snapshots) in line["message"]
    assert "S3" in line["message"]
