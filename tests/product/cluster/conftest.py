import pytest
from cluster_peers import Net
from real_cluster import Cluster


@pytest.fixture
def net(tree):
    n = Net(tree)
    yield n
    n.close()


@pytest.fixture
def cluster(tree):
    """Three real nodes, not started yet."""
    c = Cluster(tree)
    yield c
    c.end()
