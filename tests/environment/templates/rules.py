"""What must hold in a template, over what cfn-lint knows. A rule yields complaints; its docstring says why it is one."""
import re

from templates import as_list, branches, names_of, strings

MARGIN = 5  # seconds that Fargate itself needs of a task's stopTimeout


def container(t):
    return t.task["ContainerDefinitions"][0]


def value_of(t, name):
    return next((e["Value"] for e in branches(container(t)["Environment"]) if e["Name"] == name), None)


def default_of(t, value):
    return t["Parameters"][value["Ref"]]["Default"] if isinstance(value, dict) else value


def encrypted_at_rest(t):
    """Backups hold all of the data."""
    for name, r in t.resources("AWS::EFS::FileSystem").items():
        if r["Properties"].get("Encrypted") is not True:
            yield f"{name} is not encrypted"
    for name, r in t.resources("AWS::S3::Bucket").items():
        if not r["Properties"].get("BucketEncryption"):
            yield f"{name} is not encrypted"
        if set(r["Properties"].get("PublicAccessBlockConfiguration", {0: 0}).values()) != {True}:
            yield f"{name} may become public"


def backups_outlive_the_stack(t):
    """Whoever deletes a stack does not mean the backups."""
    for kind in ("AWS::EFS::FileSystem", "AWS::S3::Bucket"):
        for name, r in t.resources(kind).items():
            if r.get("DeletionPolicy") not in ("Retain", "RetainExceptOnCreate") or r.get("UpdateReplacePolicy") != "Retain":
                yield f"{name} goes with its stack"


def a_failed_first_deployment_leaves_nothing(t):
    """What a rolled-back creation keeps goes on replicating, and the second try finds its replica taken."""
    for kind in ("AWS::EFS::FileSystem", "AWS::S3::Bucket"):
        for name, r in t.resources(kind).items():
            if r.get("DeletionPolicy") != "RetainExceptOnCreate":
                yield f"{name} stays when its stack could not be created"


def tls_everywhere(t):
    """In transit, too: in the task, and refused where it is missing."""
    for v in branches(t.task["Volumes"]):
        efs = v.get("EFSVolumeConfiguration")
        if efs and (efs.get("TransitEncryption") != "ENABLED" or efs["AuthorizationConfig"].get("IAM") != "ENABLED"
                    or "AccessPointId" not in efs["AuthorizationConfig"]):
            yield f"volume {v['Name']}: not by TLS, IAM and an access point"
    for name, r in t.resources("AWS::EFS::FileSystem").items():
        if not denies(r["Properties"].get("FileSystemPolicy"), "Bool", "aws:SecureTransport", "false"):
            yield f"{name} allows mounts without TLS"
        if not denies(r["Properties"].get("FileSystemPolicy"), "Null", "elasticfilesystem:AccessPointArn", "true"):
            yield f"{name} allows mounts of its root"
    policies = t.properties("AWS::S3::BucketPolicy")
    for name in t.resources("AWS::S3::Bucket"):
        if not any(p["Bucket"] == {"Ref": name} and denies(p["PolicyDocument"], "Bool", "aws:SecureTransport", "false")
                   for p in policies):
            yield f"{name} allows requests without TLS"


def denies(policy, operator, key, value):
    return any(s["Effect"] == "Deny" and s["Principal"] in ("*", {"AWS": "*"}) and
               s.get("Condition", {}).get(operator, {}).get(key) == value for s in (policy or {}).get("Statement", ()))


def no_wildcard_without_a_reason(t):
    """A right on everything is a right too many, unless a comment beside it says why ("# any: …")."""
    for owner, s in t.statements():
        if any("*" in a for a in as_list(s["Action"])) and s["Effect"] == "Allow":
            yield f"{owner}: {s['Action']} allows any action"
        wide = any(text.endswith("*") or text == "*" for text in strings(s["Resource"]))
        line = t.lines[list(s)[list(s).index("Resource")].start_mark.line]
        if wide and not re.search(r"# any: \w", line):
            yield f"{owner}: {s.get('Sid')} is for any resource, and no comment says why"


def rights_on_efs_by_access_point(t):
    """The file system's policy cannot name its own access point; the task role must."""
    for owner, s in t.statements():
        if any(a.startswith("elasticfilesystem:Client") for a in as_list(s["Action"])):
            if "elasticfilesystem:AccessPointArn" not in s.get("Condition", {}).get("StringEquals", {}):
                yield f"{owner}: {s['Sid']} by any access point"
            if "Replica" in str(s["Resource"]) and s["Action"] != "elasticfilesystem:ClientMount":
                yield f"{owner}: {s['Sid']} writes to the replica"


