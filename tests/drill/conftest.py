import pytest
from drilling import Nodes, no_trace
from server import SERVERS, Server


@pytest.fixture(params=SERVERS)
def qdrant(request, tmp_path):
    with Server(request.param, tmp_path / "server", api_key="k3y-of-the-one-that-serves") as server:
        yield server


@pytest.fixture
def node(qdrant, tree, tmp_path):
    """A Qdrant with its replicator and EFS; the drill's Qdrant is of the same kind."""
    node = Nodes(qdrant, tree, tmp_path)
    yield node
    no_trace(node)
