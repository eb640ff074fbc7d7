"""The construct for CDK: what its example synthesizes to is what the CloudFormation template has, and what it refuses."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from harness import ROOT, takes_minutes
from programs import settings
from templates import PRIMARY, Template

CDK = ROOT / "deploy/cdk"
PAGE = (CDK / "README.md").read_text()
pytestmark = [pytest.mark.skipif(not shutil.which("node"), reason="node is not installed"), takes_minutes]
# jsii needs seconds to start: one process makes every stack, and prints what became of each.
STACKS = '''
import json
import runpy
import sys
import tempfile
sys.path.insert(0, "deploy/cdk/python")
runpy.run_path("deploy/cdk/python/example.py")
import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2, aws_ecs as ecs, aws_efs as efs, aws_iam as iam, aws_s3 as s3, aws_secretsmanager as secretsmanager
from qdrant_backups import CONTAINER, SERVICE, QdrantBackups

out = {}

def stack(name, **options):
    app = cdk.App(outdir=tempfile.mkdtemp(dir=sys.argv[1]))
    s = cdk.Stack(app, name, env=cdk.Environment(account="123456789012", region="eu-central-1"))
    vpc = ec2.Vpc(s, "Vpc", max_azs=2)
    task = ecs.FargateTaskDefinition(s, "Task", cpu=2048, memory_limit_mib=8192)
    container = task.add_container("qdrant", image=ecs.ContainerImage.from_registry("x"), **CONTAINER)
    made = {}
    for key, make in options.items():
        made[key] = make(s) if callable(make) else make
    backups = QdrantBackups(s, "Backups", vpc=vpc, task_definition=task, container=container, api_key=secretsmanager.Secret(s, "Key"), **made)
    backups.grant_read(iam.User(s, "Ops"))
    out[name] = app.synth().get_stack_by_name(name).template

def refused(name, **options):
    try:
        stack(name, **options)
        out[name] = ""
    except Exception as e:
        out[name] = str(e)

def existing(s):
    return efs.FileSystem.from_file_system_attributes(
        s, "There", file_system_id="fs-0123456789abcdef0", security_group=ec2.SecurityGroup.from_security_group_id(s, "Group", "sg-0123456789abcdef0"))

stack("Options", bucket=lambda s: s3.Bucket(s, "Bucket"), arm64=True, tier="dev", drills=False, local_volumes=False,
      api_key_json_key="key", rpo=cdk.Duration.hours(1), replica_region="eu-west-1", settings={"COMPRESSION": "delta", "HEALTH_START_SECONDS": "7200"})
stack("Existing", file_system=existing)
refused("ReplicaOfAnother", file_system=existing, replica_region="eu-west-1")
refused("ReplicaWithoutItsRegion", replica_file_system_id="fs-0123456789abcdef0")
print(json.dumps(out))
'''
ENV = {"JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1", "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1"}


def python(*arguments, **env):
    pytest.importorskip("aws_cdk", reason="aws-cdk-lib is not installed")
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, env=os.environ | ENV | env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Synthesized:
    def __init__(self, body):
        self.body = body

    def properties(self, kind):
        return [r.get("Properties", {}) for r in self.body["Resources"].values() if r["Type"] == kind]

    def only(self, kind):
        found, = self.properties(kind)
        return found

    def container(self):
        return self.only("AWS::ECS::TaskDefinition")["ContainerDefinitions"][0]

    def environment(self):
        return {e["Name"]: e["Value"] for e in self.container()["Environment"]}

    def alarms(self):
        return {re.sub(r"^Backups(\w+?)[0-9A-F]{8}$", r"\1", name): r["Properties"] for name, r in self.body["Resources"].items()
                if r["Type"] == "AWS::CloudWatch::Alarm"}

    def statements(self, of):
        """What the policies of a role or user allow."""
        return [s for p in self.properties("AWS::IAM::Policy") for s in p["PolicyDocument"]["Statement"]
                if any(of in name for r in p.get("Roles", []) + p.get("Users", []) for name in r.values())]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(where the page's own app was synthesized to, what the others came to)"""
    folder = tmp_path_factory.mktemp("cdk")
    told = python("-B", "-c", STACKS, folder, CDK_OUTDIR=str(folder / "example"))
    return folder / "example", json.loads(told)


@pytest.fixture(scope="module")
def example(ran):
    return ran[0]


@pytest.fixture(scope="module")
def made(example):
    return Synthesized(json.loads((example / "Qdrant.template.json").read_text()))


@pytest.fixture(scope="module")
def others(ran):
    return ran[1]


@pytest.fixture(scope="module")
def template():
    return Template(PRIMARY)


