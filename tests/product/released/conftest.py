"""A tree that the first released build has written."""
import json
import tarfile

import pytest

from booting import Efs
from harness import DATA

RELEASED = DATA / "released.tar.gz"


@pytest.fixture
def efs(tmp_path):
    found = Efs(tmp_path / "old")
    with tarfile.open(RELEASED) as tar:
        tar.extractall(found.root, filter="tar")  # with their times
    return found


@pytest.fixture
def expected(efs):
    """What each collection had."""
    path = efs.root / "expected.json"
    points = json.loads(path.read_text())
    path.unlink()
    return points


@pytest.fixture
def old(tree, efs, expected):
    tree.efs, tree.base = efs.root, efs.tree
    tree.env["EFS_ROOT"] = str(efs.root)
    return tree
