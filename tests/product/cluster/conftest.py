import pytest
from cluster_peers import Net


@pytest.fixture
def net(tree):
    n = Net(tree)
    yield n
    n.close()
