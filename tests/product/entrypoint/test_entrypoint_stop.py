"""One budget for the stop, counted from the first signal, whatever Qdrant and the replicator do in it."""
import os
import signal
import subprocess
import time

import pytest
from frozen import Frozen, usable
from harness import alive, freeze, wait_for
from running import status

SLACK = 1.8  # of a noisy machine
needs_fuse = pytest.mark.skipif(not usable(), reason="needs root and /dev/fuse, for a file system that hangs")


@pytest.fixture
def frozen(tmp_path):
    fs = Frozen(tmp_path / "frozen-efs")
    yield fs
    fs.thaw()


def test_a_stop_ends_as_soon_as_both_have_ended_with_qdrants_code(anywhere):
    anywhere.start_both("TERM=11@0.3", replicator=["TERM=1@0.6"])
    code, seconds = anywhere.stop()
    assert code == 11 and 0.6 <= seconds < 0.6 + SLACK
    assert "signal TERM" in anywhere.messages("stop_asked")[0]
    assert anywhere.messages("qdrant_ended") == ["Qdrant ended with code 11"]
    assert anywhere.left() == []


def test_qdrant_is_killed_at_the_end_of_the_budget(anywhere):
    anywhere.start_both(STOP_GRACE_SECONDS="2")
    code, seconds = anywhere.stop()
    assert code == 137 and 2 <= seconds < 2 + SLACK
    assert "STOP_GRACE_SECONDS (2)" in anywhere.messages("qdrant_killed")[0]


def test_a_stopped_qdrant_is_killed_at_the_end_of_the_budget(container):
    container.start_both("TERM=0", STOP_GRACE_SECONDS="1")
    freeze(container.qdrant.pid())
    code, seconds = container.stop()
    assert code == 137 and 1 <= seconds < 1 + SLACK


def test_further_stop_signals_do_not_extend_the_budget(container):
    container.start_both(STOP_GRACE_SECONDS="3")
    begun = time.monotonic()
    container.signal("TERM")
    while container.process.poll() is None and time.monotonic() < begun + 10:
        time.sleep(0.1)
        if time.monotonic() < begun + 2.8:
            container.signal("INT")
    assert container.end() == 137
    assert 3 <= time.monotonic() - begun < 3 + SLACK


def test_a_flush_that_fits_into_the_budget_is_not_cut_short(container):
    container.start_both("TERM=0@2", STOP_GRACE_SECONDS="5")
    code, seconds = container.stop()
    assert code == 0 and 2 <= seconds < 2 + SLACK


def test_a_replicator_that_does_not_stop_gets_two_seconds_beyond_qdrant(anywhere):
    anywhere.start_both("TERM=0@0.5", replicator=[], STOP_GRACE_SECONDS="20")
    replicator = anywhere.replicator.pid()
    code, seconds = anywhere.stop()
    assert code == 0 and 2.5 <= seconds < 2.5 + SLACK
    assert anywhere.messages("replicator_killed")
    wait_for(lambda: not alive(replicator))


def test_a_replicator_that_does_not_stop_gets_no_more_than_what_is_left_of_the_budget(container):
    container.start_both("TERM=0@1.5", replicator=[], STOP_GRACE_SECONDS="2")
    code, seconds = container.stop()
    assert code == 0 and 2 - 0.3 <= seconds < 2 + 1.1  # killed a quarter of a second before the end


def test_with_qdrant_gone_by_itself_the_replicator_gets_term_and_then_two_seconds(container):
    container.start_both(replicator=[])
    begun = time.monotonic()
    os.kill(container.qdrant.pid(), signal.SIGSEGV)
    assert container.end() == 139
    assert 2 <= time.monotonic() - begun < 2 + SLACK
    assert container.replicator.signals() == ["TERM"]


def test_a_stop_between_two_starts_of_the_replicator_waits_for_nothing(anywhere):
    anywhere.start_both("TERM=0", replicator="echo started $$ 0 >> replicator; exit 3")
    wait_for(lambda: anywhere.messages("replicator_ended"))
    code, seconds = anywhere.stop()
    assert code == 0 and seconds < 0.9
    assert len(anywhere.replicator.starts()) == 1


