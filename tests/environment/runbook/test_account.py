"""The account that the runbook is followed in refuses what AWS refuses, and takes AWS's time: else the page passes by luck."""
import pytest
from runbook_aws import EFS, MOUNT_TARGET_ENDS, PROTECTION_ENDS, STACK_TAKES, Account, Refused
from runbook_scenes import FIRST, NETWORK, SECOND, STACK, Scene


@pytest.fixture
def account():
    a = Account(None)
    a.second = a.deploy(SECOND, STACK, "second-region.yaml", **NETWORK, ApiKeySecretArn=Scene.arn(SECOND))
    a.replica = a.second.id("ReplicaFileSystem")
    a.first = a.deploy(FIRST, STACK, "primary.yaml", **NETWORK, ApiKeySecretArn=Scene.arn(FIRST), ReplicaRegion=SECOND,
                       ReplicaFileSystemId=a.replica)
    a.own = a.first.id("FileSystem")
    yield a
    a.close()


def protect(account, state):
    account.efs(SECOND, "PUT", f"{EFS}/{account.replica}/protection", {}, f'{{"ReplicationOverwriteProtection": "{state}"}}')


def delete(account):
    account.efs(FIRST, "DELETE", f"{EFS}/{account.own}", {}, b"")


def end(account, region, **fields):
    account.efs(region, "DELETE", f"{EFS}/{account.own}/replication-configuration", fields, b"")


def test_a_replica_is_protected_for_minutes_after_the_end_of_its_replication_whatever_is_asked(account):
    end(account, FIRST)
    for seconds in (0, 60, PROTECTION_ENDS - 61):
        account.advance(seconds)
        with pytest.raises(Refused, match="being replicated to"):
            protect(account, "DISABLED")
    account.advance(60)
    assert account.protection[account.replica] == "ENABLED"  # and not open to the next one by itself
    protect(account, "DISABLED")


def test_what_is_ended_from_one_region_alone_is_left_in_the_other_until_somebody_ends_it_there(account):
    end(account, SECOND, deletionMode="LOCAL_CONFIGURATION_ONLY")
    account.advance(24 * 3600)
    with pytest.raises(Refused, match="no replication"):
        account.efs(SECOND, "GET", f"{EFS}/replication-configurations", {"FileSystemId": account.replica}, b"")
    assert account.efs(FIRST, "GET", f"{EFS}/replication-configurations", {"FileSystemId": account.own}, b"")["Replications"]
    with pytest.raises(Refused, match="LOCAL_CONFIGURATION_ONLY"):
        end(account, FIRST)
    with pytest.raises(Refused, match="one replication"):
        account.replicate(account.own, FIRST, (SECOND, account.replica))


def test_a_file_system_goes_only_when_it_replicates_no_more_and_has_no_mount_targets(account):
    with pytest.raises(Refused, match="replication configuration"):
        delete(account)
    end(account, FIRST)
    account.advance(3600)
    with pytest.raises(Refused, match="mount targets"):
        delete(account)
    for target in [t for t, f in account.mounts.items() if f == account.own]:
        account.efs(FIRST, "DELETE", f"/2015-02-01/mount-targets/{target}", {}, b"")
    with pytest.raises(Refused, match="mount targets"):
        delete(account)
    account.advance(MOUNT_TARGET_ENDS)
    delete(account)
    assert account.own not in account.files


def test_a_stack_that_changes_takes_no_other_change_and_one_whose_change_fails_stays_as_it_was(account):
    def update(**parameters):
        fields = {"UsePreviousTemplate": "true"}
        for n, (name, value) in enumerate((account.first.parameters | parameters).items(), 1):
            fields |= {f"Parameters.member.{n}.ParameterKey": name, f"Parameters.member.{n}.ParameterValue": value}
        account._UpdateStack(FIRST, STACK, fields)
    update(DesiredCount="0")
    with pytest.raises(Refused, match="UPDATE_IN_PROGRESS"):
        update(DesiredCount="1")
    account.advance(STACK_TAKES)
    assert (account.first.status, account.first.parameters["DesiredCount"]) == ("UPDATE_COMPLETE", "0")
    with pytest.raises(Refused, match="No updates"):
        update()
    update(ReplicaFileSystemId=account.second.id("FileSystem"))  # which is protected against it
    account.advance(STACK_TAKES)
    assert account.first.status == "UPDATE_ROLLBACK_COMPLETE"
    assert account.first.parameters["ReplicaFileSystemId"] == account.replica
