"""The servers that the contract is checked on, each kind in its turn."""
import pytest
from contract_steps import KEY
from server import SERVERS, Server


@pytest.fixture(scope="module", params=SERVERS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def qdrant(kind, tmp_path_factory):
    """One server for all tests of a file; each uses collections of its own."""
    with Server(kind, tmp_path_factory.mktemp(kind), api_key=KEY) as server:
        yield server


@pytest.fixture
def fresh(kind, tmp_path):
    """Makes servers that nobody has used; they end with the test."""
    made = []

    def make(kind=kind, **more):
        server = Server(kind, tmp_path / str(len(made)), **more)
        made.append(server)
        return server
    yield make
    for server in made:
        server.stop()
