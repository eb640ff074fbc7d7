"""Each rule holds for both templates, and finds the fault that it is there for."""
import pytest
from rules import RULES
from templates import OPS, PRIMARY, SECOND, Template

# rule: (text of primary.yaml, what a careless edit makes of it)
FAULTS = [
    ("encrypted_at_rest", "Encrypted: true", "Encrypted: false"),
    ("encrypted_at_rest", "RestrictPublicBuckets: true", "RestrictPublicBuckets: false"),
    ("backups_outlive_the_stack", "DeletionPolicy: RetainExceptOnCreate", "DeletionPolicy: Delete"),
    ("a_failed_first_deployment_leaves_nothing", "DeletionPolicy: RetainExceptOnCreate", "DeletionPolicy: Retain"),
    ("busy_cpus_are_no_death", "Retries: 10", "Retries: 3"),
    ("busy_cpus_are_no_death", "Interval: 60", "Interval: 30"),
    ("busy_cpus_are_no_death", "Timeout: 15", "Timeout: 5"),
    ("busy_cpus_are_no_death", '{Name: HEALTH_TIMEOUT_SECONDS, Value: "10"}', '{Name: HEALTH_TIMEOUT_SECONDS, Value: "1"}'),
    ("a_crash_is_restarted_in_place", "RestartAttemptPeriod: 60", "RestartAttemptPeriod: 300"),
    ("a_load_balancer_waits_for_a_restore", "[HasTargetGroup, !Ref HealthStartSeconds,", "[HasTargetGroup, 300,"),
    ("a_load_balancer_waits_for_a_restore", "port 6336, path /restored", "port 6333, path /readyz"),
    ("alarms_page_after_a_failover", "    Condition: Active\n    Properties:\n", "    Properties:\n      ActionsEnabled: !If [Active, true, false]\n"),
    ("alarms_page_after_a_failover", "    Condition: ActiveBucket\n", "    Condition: HasBucket\n"),
    ("a_failed_drill_stays_an_alarm", "TreatMissingData: ignore", "TreatMissingData: notBreaching"),
    ("what_is_tried_once_a_day_is_seen", "EvaluationPeriods: 50\n      DatapointsToAlarm: 2\n", "EvaluationPeriods: 2\n"),
    ("what_is_tried_once_a_day_is_seen", "EvaluationPeriods: 50\n", "EvaluationPeriods: 200\n"),
    ("all_mount_targets_are_waited_for", "!If [MountsInC, !Ref MountTargetC, \"-\"]", '"-"'),
    ("subnets_differ", "!Not [!Equals [!Ref SubnetA, !Ref SubnetB]]", "!Not [!Equals [!Ref SubnetA, \"\"]]"),
    ("a_gateway_endpoint_can_be_reached", "DestinationPrefixListId: !Ref S3PrefixListId", "CidrIp: 10.0.0.0/8"),
    ("what_the_runbook_changes_is_a_parameter", "{Name: LOCAL_KEEP, Value: !Ref LocalKeep}", '{Name: LOCAL_KEEP, Value: "1"}'),
    ("what_the_runbook_changes_is_a_parameter", "BackupPolicy: {Status: !Ref AwsBackup}", "BackupPolicy: {Status: ENABLED}"),
    ("a_shell_has_what_it_needs", "EnableExecuteCommand: !Ref EnableExec", "EnableExecuteCommand: false"),
    ("a_shell_has_what_it_needs", "ContainerPath: /managed-agents", "ContainerPath: /elsewhere"),
    ("a_shell_has_what_it_needs", "                      - ssmmessages:OpenDataChannel\n", ""),
    ("rights_are_there_before_the_task", "  LogGroup:\n", "  Late:\n    Type: AWS::IAM::RolePolicy\n    Properties: {PolicyDocument: {Statement: []}}\n  LogGroup:\n"),
    ("a_replica_is_not_backed_up_again", "NoncurrentDays: 1}", "NoncurrentDays: 7}"),
    ("tls_everywhere", "TransitEncryption: ENABLED", "TransitEncryption: DISABLED"),
    ("tls_everywhere", "IAM: ENABLED", "IAM: DISABLED"),
    ("tls_everywhere", 'aws:SecureTransport: "false"', 'aws:SecureTransport: "true"'),
    ("tls_everywhere", '{"Null": {elasticfilesystem:AccessPointArn: "true"}}', "{}"),
    ("no_wildcard_without_a_reason", " # any: this action knows no resource", ""),
    ("no_wildcard_without_a_reason", "Action: kms:Decrypt", "Action: kms:*"),
    ("no_wildcard_without_a_reason", "Resource: !Ref RepositoryArn", 'Resource: "*"'),
    ("rights_on_efs_by_access_point", "elasticfilesystem:AccessPointArn: !If", "aws:SourceVpc: !If"),
    ("secrets_by_arn", "{Name: AK_ARN, Value: !Ref ApiKeySecretArn}", "{Name: AK_ARN, Value: qdrant-key}"),
    ("secrets_by_arn", "{Name: TIER,", "{Name: QDRANT_API_KEY,"),
    ("secrets_by_arn", "Resource: !Ref ApiKeySecretArn", "Resource: !Sub 'arn:${AWS::Partition}:secretsmanager:*'"),
    ("a_stop_fits", 'Value: "110"', 'Value: "118"'),
    ("a_stop_fits", "StopTimeout: 120", "StopTimeout: 60"),
    ("is_asked_for_its_health", "Command: [CMD, qdrant-entrypoint, health]", "Command: [CMD, 'true']"),
    ("a_restore_is_waited_for", "Default: 3600", "Default: 0"),
    ("one_task_at_a_time", "MinimumHealthyPercent: 0", "MinimumHealthyPercent: 100"),
    ("one_task_at_a_time", "AvailabilityZoneRebalancing: DISABLED", "AvailabilityZoneRebalancing: ENABLED"),
    ("one_task_at_a_time", "AllowedValues: [0, 1]", "AllowedValues: [0, 1, 2]"),
    ("what_is_written_is_mounted", "/tmp/.qdrant-initialized", ".qdrant-initialized"),
    ("what_is_written_is_mounted", 'User: "1000:1000"', 'User: "0"'),
    ("what_is_written_is_mounted", "ContainerPath: /qdrant/snapshots", "ContainerPath: /qdrant/elsewhere"),
    ("silence_alarms", "TreatMissingData: breaching", "TreatMissingData: missing"),
    ("age_alarm_is_the_rpo", "Threshold: !Ref RpoSeconds", "Threshold: 86400"),
    ("only_known_peers", "SourceSecurityGroupId: !Ref NodeSecurityGroup", "CidrIp: 10.0.0.0/8"),
    ("the_status_page_answers_to_the_nodes_name", '{Name: STATUS_HOSTS, Value: !Sub "${NodeName}.${NamespaceName}"}', '{Name: STATUS_HOSTS, Value: "*"}'),
    ("only_known_peers", "SourceSecurityGroupId: !Ref ClientSecurityGroupId", "CidrIp: 0.0.0.0/0"),
]
RULE = {rule.__name__: rule for rule in RULES}


