"""Fixtures of the tests of the restore at boot."""

import pytest
from server import SERVERS

from booting import Efs, Task


@pytest.fixture(params=SERVERS)
def kind(request):
    return request.param


@pytest.fixture
def efs(tmp_path):
    return Efs(tmp_path / "efs")


@pytest.fixture
def task(kind, efs, tmp_path):
    """Starts tasks of one service, each with a disk of its own; none outlives its test."""
    made = []

    def make(**env):
        made.append(Task(kind, tmp_path / f"task{len(made)}", efs, **env))
        return made[-1]
    yield make
    for t in made:
        t.end()