def test_a_replicator_whose_process_is_stopped_does_not_hold_up_the_end(container):
    container.start_both("TERM=0", replicator=["TERM=0"], STOP_GRACE_SECONDS="20")
    replicator = container.replicator.pid()
    freeze(replicator)
    code, seconds = container.stop()
    assert code == 0 and 2 <= seconds < 2 + SLACK
    wait_for(lambda: not alive(replicator))


@needs_fuse
def test_a_replicator_that_hangs_in_the_kernel_on_a_dead_mount_does_not_hold_up_the_end(container, frozen):
    container.start_both("TERM=4", replicator=f"echo started $$ 0 >> replicator; exec cat {frozen.folder}/x",
                         EFS_ROOT=frozen.folder, STOP_GRACE_SECONDS="20")
    wait_for(lambda: frozen.asked)
    replicator = container.replicator.pid()
    code, seconds = container.stop()
    assert code == 4 and 2 <= seconds < 2 + SLACK
    assert status(replicator, "State") == "D", "no KILL reaches it"


@needs_fuse
def test_as_pid_1_with_such_a_replicator_qdrant_stops_in_time_and_its_code_comes_once_the_kernel_lets_go(
        containers, frozen):
    """The kernel keeps PID 1 until its namespace is empty; the runtime sees the end only then."""
    container = containers(as_pid_1=True)
    container.start_both("TERM=4", replicator=f"echo started $$ 0 >> replicator; exec cat {frozen.folder}/x",
                         EFS_ROOT=frozen.folder)
    wait_for(lambda: frozen.asked)
    qdrant = container.qdrant.pid()
    begun = time.monotonic()
    container.signal("TERM")
    wait_for(lambda: not alive(qdrant))
    assert time.monotonic() - begun < SLACK
    wait_for(lambda: container.messages("replicator_killed"))
    frozen.thaw()
    assert container.end() == 4


@needs_fuse
def test_a_qdrant_that_hangs_in_the_kernel_is_left_behind_soon_after_the_budget(container, frozen):
    command = f"echo started $$ 0 >> qdrant; exec cat {frozen.folder}/x"
    container.start(["sh", "-c", command], STOP_GRACE_SECONDS="1", EFS_ROOT="")
    wait_for(lambda: frozen.asked)
    qdrant = container.qdrant.pid()
    code, seconds = container.stop()
    assert code == 137 and 3 <= seconds < 3 + SLACK
    assert status(qdrant, "State") == "D"
    assert container.messages("left_behind")


@needs_fuse
def test_nothing_ever_reaches_efs(containers, frozen):
    for as_pid_1 in (False, True):
        container = containers(as_pid_1)
        container.start_both("TERM=0", EFS_ROOT=frozen.folder,
                             replicator="echo started $$ 0 >> replicator; exit 1")
        wait_for(lambda: len(container.replicator.starts()) == 2)
        assert container.stop()[0] == 0
    assert frozen.asked == []


@needs_fuse
def test_a_replicator_whose_program_hangs_on_a_dead_mount_holds_nobody_up(container, frozen):
    container.start(container.qdrant_program("TERM=4"), REPLICATOR_BIN=f"{frozen.folder}/replicator")
    wait_for(lambda: container.qdrant.starts() and frozen.asked and container.log("qdrant_started"))
    code, seconds = container.stop()
    assert code == 4 and seconds < 2 + SLACK
    assert not container.log("replicator_started"), "it never came to run"


@needs_fuse
def test_a_qdrant_whose_program_hangs_on_a_dead_mount_is_not_called_started(container, frozen):
    container.start([f"{frozen.folder}/qdrant"], STOP_GRACE_SECONDS="1", EFS_ROOT="")
    wait_for(lambda: frozen.asked)
    assert container.stop()[0] == 137
    assert container.messages("left_behind") and not container.log("qdrant_started")


def test_the_replicator_goes_when_the_entrypoint_is_killed(container):
    container.start_both("TERM=0")
    container.signal("KILL")
    wait_for(lambda: container.replicator.signals() == ["TERM"])
    assert container.qdrant.signals() == []


def test_no_replicator_outlives_an_entrypoint_that_is_killed_while_starting_it(containers):
    made = []
    for n in range(25):
        made.append(containers())
        made[-1].start(["sleep", "0.1"], REPLICATOR_BIN="/bin/cat", stderr=subprocess.DEVNULL)
        time.sleep(0.0004 * n)
        made[-1].signal("KILL")
        made[-1].end()
    wait_for(lambda: not any(c.left() for c in made))