def default_of(t, value):
    """Of a template's value, with its parameters at their defaults."""
    if isinstance(value, dict) and set(value) == {"Ref"} and value["Ref"] in t["Parameters"]:
        return t["Parameters"][value["Ref"]].get("Default")
    return value


def test_the_file_system_is_that_of_the_template(made, template):
    ours, theirs = made.only("AWS::EFS::FileSystem"), template.properties("AWS::EFS::FileSystem")[0]
    for name in ("Encrypted", "PerformanceMode", "ThroughputMode", "LifecyclePolicies", "FileSystemProtection", "FileSystemPolicy"):
        assert ours[name] == theirs[name], name
    assert ours["BackupPolicy"] == {"Status": default_of(template, theirs["BackupPolicy"]["Status"])}
    assert ours["ReplicationConfiguration"] == {"Destinations": [{"Region": "eu-west-1", "FileSystemId": "fs-0123456789abcdef0"}]}
    resource, = (r for r in made.body["Resources"].values() if r["Type"] == "AWS::EFS::FileSystem")
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_the_access_point_is_that_of_the_template(made, template):
    ours, theirs = made.only("AWS::EFS::AccessPoint"), template.properties("AWS::EFS::AccessPoint")[0]
    assert {k: ours[k] for k in ("PosixUser", "RootDirectory")} == {k: theirs[k] for k in ("PosixUser", "RootDirectory")}


def test_the_container_is_that_of_the_template(made, template):
    ours, theirs = made.container(), template.task["ContainerDefinitions"][0]
    for name in ("User", "ReadonlyRootFilesystem", "StopTimeout", "RestartPolicy", "HealthCheck", "Ulimits"):
        assert ours[name] == theirs[name], name
    mounts = [m for m in theirs["MountPoints"] if not m["SourceVolume"].startswith("exec-")]
    assert sorted(m["ContainerPath"] for m in ours["MountPoints"]) == sorted(m["ContainerPath"] for m in mounts)
    volume, = (v for v in made.only("AWS::ECS::TaskDefinition")["Volumes"] if v["Name"] == "efs")
    assert volume["EFSVolumeConfiguration"]["TransitEncryption"] == "ENABLED"
    assert volume["EFSVolumeConfiguration"]["AuthorizationConfig"]["IAM"] == "ENABLED"


def test_the_settings_are_those_of_the_template_where_they_are_not_the_programs_defaults(made, template):
    ours = made.environment()
    theirs = {e["Name"]: default_of(template, e["Value"]) for e in template.task["ContainerDefinitions"][0]["Environment"]}
    assert set(ours) <= set(theirs) and set(ours) <= settings() | {"QDRANT_INIT_FILE_PATH"}
    for name, value in ours.items():
        if isinstance(value, str) and isinstance(theirs[name], (str, int)):
            assert value == str(theirs[name]), name
    assert ours["RESTORE_ON_EMPTY"] == "latest" and ours["CPU_ARCH"] == "x86_64"
    assert ours["AK_ARN"] == made.container()["Secrets"][0]["ValueFrom"]


def test_the_alarms_are_those_of_the_template(made, template):
    names = set(template.resources("AWS::CloudWatch::Alarm"))
    assert set(made.alarms()) == names - {"S3Failed"}  # there is no bucket
    for name, ours in made.alarms().items():
        theirs = template.body["Resources"][name]["Properties"]
        for key in ("AlarmDescription", "MetricName", "Statistic", "Period", "EvaluationPeriods", "ComparisonOperator", "TreatMissingData",
                    "Threshold", "Namespace"):
            assert ours[key] == default_of(template, theirs[key]), (name, key)
        assert ours.get("DatapointsToAlarm") == theirs.get("DatapointsToAlarm"), name
        assert {d["Name"] for d in ours["Dimensions"]} == {d["Name"] for d in theirs["Dimensions"]}, name
        assert ours["AlarmActions"] == ours["OKActions"] and len(ours["OKActions"]) == 1


def test_the_task_may_do_what_the_template_allows_and_no_more(made, template):
    allowed = {a for s in made.statements("TaskTaskRole") for a in as_set(s["Action"])}
    theirs = {a for name, s in template.statements() if name == "TaskRole" and s["Sid"] in ("MountTheBackups", "AskHowReplicationIs", "ReadTheApiKey")
              for a in as_set(s["Action"])}
    assert allowed == theirs | {"secretsmanager:DescribeSecret"}  # of CDK's grantRead
    mount, = (s for s in made.statements("TaskTaskRole") if "elasticfilesystem:ClientMount" in as_set(s["Action"]))
    assert "elasticfilesystem:AccessPointArn" in mount["Condition"]["StringEquals"] and mount["Resource"] != "*"


