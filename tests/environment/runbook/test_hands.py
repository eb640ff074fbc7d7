"""The page's hands, as somebody tired has them: blocks are pasted into a shell that goes on after an error, whose `aws` prints tables, whose
keys run out while something takes its hour, and who pastes a block again. Only AWS is there, and slow; the nodes are in test_runbook."""
import collections
import os
import pathlib
import subprocess
import sys
import types

import pytest
from harness import takes_minutes
from runbook_aws import Account
from runbook_cli import aws_into
from runbook_page import blocks
from runbook_scenes import BACK, FIRST, NETWORK, SECOND, SLEEP, STACK, WHERE, NoTask, Scene

ALWAYS = "".join(b.text for b in blocks() if b.what == "always")


class Hands:
    def __init__(self, tmp):
        self.aws, self.tmp, self.failing, self.more = Account(None), tmp, "", {}
        for name, text in {"sleep": SLEEP, **{n: f'#!/bin/sh\n[ "$FAILING" != {n} ]\n' for n in ("qdrant-replicator", "qdrant-efs")}}.items():
            (tmp / name).write_text(text)
            (tmp / name).chmod(0o755)
        (tmp / "config").write_text("[default]\noutput = table\n")
        aws_into(tmp)

    def deploy(self, as_json=False, count="1"):
        arn = {r: Scene.arn(r) for r in (FIRST, SECOND)}
        self.second = self.aws.deploy(SECOND, STACK, "second-region.yaml", as_json, **NETWORK, ApiKeySecretArn=arn[SECOND], DesiredCount=count)
        self.first = self.aws.deploy(FIRST, STACK, "primary.yaml", as_json, **NETWORK, ApiKeySecretArn=arn[FIRST], ReplicaRegion=SECOND,
                                     ReplicaFileSystemId=self.second.id("ReplicaFileSystem"))
        return self

    def paste(self, text):
        here = pathlib.Path(sys.executable).parent
        env = {"HOME": self.tmp, "LANG": "C.UTF-8", "PATH": f"{self.tmp}:{here}:{os.environ['PATH']}", **WHERE,
               "LEFT": self.first.id("FileSystem"), "REPLICA_ROOT": self.tmp, "FAILING": self.failing, "JSON_KEY": ""} | \
            Scene.aws_env(types.SimpleNamespace(aws=self.aws)) | {"AWS_CONFIG_FILE": self.tmp / "config"} | self.more
        done = subprocess.run(["bash", "-c", ALWAYS + text], cwd=self.tmp, env={k: str(v) for k, v in env.items()}, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=600)
        return done.returncode, done.stdout

    def refused(self, text, nth):
        """Paste it until it is over, each operation's nth call being refused once. How often it said that it failed, how often it was refused."""
        counted, refused, failed = collections.Counter(), [], 0

        def refuses(operation):
            counted[operation] += 1
            if counted[operation] != nth:
                return False
            refused.append(operation)
            return True
        self.aws.refuses = refuses
        while self.paste(text)[0] != 0:
            failed += 1
            assert failed <= len(refused), (text, self.paste(text))
        self.aws.refuses = lambda _: False
        return failed, len(refused)


@pytest.fixture
def hands(tmp_path):
    made = Hands(tmp_path)
    yield made
    made.aws.close()


def of(scene):
    """Its blocks that talk to AWS."""
    found = [b.text for b in blocks() if b.scene == scene and any(w in b.text for w in ("aws ", "change ", "synced ", "ended "))]
    assert found
    return found


def is_back(hands):
    first, back, second = (hands.aws.stacks[k] for k in ((FIRST, STACK), (FIRST, BACK), (SECOND, STACK)))
    assert [s.parameters["DesiredCount"] for s in (first, back, second)] == ["0", "1", "0"]
    own = {s: r["to"] for s, r in hands.aws.replications.items()}
    assert own == {second.id("FileSystem"): back.id("ReplicaFileSystem"), back.id("FileSystem"): second.id("ReplicaFileSystem")}


@pytest.mark.parametrize("nth, cut", [pytest.param(1, False, marks=takes_minutes), (2, True)],
                         ids=["the first of each", "the second, after a cut"])
def test_the_way_back_stops_at_each_refusal_and_goes_on_when_it_is_pasted_again(hands, nth, cut):
    hands.deploy(as_json=cut)
    if cut:
        hands.aws.end_replication(hands.first.id("FileSystem"), SECOND, "LOCAL_CONFIGURATION_ONLY")
        hands.aws.advance(3600)
    for text in of("way-back"):
        failed, refused = hands.refused(text, nth)
        assert failed == refused, text
    is_back(hands)
    for text in of("way-back"):  # and once more by a colleague
        if "snapshot" not in text:
            assert hands.paste(text)[0] == 0, text
    is_back(hands)


