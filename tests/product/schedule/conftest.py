"""Fixtures of the schedule's tests, and what holds after each of them."""
import pytest
from bad_server import BadServer
from scheduling import KEY, attach, clean
from server import REAL, SERVERS, Server


@pytest.fixture(autouse=True)
def nothing_said_that_must_not_be(request):
    tree = request.getfixturevalue("tree") if "tree" in request.fixturenames else None
    yield
    if tree:
        clean(tree)


@pytest.fixture
def bad(tree):
    """A server of which a test says how it answers; the tree's replicator is told of it."""
    with BadServer(tree.snapshots) as server:
        attach(tree, server, FINGERPRINT="off")  # it has no points to look at
        yield server
        tree.stop()


@pytest.fixture(params=SERVERS)
def qdrant(request, tree, tmp_path):
    """A real Qdrant, or the stand-in, with a key; the tree's replicator is told of it."""
    with Server(request.param, tmp_path / "server", api_key=KEY) as server:
        attach(tree, server)
        yield server
        tree.stop()


@pytest.fixture
def one_qdrant(tree, tmp_path):
    """Makes servers of one kind, the real one where there is one; not started. With `more` as Server has."""
    made = []

    def make(**more):
        made.append(Server("real" if REAL else "standin", tmp_path / f"server{len(made)}", **more))
        attach(tree, made[-1])
        return made[-1]
    yield make
    tree.stop()
    for server in made:
        server.stop()