def secrets_by_arn(t):
    """A name finds a secret in the wrong account or Region; a value in the environment is for all to read."""
    secret = {"Ref": "ApiKeySecretArn"}
    if not t["Parameters"]["ApiKeySecretArn"].get("AllowedPattern", "").startswith("^arn:"):
        yield "ApiKeySecretArn takes what is no ARN"
    for s in container(t)["Secrets"]:
        if "ApiKeySecretArn" not in str(s["ValueFrom"]):
            yield f"{s['Name']} is not by ARN"
    if value_of(t, "AK_ARN") != secret:
        yield "AK_ARN is another secret"
    for name in names_of(container(t)["Environment"]):
        if re.search("KEY|TOKEN|PASSWORD|SECRET", name) and name != "AK_JSON_KEY":
            yield f"{name} is in the environment"
    for owner, s in t.statements():
        if "secretsmanager:GetSecretValue" in as_list(s["Action"]) and s["Resource"] != secret:
            yield f"{owner} reads other secrets"


def a_stop_fits(t):
    """Fargate kills at stopTimeout, 120 s at most; Qdrant's flush and our last words have to be over by then."""
    timeout, grace = container(t)["StopTimeout"], int(value_of(t, "STOP_GRACE_SECONDS"))
    if not grace + MARGIN <= timeout <= 120:
        yield f"STOP_GRACE_SECONDS {grace} does not fit into stopTimeout {timeout}"


def is_asked_for_its_health(t):
    """ECS knows no other health check than that of the task definition."""
    check = container(t).get("HealthCheck", {})
    if check.get("Command") != ["CMD", "qdrant-entrypoint", "health"] or check.get("StartPeriod") != 300:
        yield f"the health check is {check}"


def busy_cpus_are_no_death(t):
    """ECS kills an unhealthy task, and its disk is gone: only minutes of silence may be that. (qdrant-helm#81, #114)"""
    check, budget = container(t)["HealthCheck"], int(value_of(t, "HEALTH_TIMEOUT_SECONDS") or 1)
    if check["Retries"] * check["Interval"] < 600:
        yield f"it is killed after {check['Retries'] * check['Interval']} s"
    if not 10 <= budget < check["Timeout"]:
        yield f"HEALTH_TIMEOUT_SECONDS {budget}, timeout {check['Timeout']}"


def a_crash_is_restarted_in_place(t):
    """A container that dies before restartAttemptPeriod is over is not restarted (ECS API, ContainerRestartPolicy): then the disk is gone."""
    policy = container(t).get("RestartPolicy", {})
    if policy.get("Enabled") is not True or policy.get("RestartAttemptPeriod") != 60:
        yield f"the restart policy is {policy}"


def a_load_balancer_waits_for_a_restore(t):
    """Its checks would end a restore that takes longer than the grace; and an empty Qdrant is ready, so /readyz sends it traffic."""
    grace = t.service.get("HealthCheckGracePeriodSeconds", {}).get("Fn::If", [None, None, None])
    if grace[0] != "HasTargetGroup" or grace[1] != {"Ref": "HealthStartSeconds"}:
        yield f"the grace is {grace[1]}"
    advice = t["Parameters"]["TargetGroupArn"]["Description"]
    if "/restored" not in advice or "6336" not in advice or "/readyz" in advice:
        yield f"TargetGroupArn: {advice}"


def a_restore_is_waited_for(t):
    """While its restore waits for EFS, a node is only healthy within HEALTH_START_SECONDS; ECS would kill it at 300 s."""
    start = default_of(t, value_of(t, "HEALTH_START_SECONDS"))
    if value_of(t, "RESTORE_ON_EMPTY") and int(start) <= 300:
        yield f"HEALTH_START_SECONDS is {start}"


def one_task_at_a_time(t):
    """Two tasks of one NODE_NAME serve two states and back up both."""
    d = t.service["DeploymentConfiguration"]
    if (d["MinimumHealthyPercent"], d["MaximumPercent"]) != (0, 100):
        yield "a deployment starts the new task before the old one is gone"
    if t.service.get("AvailabilityZoneRebalancing") != "DISABLED":
        yield "zones are rebalanced"
    if t["Parameters"]["DesiredCount"].get("AllowedValues") != [0, 1]:
        yield "two tasks may be asked for"


def what_is_written_is_mounted(t):
    """The root file system is read-only, and the user is none in particular."""
    c = container(t)
    writable = [m["ContainerPath"] for m in branches(c["MountPoints"]) if not m["ReadOnly"]]
    if c.get("ReadonlyRootFilesystem") is not True or c.get("User") in (None, "0", "root", "0:0"):
        yield "it runs as root, or may write to the image"
    for path in ("/qdrant/storage", "/qdrant/snapshots", "/tmp", value_of(t, "EFS_ROOT"),
                 value_of(t, "QDRANT_INIT_FILE_PATH")):
        if not any(path == w or path.startswith(w + "/") for w in writable):
            yield f"{path} cannot be written"
    if "/replica" in str(c["MountPoints"]) and "/replica" in writable:
        yield "the replica may be written to"


