"""What is run, with which arguments, environment and descriptors, and with which code it ends."""
import os
import resource
import signal
import subprocess
import tempfile

import pytest
from harness import wait_for
from running import BARE, ENTRYPOINT, NOT_BARE, for_everyone

AWKWARD = ["--config-path", "a b", "", "--", "-x", "new\nline", "$HOME *", "é", "'\"\\"]


def dump_arguments(container):
    return container.script("qdrant-bin", "printf '%s\\0' \"$@\"")


def test_arguments_go_to_qdrant_unchanged(anywhere):
    assert anywhere.run(argv=AWKWARD, QDRANT_BIN=dump_arguments(anywhere)) == 0
    assert anywhere.output().split("\0")[:-1] == AWKWARD


def test_two_dashes_run_another_program_with_its_arguments_unchanged(anywhere):
    assert anywhere.run([dump_arguments(anywhere), *AWKWARD], QDRANT_BIN="/nowhere") == 0
    assert anywhere.output().split("\0")[:-1] == AWKWARD


def started_nothing(container):
    return not container.qdrant.starts() and not container.replicator.starts() and not container.log()


@pytest.mark.parametrize("argument,ours", [("--help", "usage: qdrant-entrypoint"), ("-h", "usage: qdrant-entrypoint"),
                                           ("--version", "qdrant-entrypoint "), ("-V", "qdrant-entrypoint ")])
def test_help_and_version_are_answered_then_by_qdrant_itself_and_start_no_replicator(container, argument, ours):
    assert container.run(argv=[argument], QDRANT_BIN=dump_arguments(container)) == 0
    assert container.output().startswith(ours) and container.output().endswith(f"{argument}\0")
    assert started_nothing(container)


def test_help_needs_no_qdrant(container):
    assert container.run(argv=["--help"], QDRANT_BIN="/nowhere/qdrant") == 0
    assert "health" in container.output() and started_nothing(container)


@pytest.mark.parametrize("word", ["helth", "Health", "help", "version"])
def test_a_word_alone_is_no_argument_of_qdrants_and_is_refused(container, word):
    assert container.run(argv=[word], QDRANT_BIN=dump_arguments(container)) == 64
    line, = container.stderr.read_text().splitlines()
    assert f'"{word}"' in line and "health" in line and container.output() == ""
    assert not container.replicator.starts()


def test_behind_two_dashes_or_beside_others_the_same_words_are_qdrants(container):
    assert container.run(["sh", "-c", 'printf "%s" "$0"', "helth"]) == 0
    assert container.output() == "helth"
    assert container.run(argv=["--version", "--uri=x"], QDRANT_BIN=dump_arguments(container)) == 0
    assert container.output() == "--version\0--uri=x\0"


def test_two_dashes_with_nothing_behind_them_are_an_argument_like_any_other(container):
    assert container.run(argv=["--"], QDRANT_BIN=dump_arguments(container)) == 0
    assert container.output() == "--\0"


@pytest.mark.skipif(os.path.exists("/qdrant/qdrant"), reason="/qdrant/qdrant is there and would be started")
def test_the_program_of_the_official_image_is_the_default(container):
    for name in (None, ""):
        assert container.run(argv=[], QDRANT_BIN=name) == 127
        assert "/qdrant/qdrant" in container.messages("cannot_run")[0]


@pytest.mark.parametrize("code", [0, 1, 2, 3, 63, 64, 77, 125, 126, 127, 128, 129, 137, 143, 200, 254, 255])
def test_qdrants_exit_code_is_the_entrypoints(anywhere, code):
    assert anywhere.run(["sh", "-c", f"exit {code}"]) == code


@pytest.mark.parametrize("name", ["HUP", "INT", "ILL", "ABRT", "FPE", "KILL", "SEGV", "PIPE", "TERM", "USR1"])
def test_a_qdrant_that_dies_of_signal_n_gives_128_plus_n(anywhere, name):
    assert anywhere.run(["sh", "-c", f"ulimit -c 0; kill -{name} $$"]) == 128 + getattr(signal, "SIG" + name)
    assert f"by signal {name}" in anywhere.messages("qdrant_ended")[0]


def test_exit_codes_survive_a_parent_that_ignores_sigchld(container):
    for code in (0, 7, 255):
        assert container.run(["sh", "-c", f"exit {code}"],
                             before_exec=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)) == code


def test_a_program_that_is_not_there_gives_127_and_one_that_cannot_be_run_126(container):
    folder = container.root / "folder"
    folder.mkdir()
    for path, code in (("/nowhere/at-all", 127), ("no-such-program-in-path", 127), (str(folder), 126),
                       (str(container.stderr), 126)):
        assert container.run([path]) == code
        assert path in container.messages("cannot_run")[0]
        assert not container.log("qdrant_started"), "it never ran"


