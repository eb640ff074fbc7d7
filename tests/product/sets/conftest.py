"""Fixtures of the tests of sets."""
import pytest
from nodes import Nodes


@pytest.fixture
def nodes(tree):
    return Nodes(tree)
