import itertools

import pytest
from status_driver import Driver, build


@pytest.fixture(scope="session")
def program():
    return build()


@pytest.fixture
def driver(program, tmp_path):
    with Driver(program, tmp_path / "driver.log") as d:
        yield d


@pytest.fixture
def drivers(program, tmp_path):
    """Makes more of them."""
    running, numbers = [], itertools.count()

    def make(**members):
        running.append(Driver(program, tmp_path / f"driver-{next(numbers)}.log", **members))
        return running[-1]
    yield make
    for d in running:
        d.__exit__()
