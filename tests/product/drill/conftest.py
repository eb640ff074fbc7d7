import pytest
from drilling import Nodes, no_trace
from server import REAL, SERVERS, Server


def pytest_generate_tests(metafunc):
    """What a drill says is tested with both servers; the rest, where each test costs seconds, with the real one if there is one."""
    if "qdrant" in metafunc.fixturenames:
        both = metafunc.module.__name__ == "test_drill" or not REAL
        metafunc.parametrize("qdrant", SERVERS if both else SERVERS[1:], indirect=True)


@pytest.fixture
def qdrant(request, tmp_path):
    with Server(request.param, tmp_path / "server", api_key="k3y-of-the-one-that-serves") as server:
        yield server


@pytest.fixture
def node(qdrant, tree, tmp_path):
    """A Qdrant with its replicator and EFS; the drill's Qdrant is of the same kind."""
    node = Nodes(qdrant, tree, tmp_path)
    yield node
    no_trace(node)
