"""Fixtures of the restore's tests."""
import pytest
from restoring import KEY, attach, cluster_of_one
from server import SERVERS, Server


@pytest.fixture(params=SERVERS)
def qdrant(request, tree, tmp_path):
    """A real Qdrant, or the stand-in, with a key; the tree's programs are told of it."""
    with Server(request.param, tmp_path / "server", api_key=KEY) as server:
        attach(tree, server)
        yield server


@pytest.fixture
def real_qdrant(tree, tmp_path):
    """For what the stand-in, which has one shard a collection, cannot do."""
    with Server("real", tmp_path / "server", api_key=KEY) as server:
        attach(tree, server)
        yield server


@pytest.fixture(params=SERVERS)
def cluster(request, tree, tmp_path):
    """A cluster of one node."""
    server = cluster_of_one(request.param, tmp_path / "server")
    attach(tree, server)
    yield server
    server.stop()
