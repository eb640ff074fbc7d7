"""Whatever is there already and whatever is wanted: each combination of parameters is a stack that can be made, and works."""
import functools
import json
import re
import zlib

import pytest
from programs import emf_metrics
from resolve import Dangling, Resolved, combinations
from templates import OPS, PRIMARY, SECOND, Template, strings

ARN = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:key-AbCdEf"
GIVEN = {"Image": ["image:1"], "VpcId": ["vpc-1"], "SubnetA": ["subnet-a"], "SubnetB": ["subnet-b"], "ApiKeySecretArn": [ARN],
         "ClientSecurityGroupId": ["sg-c"]}
KEY = f"arn:aws:kms:eu-west-1:{'1' * 12}:key/1"
LEVELS = GIVEN | {
    "SubnetC": ["", "subnet-c"], "RepositoryArn": ["", f"arn:aws:ecr:eu-west-1:{'1' * 12}:repository/q"], "Architecture": ["X86_64", "ARM64"],
    "S3PrefixListId": ["", "pl-1"], "NamespaceId": ["", "ns-1"], "EnableExec": ["true", "false"], "ClusterName": ["", "theirs"],
    "TargetGroupArn": ["", "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/q/1"], "ApiKeyJsonKey": ["", "key"], "SecretKmsKeyArn": ["", KEY],
    "DesiredCount": [0, 1], "RestoreOnEmpty": ["yes", "no"], "DrillSchedule": ["never", "daily"], "KmsKeyArn": ["", "alias/aws/elasticfilesystem", KEY],
    "FileSystemId": ["", "fs-12345678"], "FileSystemSecurityGroupId": ["", "sg-0f"], "AccessPointId": ["", "fsap-12345678"],
    "ReplicaRegion": ["", "eu-central-1"], "ReplicaFileSystemId": ["", "fs-87654321"], "AlarmTopicArn": ["", "none", f"arn:aws:sns:eu-west-1:{'1' * 12}:t"],
    "LogGroupName": ["", "/their/log"], "AwsBackup": ["ENABLED", "DISABLED"], "S3ObjectLock": ["", "GOVERNANCE:30d"]}
BUCKET = {PRIMARY: ["", "new", "their-bucket"], SECOND: ["", "their-bucket"]}
# What the rules refuse: an existing file system is not replicated by the template, and what belongs to it needs it.
REFUSED = {frozenset(p) for p in (
    (("FileSystemId", ""), ("FileSystemSecurityGroupId", "sg-0f")), (("FileSystemId", "fs-12345678"), ("FileSystemSecurityGroupId", "")),
    (("FileSystemId", ""), ("AccessPointId", "fsap-12345678")), (("FileSystemSecurityGroupId", ""), ("AccessPointId", "fsap-12345678")),
    (("ReplicaRegion", ""), ("ReplicaFileSystemId", "fs-87654321")), (("ReplicaRegion", "eu-central-1"), ("ReplicaFileSystemId", "")),
    *(((there, value), (replica, to)) for there, value in (("FileSystemId", "fs-12345678"), ("FileSystemSecurityGroupId", "sg-0f"),
                                                          ("AccessPointId", "fsap-12345678"))
      for replica, to in (("ReplicaRegion", "eu-central-1"), ("ReplicaFileSystemId", "fs-87654321"))))}
BOTH = pytest.mark.parametrize("path", [PRIMARY, SECOND], ids=lambda p: p.stem)


@functools.cache
def stacks(path):
    found, missing = combinations(Template(path).body, LEVELS | {"S3Bucket": BUCKET[path]}, 400)
    assert {frozenset(p) for p in missing} == REFUSED
    return found


def of(made, kind):
    return {n: p for n, (k, p) in made.items() if k == kind}


def test_a_reference_to_what_is_not_made_is_found():
    body = {"Parameters": {}, "Conditions": {"No": {"Fn::Equals": ["a", "b"]}},
            "Resources": {"A": {"Type": "x", "Condition": "No"}, "B": {"Type": "x", "Properties": {"P": {"Fn::Sub": "${A.Arn}"}}}}}
    with pytest.raises(Dangling):
        Resolved(body).resources()


@BOTH
def test_nothing_refers_to_what_is_not_made_and_no_property_or_output_is_empty(path):
    for stack in stacks(path):
        made = stack.resources()
        for name, (kind, p) in made.items():
            for container in p.get("ContainerDefinitions", []):
                container["Environment"] = [e for e in container["Environment"] if e["Value"] != ""]  # which is none to our programs
            assert "" not in list(strings(p)), (name, stack.parameters)
        assert all(stack.outputs().values()), stack.parameters


def peers(made, group, direction):
    """{(port, the other side)} that a security group lets through."""
    own, other = (("SourceSecurityGroupId", "SecurityGroupIngress"), ("DestinationSecurityGroupId", "SecurityGroupEgress"))[direction == "out"]
    rules = [r for n, g in of(made, "AWS::EC2::SecurityGroup").items() if f"sg-{n}" == group for r in g.get(other, [])]
    rules += [r for r in of(made, f"AWS::EC2::{other}").values() if r["GroupId"] == group]
    return {(r.get("FromPort"), r.get(own)) for r in rules}


