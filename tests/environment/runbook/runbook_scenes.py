"""The bad situations that docker/RUNBOOK.md is for, each really made, and what is true once the page was followed.

A scene has a node under qdrant-entrypoint with two backups of "docs" and one of "other", an EFS, and an AWS account; `prepare`
breaks something. The methods that the page names in `then=` assert.
"""
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import time
import unittest.mock

import boto3
from booting import Efs, Task, fill, path_of, scroll, upsert
from frozen import Frozen, usable
from harness import BUILD, tar_of, wait_for
from restoring import SIXTH
from replicating import Replicating
from runbook_aws import Account
from runbook_cli import aws_into
from server import REAL, STANDIN, Server, free_port

ROOT = pathlib.Path(__file__).parents[3]
FIRST, SECOND, STACK, SECRET = "eu-west-1", "eu-central-1", "qdrant", "qdrant-api-key"
BACK = f"{STACK}-back"
WHERE = {"FIRST": FIRST, "FIRST_STACK": STACK, "SECOND": SECOND, "SECOND_STACK": STACK, "HERE": FIRST, "STACK": STACK, "BACK": BACK}
KEYS = {"AWS_ACCESS_KEY_ID": "id-of-tests", "AWS_SECRET_ACCESS_KEY": "secret-of-tests"}
NETWORK = {"Image": "image:1", "VpcId": "vpc-1", "SubnetA": "subnet-1", "SubnetB": "subnet-2", "ClientSecurityGroupId": "sg-1"}


def utc(when=None):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


@functools.cache
def namespaces():
    """Whether a folder can be mounted read-only for some processes alone."""
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


def read_only(folder, at):
    """(what goes before a command, the path there) so that the command sees the folder at `at`, and cannot write to it."""
    if os.geteuid() != 0:
        for p in [folder, *folder.rglob("*")]:
            p.chmod(p.stat().st_mode & ~0o222)
        return [], folder
    if not namespaces():
        return [], folder
    at.mkdir(exist_ok=True)
    return mounted_read_only(folder, at), at


def mounted_read_only(folder, at):
    """What goes before a command."""
    script = 'mount --bind "$1" "$2" && mount -o remount,bind,ro "$2" && ! touch "$2/x" 2>/dev/null && shift 2 && exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, "sh", str(folder), str(at)]


# Goes before the system's: the account's clock goes on by as much.
SLEEP = """#!/bin/sh
curl -sS -X POST "$AWS_ENDPOINT_URL/clock?seconds=$1" && exec /bin/sleep 0.1
"""


