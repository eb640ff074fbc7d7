"""The CloudFormation templates: correct, complete, and in step with the programs."""
import pathlib
import re
import subprocess
import sys

import pytest
from programs import ROOT, default_of, emf_metrics
from templates import DOCKER, OPS, PRIMARY, SECOND, Template, branches, strings

REGIONS = ["us-east-1", "cn-north-1", "us-gov-west-1"]  # all of them take ten minutes
BOTH = pytest.mark.parametrize("path", [PRIMARY, SECOND], ids=lambda p: p.stem)
ALL = pytest.mark.parametrize("path", [PRIMARY, SECOND, OPS], ids=lambda p: p.stem)


def test_cfn_lint_finds_nothing_with_all_its_checks_in_a_region_of_each_partition():
    # I4010 wants blocks of prose in Metadata; what they would say is in comments and descriptions.
    lint = pathlib.Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([lint, "--include-checks", "I", "--include-experimental", "--ignore-checks", "I4010",
                           "--regions", *REGIONS, "--", PRIMARY, SECOND, OPS], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


@ALL
def test_a_template_can_be_deployed_without_a_bucket_for_it(path):
    assert len(path.read_bytes()) <= 51200  # the API's limit for a TemplateBody


@ALL
def test_every_parameter_is_explained_and_shown_in_a_group(path):
    t = Template(path)
    assert all(p.get("Description") for p in t["Parameters"].values())
    groups = t["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(n for g in groups for n in g["Parameters"]) == sorted(t["Parameters"])


@ALL
def test_awss_own_key_named_or_left_out_is_no_key_of_yours(path):
    t, own = Template(path), "alias/aws/elasticfilesystem"
    key, yours = t["Parameters"]["KmsKeyArn"], [{"Fn::Equals": [{"Ref": "KmsKeyArn"}, value]} for value in (own, "")]
    condition = t["Conditions"]["BucketHasKey"]["Fn::And"][1] if path == OPS else t["Conditions"]["HasKmsKey"]
    assert condition == {"Fn::Not": [{"Fn::Or": yours}]}
    assert all(re.match(key["AllowedPattern"], v) for v in (own, "", f"arn:aws:kms:somewhere:{'1' * 12}:key/1"))
    assert not re.match(key["AllowedPattern"], "alias/mine") and key["Default"] in (own, "")


def test_no_account_and_no_region_is_written_anywhere():
    for f in DOCKER.rglob("*"):
        if f.is_file() and f.name != "RUNBOOK.md":  # which has examples
            text = f.read_text()
            assert not re.search(r"\b\d{12}\b|\b[a-z]{2}(-gov|-iso[a-z]?)?-(north|south|east|west|central)[a-z]*-\d\b", text), f


def test_the_first_deployment_of_the_readme_is_without_a_node_and_after_that_of_the_second_region():
    commands = re.findall(r"aws cloudformation deploy [^#`]*?(?=\naws|\n#|```)", (DOCKER / "README.md").read_text())
    made = [(re.search(r"cloudformation/([\w-]+)\.yaml", c)[1], re.search(r"DesiredCount=(\d)", c)) for c in commands]
    assert [(name, count and count[1]) for name, count in made] == [
        ("second-region", None), ("primary", "0"), ("primary", "1"), ("ops", None)]


def test_the_second_region_waits_at_desired_count_0():
    t = Template(SECOND)
    assert t["Parameters"]["DesiredCount"]["Default"] == 0 and t.service["DesiredCount"] == {"Ref": "DesiredCount"}


def test_the_second_region_reads_the_replica_and_writes_to_a_file_system_of_its_own():
    t = Template(SECOND)
    systems = t.resources("AWS::EFS::FileSystem")
    protection = {n: r["Properties"]["FileSystemProtection"]["ReplicationOverwriteProtection"] for n, r in systems.items()}
    assert protection == {"ReplicaFileSystem": "DISABLED", "FileSystem": "ENABLED"}
    assert "ReplicationConfiguration" not in systems["ReplicaFileSystem"]["Properties"]
    mounts = {m["SourceVolume"]: (m["ContainerPath"], m["ReadOnly"])
              for m in branches(t.task["ContainerDefinitions"][0]["MountPoints"])}
    assert mounts["replica"] == ("/replica", True) and mounts["efs"] == ("/efs", False)
    assert t["Resources"]["ReplicaAccessPoint"]["Properties"]["RootDirectory"] == {
        "Path": Template(PRIMARY)["Resources"]["AccessPoint"]["Properties"]["RootDirectory"]["Path"]}


def test_both_regions_differ_in_the_replica_alone_and_in_who_makes_the_bucket():
    ours, other = Template(PRIMARY)["Resources"], Template(SECOND)["Resources"]
    assert {n for n in other if n not in ours} == {
        "ReplicaFileSystem", "ReplicaAccessPoint", *(f"ReplicaMountTarget{zone}" for zone in "ABC")}
    assert set(ours) - set(other) == {"Bucket", "BucketPolicy"}
    changed = {n for n in ours if n in other and ours[n] != other[n]}
    assert changed == {"TaskRole", "TaskDefinition", "Service"}


def test_the_alarms_watch_metrics_that_the_replicator_reports():
    names, dimensions = emf_metrics()
    for path in (PRIMARY, SECOND):
        t = Template(path)
        alarms = [a for a in t.properties("AWS::CloudWatch::Alarm") if not str(a["Namespace"]).startswith("AWS/")]
        assert {a["MetricName"] for a in alarms} >= {"OldestBackupAgeSeconds", "SnapshotError", "Unhealthy", "DrillFailed"}
        assert {a["MetricName"] for a in alarms} <= names
        assert all([d["Name"] for d in a["Dimensions"]] == dimensions for a in alarms)
        assert {str(a["Namespace"]) for a in alarms} == {str({"Ref": "MetricsNamespace"})}
        assert t["Parameters"]["MetricsNamespace"]["Default"] == default_of("EMF_NAMESPACE")


def test_s3_keeps_a_copy_a_day_longer_than_efs_does():
    rules = {r["Id"]: r for r in Template(PRIMARY)["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]}
    kept = dict(part.split("=") for part in default_of("RETENTION").split(","))
    for tier, keep in kept.items():
        days = {"h": int(keep[:-1]) / 24, "d": int(keep[:-1])}[keep[-1]] if keep[-1] in "hd" else int(keep) * 30.5
        assert days + 1 <= rules[tier]["ExpirationInDays"] < days + 10, tier
        assert f"/{tier}/" in "".join(strings(rules[tier]["Prefix"]))
    assert any("AbortIncompleteMultipartUpload" in r for r in rules.values())


def test_the_readme_has_the_same_lifecycle_rules():
    days = dict(re.findall(r'"ID": "(\w+)".*?"Expiration": \{"Days": (\d+)\}', (ROOT / "docs/s3.md").read_text()))
    rules = Template(PRIMARY)["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert {k: int(v) for k, v in days.items()} == {r["Id"]: r["ExpirationInDays"] for r in rules if "ExpirationInDays" in r}
