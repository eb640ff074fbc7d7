"""SNAPSHOT_ON_STOP: Qdrant is held back while the replicator has its last snapshots made, and no longer."""
import os
import signal
import time

import pytest
from harness import wait_for

SLACK = 1.8  # of a noisy machine
EARLY = 0.1  # two clocks are read, one in each process
ON = {"SNAPSHOT_ON_STOP": "on", "STOP_GRACE_SECONDS": "25"}  # Qdrant is held back for 10 seconds at most
ECS = {"ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/x", "STOP_GRACE_SECONDS": "25"}


def replicator(*steps):
    """One that does this at TERM: words to the entrypoint, and seconds to wait; then it ends."""
    do = "; ".join(f"sleep {s}" if isinstance(s, (int, float)) else f"echo {s} > /proc/self/fd/$QDRANT_STOP_WORD" for s in steps)
    return f"trap '{do}; exit 0' TERM; echo started $$ 0 >> replicator; while :; do sleep 0.05; done"


def told_after(container, *signals):
    """Seconds from the first of these signals until Qdrant got its own; the exit code is Qdrant's."""
    begin = time.monotonic()
    for s in signals or ("TERM",):
        container.signal(s)
        time.sleep(0.3)
    assert container.end() == 0
    signal, _, when = [entry for entry in container.qdrant.all() if entry[0] != "started"][0]
    assert signal == (signals or ("TERM",))[0], "as the stop was asked for"
    return when - begin + 0.001  # the entrypoint's clock has whole milliseconds, rounded down


@pytest.mark.parametrize("env", [ON, ECS], ids=["on", "ecs"])
def test_qdrant_is_told_when_its_snapshots_are_made(container, env):
    container.start_both("TERM=0", replicator=replicator("snapshots", 3, "snapshotted", 1), **env)
    assert 3 - EARLY <= told_after(container) < 3 + SLACK
    assert container.messages("qdrant_waits") and "no more snapshots" in container.messages("qdrant_told")[0]


def test_with_nothing_to_be_made_it_is_told_at_once(container):
    container.start_both("TERM=0", replicator=replicator("snapshotted"), **ON)
    assert told_after(container) < SLACK and not container.messages("qdrant_waits")


def test_a_replicator_that_says_nothing_gets_two_seconds(container):
    container.start_both("TERM=0", replicator=replicator(20), **ON)
    assert 2 - EARLY <= told_after(container) < 2 + SLACK
    assert "hangs" in container.messages("qdrant_told")[0]


def test_one_that_ends_is_waited_for_no_longer(container):
    container.start_both("TERM=0", replicator=replicator("snapshots", 1), **ON)
    assert told_after(container) < 1 + SLACK and "gone" in container.messages("qdrant_told")[0]


def test_the_time_for_snapshots_ends(container):
    container.start_both("TERM=0", replicator=replicator("snapshots", 30), SNAPSHOT_ON_STOP="on", STOP_GRACE_SECONDS="12")
    assert 4.8 - EARLY <= told_after(container) < 4.8 + SLACK
    assert container.messages("qdrant_told")


def test_a_second_signal_has_qdrant_told_at_once_by_the_first_one(container):
    container.start_both("TERM=0", "INT=0", replicator=replicator("snapshots", 30), **ON)
    assert told_after(container, "TERM", "INT") < SLACK and "second signal" in container.messages("qdrant_told")[0]


@pytest.mark.parametrize("env", [{"STOP_GRACE_SECONDS": "25"}, ECS | {"SNAPSHOT_ON_STOP": "off"}, ON | {"STOP_GRACE_SECONDS": "9"}],
                         ids=["not on ECS", "off", "too short"])
def test_else_qdrant_is_told_at_once(container, env):
    container.start_both("TERM=0", replicator=replicator("snapshots", 1), **env)
    assert told_after(container) < 1 and not container.messages("qdrant_waits")
    assert bool(container.messages("stop_too_short")) == (env["STOP_GRACE_SECONDS"] == "9")


def test_a_wrong_value_is_said_and_the_default_is_used(container):
    container.start_both("TERM=0", replicator=replicator(), SNAPSHOT_ON_STOP="yes", STOP_GRACE_SECONDS="25")
    wait_for(lambda: container.messages("wrong_setting"))
    assert "SNAPSHOT_ON_STOP=yes" in container.messages("wrong_setting")[0] and told_after(container) < SLACK


def lost(container):
    return container.messages("stop_not_snapshotted")


@pytest.mark.parametrize("said", [[], ["snapshots"]], ids=["before its first word", "while they are made"])
def test_a_replicator_that_is_killed_in_the_hold_leaves_the_entrypoint_to_say_what_is_lost(container, said):
    container.start_both("TERM=0", replicator=replicator(*said, 30), **ON)
    pid = container.replicator.pid()
    container.signal("TERM")
    wait_for(lambda: container.messages("qdrant_waits") or not said and container.messages("stop_asked"))
    os.kill(pid, signal.SIGKILL)
    assert container.end() == 0
    message, = lost(container)
    assert "KILL" in message and "were not made" in message and "since the last backups" in message and "lost" in message


def test_one_that_hangs_in_the_hold_and_is_killed_too(container):
    container.start_both("TERM=0", replicator=replicator(60), **ON)
    assert told_after(container) >= 2 - EARLY
    assert len(lost(container)) == 1 and "hung" in lost(container)[0]


@pytest.mark.parametrize("code", [1, 64])
def test_where_no_replicator_runs_at_a_stop_that_is_said_too(container, code):
    container.start_both("TERM=0", replicator=f"echo started $$ 0 >> replicator; exit {code}", **ON)
    wait_for(lambda: container.messages("replicator_ended") or container.messages("no_backups"))
    container.signal("TERM")
    assert container.end() == 0
    assert len(lost(container)) == 1 and ("does not run" in lost(container)[0] or "ended with code 1" in lost(container)[0])  # or just again


def test_one_that_is_killed_while_it_publishes_may_not_have_published(container):
    container.start_both("TERM=0@1", replicator=replicator("snapshots", "snapshotted", "publishing", 30), **ON)
    pid = container.replicator.pid()
    container.signal("TERM")
    wait_for(lambda: container.messages("replicator_publishes"))
    os.kill(pid, signal.SIGKILL)
    assert container.end() == 0 and lost(container) == []
    assert "KILL" in container.messages("left_unpublished")[0] and "may not be on EFS" in container.messages("left_unpublished")[0]


@pytest.mark.parametrize("env", [ON, {"STOP_GRACE_SECONDS": "25"}], ids=["on", "off"])
def test_one_that_says_it_is_done_and_ends_at_once_leaves_nothing_to_be_said(container, env):
    container.start_both("TERM=0", replicator=replicator("snapshots", "snapshotted", "publishing"), **env)
    container.signal("TERM")
    assert container.end() == 0
    assert lost(container) == [] and not container.messages("left_unpublished")
