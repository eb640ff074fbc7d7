import json
import shutil
import types

import pytest
from harness import Tree
from heartbeats import fill, heartbeat_of, put


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Backups of two collections, made once: what they are named does not age within a run."""
    tree = Tree(tmp_path_factory.mktemp("made") / "t")
    fill(tree)
    put(tree.base, heartbeat_of(tree.base))
    return tree


class Regions:
    """The first Region's EFS (`primary`) and the second one's (`replica`), each with the tree test-cpu."""

    def __init__(self, made, root):
        self.tool, self.primary, self.replica = made.efs_tool, root / "primary", root / "replica"
        shutil.copytree(made.efs, self.primary)

    base = property(lambda self: self.replica / "test-cpu")
    first = property(lambda self: self.primary / "test-cpu")

    def copy(self):
        shutil.copytree(self.primary, self.replica)

    def run(self, *args, **env):
        return self.tool("replica", "--root", str(self.replica), *args, **env)

    def look(self, *args, **env):
        """The report, its rows by collection, its exit code and what was said on standard error."""
        run = self.run("--json", *args, **env)
        report = json.loads(run.stdout)
        assert (run.returncode == 0) == report["good"], run.stderr
        return types.SimpleNamespace(**report, rows={r["collection"]: r for r in report["collections"]}, code=run.returncode,
                                     stderr=run.stderr)

    def compare(self, *args):
        return self.look("--primary", str(self.primary), *args)

    def files(self, collection="docs", ending=".json", where=None):
        """The files of its backups, the newest last."""
        return sorted((p for p in (where or self.base).rglob(f"{collection}-1-*{ending}")), key=lambda p: p.name)


@pytest.fixture
def regions(made, tmp_path):
    return Regions(made, tmp_path)
