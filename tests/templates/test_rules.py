"""Each rule holds for both templates, and finds the fault that it is there for."""
import pytest
from rules import RULES
from templates import PRIMARY, SECOND, Template

# rule: (text of primary.yaml, what a careless edit makes of it)
FAULTS = [
    ("encrypted_at_rest", "Encrypted: true", "Encrypted: false"),
    ("encrypted_at_rest", "RestrictPublicBuckets: true", "RestrictPublicBuckets: false"),
    ("backups_outlive_the_stack", "DeletionPolicy: Retain", "DeletionPolicy: Delete"),
    ("tls_everywhere", "TransitEncryption: ENABLED", "TransitEncryption: DISABLED"),
    ("tls_everywhere", "IAM: ENABLED", "IAM: DISABLED"),
    ("tls_everywhere", 'aws:SecureTransport: "false"', 'aws:SecureTransport: "true"'),
    ("tls_everywhere", '{"Null": {elasticfilesystem:AccessPointArn: "true"}}', "{}"),
    ("no_wildcard_without_a_reason", " # any: this action knows no resource", ""),
    ("no_wildcard_without_a_reason", "Action: kms:Decrypt", "Action: kms:*"),
    ("no_wildcard_without_a_reason", "Resource: !Ref RepositoryArn", 'Resource: "*"'),
    ("rights_on_efs_by_access_point", "Condition: {StringEquals: {elasticfilesystem:AccessPointArn: !GetAtt AccessPoint.Arn}}",
     "Condition: {Bool: {aws:SecureTransport: true}}"),
    ("secrets_by_arn", "Value: !Ref ApiKeySecretArn}", "Value: qdrant-key}"),
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


def test_no_rule_goes_without_a_fault():
    assert {rule for rule, *_ in FAULTS} == set(RULE)