def test_environment_and_folder_reach_qdrant_and_the_replicator(container):
    look = container.script("look", f"(env -0; pwd) > {container.root}/$1.new; mv {container.root}/$1.new {container.root}/$1")
    command = f"{look} q; while [ ! -e {container.root}/r ]; do sleep 0.05; done"
    assert container.run(["sh", "-c", command], replicator=f"{look} r; sleep 100",
                         QDRANT__SERVICE__API_KEY="k€y", ODD="a\nb") == 0
    for who in "qr":
        seen = (container.root / who).read_text()
        assert "QDRANT__SERVICE__API_KEY=k€y\0" in seen and "ODD=a\nb\0" in seen
        assert seen.endswith(f"{container.root}\n") and "RECOVERY_MODE" not in seen


def test_no_descriptor_of_the_entrypoint_leaks_into_its_children_but_the_one_that_the_replicator_is_told_of(container):
    container.start_both("TERM=0")
    for pid in (container.qdrant.pid(), container.replicator.pid()):
        record = str(container.qdrant.path if pid == container.qdrant.pid() else container.replicator.path)
        open_files = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        environ = dict(v.split("=", 1) for v in open(f"/proc/{pid}/environ").read().split("\0") if "=" in v)
        told = {int(environ["QDRANT_STOP_WORD"])} if pid == container.replicator.pid() else set()
        assert {fd for fd, path in open_files.items() if path != record} == {0, 1, 2} | told
        assert pid != container.qdrant.pid() or "QDRANT_STOP_WORD" not in environ
    assert container.stop()[0] == 0


def test_descriptors_that_were_passed_in_go_to_qdrant_but_not_to_the_replicator(container):
    given, kept = os.pipe()
    sees = container.script("sees", f"test -e /proc/self/fd/{kept}; echo $? > {container.root}/$1")
    command = f"{sees} q; while ! test -s {container.root}/r; do sleep 0.05; done"
    assert container.run(["sh", "-c", command], replicator=f"{sees} r; sleep 100", pass_fds=[kept]) == 0
    os.close(given)
    os.close(kept)
    assert [(container.root / who).read_text() for who in "qr"] == ["0\n", "1\n"]


def test_standard_input_is_qdrants_alone(container):
    reading, writing = os.pipe()
    os.write(writing, b"for Qdrant\n")
    command = "while ! test -e done; do sleep 0.05; done; cat"
    container.start(["sh", "-c", command], before_exec=lambda: os.dup2(reading, 0),
                    replicator="cat > got; : > done; exec sleep 100")
    wait_for(lambda: container.output())
    os.close(writing)
    os.close(reading)
    assert container.end() == 0
    assert container.output() == "for Qdrant\n" and (container.root / "got").read_text() == ""


def test_missing_standard_descriptors_are_not_replaced_by_the_entrypoints_own(container):
    container.start_both("TERM=0", before_exec=lambda: os.closerange(0, 3))
    for pid in (container.qdrant.pid(), container.replicator.pid()):
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
    assert container.stop()[0] == 0