class Scene:
    real_only = False
    efs_hangs = False
    node = {}  # more settings of the node
    stack = {}  # more parameters of its stack
    secret, json_key = "e2e-key", ""

    def __init__(self, kind, tmp, moto):
        self.kind, self.tmp, self.tasks, self.prefix = kind, tmp, [], []
        self.work = tmp / "operator"
        self.work.mkdir()
        (self.work / "docker").symlink_to(ROOT / "docker")
        self.bin = tmp / "bin"
        self.bin.mkdir()
        (self.bin / "sleep").write_text(SLEEP)
        (self.bin / "sleep").chmod(0o755)
        aws_into(self.bin)
        self.aws = Account(moto)
        self.replica = tmp / "replica"
        self.replica.mkdir()
        self.replica_at = self.replica
        self.snapshot, self.before = "none", utc()
        self.key_file = self.work / "qdrant-api-key"

    def boto(self, service, region=FIRST):
        keys = {k.lower(): v for k, v in KEYS.items()}
        return boto3.client(service, endpoint_url=self.aws.url, region_name=region, **keys)

    def reset_moto(self):
        import http.client
        c = http.client.HTTPConnection(*self.aws.moto)
        c.request("POST", "/moto-api/reset")
        assert c.getresponse().status == 200

    def task(self, efs, key="e2e-key", **env):
        t = Task(self.kind, self.tmp / f"task{len(self.tasks)}", efs, key=key, NODE_NAME="qdrant-0", RESTORE_ON_EMPTY="latest", **env)
        t.env |= {k: v for k, v in self.aws_env().items() if k.startswith("AWS")}
        self.tasks.append(t)
        return t

    def aws_env(self):
        return KEYS | {"AWS_ENDPOINT_URL": self.aws.url, "AWS_REGION": FIRST, "AWS_DEFAULT_REGION": FIRST, "AWS_MAX_ATTEMPTS": "1",
                       "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}

    def begin(self):
        """The account, a node, its backups; then what is bad."""
        self.reset_moto()
        second = self.aws.deploy(SECOND, STACK, "second-region.yaml", **NETWORK, ApiKeySecretArn=self.arn(SECOND))
        self.first_stack = self.aws.deploy(FIRST, STACK, "primary.yaml", **NETWORK, ApiKeySecretArn=self.arn(FIRST),
                                           ReplicaRegion=SECOND, ReplicaFileSystemId=second.id("ReplicaFileSystem"), **self.stack)
        made = self.boto("secretsmanager").create_secret(Name=SECRET, SecretString=self.secret)
        self.efs = Efs(self.tmp / "efs")
        self.first = self.task(self.efs, AK_ARN=made["ARN"], **self.node)
        self.key_file.write_text("e2e-key\n")
        self.now = self.first
        self.first.start()
        assert self.first.wait_restored()["state"] == "not_needed"
        self.history()
        self.prepare()

    @staticmethod
    def arn(region):
        return f"arn:aws:secretsmanager:{region}:123456789012:secret:{SECRET}-AbCdEf"

    def history(self):
        self.first.fill("docs", "other")
        self.first.backup("docs", "other")
        self.before, self.then = utc(), self.first.points()
        upsert(self.first.server, "docs", [SIXTH])
        self.snapshot = self.first.backup("docs")
        self.had = self.first.points()

    def prepare(self):
        pass

    def values(self):
        """Of the variables at the top of the page."""
        return WHERE | {"SECRET": SECRET, "BUCKET": "backups", "EFS_ROOT": self.now.efs,
                "REPLICA_ROOT": self.replica_at, "TIER": "test", "CPU_ARCH": "cpu", "QDRANT_URL": self.now.server.url,
                "QDRANT_API_KEY_FILE": self.key_file, "STATUS_URL": f"http://127.0.0.1:{self.now.status}", "STATUS_LISTEN": "off",
                "COLLECTION": "docs", "BEFORE": self.before, "SNAPSHOT": self.snapshot, "JSON_KEY": self.json_key}

    def run(self, always, block):
        here = pathlib.Path(sys.executable).parent  # aws, and the stand-in's python3
        env = {"HOME": self.work, "LANG": "C.UTF-8", "TMPDIR": self.tmp, "EFS_ALLOW_LOCAL": "1", "PATH": f"{self.bin}:{BUILD}:{here}:{STANDIN.parent}:{os.environ['PATH']}",
               "QDRANT_BIN": REAL if self.kind == "real" else STANDIN, "DRILL_DIR": self.tmp / "drills"} | \
            self.aws_env() | self.values()
        may = self.only_reads(block) and os.geteuid() == 0 and namespaces()
        ops = mounted_read_only(env["EFS_ROOT"], env["EFS_ROOT"]) if may else []
        done = subprocess.run([*self.prefix, *ops, "bash", "-euo", "pipefail", "-c", always + block.text], cwd=self.work,
                              env={k: str(v) for k, v in env.items()}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=600)
        return done.returncode, done.stdout

    def only_reads(self, block):
        """Whether the host, which has what OpsPolicyArn gives, can do without more of EFS."""
        efs = self.values().get("EFS_ROOT")
        return efs and block.at == "host" and not block.repairs and not self.efs_hangs and pathlib.Path(efs).is_dir()

    @staticmethod
    def read_only(folder, at):
        return read_only(folder, at)

    def close(self):
        for t in self.tasks:
            t.end()
        self.aws.close()

    def status_has(self, event):
        wait_for(lambda: [e for e in self.first.ask("/status")[1]["errors"] if e["event"] == event], 60)

    # What the page promises

    def all_is_back(self):
        assert self.now.points() == self.had

    def age(self, seconds):
        """Stop the node, as if that long after it had made its backups."""
        self.first.stop()
        shutil.rmtree(self.first.server.snapshots / "docs")  # it would be published again
        self.efs.age("docs", seconds)


class Glance(Scene):
    def prepare(self):
        cloudwatch = self.boto("cloudwatch")
        for name in ("BackupTooOld", "SnapshotFailed"):
            cloudwatch.put_metric_alarm(AlarmName=f"{STACK}-{name}-1", MetricName="x", Namespace="Qdrant/Backups", Period=300,
                                        EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold", Statistic="Sum")
        cloudwatch.set_alarm_state(AlarmName=f"{STACK}-SnapshotFailed-1", StateValue="ALARM", StateReason="for the test")
        line = {"level": "error", "event": "publish_failed", "message": "no space left on EFS"}
        self.aws.events = [{"logStreamName": "s", "timestamp": int(time.time() * 1000), "message": json.dumps(line), "eventId": "1"}]
        self.first.stop()
        self.key_file.unlink()
        self.first.env |= {"QDRANT_API_KEY": "wrong", "SNAPSHOT_INTERVAL": "15m"}
        del self.first.env["AK_ARN"]
        self.first.start()
        self.status_has("qdrant_unauthorized")

    def the_key_is_in_its_file(self):
        assert self.key_file.read_text().strip() == "e2e-key" and self.key_file.stat().st_mode & 0o77 == 0


class GlanceWithJson(Glance):
    """The secret has more in it than the key."""
    secret, json_key = json.dumps({"user": "ops", "the key": "e2e-key"}), "the key"
    node = {"AK_JSON_KEY": "the key"}


class Choose(Scene):
    def prepare(self):
        self.efs.spoil(self.snapshot)


class LostPoints(Scene):
    def prepare(self):
        self.first.server.result("POST", path_of("docs") + "/points/delete?wait=true", {"points": [1, 2, 3]})
        self.wrong = scroll(self.first.server, "docs")

    def the_copy_has_what_was_there(self):
        assert scroll(self.first.server, "docs-then") == self.then["docs"] and scroll(self.first.server, "docs") == self.wrong

    def what_was_there_is_back(self):
        assert self.first.points() == self.then

    def the_state_before_is_on_efs(self):
        newest = max(m["snapshot"] for m in self.efs.manifests("docs"))
        run = subprocess.run([BUILD / "qdrant-efs", "restore", "--snapshot", newest, "--rename", "looked-at"],
                             capture_output=True, text=True, env=self.first.env | {"QDRANT_API_KEY": "e2e-key"})
        assert run.returncode == 0, run.stderr
        assert scroll(self.first.server, "looked-at") == self.wrong


class LostDisk(Scene):
    def prepare(self):
        shutil.copytree(self.efs.root, self.replica, dirs_exist_ok=True)
        for m in self.efs.manifests("other"):
            self.efs.spoil(m["snapshot"])
        self.first.lose_disk()
        self.first.begin()
        wait_for(lambda: self.first.restored()[1]["state"] == "failed", 60)

    def all_is_back(self):
        self.first.kill_replicator()  # it would try again by itself, within five minutes
        self.first.wait_restored()
        wait_for(lambda: self.first.health()[0] == 0)
        super().all_is_back()


class EmptyNode(Scene):
    def prepare(self):
        self.first.lose_disk()
        self.first.env["RESTORE_ON_EMPTY"] = "never"
        self.first.start()
        assert self.first.points() == {}


class Key(Scene):
    def prepare(self):
        ecs = self.boto("ecs")
        outputs = self.first_stack.outputs()
        ecs.create_cluster(clusterName=outputs["ClusterName"])
        ecs.register_task_definition(family="qdrant", containerDefinitions=[{"name": "qdrant", "image": "i", "memory": 9}])
        ecs.create_service(cluster=outputs["ClusterName"], serviceName=outputs["ServiceName"], taskDefinition="qdrant", desiredCount=1)
        self.aws.on_deployment = self.deployed
        self.old = self.first.server.api_key
        self.written = SIXTH | {"id": 7}
        upsert(self.first.server, "docs", [self.written])  # after the last backup
        self.had = self.first.points()

    def deployed(self, region, service):
        assert (region, service) == (FIRST, self.first_stack.outputs()["ServiceName"])
        key = self.key_in(self.boto("secretsmanager").get_secret_value(SecretId=SECRET)["SecretString"])
        self.first.lose_disk()
        self.first.server.api_key = self.first.env["QDRANT__SERVICE__API_KEY"] = key
        self.first.start().wait_restored()

    def the_new_key_opens_and_the_old_does_not(self):
        new = self.key_file.read_text()
        assert new == self.first.server.api_key != self.old and len(new) == 64
        assert self.first.server.request("GET", "/collections", key=new)[0] == 200
        assert self.first.server.request("GET", "/collections", key=self.old)[0] == 401

    def backups_go_on(self):
        assert self.first.backup("docs")

    @staticmethod
    def key_in(secret):
        return secret

    def the_rest_of_the_secret_is_as_it_was(self):
        assert not (self.work / "new-secret").exists() and not (self.work / "new-key").exists()


class KeyInJson(Key):
    secret, json_key = json.dumps({"user": "ops", "the key": "e2e-key"}), "the key"
    node = {"AK_JSON_KEY": "the key"}

    @staticmethod
    def key_in(secret):
        return json.loads(secret)["the key"]

    def the_rest_of_the_secret_is_as_it_was(self):
        super().the_rest_of_the_secret_is_as_it_was()
        secret = json.loads(self.boto("secretsmanager").get_secret_value(SecretId=SECRET)["SecretString"])
        assert set(secret) == {"user", "the key"} and secret["user"] == "ops"


class Planned(Scene):
    """A point was written after the last backup, and the node is to be off for a while."""

    def prepare(self):
        upsert(self.first.server, "docs", [SIXTH | {"id": 7}])
        self.had = self.first.points()
        self.aws.on_change = self.changed

    def changed(self, stack, before):
        if (before.get("DesiredCount"), stack.parameters["DesiredCount"]) == ("1", "0"):
            self.first.stop()
            self.first.lose_disk()
        elif (before.get("DesiredCount"), stack.parameters["DesiredCount"]) == ("0", "1"):
            self.first.start().wait_restored()


class Hung(Scene):
    frozen, efs_hangs = None, True

    def prepare(self):
        self.aside = self.efs.root.with_name("elsewhere")
        if usable():
            with unittest.mock.patch("frozen.os.makedirs"):  # over what is there
                self.frozen = Frozen(self.efs.root)
        else:  # it is only away
            self.efs.root.rename(self.aside)
        self.first.server.result("POST", path_of("docs") + "/snapshots?wait=true")
        if self.frozen:
            wait_for(lambda: self.frozen.asked)
        else:
            self.status_has("publish_failed")

    def qdrant_is_well(self):
        assert self.first.health()[0] == 0 and self.first.points() == self.had

    def the_state_is_in_a_file(self):
        with tarfile.open(self.work / "docs.snapshot") as tar:
            assert "config.json" in {n.removeprefix("./") for n in tar.getnames()}

    def it_goes_on_when_efs_answers(self):
        made = len(self.first.events("published"))
        if self.frozen:
            self.frozen.thaw()
        else:
            self.aside.rename(self.efs.root)
        wait_for(lambda: len(self.first.events("published")) > made, 60)

    def close(self):
        if self.frozen:
            self.frozen.thaw()
        super().close()


class Full(Scene):
    node = {"RETENTION": "15min=30d,hourly=30d,daily=30d"}

    def prepare(self):
        self.age(3 * 86400)
        self.first.start().wait_restored()
        self.first.backup("docs")
        self.first.backup("docs")
        self.tiers = [m["frequency"] for m in self.efs.manifests("docs")]
        assert self.tiers == ["monthly", "15min", "daily", "15min"]
        self.first.stop()
        self.first.env |= {"MIN_FREE": "900000g", "SNAPSHOT_INTERVAL": "5s"}
        self.first.start()
        self.status_has("disk_low")

    def nothing_is_left_locally(self):
        wait_for(lambda: not list((self.first.server.snapshots / "docs").glob("*.snapshot")))

    def only_old_ones_went(self):
        assert [m["frequency"] for m in self.efs.manifests("docs")] == ["monthly", "daily", "15min"]


class Corrupt(Scene):
    def prepare(self):
        self.efs.spoil(self.snapshot)

    def a_new_one_is_there_and_the_bad_one_is_not(self):
        names = [m["snapshot"] for m in self.efs.manifests("docs")]
        assert len(names) == 2 and self.snapshot not in names and max(names) > self.snapshot
        assert len(list((self.efs.root / "aside").iterdir())) == 3


class Mismatch(Scene):
    def prepare(self):
        self.good = self.snapshot
        self.snapshot = f"docs-1-{time.strftime('%Y-%m-%d-%H-%M-%S', time.gmtime())}"
        folder = self.first.server.snapshots / "docs"
        (folder / f"{self.snapshot}.snapshot").write_bytes(tar_of("bad"))
        new = folder / "new"
        new.write_text("0" * 64)
        new.rename(folder / f"{self.snapshot}.snapshot.checksum")
        self.status_has("mismatch")

    def a_good_one_is_there(self):
        names = [m["snapshot"] for m in self.efs.manifests("docs")]
        assert max(names) > self.good and self.snapshot not in names
        assert not (self.first.server.snapshots / "docs" / f"{self.snapshot}.snapshot").exists()


class Conflict(Scene):
    def prepare(self):
        self.first.stop()
        local = self.first.server.snapshots / "docs" / f"{self.snapshot}.snapshot"
        local.write_bytes(tar_of("another node's"))
        local.with_name(f"{local.name}.checksum").write_text(hashlib.sha256(local.read_bytes()).hexdigest())
        self.first.start()
        self.status_has("conflict")

    def the_local_one_is_published(self):
        self.first.kill_replicator()
        wait_for(lambda: self.first.has("collection", "docs", self.snapshot), 60)
        assert len(list((self.efs.root / "aside").iterdir())) == 3


class Drill(Scene):
    """A drill was good, and the next one failed."""

    def prepare(self):
        env = self.first.env | {"DRILL_DIR": str(self.tmp / "drills"), "QDRANT_BIN": str(REAL if self.kind == "real" else STANDIN)}
        for code in (0, 1):
            if code == 1:
                self.efs.spoil(self.snapshot)
            run = subprocess.run([BUILD / "qdrant-efs", "drill", "--keep-report"], env=env, capture_output=True, text=True)
            assert run.returncode == code, run.stdout + run.stderr


class LostRegion(Scene):
    """The newest backup of "docs" has not arrived whole when the first Region goes."""

    def prepare(self):
        copy = Replicating(self.efs.root, self.replica, seed=1)
        copy.run()
        upsert(self.first.server, "docs", [SIXTH | {"id": 8}])
        newest = self.first.backup("docs")
        wait_for(lambda: newest in "".join(p.read_text() for p in self.efs.root.rglob("heartbeat/*/*.json")))
        copy.arrive("test-cpu/heartbeat")
        data = self.efs.data_of(newest).relative_to(self.efs.root)
        (self.replica / data).write_bytes(self.efs.data_of(newest).read_bytes()[:-100])
        self.first.end()
        shutil.rmtree(self.efs.root)
        self.own = Efs(self.tmp / "own")
        self.prefix, self.replica_at = self.read_only(self.replica, self.tmp / "mounted")
        self.aws.on_change = self.changed
        self.second = None

    def changed(self, stack, before):
        if (stack.region, stack.parameters["DesiredCount"], before.get("DesiredCount")) == (SECOND, "1", "0"):
            self.now = self.second = self.task(self.own, RESTORE_FROM=str(self.replica_at))
            self.second.prefix = self.prefix
            self.second.start().wait_restored()

    def the_second_region_has_what_had_arrived(self):
        assert self.second.points() == self.had
        wait_for(lambda: self.second.health()[0] == 0)

    def the_replication_was_not_ended(self):
        assert self.first_stack.id("FileSystem") in self.aws.replications

    def the_first_node_is_off(self):
        assert self.first_stack.parameters["DesiredCount"] == "0"
        self.the_replication_was_not_ended()

    def the_replication_is_ended(self):
        assert [r["sides"] for r in self.aws.replications.values()] == [{FIRST}]  # which only the first Region can take away


class WayBack(LostRegion):
    """The first Region is there again, and the second one has gone on."""

    def prepare(self):
        super().prepare()
        self.aws.deploy(SECOND, STACK, "second-region.yaml", **NETWORK, ApiKeySecretArn=self.arn(SECOND), DesiredCount="1")
        self.the_second_region_goes_on()

    def the_second_region_goes_on(self):
        upsert(self.second.server, "docs", [SIXTH | {"id": 9}])
        self.second.fill("made in the second")
        self.had, self.written = self.second.points(), time.time()
        self.back = None

    @property
    def back_stack(self):
        return self.aws.stacks[FIRST, BACK]

    def changed(self, stack, before):
        super().changed(stack, before)
        count = (before.get("DesiredCount"), stack.parameters["DesiredCount"])
        if stack.region == SECOND and count == ("1", "0"):
            self.second.stop()
        if stack.name == BACK and count == ("0", "1"):
            replica = self.tmp / "replica-back"
            Replicating(self.own.root, replica, seed=2).run()
            prefix, at = self.read_only(replica, self.tmp / "mounted-back")
            self.now = self.back = self.task(Efs(self.tmp / "own-back"), RESTORE_FROM=str(at))
            self.back.prefix = prefix
            self.back.start().wait_restored()

    def a_waiting_node_is_in_the_first_region(self):
        assert self.first_stack.parameters["DesiredCount"] == self.back_stack.parameters["DesiredCount"] == "0"
        same = {"Image", "NodeName", "Tier", "SubnetA", "ApiKeySecretArn", "S3StorageClass"}
        assert {n: self.back_stack.parameters[n] for n in same} == {n: self.first_stack.parameters[n] for n in same}
        assert self.back_stack.parameters["ReplicaFileSystemId"] == ""
        bucket = self.first_stack.outputs().get("BucketName", "")
        assert self.back_stack.parameters["S3Bucket"] == bucket and bool(bucket) == ("S3Bucket" in self.stack)

    def the_second_region_replicates_back(self):
        source = self.aws.stacks[SECOND, STACK].id("FileSystem")
        assert self.aws.replications[source]["to"] == self.back_stack.id("ReplicaFileSystem")

    def the_last_state_is_on_efs(self):
        assert {m for _, m, _ in self.second.complete()} == set(self.had)

    def the_last_state_has_arrived(self):
        own = self.aws.stacks[SECOND, STACK].id("FileSystem")
        assert self.aws.described(own, self.aws.replications[own])["Destinations"][0]["LastReplicatedTimestamp"] > self.written

    def all_writes_are_in_the_first_region(self):
        assert self.back.points() == self.had and self.second.process.poll() is not None

    def the_new_node_is_replicated(self):
        to = self.aws.stacks[SECOND, STACK].id("ReplicaFileSystem")
        assert self.aws.replications[self.back_stack.id("FileSystem")]["to"] == to and len(self.aws.replications) == 2


class WayBackAfterACut(WayBack):
    """The first Region did not answer for long, so its replication was ended from the second one alone. Its stack has a bucket."""
    stack = {"S3Bucket": "new", "S3StorageClass": "STANDARD_IA"}

    def prepare(self):
        super().prepare()
        self.aws.end_replication(self.first_stack.id("FileSystem"), SECOND, "LOCAL_CONFIGURATION_ONLY")
        self.aws.advance(3600)


class FailedCreate(Scene):
    """The first deployment was rolled back, and EFS kept what replicates already."""

    def begin(self):
        self.second = self.aws.deploy(SECOND, STACK, "second-region.yaml", **NETWORK, ApiKeySecretArn=self.arn(SECOND))
        s = self.aws.deploy(FIRST, STACK, "primary.yaml", **NETWORK, ApiKeySecretArn=self.arn(FIRST),
                            ReplicaRegion=SECOND, ReplicaFileSystemId=self.second.id("ReplicaFileSystem"))
        self.left = s.id("FileSystem")
        s.status = "ROLLBACK_FAILED"
        s.failed = [("NodeSecurityGroup", "CREATE_FAILED", "there is no default VPC"),
                    ("FileSystem", "DELETE_FAILED", "it is part of a replication configuration")]

    def values(self):
        return WHERE | {"LEFT": self.left, "JSON_KEY": ""}

    def nothing_is_left(self):
        assert self.left not in self.aws.files and self.aws.replications == {}
        assert self.aws.protection[self.second.id("ReplicaFileSystem")] == "DISABLED"
        self.aws.advance(600)
        self.aws.deploy(FIRST, STACK, "primary.yaml", **NETWORK, ApiKeySecretArn=self.arn(FIRST), ReplicaRegion=SECOND,
                        ReplicaFileSystemId=self.second.id("ReplicaFileSystem"))


class NoTask(Scene):
    """An image that is not in this Region, and a setting that is wrong."""

    def begin(self):
        s = self.aws.deploy(FIRST, STACK, "primary.yaml", **NETWORK, ApiKeySecretArn=self.arn(FIRST))
        outputs = s.outputs()
        self.aws.services[FIRST, outputs["ClusterName"], outputs["ServiceName"]] = {
            "events": ["(service qdrant-service) was unable to place a task.", "(service qdrant-service) has started 1 tasks: (task 2)."],
            "stopped": [{"stopCode": "TaskFailedToStart", "stoppedReason": "CannotPullContainerError: not found"},
                        {"stopCode": "EssentialContainerExited", "stoppedReason": "Essential container in task exited", "exitCode": 64}]}

    def values(self):
        return WHERE | {"JSON_KEY": ""}


class Behind(Scene):
    def begin(self):
        second = self.aws.deploy(SECOND, STACK, "second-region.yaml", **NETWORK, ApiKeySecretArn=self.arn(SECOND))
        s = self.aws.deploy(FIRST, STACK, "primary.yaml", **NETWORK, ApiKeySecretArn=self.arn(FIRST), ReplicaRegion=SECOND,
                            ReplicaFileSystemId=second.id("ReplicaFileSystem"))
        self.own, self.replica_id = s.id("FileSystem"), second.id("ReplicaFileSystem")
        self.aws.advance(3600)
        self.aws.replications[self.own]["status"] = "ERROR"
        self.failed_at = self.aws.clock

    def values(self):
        return WHERE | {"JSON_KEY": ""}

    def it_replicates_again(self):
        r = self.aws.replications[self.own]
        assert (r["status"], r["to"]) == ("ENABLED", self.replica_id) and r["since"] > self.failed_at
        assert self.aws.protection[self.replica_id] == "REPLICATING"


class OnlyS3(Scene):
    """Every file system is gone."""
    node = {"SNAPSHOT_S3_BUCKET_NAME": "backups"}
    stack = {"S3Bucket": "backups"}

    def reset_moto(self):
        super().reset_moto()
        self.boto("s3").create_bucket(Bucket="backups", CreateBucketConfiguration={"LocationConstraint": FIRST})

    def prepare(self):
        wait_for(lambda: len(self.first.events("uploaded")) == 3, 60)
        self.first.lose_disk()
        shutil.rmtree(self.efs.root)
        self.first.env["RESTORE_ON_EMPTY"] = "never"
        self.efs.root.mkdir()
        self.first.start()


class Cluster(Scene):
    """Three peers, "docs" with two copies of each shard and "single" with one; the third is gone for good, and its backup is on EFS."""
    real_only = True

    def begin(self):
        self.peers, self.ports = [], [free_port() for _ in range(4)]
        for n in range(3):
            self.peers.append(self.peer(n))
        wait_for(lambda: len(self.known()) == 3, 60)
        for name, copies in (("docs", 2), ("single", 1)):
            self.peers[0].result("PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 3,
                                                                 "replication_factor": copies})
            upsert(self.peers[0], name, [SIXTH | {"id": n} for n in range(50)])
        self.key_file.write_text("e2e-key\n")
        self.efs_root = self.tmp / "efs"
        self.back_up(self.peers[2], "qdrant-2")
        self.dead = str(self.peers[2].result("GET", "/cluster")["peer_id"])
        self.peers[2].kill()
        upsert(self.peers[0], "docs", [SIXTH])
        wait_for(self.is_silent, 60)
        self.new = "0"

    def is_silent(self):
        """Whoever leads has tried to reach it for a while."""
        leader = self.peers[0].result("GET", "/cluster")["raft_info"]["leader"]
        asked = next((p.result("GET", "/cluster") for p in self.peers[:2] if p.result("GET", "/cluster")["peer_id"] == leader), None)
        return asked and any(f["count"] >= 5 for f in asked["message_send_failures"].values())

    def peer(self, n):
        peer = Server("real", self.tmp / f"peer{n}", api_key="e2e-key", env={
            "QDRANT__CLUSTER__ENABLED": "true", "QDRANT__CLUSTER__P2P__PORT": str(self.ports[n])})
        at = ["--uri", f"http://127.0.0.1:{self.ports[n]}"]
        return peer.start(*at, *(["--bootstrap", f"http://127.0.0.1:{self.ports[0]}"] if n else []))

    def back_up(self, peer, name):
        (self.efs_root / "test-cpu").mkdir(parents=True)
        peer.result("POST", "/collections/single/snapshots?wait=true")
        env = {"PATH": os.environ["PATH"], "EFS_ALLOW_LOCAL": "1", "EFS_ROOT": self.efs_root, "TIER": "test", "CPU_ARCH": "cpu", "NODE_NAME": name, "STATUS_LISTEN": "off",
               "SNAPSHOTS_DIR": peer.snapshots, "QDRANT_URL": peer.url, "QDRANT_API_KEY": "e2e-key", "EMF": "off"}
        run = subprocess.run([BUILD / "qdrant-replicator", "--once"], env={k: str(v) for k, v in env.items()}, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr

    def known(self):
        return self.peers[0].result("GET", "/cluster")["peers"]

    def shards(self, name):
        """{shard: [(peer, state)]}"""
        c, out = self.peers[0].result("GET", f"/collections/{name}/cluster"), {}
        for s in c["local_shards"]:
            out.setdefault(s["shard_id"], []).append((str(c["peer_id"]), s["state"]))
        for s in c["remote_shards"]:
            out.setdefault(s["shard_id"], []).append((str(s["peer_id"]), s["state"]))
        return out

    def count(self, name):
        return self.peers[0].result("POST", f"/collections/{name}/points/count", {"exact": True})["count"]

    def values(self):
        return {"QDRANT_URL": self.peers[0].url, "QDRANT__STORAGE__STORAGE_PATH": self.peers[0].storage, "QDRANT_API_KEY_FILE": self.key_file, "DEAD_PEER": self.dead, "DEAD_NODE": "qdrant-2",
                "NEW_PEER": self.new, "COLLECTION": "single", "EFS_ROOT": self.efs_root, "TIER": "test", "CPU_ARCH": "cpu",
                "JSON_KEY": "", "STATUS_LISTEN": "off"}

    def only_what_nobody_else_has_is_left(self):
        assert not any(peer == self.dead for copies in self.shards("docs").values() for peer, _ in copies)
        assert any(peer == self.dead for copies in self.shards("single").values() for peer, _ in copies)
        assert self.count("docs") == 50

    def all_points_are_readable(self):
        assert self.count("single") == 50
        assert not any(peer == self.dead for copies in self.shards("single").values() for peer, _ in copies)

    def the_dead_peer_is_out(self):
        wait_for(lambda: len(self.known()) == 2)
        assert self.count("docs") == self.count("single") == 50
        self.peers.append(self.peer(3))
        wait_for(lambda: len(self.known()) == 3, 60)
        self.new = str(self.peers[3].result("GET", "/cluster")["peer_id"])

    def every_shard_has_its_copies(self):
        wait_for(lambda: all(len(c) == 2 and {s for _, s in c} == {"Active"} for c in self.shards("docs").values()), 60)
        assert self.count("docs") == self.count("single") == 50

    def close(self):
        for p in self.peers or []:
            if p.process.poll() is None:
                p.kill()
        super().close()


# The situations of one scene that its commands must serve alike.
VARIANTS = {"glance": [Glance, GlanceWithJson], "key": [Key, KeyInJson], "way-back": [WayBack, WayBackAfterACut]}
SCENES = {"glance": Glance, "no-task": NoTask, "behind": Behind, "planned": Planned, "failed-create": FailedCreate, "choose": Choose, "lost-points": LostPoints, "lost-disk": LostDisk, "empty-node": EmptyNode,
          "lost-region": LostRegion, "way-back": WayBack, "key": Key, "hung": Hung, "full": Full, "corrupt": Corrupt,
          "mismatch": Mismatch, "conflict": Conflict, "drill": Drill, "heal": Cluster, "cluster": Cluster, "only-s3": OnlyS3}