def volumes(made):
    """{volume: (file system, access point)}"""
    task, = of(made, "AWS::ECS::TaskDefinition").values()
    efs = {v["Name"]: v["EFSVolumeConfiguration"] for v in task["Volumes"] if "EFSVolumeConfiguration" in v}
    return {n: (e["FilesystemId"], e["AuthorizationConfig"]["AccessPointId"]) for n, e in efs.items()}


def groups_of(made, stack, file_system):
    """Of its mount targets: those that the stack makes, or the ones of the existing file system."""
    targets = [t for t in of(made, "AWS::EFS::MountTarget").values() if t["FileSystemId"] == file_system]
    return [t["SecurityGroups"][0] for t in targets] or [stack.parameters["FileSystemSecurityGroupId"]]


@BOTH
def test_the_node_reaches_and_may_mount_each_file_system_of_its_volumes(path):
    for stack in stacks(path):
        made = stack.resources()
        statements = [s for p in of(made, "AWS::IAM::Role")["TaskRole"]["Policies"] for s in p["PolicyDocument"]["Statement"]]
        for name, (file_system, point) in volumes(made).items():
            where = [p["FileSystemId"] for n, p in of(made, "AWS::EFS::AccessPoint").items() if f"fsap-{n}" == point]
            assert where in ([file_system], []) and (where or point == stack.parameters["AccessPointId"])
            for group in groups_of(made, stack, file_system):
                assert (2049, group) in peers(made, "sg-NodeSecurityGroup", "out"), (name, stack.parameters)
                assert (2049, "sg-NodeSecurityGroup") in peers(made, group, "in"), (name, stack.parameters)
            rights = {a for s in statements if s["Resource"].rpartition("/")[2] in (f"arn:{file_system}", file_system)
                      and s.get("Condition", {}).get("StringEquals", {}).get("elasticfilesystem:AccessPointArn", "").rpartition("/")[2]
                      in (f"arn:{point}", point) for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])}
            assert rights == {"elasticfilesystem:ClientMount"} | ({"elasticfilesystem:ClientWrite"} if name == "efs" else set())


@BOTH
def test_the_outputs_lead_ops_to_what_the_node_uses(path):
    for stack in stacks(path):
        made, said = stack.resources(), stack.outputs()
        mounts = volumes(made)
        assert (said["FileSystemId"], said["AccessPointId"]) == mounts["efs"]
        assert {said["EfsSecurityGroupId"]} == set(groups_of(made, stack, mounts["efs"][0])), stack.parameters
        if "replica" in mounts:
            assert (said["ReplicaFileSystemId"], said["ReplicaAccessPointId"]) == mounts["replica"]
            group = said.get("ReplicaSecurityGroupId", said["EfsSecurityGroupId"])
            assert {group} == set(groups_of(made, stack, mounts["replica"][0])), stack.parameters
            assert said.get("ReplicaSecurityGroupId") != said["EfsSecurityGroupId"], "ops.yaml would make one rule twice"
        task, = of(made, "AWS::ECS::TaskDefinition").values()
        container, = task["ContainerDefinitions"]
        env = {e["Name"]: e["Value"] for e in container["Environment"]}
        assert said["LogGroupName"] == container["LogConfiguration"]["Options"]["awslogs-group"]
        assert said.get("BucketName", "") == env.get("SNAPSHOT_S3_BUCKET_NAME", ""), "S3, the last resort, asks for it"


@BOTH
def test_copies_to_s3_go_where_the_node_may_write_and_it_may_write_to_its_own_part_of_the_bucket_alone(path):
    for stack in stacks(path):
        made = stack.resources()
        task, = of(made, "AWS::ECS::TaskDefinition").values()
        env = {e["Name"]: e["Value"] for e in task["ContainerDefinitions"][0]["Environment"]}
        bucket, part = env["SNAPSHOT_S3_BUCKET_NAME"], f"{env['TIER']}-{env['CPU_ARCH']}"
        policies = of(made, "AWS::IAM::Role")["TaskRole"]["Policies"]
        statements = {s["Sid"]: s for p in policies for s in p["PolicyDocument"]["Statement"]}
        assert [statements[sid]["Resource"] for sid in ("CopyToS3", "GoOnWithUploads") if sid in statements] == (
            [f"arn:aws:s3:::{bucket}/{part}/*", f"arn:aws:s3:::{bucket}"] if bucket else []), stack.parameters
        assert ("EncryptInS3" in statements) == (bucket != "" and stack.holds("HasKmsKey"))


def test_a_bucket_named_new_is_not_taken_for_one_that_is_there():
    given = {n: v[0] for n, v in GIVEN.items()}
    assert Resolved(Template(PRIMARY).body, **given, S3Bucket="new").refused() == []
    assert "S3Bucket" in str(Resolved(Template(SECOND).body, **given, S3Bucket="new").refused())


