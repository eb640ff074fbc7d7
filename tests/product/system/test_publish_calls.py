"""How many file-system calls one publish makes on EFS, where each may be a round trip of milliseconds."""
import calendar
import collections
import os
import re
import shutil
import subprocess
import time

import pytest
from harness import BUILD, tar_of

BACKUPS = 280
RETENTION = "15min=300,hourly=300,daily=300,monthly=300"
MOST = 175  # 169 when this was written; 195 before

pytestmark = [pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, to see the calls"),
              pytest.mark.skipif(bool(os.environ.get("SANITIZED")), reason="a sanitizer looks for leaks by tracing, too")]


def name_of(when):
    return time.strftime("c-1-%Y-%m-%d-%H-%M-%S", time.gmtime(when))


@pytest.fixture
def folder_of_280(tree):
    """One snapshot each 15 minutes, all of them on EFS."""
    newest = calendar.timegm((2026, 11, 24, 7, 0, 0))
    for i in range(BACKUPS):
        tree.snapshot("c", name_of(newest - 900 * i), tar_of(str(i)))
    assert tree.once(RETENTION=RETENTION).returncode == 0 and len(tree.complete()) == BACKUPS
    shutil.rmtree(tree.snapshots / "c")
    return newest


def calls_of(trace, base):
    """Those that name a path below the tree, or an open file there: what NFS may have to ask the server for."""
    found = collections.Counter()
    for line in trace.read_text().splitlines():
        call = re.match(r"(?:\d+ +)?(\w+)\(", line)
        if call and str(base) in line and call[1] not in ("write", "pwrite64", "close", "lseek", "fcntl", "fadvise64", "execve"):
            found[call[1]] += 1
    return found


def traced(tree, trace):
    subprocess.run(["strace", "-f", "-y", "-s", "300", "-o", trace, BUILD / "qdrant-replicator", "--once"],
                   env=tree.env | {"RETENTION": RETENTION}, check=True, capture_output=True, timeout=120)
    return calls_of(trace, tree.base)


def test_one_publish_into_a_full_folder_makes_few_calls(tree, folder_of_280, tmp_path):
    """What a run makes with one new snapshot, without what it makes with none."""
    housekeeping = traced(tree, tmp_path / "trace")
    tree.snapshot("c", name_of(folder_of_280 + 900), tar_of("new"))
    calls = traced(tree, tmp_path / "trace")
    assert len(tree.complete()) == BACKUPS + 1
    calls.subtract(housekeeping)
    assert calls.total() <= MOST, calls
