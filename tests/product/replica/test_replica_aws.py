"""What AWS says of the replication, and that it is held to it."""
import json
import re
import time

import pytest
from heartbeats import heartbeat_of, put

from aws_front import KEYS, Front, Reply, Server

ID, ARN = "fs-0123456789abcdef0", "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-0123456789abcdef0"
OTHER = "fs-0fedcba9876543210"


class Efs(Server):
    """EFS's endpoint: checks signatures with botocore's signer. moto has no replications."""
    keys, signed = dict(KEYS), Front.signed

    def __init__(self):
        super().__init__()
        self.to, self.reply = {"Status": "ENABLED", "FileSystemId": OTHER, "Region": "eu-central-1"}, None

    def answer(self, request):
        if not self.signed(request):
            return Reply(403, b'{"message":"The request signature we calculated does not match"}',
                         {"x-amzn-ErrorType": "InvalidSignatureException:http://internal.amazon.com/"})
        assert request.method == "GET" and request.path == "/2015-02-01/file-systems/replication-configurations"
        body = {"Replications": [{"SourceFileSystemId": ID, "SourceFileSystemRegion": "eu-west-1", "CreationTime": 1.7e9,
                                  "Destinations": [self.to]}]}
        return self.reply or Reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


@pytest.fixture
def efs():
    with Efs() as efs:
        yield efs
    assert not efs.broken, efs.broken


@pytest.fixture
def ask(regions, efs):
    regions.copy()
    env = {"AWS_ENDPOINT_URL_EFS": efs.url, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "eu-central-1",
           "AWS_ACCESS_KEY_ID": "id-of-tests", "AWS_SECRET_ACCESS_KEY": "secret/of+tests"}
    return lambda *args, **more: regions.look("--file-system", ID, *args, **(env | more))


def test_its_last_sync_is_told_and_what_that_means(ask, efs, regions):
    efs.to["LastReplicatedTimestamp"] = time.time() - 90.5
    seen = ask()
    assert seen.good and seen.aws["status"] == "ENABLED" and 90 <= seen.aws["age_seconds"] < 120 and not seen.aws["promise_broken"]
    assert seen.aws["source"] == ID and seen.aws["destination"] == OTHER and efs.requests[0].query == {"FileSystemId": ID}


@pytest.mark.parametrize("by", ["heartbeat", "primary"])
def test_what_was_published_before_the_last_sync_and_is_not_here_is_said_loudly(ask, efs, regions, by):
    args = ["--primary", str(regions.primary)] if by == "primary" else []
    regions.files(ending=".zst")[-1].unlink()
    efs.to["LastReplicatedTimestamp"] = time.time() - 86400  # before all of them
    seen = ask(*args)
    assert seen.code == 1 and not seen.aws["promise_broken"] and seen.stderr == ""
    efs.to["LastReplicatedTimestamp"] = time.time() + 300
    seen = ask(*args)
    problem, = seen.rows["docs"]["problems"]
    assert seen.code == 1 and seen.aws["promise_broken"] and problem["promised"] and "it is NOT" in seen.stderr


def test_in_the_first_sync_there_is_no_time_and_nothing_is_promised(ask, efs, regions):
    efs.to |= {"Status": "ENABLING", "StatusMessage": "Initial sync in progress"}
    regions.files(ending=".zst")[-1].unlink()
    seen = ask()
    assert seen.aws["last_synced"] is None and seen.aws["message"] == "Initial sync in progress" and not seen.aws["promise_broken"]


def test_for_people_it_is_one_line(ask, efs, regions):
    efs.to["LastReplicatedTimestamp"] = time.time() - 90
    ask()
    run = regions.run("--file-system", ID, AWS_ENDPOINT_URL_EFS=efs.url, AWS_REGION="eu-central-1", AWS_ACCESS_KEY_ID="id-of-tests",
                      AWS_SECRET_ACCESS_KEY="secret/of+tests")
    assert re.search(rf"AWS: {ID} \(eu-west-1\) to {OTHER} \(eu-central-1\): ENABLED; last synced \S+Z, 1m ago: every backup", run.stdout)


def test_an_arn_brings_its_own_region(ask, efs, regions):
    efs.to["LastReplicatedTimestamp"] = 1.7e9
    assert ask("--file-system", ARN, AWS_REGION="ap-south-1").aws
    assert efs.requests[0].query == {"FileSystemId": ARN}
    assert "/eu-central-1/elasticfilesystem/aws4_request" in efs.requests[0].headers["Authorization"]


@pytest.mark.parametrize("reply,words", [
    (Reply(403, b'{"message":"User: x is not authorized"}', {"x-amzn-ErrorType": "AccessDeniedException"}),
     ["AccessDenied", "elasticfilesystem:DescribeReplicationConfigurations", ID]),
    (Reply(403, b'{"ErrorCode":"AccessDeniedException","Message":"no"}'), ["elasticfilesystem:DescribeReplicationConfigurations"]),
    (Reply(404, b'{"ErrorCode":"ReplicationNotFound","Message":"none"}'), ["ReplicationNotFound", "not replicated"]),
    (Reply(404, b'{"ErrorCode":"FileSystemNotFound","Message":"none"}'), ["FileSystemNotFound", "AWS_REGION"]),
    (Reply(200, b"<html>hotel</html>"), ["not EFS's"]), (Reply(200, b""), ["not EFS's"]), (Reply(200, b"[]"), ["not EFS's"]),
    (Reply(200, b'{"Replications":[]}'), ["no destination"]),
    (Reply(200, b'{"Replications":[{"Destinations":[]}]}'), ["no destination"]),
    (Reply(200, b'{"Replications":[{"Destinations":[{"LastReplicatedTimestamp":"now"}]}]}'), ["time cannot be read"]),
    (Reply(200, b'{"Replications":[{"Destinations":[{"LastReplicatedTimestamp":1e300}]}]}'), ["time cannot be read"]),
    (Reply(500, b"oops"), ["500"]),
], ids=lambda x: "" if isinstance(x, list) else f"{x.status} {x.body[:40]}")
def test_what_it_refuses_or_garbles_is_told_and_no_success(ask, efs, reply, words):
    efs.reply = reply
    seen = ask()
    assert seen.code == 1 and seen.aws is None and seen.rows["docs"]["state"] == "complete"
    assert all(w in seen.stderr for w in words) and len(seen.stderr.splitlines()) == 1


def test_without_keys_or_a_region_it_says_what_to_set(ask):
    assert "AWS_REGION" in ask(AWS_REGION="", AWS_DEFAULT_REGION="").stderr
    seen = ask(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert seen.code == 1 and "aws configure export-credentials" in seen.stderr


def test_a_heartbeat_says_since_when_a_backup_was_published(ask, efs, regions):
    """One that was published after the last sync is merely on its way."""
    beat = heartbeat_of(regions.first)
    put(regions.base, beat, time.time() + 2)
    regions.files(ending=".zst")[-1].unlink()
    efs.to["LastReplicatedTimestamp"] = time.time() - 30
    seen = ask()
    assert seen.code == 1 and not seen.rows["docs"]["problems"][0]["promised"] and not seen.aws["promise_broken"]