@BOTH
def test_the_alarms_and_the_dashboard_look_where_the_node_reports(path):
    metrics, keys = emf_metrics()
    for stack in stacks(path):
        made = stack.resources()
        task, = of(made, "AWS::ECS::TaskDefinition").values()
        env = {e["Name"]: e["Value"] for e in task["ContainerDefinitions"][0]["Environment"]}
        ours = (env["EMF_NAMESPACE"], {keys[0]: env["TIER"], keys[1]: env["CPU_ARCH"]})
        service = {"ClusterName": stack.value(stack.properties("Service")["Cluster"]), "ServiceName": "Service.Name"}
        files, _ = volumes(made)["efs"]
        known = [ours, ("AWS/ECS", service), ("AWS/EFS", {"FileSystemId": files}),
                 ("AWS/EFS", {"FileSystemId": files, "StorageClass": "Total"}),
                 ("AWS/EFS", {"FileSystemId": files, "DestinationFileSystemId": stack.parameters["ReplicaFileSystemId"] or "none"})]
        alarms = of(made, "AWS::CloudWatch::Alarm")
        for name, a in alarms.items():
            looked = (a["Namespace"], {d["Name"]: d["Value"] for d in a["Dimensions"]})
            assert looked in known and (looked != ours or a["MetricName"] in metrics), name
            assert a["AlarmActions"] == a["OKActions"] == ([t] if (t := stack.parameters["AlarmTopicArn"]) not in ("", "none") else [])
        # A node has its alarms, a node that is off has none that only a node can calm.
        on = stack.parameters["DesiredCount"] == "1"
        assert on == ("NodeMissing" in alarms) == ("BackupTooOld" in alarms)
        assert ("ReplicationBehind" in alarms) == (stack.parameters["ReplicaFileSystemId"] != "")
        assert ("DrillFailed" in alarms) == (on and stack.parameters["DrillSchedule"] != "never")
        assert ("S3Failed" in alarms) == (on and stack.parameters["S3Bucket"] != "")
        board, = of(made, "AWS::CloudWatch::Dashboard").values()
        for widget in json.loads(board["DashboardBody"])["widgets"]:
            for namespace, metric, *rest in widget["properties"]["metrics"]:
                *dimensions, options = rest
                looked = (namespace, dict(zip(dimensions[::2], dimensions[1::2])))
                assert looked in known and (looked != ours or metric in metrics), (metric, stack.parameters)
                assert set(options) == {"stat"}


# ops.yaml, beside a stack whose outputs are its parameters.
OF_OPS = {"S3PrefixListId": ["", "pl-1"], "SecretKmsKeyArn": ["", KEY], "KmsKeyArn": LEVELS["KmsKeyArn"], "VpcId": ["vpc-1"], "ApiKeySecretArn": [ARN],
          "NodeSecurityGroupId": ["sg-NodeSecurityGroup"], "ClusterName": ["c"], "ServiceName": ["s"], "LogGroupName": ["l"]}
FROM_OUTPUTS = {"FileSystemId", "EfsSecurityGroupId", "ReplicaFileSystemId", "ReplicaSecurityGroupId", "S3Bucket"}


def as_id(made_up):
    """What is made up here for a resource, as AWS names one: patterns look at that."""
    return re.sub(r"(?<=^fs-|^sg-)([A-Z]\w*)$", lambda m: f"{zlib.crc32(m[1].encode()):08x}", made_up)


def ops_beside(stack, n):
    """The stack of ops.yaml that is made of its outputs; what else there is to choose changes with n."""
    theirs = {"S3Bucket" if k == "BucketName" else k: as_id(v) for k, v in stack.outputs().items()}
    chosen = {k: v[n % len(v)] for k, v in OF_OPS.items()}
    return Resolved(Template(OPS).body, **chosen, **{k: theirs[k] for k in FROM_OUTPUTS & set(theirs)})


@BOTH
def test_ops_yaml_takes_the_outputs_of_each_stack_and_lets_its_hosts_to_all_of_it(path):
    for n, stack in enumerate(stacks(path)[:100]):
        node, ops = stack.resources(), ops_beside(stack, n)
        assert ops.refused() == []
        made = ops.resources()
        assert "" not in list(strings(list(made.values()))) and all(ops.outputs().values())
        wanted = {(2049, as_id(g)) for file_system, _ in volumes(node).values() for g in groups_of(node, stack, file_system)}
        assert {r for r in peers(made, "sg-OpsSecurityGroup", "out") if r[0] == 2049} == wanted, stack.parameters
        let_in = [(r["FromPort"], r["GroupId"]) for r in of(made, "AWS::EC2::SecurityGroupIngress").values()]
        assert len(let_in) == len(set(let_in)) and {r for r in let_in if r[0] == 2049} == wanted, stack.parameters
        points = {p["FileSystemId"] for p in of(made, "AWS::EFS::AccessPoint").values()}
        assert points == {as_id(file_system) for file_system, _ in volumes(node).values()}