@pytest.mark.parametrize("nth", [1, pytest.param(2, marks=takes_minutes)])
def test_the_second_region_is_started_and_cut_off_whatever_is_refused(hands, nth):
    hands.deploy(count="0")
    for text in of("lost-region"):
        failed, refused = hands.refused(text, nth)
        assert failed == refused, text
    replica = hands.second.id("ReplicaFileSystem")
    assert [hands.second.parameters["DesiredCount"], hands.first.parameters["DesiredCount"]] == ["1", "0"]
    assert hands.aws.protection[replica] == "ENABLED"  # it can be written to: the page has waited for that
    assert hands.paste(of("lost-region")[-1])[0] == 0


@pytest.mark.parametrize("nth", [1, 2])
def test_what_a_failed_deployment_left_is_taken_away_whatever_is_refused(hands, nth):
    hands.deploy().first.status = "ROLLBACK_FAILED"
    clean = of("failed-create")[-1]
    failed, refused = hands.refused(clean, nth)
    assert failed == refused
    assert hands.first.id("FileSystem") not in hands.aws.files and hands.aws.replications == {}
    assert hands.aws.protection[hands.second.id("ReplicaFileSystem")] == "DISABLED"


@pytest.mark.parametrize("status, size", [("UPDATE_COMPLETE", 6144), ("UPDATE_ROLLBACK_COMPLETE", 6144), ("CREATE_IN_PROGRESS", 6144),
                                          ("ROLLBACK_FAILED", 5 << 30)])
def test_a_stack_that_lives_and_a_file_system_with_backups_are_not_taken_away(hands, status, size):
    """Whoever pastes it on the wrong day, for the wrong stack."""
    hands.deploy()
    left, hands.first.status = hands.first.id("FileSystem"), status
    hands.aws.sizes[left] = size
    code, said = hands.paste(of("failed-create")[-1])
    assert code != 0 and ("lives" in said or "bytes" in said), said
    assert hands.first.status == status and left in hands.aws.files and len(hands.aws.replications) == 1 and len(hands.aws.mounts) > 3


def test_what_could_not_be_copied_from_the_replica_is_told(hands):
    folder = hands.tmp / "replica/test-cpu/15min/other"
    folder.mkdir(parents=True)
    (folder / "a").write_text("a")
    (hands.tmp / "efs").mkdir()
    hands.more = {"EFS_ROOT": hands.tmp / "efs", "REPLICA_ROOT": hands.tmp / "replica", "TIER": "test", "CPU_ARCH": "cpu"}
    text, = (b.text for b in blocks() if b.scene == "lost-disk" and "take_from_replica" in b.text)
    (hands.tmp / "efs/test-cpu").write_text("in the way")
    hands.first = hands.aws.deploy(FIRST, STACK, "primary.yaml", **NETWORK, ApiKeySecretArn=Scene.arn(FIRST))
    assert hands.paste(text)[0] != 0
    (hands.tmp / "efs/test-cpu").unlink()
    for _ in range(2):
        assert hands.paste(text)[0] == 0
        assert (hands.tmp / "efs/test-cpu/15min/other/a").read_text() == "a"
    hands.failing = "qdrant-efs"
    assert hands.paste(text)[0] != 0


@pytest.mark.parametrize("cut", [False, pytest.param(True, marks=takes_minutes)], ids=["its replication goes on", "it was cut off"])
def test_the_next_loss_and_its_way_back_are_those_of_the_same_page(hands, cut):
    """Nothing is made a second time, and nothing is stopped but what the page means to stop."""
    hands.deploy()
    for text in of("way-back"):
        assert hands.paste(text)[0] == 0
    is_back(hands)
    made = set(hands.aws.stacks), set(hands.aws.files)
    hands.more = {"FIRST_STACK": BACK, "HERE": FIRST, "STACK": BACK}  # as its last step says
    start, stop, end = (t for t in of("lost-region") if "describe-replication-configurations" not in t)
    for text in (start, stop, *([end] if cut else [])):
        code, said = hands.paste(text)
        assert code == 0, said
    first, back, second = (hands.aws.stacks[k] for k in ((FIRST, STACK), (FIRST, BACK), (SECOND, STACK)))
    assert [s.parameters["DesiredCount"] for s in (first, back, second)] == ["0", "0", "1"]
    for text in of("way-back"):
        code, said = hands.paste(text)
        assert code == 0, said
        assert back.parameters["DesiredCount"] == "0" or second.parameters["DesiredCount"] == "0"
    is_back(hands)
    assert made == (set(hands.aws.stacks), set(hands.aws.files))


