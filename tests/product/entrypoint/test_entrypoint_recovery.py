"""The official image's recovery mode: one more run, collections closed, after a death while starting."""
import os
import signal

import pytest
from harness import wait_for

MESSAGE = ("Qdrant was killed during initialization. Most likely it's Out-of-Memory.\n"
           "Please check memory consumption, increase memory limit or remove some collections and restart")


def qdrant(container, *ends):
    """A Qdrant whose n-th run ends as the n-th shell command says."""
    cases = "".join(f"{n}) {end};; " for n, end in enumerate(ends, 1))
    note = "printf '%s\\0' \"${QDRANT__STORAGE__RECOVERY_MODE-none}\" \"$@\" >> runs; echo >> count"
    return container.script("qdrant-bin", f"{note}; case $(wc -l < count) in {cases}esac")


def runs(container):
    """The recovery message of each run."""
    return (container.root / "runs").read_text().split("\0")[:-1]


@pytest.mark.parametrize("death", ["exit 137", "kill -9 $$"])
def test_killed_before_its_start_was_finished_qdrant_runs_once_more_in_recovery_mode(anywhere, death):
    assert anywhere.run([qdrant(anywhere, death, "exit 5")], QDRANT_ALLOW_RECOVERY_MODE="true") == 5
    assert runs(anywhere) == ["none", MESSAGE]
    assert anywhere.log("recovery_mode")[0]["level"] == "error"


def test_the_recovery_run_gets_the_same_arguments(container):
    assert container.run(argv=["--x", "a b"], QDRANT_BIN=qdrant(container, "exit 137", "exit 5"),
                         QDRANT_ALLOW_RECOVERY_MODE="true") == 5
    assert runs(container) == ["none", "--x", "a b", MESSAGE, "--x", "a b"]


def test_a_recovery_run_that_is_killed_too_is_the_last(anywhere):
    ends = ("exit 137", "exit 137", "exit 0")
    assert anywhere.run([qdrant(anywhere, *ends)], QDRANT_ALLOW_RECOVERY_MODE="true") == 137
    assert runs(anywhere) == ["none", MESSAGE]


@pytest.mark.parametrize("allow", [None, "", "false", "True", "TRUE", "1", "yes", "true "])
def test_without_the_exact_word_true_there_is_no_recovery(container, allow):
    assert container.run([qdrant(container, "exit 137", "exit 0")], QDRANT_ALLOW_RECOVERY_MODE=allow) == 137
    assert runs(container) == ["none"]


@pytest.mark.parametrize("death, code", [("exit 0", 0), ("exit 1", 1), ("exit 136", 136), ("exit 138", 138),
                                         ("kill -TERM $$", 143), ("ulimit -c 0; kill -SEGV $$", 139)])
def test_no_other_end_than_137_leads_to_recovery(container, death, code):
    assert container.run([qdrant(container, death, "exit 0")], QDRANT_ALLOW_RECOVERY_MODE="true") == code
    assert runs(container) == ["none"]


@pytest.mark.parametrize("variable, file, recovers", [
    (None, None, True), (None, ".qdrant-initialized", False), ("", ".qdrant-initialized", False),
    ("mark", "mark", False), ("mark", ".qdrant-initialized", True), ("mark", None, True)])
def test_qdrants_mark_of_a_finished_start_decides(container, variable, file, recovers):
    if file:
        (container.root / file).write_text("")
    code = container.run([qdrant(container, "exit 137", "exit 0")], QDRANT_ALLOW_RECOVERY_MODE="true",
                         QDRANT_INIT_FILE_PATH=variable)
    assert (code, len(runs(container))) == ((0, 2) if recovers else (137, 1))


def test_a_folder_in_the_marks_place_is_no_mark(container):
    (container.root / ".qdrant-initialized").mkdir()
    assert container.run([qdrant(container, "exit 137", "exit 0")], QDRANT_ALLOW_RECOVERY_MODE="true") == 0


def test_a_mark_that_qdrant_makes_itself_before_it_is_killed_counts(container):
    ends = (": > .qdrant-initialized; kill -9 $$", "exit 0")
    assert container.run([qdrant(container, *ends)], QDRANT_ALLOW_RECOVERY_MODE="true") == 137
    assert runs(container) == ["none"]


def test_a_qdrant_that_is_killed_after_a_stop_was_asked_is_not_started_again(anywhere):
    anywhere.start_both(QDRANT_ALLOW_RECOVERY_MODE="true", STOP_GRACE_SECONDS="1")
    assert anywhere.stop()[0] == 137
    assert len(anywhere.qdrant.starts()) == 1 and anywhere.log("recovery_mode") == []


def test_a_recovery_run_is_supervised_like_the_first_and_the_replicator_runs_on(anywhere):
    anywhere.start_both("TERM=6@0.2", QDRANT_ALLOW_RECOVERY_MODE="true")
    os.kill(anywhere.qdrant.pid(), signal.SIGKILL)
    wait_for(lambda: len(anywhere.qdrant.starts()) == 2)
    assert len(anywhere.replicator.starts()) == 1 and anywhere.replicator.signals() == []
    assert anywhere.stop()[0] == 6
    assert anywhere.qdrant.signals() == ["TERM"] and anywhere.replicator.signals() == ["TERM"]
