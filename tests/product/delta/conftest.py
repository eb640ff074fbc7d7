import pytest
from days import Day, Version


@pytest.fixture
def version():
    v = Version()
    yield v
    v.stop()


@pytest.fixture
def day(tree, version):
    return Day(tree, version)