def test_a_replica_that_another_file_system_has_taken_is_left_to_it(hands):
    hands.deploy()
    for text in of("way-back")[:-1]:
        assert hands.paste(text)[0] == 0
    replica, theirs = hands.second.id("ReplicaFileSystem"), "fs-0123abcd"
    hands.aws.replications[theirs] = hands.aws.replications.pop(hands.first.id("FileSystem"))
    code, said = hands.paste(of("way-back")[-1])
    assert code != 0 and theirs in said and hands.aws.replications[theirs]["to"] == replica


@pytest.mark.parametrize("status", ["ENABLED", "ENABLING", "PAUSED"])
def test_a_replication_that_is_only_late_is_not_ended(hands, status):
    hands.deploy()
    (r,) = hands.aws.replications.values()
    r["status"], since = status, r["since"]
    code, said = hands.paste(of("behind")[-1])
    assert code == 0 and status in said and [r["since"] for r in hands.aws.replications.values()] == [since]


def test_a_failed_replication_is_made_anew_whatever_is_refused(hands):
    hands.deploy()
    (r,) = hands.aws.replications.values()
    r["status"] = "ERROR"
    hands.aws.advance(3600)
    failed, refused = hands.refused(of("behind")[-1], 1)
    assert failed == refused and failed > 3
    (r,) = hands.aws.replications.values()
    assert r["status"] == "ENABLED" and hands.first.parameters["ReplicaRegion"] == SECOND


def test_a_service_whose_last_tasks_ecs_has_forgotten_is_told_of_all_the_same(hands):
    NoTask.begin(types.SimpleNamespace(aws=hands.aws, arn=Scene.arn))
    hands.first = hands.aws.stacks[FIRST, STACK]
    (service,) = hands.aws.services.values()
    service["stopped"] = []
    code, said = hands.paste(of("no-task")[0])
    assert code == 0 and "unable to place" in said and '"desired": 1' in said, said


def the_last_state():
    text, = (b for b in of("way-back") if "qdrant-replicator snapshot" in b)
    return text


def test_what_was_never_backed_up_has_not_arrived(hands):
    hands.deploy()
    for text in of("way-back")[:2]:
        assert hands.paste(text)[0] == 0
    hands.failing = "qdrant-replicator"
    code, said = hands.paste(the_last_state())
    assert code != 0 and "arrived" not in said


def test_before_the_first_sync_nothing_has_arrived(hands):
    hands.deploy()
    assert hands.paste(of("way-back")[0])[0] == 0
    begin, _, _ = of("way-back")[1].partition("&&\n")  # and nobody waits
    assert hands.paste(begin)[0] == 0
    code, said = hands.paste(the_last_state())
    assert code == 0 and "arrived: None" not in said and hands.aws.clock - hands.aws.replications[hands.second.id("FileSystem")]["since"] >= 240


@pytest.mark.parametrize("status", ["PAUSED", "ERROR"])
def test_nobody_waits_for_a_replication_that_does_not_go_on(hands, status):
    hands.deploy()
    for text in of("way-back")[:2]:
        assert hands.paste(text)[0] == 0
    hands.aws.replications[hands.second.id("FileSystem")]["status"] = status
    code, said = hands.paste(the_last_state())
    assert code != 0 and status in said and "arrived" not in said


def test_a_stack_that_was_rolled_back_to_what_is_wanted_is_no_failure(hands):
    hands.deploy(count="0")
    hands.second.status = "UPDATE_ROLLBACK_COMPLETE"
    code, said = hands.paste('change "$SECOND" "$STACK" DesiredCount=0')
    assert code == 0 and "already" in said


def test_two_people_change_one_stack_and_the_second_change_waits_for_the_first(hands):
    hands.deploy(count="0")
    hands.second.status = "UPDATE_IN_PROGRESS"
    hands.aws.later(120, lambda: hands.aws.put(hands.second, hands.second.parameters | {"SnapshotInterval": "5m"}))
    code, said = hands.paste('change "$SECOND" "$STACK" DesiredCount=1')
    assert code == 0, said
    assert hands.second.parameters["DesiredCount"] == "1" and hands.second.parameters["SnapshotInterval"] == "5m"


def test_a_change_that_cloudformation_refuses_is_told(hands):
    hands.deploy(count="0")
    code, said = hands.paste('change "$SECOND" "$STACK" ReplicaRegion=eu-west-1')
    assert code != 0 and "go together" in said