def as_set(value):
    return {value} if isinstance(value, str) else set(value)


def test_the_service_reaches_the_file_system_and_waits_for_it(made):
    ingress, = (p for p in made.properties("AWS::EC2::SecurityGroupIngress") if p["FromPort"] == 2049)
    assert (ingress["ToPort"], ingress["IpProtocol"]) == (2049, "tcp")
    service, = (r for r in made.body["Resources"].values() if r["Type"] == "AWS::ECS::Service")
    targets = {name for name, r in made.body["Resources"].items() if r["Type"] == "AWS::EFS::MountTarget"}
    assert len(targets) == 2 and targets <= set(service["DependsOn"])
    assert service["Properties"]["DeploymentConfiguration"]["MaximumPercent"] == 100
    assert service["Properties"]["DeploymentConfiguration"]["MinimumHealthyPercent"] == 0
    assert service["Properties"]["AvailabilityZoneRebalancing"] == "DISABLED"


def test_cfn_lint_finds_nothing_and_nor_does_cdk(example):
    # W3010 is of the app's own VPC, which names its zones.
    done = subprocess.run([pathlib.Path(sys.executable).with_name("cfn-lint"), "--non-zero-exit-code", "warning",
                           "--ignore-checks", "W3010", "--", example / "Qdrant.template.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((example / "validation-report.json").read_text()) if (example / "validation-report.json").exists() else {"pluginReports": []}
    assert [v for p in report["pluginReports"] for v in p["violations"]] == []


def test_options_are_obeyed(others):
    t = Synthesized(others["Options"])
    env = t.environment()
    assert {k: env[k] for k in ("TIER", "CPU_ARCH", "DRILL_SCHEDULE", "AK_JSON_KEY", "RPO_SECONDS", "COMPRESSION", "HEALTH_START_SECONDS")} == {
        "TIER": "dev", "CPU_ARCH": "aarch64", "DRILL_SCHEDULE": "never", "AK_JSON_KEY": "key", "RPO_SECONDS": "3600", "COMPRESSION": "delta",
        "HEALTH_START_SECONDS": "7200"}
    assert set(t.alarms()) == {"BackupTooOld", "SnapshotFailed", "ReplicatorUnhealthy", "S3Failed"}
    assert t.alarms()["BackupTooOld"]["Threshold"] == 3600
    assert {"Name": "CpuArch", "Value": "aarch64"} in t.alarms()["S3Failed"]["Dimensions"]
    assert [m["ContainerPath"] for m in t.container()["MountPoints"]] == ["/efs"]
    assert t.only("AWS::EFS::FileSystem")["ReplicationConfiguration"] == {"Destinations": [{"Region": "eu-west-1"}]}
    assert ":key::" in json.dumps(t.container()["Secrets"])
    actions = {a for s in t.statements("TaskTaskRole") for a in as_set(s["Action"])}
    assert "s3:PutObject" in actions and not any("Delete" in a for a in actions)
    for s in t.statements("TaskTaskRole"):
        if "s3:PutObject" in as_set(s["Action"]):
            assert "/dev-aarch64/*" in json.dumps(s["Resource"])


def test_an_existing_file_system_is_used_and_none_is_made(others):
    t = Synthesized(others["Existing"])
    assert t.properties("AWS::EFS::FileSystem") == [] and t.only("AWS::EFS::AccessPoint")["FileSystemId"] == "fs-0123456789abcdef0"


def test_people_may_read_by_the_access_point_and_not_write(others):
    t = Synthesized(others["Existing"])
    s, = t.statements("Ops")
    assert as_set(s["Action"]) == {"elasticfilesystem:ClientMount"} and "elasticfilesystem:AccessPointArn" in s["Condition"]["StringEquals"]


def test_what_does_not_go_together_is_refused(others):
    assert "replication and key of an existing file system are its own" in others["ReplicaOfAnother"]
    assert "needs its replica_region" in others["ReplicaWithoutItsRegion"]


def test_the_page_shows_the_example():
    shown = re.search(r"```python\n(.*?)```", PAGE, re.S)[1]
    example = (CDK / "python/example.py").read_text()
    lines = [line.strip() for line in shown.splitlines() if line.strip() and "…" not in line]
    assert len(lines) > 5 and [line for line in lines if line not in example] == []
    assert set(re.findall(r"^        :param (\w+):", (CDK / "python/qdrant_backups.py").read_text(), re.M)) <= set(re.findall(r"`(\w+)`", PAGE))


def test_its_version_is_the_programs():
    version = re.search(r'VERSION "(.*)"', (ROOT / "common/base/version.h").read_text())[1]
    assert f'version = "{version}"' in (CDK / "python/pyproject.toml").read_text()
