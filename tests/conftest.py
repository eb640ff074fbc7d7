"""Fixtures that the suites share."""
import os
import subprocess
import time

import pytest
from harness import DATA, Tree


def pytest_collection_modifyitems(config, items):
    """PART=i/n: of what was collected each n-th test, from the i-th on; run.py makes several jobs of a long file so."""
    if os.environ.get("PART"):
        i, n = map(int, os.environ["PART"].split("/"))
        config.hook.pytest_deselected(items=[item for k, item in enumerate(items) if k % n != i])
        items[:] = items[i::n]


def await_next_day(now, within=100):
    """How long to wait, so that midnight does not come in mid-test: with a slot a day it would be one backup more."""
    left = 86400 - now % 86400
    return left + 1 if left < within else 0


@pytest.fixture
def tree(tmp_path):
    time.sleep(await_next_day(time.time()))
    t = Tree(tmp_path / "t")
    yield t
    t.stop()


@pytest.fixture
def real_tree(tree):
    """The snapshots that a real Qdrant 1.18.2 left behind."""
    source = DATA / "snapshots"
    for f in source.rglob("*"):
        to = tree.snapshots / f.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        if f.suffix == ".zst":
            subprocess.run(["zstd", "-q", "-d", f, "-o", to.with_suffix("")], check=True)
        elif f.is_file():
            to.write_bytes(f.read_bytes())
    return tree