def silence_alarms(t):
    """A dead node reports no age at all."""
    alarms = {name: r["Properties"] for name, r in t.resources("AWS::CloudWatch::Alarm").items()}
    for name, a in alarms.items():
        if "TreatMissingData" not in a:
            yield f"{name} does not say what silence means"
    for metric in ("OldestBackupAgeSeconds", "Unhealthy", "TimeSinceLastSync", "CPUUtilization"):
        if not any(a["MetricName"] == metric and a["TreatMissingData"] == "breaching" for a in alarms.values()):
            yield f"nobody is told of a missing {metric}"


def alarms_page_after_a_failover(t):
    """Actions run on a change of state alone: an alarm that was in ALARM all the while the node was off tells nobody of a failed start."""
    for name, r in t.resources("AWS::CloudWatch::Alarm").items():
        if "ActionsEnabled" in r["Properties"]:
            yield f"{name} changes its state while its actions are off"
        if r["Properties"]["Namespace"] != "AWS/EFS" and not implies(t, r.get("Condition"), "Active"):
            yield f"{name} is there without a node"


def implies(t, condition, other):
    """Whether `condition` is `other`, or a conjunction with it."""
    if condition == other:
        return True
    parts = t["Conditions"].get(condition, {}).get("Fn::And", []) if condition else []
    return any(p == {"Condition": other} for p in parts)


def a_failed_drill_stays_an_alarm(t):
    """There is a sample a day: with any other word the alarm would be over minutes after it began."""
    for name, r in t.resources("AWS::CloudWatch::Alarm").items():
        a = r["Properties"]
        if a["MetricName"] == "DrillFailed" and a["Statistic"] != "SampleCount" and a["TreatMissingData"] != "ignore":
            yield f"{name} is over by itself"


def what_is_tried_once_a_day_is_seen(t):
    """An upload that S3 refuses for good is tried again after 24 hours (replicator/publish/s3_upload.c): the alarm sees two tries
    at any time, else it would be over between them. CloudWatch looks back 7 days at most."""
    for name, r in t.resources("AWS::CloudWatch::Alarm").items():
        a = r["Properties"]
        window = a["Period"] * a["EvaluationPeriods"]
        if window > (604800 if a["Period"] >= 3600 else 86400):
            yield f"{name} looks back too far"
        if a["MetricName"] == "S3Errors" and not (window >= 49 * 3600 and 1 <= a.get("DatapointsToAlarm", a["EvaluationPeriods"]) <= 2):
            yield f"{name} does not see it"


def all_mount_targets_are_waited_for(t):
    """A task in a zone whose mount target is not there yet does not start; DependsOn cannot name what a condition makes."""
    known = {*as_list(t["Resources"]["Service"].get("DependsOn", [])), *refs(t.service)}
    for name in t.resources("AWS::EFS::MountTarget"):
        if name not in known:
            yield f"the service does not wait for {name}"


def refs(value):
    if isinstance(value, dict):
        if set(value) == {"Ref"}:
            yield value["Ref"]
        for v in value.values():
            yield from refs(v)
    elif isinstance(value, list):
        for v in value:
            yield from refs(v)


def subnets_differ(t):
    """EFS has one mount target a zone: two subnets that are the same end in a failed stack, minutes later."""
    asserted = [a["Assert"] for r in t["Rules"].values() for a in r["Assertions"]]
    for one, other in (("A", "B"), ("A", "C"), ("B", "C")):
        if {"Fn::Not": [{"Fn::Equals": [{"Ref": f"Subnet{one}"}, {"Ref": f"Subnet{other}"}]}]} not in asserted:
            yield f"Subnet{one} may be Subnet{other}"


def a_gateway_endpoint_can_be_reached(t):
    """ECR keeps layers in S3, whose gateway endpoint is addressed by its prefix list, never by the VPC's own range."""
    egress = t["Resources"]["NodeSecurityGroup"]["Properties"]["SecurityGroupEgress"]
    if {"Ref": "S3PrefixListId"} not in [r.get("DestinationPrefixListId") for r in branches(egress)]:
        yield "no way to S3's prefix list"


