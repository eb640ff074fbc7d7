"""A node's clock that is wrong, while the times of files are those of EFS's own server: what becomes of the snapshots."""
import calendar
import datetime
import os
import time

import pytest
from harness import tar_of
from wall_clock import COMPILER, UTC, WallClock

pytestmark = pytest.mark.skipif(not COMPILER or bool(os.environ.get("SANITIZED")), reason="needs a compiler, and no sanitizer's own preload")
HOUR, DAY = 3600, 86400


def name_of(when):
    return "c-1-" + time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(when))


def seconds(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def under(tree, tmp_path, off):
    clock = WallClock(tmp_path / f"clock{off}", datetime.datetime.fromtimestamp(time.time() + off, UTC))
    return lambda **env: tree.once(**clock.environment, **env)


@pytest.mark.parametrize("off", [-2 * DAY, -3 * HOUR, -400 * DAY, 2 * DAY, 2 * HOUR, 5 * 366 * DAY])
def test_what_is_made_under_a_wrong_clock_is_published_and_kept_as_what_it_is(tree, tmp_path, off):
    now = time.time()
    for age in (3000, 2000, 1000):
        tree.snapshot("c", name_of(now - age), tar_of(str(age)))
    assert tree.once(LOCAL_KEEP="0").returncode == 0
    once = under(tree, tmp_path, off)
    made = [name_of(time.time() + off - 30 + i) for i in range(3)]
    for name in made:
        tree.snapshot("c", name, tar_of(name))
        run = once(LOCAL_KEEP="0")
        assert run.returncode == 0 and '"expired"' not in run.stderr and '"published"' in run.stderr, run.stderr
    found = {b["snapshot"]: b for b in tree.ls()}
    assert set(made) <= set(found) and len(found) == 6, "nothing is let go for it"
    for i, name in enumerate(made):
        b = found[name]
        assert abs(seconds(b["created"]) - (now - 30 + i)) < 60 and abs(seconds(b["slot"]) - now) < 1000
    assert [b["frequency"] for b in found.values()].count("monthly") == 1 + (time.gmtime(now - 3000 - 8 * HOUR).tm_mon != time.gmtime(now - 8 * HOUR).tm_mon)
    tree.snapshot("c", last := name_of(time.time() - 1), tar_of("right again"))
    assert tree.once().returncode == 0 and last in {b["snapshot"] for b in tree.ls()}
    assert tree.efs_tool("prune", RETENTION="15min=24h").returncode == 0
    assert set(made) <= {b["snapshot"] for b in tree.ls()}


def test_the_latest_is_the_one_that_was_made_last_whatever_its_name(tree, tmp_path):
    now = time.time()
    for age in (3000, 1000):
        tree.snapshot("c", name_of(now - age), tar_of(str(age)))
    assert tree.once(LOCAL_KEEP="0").returncode == 0
    tree.snapshot("c", name_of(time.time() - 2 * DAY), tar_of("made last"))
    assert under(tree, tmp_path, -2 * DAY)(LOCAL_KEEP="0").returncode == 0
    to = tmp_path / "back.snapshot"
    run = tree.efs_tool("restore", "--collection", "c", "--to", str(to))
    assert run.returncode == 0 and to.read_bytes() == tar_of("made last"), run.stderr


def test_a_clock_that_runs_ahead_takes_no_other_tasks_file_for_abandoned(tree, tmp_path):
    tree.snapshot("c", name_of(time.time() - 1000), tar_of("a"))
    assert tree.once().returncode == 0
    folder = next(tree.base.rglob("*.snapshot.zst")).parent
    partial = folder / ".partial-otherhost-1-2-3-4"
    partial.write_bytes(b"half")
    tree.snapshot("c", name_of(time.time() + 2 * DAY), tar_of("b"))
    assert under(tree, tmp_path, 2 * DAY)().returncode == 0
    assert partial.exists()
    os.utime(partial, (1e9, 1e9))
    assert tree.once().returncode == 0 and not partial.exists()
