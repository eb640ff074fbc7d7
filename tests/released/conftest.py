"""A tree that the first released build has written."""
import json
import pathlib
import sys
import tarfile

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parents[1] / other) for other in ("e2e", "restore", "boot", "runbook")]
from booting import Efs  # noqa: E402
from harness import DATA  # noqa: E402

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
