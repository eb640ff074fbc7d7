"""CloudWatch's lines against the specification: its schema, and the rules that the schema cannot say."""
import json
import re
from collections import Counter

import jsonschema
import pytest
from harness import DATA
from status_driver import healthy

SCHEMA = json.loads((DATA / "emf-schema.json").read_text())
# What CloudWatch takes: PutMetricData's Namespace, Dimension, and the specification's limits.
NAMESPACE, DIMENSION = re.compile(r"[0-9A-Za-z.\-_/#:]{1,255}"), re.compile(r"[!-9;-~][!-~]{0,1023}")
LINE_MAX = 256 * 1024


def directives(line):
    return line["_aws"]["CloudWatchMetrics"]


def check(line):
    jsonschema.Draft7Validator(SCHEMA).validate(line)
    for d in directives(line):
        assert NAMESPACE.fullmatch(d["Namespace"])
        assert 0 < len(d["Metrics"]) <= 100
        for dimensions in d["Dimensions"]:
            for key in dimensions:
                assert isinstance(line[key], str) and DIMENSION.fullmatch(line[key]), key
        for m in d["Metrics"]:
            value = line[m["Name"]]
            values = value if isinstance(value, list) else [value]
            assert 0 < len(values) <= 100
            assert all(isinstance(v, (int, float)) and not isinstance(v, bool) and v >= 0 for v in values), m
    names = [m["Name"] for d in directives(line) for m in d["Metrics"]]
    assert len(names) == len(set(names))


def defined(line):
    return {m["Name"]: m["Unit"] for d in directives(line) for m in d["Metrics"]}


def test_a_validator_would_notice(driver):
    healthy(driver)
    line = driver.emf()[0]
    directives(line)[0]["Metrics"][0]["Unit"] = "Bytes per Second"
    with pytest.raises(jsonschema.ValidationError):
        check(line)


def test_every_line_follows_the_specification(driver):
    healthy(driver)
    driver.do("counts", published=288, bytes=10**12, stored=5 * 10**11, pruned=4)
    lines = driver.emf()
    for line in lines:
        check(line)
        assert line["_aws"]["Timestamp"] == driver.now * 1000
    assert len(lines) == 5


def test_the_names_of_the_lambda_before_it_are_kept(driver):
    healthy(driver)
    units = defined(driver.emf()[0])
    assert units["SnapshotsCreated"] == "Count"
    assert units["TotalSnapshotSize"] == "Bytes"
    assert units["SnapshotError"] == "Count"


def test_metrics_stay_few_however_many_collections_there_are(driver):
    healthy(driver, tuple(f"c{i}" for i in range(40)))
    identities = Counter()
    for line in driver.emf():
        for d in directives(line):
            for dimensions in d["Dimensions"]:
                assert set(dimensions) <= {"Tier", "CpuArch", "Frequency"}
                for m in d["Metrics"]:
                    identities[m["Name"], *(line[k] for k in dimensions)] += 1
    assert len(identities) < 40
    assert set(identities.values()) == {1}


def test_who_and_where_are_members_and_no_dimensions(driver):
    healthy(driver)
    line = driver.emf()[0]
    assert line["TaskArn"].startswith("arn:aws:ecs:") and line["Zone"] == "eu-central-1a" and line["Node"] == "qdrant-0"
    assert line["OldestBackupCollection"] == "docs"


def test_the_worst_collection_decides_the_age(driver):
    healthy(driver)
    driver.wanted("docs", "images", "slow", now=driver.now - 80000)
    driver.published("slow", 5000, "hourly")
    driver.published("not_wanted", 90000, "daily")
    all_, quarter, hourly, *_ = driver.emf()
    assert (all_["OldestBackupAgeSeconds"], all_["OldestBackupCollection"]) == (5000, "slow")
    assert quarter["BackupAgeSeconds"] == 5000 and hourly["BackupAgeSeconds"] == 5000
    assert all_["Unhealthy"] == 1 and all_["Reason"] == "backup_late"


def test_only_what_happened_since_the_last_lines_is_told(driver):
    healthy(driver)
    driver.do("counts", published=10, bytes=1000, failed=1)
    driver.emf()
    driver.do("counts", published=13, bytes=1600, failed=1, mismatch=1)
    driver.published("docs", 5, "daily", size=600, stored=300, delay=7)
    driver.do("snapshot_failed", collection="docs", why="500")
    driver.do("drill", collection="docs", snapshot="docs-1", seconds=9, why="broken")
    all_, quarter, _, daily, _ = driver.emf()
    assert (all_["SnapshotsCreated"], all_["TotalSnapshotSize"], all_["SnapshotError"]) == (3, 600, 2)
    assert (all_["DrillFailed"], all_["DrillSeconds"]) == (1, 9)
    assert (daily["BytesStored"], daily["CompressionRatio"], daily["PublishSeconds"]) == (300, 2, [7])
    assert quarter["BytesStored"] == 0 and "PublishSeconds" not in quarter
    all_, *_ = driver.emf()
    assert (all_["SnapshotsCreated"], all_["SnapshotError"]) == (0, 0) and "DrillFailed" not in all_


def test_more_publications_than_a_metric_takes_values(driver):
    driver.new()
    driver.wanted("docs")
    for i in range(150):
        driver.published("docs", 150 - i, delay=i)
    quarter = driver.emf()[1]
    check(quarter)
    assert quarter["PublishSeconds"] == list(range(149, 49, -1))
    assert quarter["BytesStored"] == 150 << 19


@pytest.mark.parametrize("name", ["x" * 255, "🎉" * 60, "\x01" * 255, '"' * 255, "\\" * 255])
def test_a_line_fits_a_pipe_whatever_the_names(driver, name):
    """4096 bytes: a pipe takes them as a whole, so that Qdrant's own output never gets in between."""
    healthy(driver, (name,))
    driver.new(node=name[:120], s3=True)
    driver.do("task", arn="arn:" + "x" * 300, zone="z" * 100, family="f" * 300)
    driver.wanted(name, now=driver.now - 10**6)
    driver.do("drill", collection=name, snapshot=name, seconds=1e9, why=name)
    for line in driver.do("emf", namespace="n" * 255, tier='"' * 300, cpu_arch="x" * 300):
        assert line.endswith("\n") and line.count("\n") == 1
        assert len(line.encode()) <= 4096 < LINE_MAX
        check(json.loads(line))


def test_dimension_values_are_what_cloudwatch_takes(driver):
    healthy(driver)
    for tier in ("", ":prod", "pröd", "a b\n"):
        for line in driver.emf(tier=tier):
            check(line)