@pytest.mark.parametrize("path", [PRIMARY, SECOND], ids=lambda p: p.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
def test_the_templates_keep_to(rule, path):
    assert list(rule(Template(path))) == []


@pytest.mark.parametrize("rule, good, bad", FAULTS, ids=lambda v: v[:40])
def test_a_careless_edit_is_found(rule, good, bad, tmp_path):
    text = PRIMARY.read_text()
    assert good in text
    edited = tmp_path / "edited.yaml"
    edited.write_text(text.replace(good, bad))
    assert list(RULE[rule](Template(edited)))


# What ops.yaml is held to as well, and its own: each with a careless edit that it finds.
OF_OPS = [
    ("no_wildcard_without_a_reason", " # any: within the cluster below", ""),
    ("rights_on_efs_by_access_point", "Condition: {StringEquals: {elasticfilesystem:AccessPointArn: !GetAtt OpsAccessPoint.Arn}}",
     "Condition: {Bool: {aws:SecureTransport: true}}"),
    ("rights_on_efs_by_access_point", "Action: elasticfilesystem:ClientMount\n            Resource: !Sub \"arn:${AWS::Partition}",
     "Action: elasticfilesystem:ClientWrite\n            Resource: !Sub \"Replica:${AWS::Partition}"),
]


@pytest.mark.parametrize("rule", sorted({r for r, *_ in OF_OPS}))
def test_ops_yaml_keeps_to(rule):
    assert list(RULE[rule](Template(OPS))) == []


@pytest.mark.parametrize("rule, good, bad", OF_OPS, ids=lambda v: v[:40])
def test_a_careless_edit_of_ops_yaml_is_found(rule, good, bad, tmp_path):
    text = OPS.read_text()
    assert good in text
    (tmp_path / "edited.yaml").write_text(text.replace(good, bad))
    assert list(RULE[rule](Template(tmp_path / "edited.yaml")))


def test_the_policy_for_looking_changes_nothing():
    looks = {a for owner, s in Template(OPS).statements() if owner == "OpsPolicy" for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])}
    words = ("Describe", "Get", "List", "Filter")
    assert {a for a in looks if not a.split(":")[1].startswith(words)} == {"elasticfilesystem:ClientMount", "kms:Decrypt"}


def test_no_rule_goes_without_a_fault():
    assert {rule for rule, *_ in FAULTS} == set(RULE)
