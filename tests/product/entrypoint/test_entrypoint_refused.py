"""System calls that the kernel refuses or does not have yet: none of them costs Qdrant its life."""
import os
import shutil
import signal

import pytest
from harness import wait_for
from running import BARE, NOT_BARE, children

pytestmark = [pytest.mark.skipif(not shutil.which("strace"), reason="needs strace: system calls fail by it"),
              pytest.mark.skipif(not BARE, reason=NOT_BARE)]


def refusing(container, calls, error, when="1+", children=False):
    """The entrypoint with these calls failing: all, or the `when`-th. A "?" allows for there being none."""
    container.init = ["strace", "-D", "-o", "/dev/null", *(["-f"] if children else []),
                      "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}:when={when}"]
    return container


def test_a_replicator_whose_parent_dies_before_it_can_ask_to_be_told_of_it_does_not_start(container):
    container.init = ["strace", "-D", "-f", "-o", str(container.root / "trace"), "-e", "trace=prctl", "-e",
                      "inject=prctl:delay_enter=700000:when=1"]
    container.start(container.qdrant_program())
    wait_for(lambda: len(children(container.pid)) == 2)
    container.signal("KILL")
    wait_for(lambda: "PR_SET_PDEATHSIG" in (container.root / "trace").read_text())
    wait_for(lambda: len(container.left()) <= 2)  # Qdrant and strace
    assert container.replicator.starts() == []


def test_when_poll_fails_it_still_waits_for_qdrant_and_ends_with_its_code(container):
    refusing(container, "?poll,ppoll", "ENOMEM", when="1")
    assert container.run(["sh", "-c", "sleep 0.3; exit 9"]) == 9
    assert "cannot supervise any more: Cannot allocate memory" in container.messages("failed")[0]


def test_when_there_is_no_process_for_the_replicator_it_is_tried_again(container):
    refusing(container, "?clone,?fork,clone3", "EAGAIN", when="2")
    container.start(container.qdrant_program("TERM=3"))
    wait_for(lambda: container.replicator.starts())
    assert "cannot start the replicator: Resource temporarily unavailable" in container.messages("failed")[0]
    assert container.stop()[0] == 3


def test_when_there_is_no_process_for_the_recovery_run_it_ends_with_137(container):
    refusing(container, "?clone,?fork,clone3", "EAGAIN", when="2")
    assert container.run(["sh", "-c", "exit 137"], EFS_ROOT="", QDRANT_ALLOW_RECOVERY_MODE="true") == 137
    assert "recovery mode" in container.messages("failed")[0]


def test_without_a_subreaper_it_says_so_and_goes_on(container):
    refusing(container, "prctl", "EINVAL", when="1..2")  # the first hides the environment
    container.start(container.qdrant_program("TERM=4"))
    wait_for(lambda: container.qdrant.starts() and container.replicator.starts())
    assert any("subreaper" in message for message in container.messages("failed"))
    assert container.stop()[0] == 4


@pytest.mark.parametrize("calls, what", [("setpriority", "nice"), ("ioprio_set", "ioprio_set"),
                                         ("setpgid", "its own process group"), ("prctl", "PR_SET_PDEATHSIG")])
def test_a_replicator_that_cannot_be_put_behind_qdrant_runs_all_the_same(container, calls, what):
    refusing(container, calls, "EPERM", children=True)
    container.start(container.qdrant_program("TERM=5"))
    wait_for(lambda: container.qdrant.starts() and container.replicator.starts())
    line = f"the replicator starts, but {what} failed: Operation not permitted"
    assert line in container.messages("failed")
    code, _ = container.stop()
    assert code == 5


def test_on_a_kernel_without_close_range_the_replicator_gets_no_foreign_descriptor_either(container):
    refusing(container, "close_range", "EINVAL", children=True)
    given, kept = os.pipe()
    container.start(["sleep", "100"], pass_fds=[kept],
                    replicator=f"test -e /proc/self/fd/{kept}; echo $? > sees; exec sleep 100")
    wait_for(lambda: (container.root / "sees").read_text() == "1\n")
    container.signal("TERM")
    assert container.end() == 128 + signal.SIGTERM
    os.close(given)
    os.close(kept)