def test_stale_signal_settings_of_the_parent_do_not_reach_qdrant_or_the_replicator(container):
    def spoil():
        for sig in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(sig, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    look = "grep -E 'SigBlk|SigIgn' /proc/self/status"
    replicator = f"{look} > {container.root}/r; : > {container.root}/done; exec sleep 100"
    command = f"{look}; while ! test -e {container.root}/done; do sleep 0.05; done"
    assert container.run(["sh", "-c", command], before_exec=spoil, replicator=replicator) == 0
    for text in (container.output(), (container.root / "r").read_text()):
        # But for 32 and 33, which glibc keeps to itself and lets nobody set (nptl(7)).
        masks = {name: int(mask, 16) & ~(3 << 31) for name, mask in (line.split(":") for line in text.splitlines())}
        assert masks == {"SigBlk": 0, "SigIgn": 0}, text


def test_stale_signal_settings_of_the_parent_do_not_keep_the_entrypoint_from_working(container):
    def spoil():
        for sig in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(sig, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    container.start_both("TERM=9", before_exec=spoil)
    assert container.stop()[0] == 9
    assert container.replicator.signals() == ["TERM"]


@pytest.mark.parametrize("value", ["0", "-1", "+5", "3601", "1.5", "1e3", "x", " 5", "5 ", "0x10", "9" * 40])
def test_a_wrong_grace_is_named_once_with_its_value_and_what_is_allowed_and_qdrant_starts(container, value):
    assert container.run(["sh", "-c", "echo runs; exit 4"], STOP_GRACE_SECONDS=value) == 4
    assert container.output() == "runs\n"
    assert container.messages("wrong_setting") == [
        f"STOP_GRACE_SECONDS={value} is not allowed; use a whole number from 1 to 3600 (25 is used)"]


@pytest.mark.parametrize("value", [None, "", "1", "25", "3600", "007"])
def test_a_right_grace_is_not_remarked_upon(container, value):
    assert container.run(["true"], STOP_GRACE_SECONDS=value) == 0
    assert container.messages("wrong_setting") == []


def test_wrong_log_settings_are_named_and_qdrant_starts(container):
    assert container.run(["sh", "-c", "exit 4"], LOG_LEVEL="loud", LOG_FORMAT="xml") == 4
    level, form = container.messages("wrong_setting")
    assert "LOG_LEVEL=loud" in level and "debug, info, warn or error" in level
    assert "LOG_FORMAT=xml" in form and "json or text" in form


@pytest.mark.parametrize("value", [None, ""])
def test_without_efs_root_there_is_one_clear_warning_and_qdrant_runs_alone(anywhere, value):
    anywhere.start_both("TERM=0", EFS_ROOT=value or "")
    warning, = anywhere.log("no_backups")
    assert warning["level"] == "warn"
    assert "EFS_ROOT" in warning["message"] and "NO BACKUPS" in warning["message"]
    assert anywhere.stop()[0] == 0
    assert anywhere.replicator.starts() == []


@pytest.mark.skipif(not BARE, reason=NOT_BARE)
def test_when_no_descriptor_is_left_qdrant_runs_alone_in_the_entrypoints_place(container):
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))  # noqa: E731
    container.start(["sh", "-c", "echo $$; exit 6"], before_exec=few)
    assert container.end() == 6
    assert int(container.output()) == container.process.pid
    assert "NO BACKUPS" in container.messages("no_backups")[0]


@pytest.mark.skipif(not BARE, reason=NOT_BARE)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user with a process limit")
def test_when_no_process_is_left_qdrant_runs_alone_in_the_entrypoints_place(container):
    def poor_user():
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        os.setuid(54321)
    with for_everyone(ENTRYPOINT) as copy:
        run = subprocess.run([copy, "--", "sh", "-c", "exit 6"], env=container.env, preexec_fn=poor_user,
                             capture_output=True, text=True, cwd="/")
    assert run.returncode == 6 and "NO BACKUPS" in run.stderr, run


@pytest.mark.skipif(not BARE, reason=NOT_BARE)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run a program as another user")
def test_the_entrypoints_environment_is_not_for_others_and_its_children_are_as_they_were(container):
    """What belongs to root in /proc no other process of the same user may read. The replicator can still be told to go first."""
    score = "cat /proc/self/oom_score_adj > score; exec sleep 100"
    with for_everyone(ENTRYPOINT) as copy, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        replicator = os.path.join(os.path.dirname(copy), "replicator")
        with open(replicator, "w") as f:
            f.write(f"#!/bin/sh\n{score}\n")
        os.chmod(replicator, 0o755)
        p = subprocess.Popen([copy, "--", "sh", "-c", "echo $$ > pid.new; mv pid.new pid; exec sleep 100"], user=54321, cwd=folder,
                             env=container.env | {"REPLICATOR_BIN": replicator}, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: open(f"{folder}/pid").read() and open(f"{folder}/score").read())
            qdrant = open(f"{folder}/pid").read().strip()
            wait_for(lambda: open(f"/proc/{qdrant}/comm").read() == "sleep\n")
            assert os.stat(f"/proc/{p.pid}/environ").st_uid == 0
            assert os.stat(f"/proc/{qdrant}/environ").st_uid == 54321
            assert open(f"{folder}/score").read().strip() == "1000"
        finally:
            p.terminate()
            p.wait(30)


def test_the_replicator_beside_the_entrypoint_is_the_default(container):
    (container.root / "qdrant-entrypoint").write_bytes(ENTRYPOINT.read_bytes())
    (container.root / "qdrant-entrypoint").chmod(0o755)
    beside = container.script("qdrant-replicator", ": > beside; exec sleep 100")
    command = "while ! test -e beside; do sleep 0.05; done; rm beside"
    for name in ({}, {"REPLICATOR_BIN": ""}):
        env = {k: v for k, v in container.env.items() if k != "REPLICATOR_BIN"} | name
        run = subprocess.run([container.root / "qdrant-entrypoint", "--", "sh", "-c", command], env=env,
                             timeout=30, cwd=container.root, capture_output=True, text=True)
        assert run.returncode == 0 and beside in run.stderr
