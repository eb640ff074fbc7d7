"""`make release`, without the compiler: what it makes of packages that are there, what it refuses, and that all versions are one."""
import os
import re
import shutil
import subprocess
import tarfile

import pytest
from harness import ROOT

VERSION = re.search(r'VERSION "(.*)"', (ROOT / "common/base/version.h").read_text())[1]
pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb") or not shutil.which("git"), reason="dpkg-dev or git is not installed")
# In place of the build.
DEB = """#!/bin/sh
mkdir -p "$1" pkg/DEBIAN pkg/usr/bin pkg/usr/share/man/man8
printf 'Package: qdrant-efs\\nVersion: {version}\\nArchitecture: all\\nMaintainer: x <x@example.org>\\nDescription: x\\n' >pkg/DEBIAN/control
cp /bin/true pkg/usr/bin/qdrant-efs
echo | gzip -n >pkg/usr/share/man/man8/qdrant-efs.8.gz
dpkg-deb --root-owner-group -b pkg "$1/qdrant-efs_{version}_all.deb" >/dev/null && rm -r pkg
"""


def git(at, *command):
    subprocess.run(["git", "-C", at, "-c", "user.name=x", "-c", "user.email=x@example.org", *command], check=True, capture_output=True)


@pytest.fixture
def source(tmp_path):
    at = tmp_path / "source"
    shutil.copytree(ROOT / "deploy/packaging", at / "deploy/packaging")
    (at / "common/base").mkdir(parents=True)
    shutil.copy(ROOT / "common/base/version.h", at / "common/base")
    shutil.copy(ROOT / "LICENSE", at)
    (at / "deploy/packaging/deb.sh").write_text(DEB.format(version=VERSION))
    git(at, "init", "-q")
    git(at, "add", "-A")
    git(at, "commit", "-q", "-m", "x")
    return at


def release(source, to):
    return subprocess.run([source / "deploy/packaging/release.sh", to], capture_output=True, text=True, env=os.environ | {"SOURCE_DATE_EPOCH": "1234567890"})


def test_it_has_sources_packages_and_sums_that_are_right_and_the_same_twice(source, tmp_path):
    for to in ("one", "two"):
        done = release(source, tmp_path / to)
        assert done.returncode == 0, done.stdout + done.stderr
    names = {p.name for p in (tmp_path / "one").iterdir()}
    assert {f"qdrant-efs-{VERSION}.tar.gz", "SHA256SUMS"} < names and len(names) == 4
    sums = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "one", capture_output=True, text=True)
    assert sums.returncode == 0 and sums.stdout.count(": OK") == 3
    assert (tmp_path / "one/SHA256SUMS").read_text() == (tmp_path / "two/SHA256SUMS").read_text()
    with tarfile.open(tmp_path / f"one/qdrant-efs-{VERSION}.tar.gz") as tar:
        assert f"qdrant-efs-{VERSION}/LICENSE" in tar.getnames()


def test_what_is_not_committed_is_not_released(source, tmp_path):
    (source / "LICENSE").write_text("mine")
    done = release(source, tmp_path / "out")
    assert done.returncode == 1 and "not committed" in done.stderr and list((tmp_path / "out").iterdir()) == []


def test_an_older_release_is_not_mixed_with_a_new_one(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old.deb").write_text("x")
    done = release(source, tmp_path / "out")
    assert done.returncode == 1 and "is not empty" in done.stderr


@pytest.mark.parametrize("path,pattern", [
    ("deploy/packaging/debian/changelog", r"^qdrant-efs \((.*?)\)"), ("docker/Dockerfile", r"^ARG VERSION=(.*)$"),
    ("deploy/cdk/python/pyproject.toml", r'^version = "(.*)"$')])
def test_every_file_has_the_same_version(path, pattern):
    assert re.search(pattern, (ROOT / path).read_text(), re.M)[1] == VERSION


def test_the_checklist_names_every_place_of_the_version():
    page = (ROOT / "docs/release.md").read_text()
    for path in ("common/base/version.h", "deploy/packaging/debian/changelog", "docker/Dockerfile", "deploy/cdk/python/pyproject.toml"):
        assert f"`{path}`" in page
