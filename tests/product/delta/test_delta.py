"""COMPRESSION=delta: a slot for the price of its changes, and each one as good as a whole."""
import hashlib
import json
import subprocess

import pytest
from days import Collection, Version, name_of, slot
from harness import checksum_of, manifests_of


@pytest.fixture
def version():
    v = Version()
    yield v
    v.stop()


@pytest.fixture
def day(tree, version):
    return Day(tree, version)


class Day:
    def __init__(self, tree, version):
        self.tree, self.version, self.collection, self.bytes = tree, version, Collection(), {}
        self.env = {"COMPRESSION": "delta", "QDRANT_URL": version.url, "NODE_NAME": "n1", "LOCAL_KEEP": "1"}

    def publish(self, *numbers, **env):
        for number in numbers:
            self.collection.change()
            data = self.collection.snapshot()
            self.bytes[number] = data
            self.tree.snapshot("docs", name_of(number), data)
            run = self.tree.once(**self.env | env)
            assert run.returncode == 0, run.stderr

    def manifest(self, number):
        return next(json.loads(p.read_text()) for p in manifests_of(self.tree.base) if p.stem == name_of(number))

    def path(self, number):
        m = self.manifest(number)
        return self.tree.base / m["frequency"] / "docs" / m["data"]

    def bases(self, number):
        return [b["data"].partition(".snapshot")[0] for b in self.manifest(number).get("bases", [])]

    def restored(self, number, **env):
        """As `restore` streams it: into a file."""
        out = self.tree.root / "out"
        out.unlink(missing_ok=True)
        run = self.tree.efs_tool("restore", "--collection", "docs", "--to-file", str(out), name_of(number), **env)
        return run, out.read_bytes() if out.exists() else None


def test_a_day_hangs_on_its_whole_like_the_marks_of_a_ruler(day):
    day.publish(*range(12))
    assert day.manifest(0)["codec"] == "zstd:1" and day.manifest(0)["format"] == 1
    for number, chain in {1: [0], 2: [0], 3: [0, 2], 4: [0], 5: [0, 4], 7: [0, 4, 6], 11: [0, 8, 10]}.items():
        m = day.manifest(number)
        assert (m["codec"], m["format"], m["data"][-15:]) == ("delta", 2, ".snapshot.delta")
        assert day.bases(number) == [name_of(n) for n in chain]
        assert m["stored_size"] < day.manifest(0)["stored_size"] / 50
    assert day.tree.efs_tool("verify").returncode == 0
