"""/metrics for Prometheus."""
import re
import shutil
import subprocess

import pytest
from status_driver import healthy

promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (Debian's package prometheus)")
ODD = ['quote"s', "back\\slash", "new\nline", "brace{}", "🎉", "<b>"]


def everything(d):
    healthy(d, ("docs", *ODD))
    d.published("docs", 100, "daily", shard="3")
    d.published(None, 100, "monthly")
    d.do("snapshot_failed", collection="docs", why="500")
    d.do("busy", worker=0, **{"what": "publish docs-1"})


@promtool
def test_promtool_finds_nothing_to_say(driver):
    everything(driver)
    text = driver.do("metrics")
    run = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


@promtool
def test_promtool_would_say_something():
    run = subprocess.run(["promtool", "check", "metrics"], input='a{b="c\nd"} 1\n', capture_output=True, text=True)
    assert run.returncode != 0


def test_what_an_alarm_needs_is_there(driver):
    healthy(driver)
    driver.wanted("docs", "lost", now=driver.now - 86400)
    driver.published("docs", 7200, "hourly")
    driver.do("counts", published=5, failed=2)
    lines = driver.do("metrics").splitlines()
    docs = '{collection="docs",kind="collection",shard=""'
    assert f"qdrant_backup_age_seconds{docs}}} 240" in lines
    assert f'qdrant_backup_tier_objective_seconds{docs},frequency="hourly"}} 7200' in lines
    assert 'qdrant_backup_late{collection="lost",kind="collection",shard=""} 1' in lines
    assert "qdrant_backup_healthy 0" in lines
    assert "qdrant_backup_publish_failures_total 2" in lines
    assert "qdrant_backup_efs_usable 1" in lines
    assert "qdrant_backup_drill_ok 1" in lines


def test_each_metric_has_its_help_and_type_once_and_before_its_samples(driver):
    everything(driver)
    seen, current = set(), None
    for line in driver.do("metrics").splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in seen
            seen.add(current)
        elif line.startswith("# TYPE "):
            assert line.split()[2] == current
        else:
            assert re.match(r"[a-z0-9_]+", line)[0] == current
