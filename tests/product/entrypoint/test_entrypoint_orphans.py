"""Reaping: what loses its parent becomes the entrypoint's child, PID 1 or not, and never stays a zombie."""
import os
import shutil
import signal

import pytest
from harness import wait_for
from running import PROGRAM, children, pid_inside, status

# Forks N children that each fork one and end, so that N orphans end in the entrypoint's care; these write
# their parent's pid once they have it.
ORPHANS = """
import os, sys, time
for n in range(int(sys.argv[1])):
    if os.fork() == 0:
        parent = os.getpid()
        if os.fork():
            os._exit(0)
        while os.getppid() == parent:
            time.sleep(0.001)
        os.write(1, b"%d\\n" % os.getppid())
        os._exit(n % 256)
    os.wait()
"""


def zombies(pid):
    return [p for p in children(pid) if status(p, "State") == "Z"]


def test_two_hundred_orphans_leave_no_zombie_and_change_no_exit_code(anywhere):
    making = anywhere.script("orphans", [*PROGRAM[:3], "-c", ORPHANS, "200"])
    command = f"{making} > orphans.out; exec {' '.join(anywhere.qdrant_program('TERM=9'))}"
    anywhere.start(["sh", "-c", command])
    wait_for(lambda: anywhere.qdrant.starts() and anywhere.replicator.starts())
    wait_for(lambda: len((anywhere.root / "orphans.out").read_text().split()) == 200)
    wait_for(lambda: len(children(anywhere.pid)) == 2)
    assert zombies(anywhere.pid) == []
    assert anywhere.stop()[0] == 9


def test_orphans_come_to_the_entrypoint_when_it_is_not_pid_1_as_with_pid_mode_task(container):
    making = container.script("orphans", [*PROGRAM[:3], "-c", ORPHANS, "5"])
    container.start(["sh", "-c", f"{making}; {making}; exec sleep 100"])
    wait_for(lambda: len(container.output().split()) == 10)
    assert {int(p) for p in container.output().split()} == {container.pid}
    wait_for(lambda: len(container.messages("reaped")) == 10)


def test_an_orphan_whose_exit_looks_like_qdrants_death_means_nothing(anywhere):
    ends = "(sh -c 'sleep 0.1; kill -9 $$' &); (sh -c 'exit 64' &)"
    command = f"{ends}; exec {' '.join(anywhere.qdrant_program('TERM=0'))}"
    anywhere.start(["sh", "-c", command], QDRANT_ALLOW_RECOVERY_MODE="true")
    wait_for(lambda: anywhere.qdrant.starts() and anywhere.replicator.starts())
    wait_for(lambda: len(anywhere.messages("reaped")) >= 2)
    assert anywhere.stop()[0] == 0
    assert len(anywhere.qdrant.starts()) == 1 and len(anywhere.replicator.starts()) == 1


def test_orphans_that_end_during_a_stop_are_reaped_too(anywhere):
    (anywhere.root / "stays").touch()
    orphan = anywhere.script("orphan", "while test -e stays; do sleep 0.05; done")
    anywhere.start(["sh", "-c", f"({orphan} &); exec {' '.join(anywhere.qdrant_program())}"])
    wait_for(lambda: anywhere.qdrant.starts() and anywhere.replicator.starts())
    qdrant = anywhere.qdrant.pid()
    anywhere.signal("TERM")
    wait_for(lambda: anywhere.log("replicator_ended"))
    wait_for(lambda: len(children(anywhere.pid)) == 2)
    (anywhere.root / "stays").unlink()
    wait_for(lambda: children(anywhere.pid) == [qdrant])
    os.kill(qdrant, signal.SIGKILL)
    assert anywhere.end() == 137


@pytest.mark.parametrize("init", ["tini", "catatonit"])
def test_under_a_real_init_orphans_signals_and_exit_code_are_as_without(containers, init):
    if not shutil.which(init):
        pytest.skip(f"needs {init}")
    container = containers(as_pid_1=True)
    container.init = [init, "--"]
    making = container.script("orphans", [*PROGRAM[:3], "-c", ORPHANS, "20"])
    container.start(["sh", "-c", f"{making}; exec {' '.join(container.qdrant_program('TERM=21@0.3'))}"])
    wait_for(lambda: container.qdrant.starts() and container.replicator.starts())
    entrypoint, = children(container.pid)
    wait_for(lambda: len(children(entrypoint)) == 2)
    assert {int(p) for p in container.output().split()} == {pid_inside(entrypoint)}
    assert container.stop()[0] == 21
    assert container.qdrant.signals() == ["TERM"] and container.replicator.signals() == ["TERM"]