def what_the_runbook_changes_is_a_parameter(t):
    """Else people edit a template, or set by hand what the next deployment undoes."""
    for name in ("LOCAL_KEEP", "COMPRESSION", "MIN_FREE", "SNAPSHOT_ON_STOP", "RETENTION", "SNAPSHOT_INTERVAL", "SNAPSHOT_OFFSET", "COLLECTIONS", "DRILL_SCHEDULE", "RPO_SECONDS"):
        if "Ref" not in (value_of(t, name) or {}):
            yield f"{name} is no parameter"
    if t["Resources"]["FileSystem"]["Properties"]["BackupPolicy"]["Status"] != {"Ref": "AwsBackup"}:
        yield "AWS Backup is no choice"
    if not {"FileSystemId", "AccessPointId", "LogGroupName", "KmsKeyArn", "ClusterName", "EnableExec"} <= set(t["Parameters"]):
        yield "what is there already cannot be used"


def a_shell_has_what_it_needs(t):
    """ECS Exec writes to three folders, which a read-only root file system has no room for (containers-roadmap#1359), and talks by SSM."""
    if t.service.get("EnableExecuteCommand") != {"Ref": "EnableExec"}:
        yield "no parameter opens a shell"
    mounts = {m["ContainerPath"] for m in branches(container(t)["MountPoints"])}
    if not {"/managed-agents", "/var/lib/amazon/ssm", "/var/log/amazon/ssm"} <= mounts:
        yield "its agent cannot write"
    rights = {a for owner, s in t.statements() if owner == "TaskRole" for a in as_list(s["Action"]) if a.startswith("ssmmessages:")}
    if len(rights) != 4:
        yield "its agent has no rights"


def rights_are_there_before_the_task(t):
    """A policy of its own is put on the role while the service starts its task: a shell's agent, and S3's first copy, come too early."""
    for name in t.resources("AWS::IAM::RolePolicy"):
        yield f"{name} may come after the task"


def a_replica_is_not_backed_up_again(t):
    """AWS Backup keeps each 15-minute snapshot for 35 days; once is enough."""
    for name, r in t.resources("AWS::EFS::FileSystem").items():
        if name.startswith("Replica") and r["Properties"]["BackupPolicy"]["Status"] != "DISABLED":
            yield f"{name} is backed up, too"
    for b in t.properties("AWS::S3::Bucket"):
        days = [r["NoncurrentVersionExpiration"]["NoncurrentDays"] for r in b["LifecycleConfiguration"]["Rules"]
                if "NoncurrentVersionExpiration" in r]
        if days != [1]:
            yield f"what was deleted is kept for {days} days"


def the_status_page_answers_to_the_nodes_name(t):
    """To a name that it does not know it says 421: a namespace may be of a domain that anybody could register (docs/status.md)."""
    if value_of(t, "STATUS_HOSTS") != {"Fn::Sub": "${NodeName}.${NamespaceName}"}:
        yield f"STATUS_HOSTS is {value_of(t, 'STATUS_HOSTS')}"


def age_alarm_is_the_rpo(t):
    """The alarm and /health mean the same."""
    for a in t.properties("AWS::CloudWatch::Alarm"):
        if a["MetricName"] == "OldestBackupAgeSeconds" and not a["Threshold"] == value_of(t, "RPO_SECONDS"):
            yield "another age than RPO_SECONDS alarms"


def only_known_peers(t):
    """Nobody but the node reaches EFS, nobody but the given group the node."""
    groups = t.resources("AWS::EC2::SecurityGroup")
    rules = [(n, r) for n, g in groups.items() for r in g["Properties"]["SecurityGroupIngress"]]
    for name, r in rules:
        allowed = {2049: {"Ref": "NodeSecurityGroup"}}.get(r["FromPort"], {"Ref": "ClientSecurityGroupId"})
        if r["FromPort"] != r["ToPort"] or r.get("SourceSecurityGroupId") != allowed:
            yield f"{name} lets in {r}"
    for name, g in groups.items():
        if not g["Properties"].get("SecurityGroupEgress"):
            yield f"{name} may call anybody"  # EC2's rule when there is none


RULES = [a_failed_first_deployment_leaves_nothing, busy_cpus_are_no_death, a_crash_is_restarted_in_place,
         a_load_balancer_waits_for_a_restore, alarms_page_after_a_failover, a_failed_drill_stays_an_alarm,
         what_is_tried_once_a_day_is_seen, all_mount_targets_are_waited_for, subnets_differ, a_gateway_endpoint_can_be_reached,
         what_the_runbook_changes_is_a_parameter, a_shell_has_what_it_needs, rights_are_there_before_the_task, a_replica_is_not_backed_up_again,
         encrypted_at_rest, backups_outlive_the_stack, tls_everywhere, no_wildcard_without_a_reason,
         rights_on_efs_by_access_point, secrets_by_arn, a_stop_fits, is_asked_for_its_health, a_restore_is_waited_for,
         one_task_at_a_time, what_is_written_is_mounted, silence_alarms, age_alarm_is_the_rpo, only_known_peers,
         the_status_page_answers_to_the_nodes_name]
