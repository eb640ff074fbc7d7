"""Which signals reach Qdrant, how often, and what a storm of them does."""
import fcntl
import os
import pty
import random
import signal
import termios
import time

import pytest
from harness import wait_for
from running import PROGRAM, children, cpu_ticks, status

STOPS, OTHERS = ("TERM", "INT", "QUIT"), ("HUP", "USR1", "USR2")
ALL_SIX = (*STOPS, *OTHERS)


@pytest.mark.parametrize("name", STOPS)
def test_each_signal_that_asks_for_a_stop_reaches_qdrant_as_it_is(anywhere, name):
    anywhere.start_both(f"{name}=42")
    anywhere.signal(name)
    assert anywhere.end() == 42
    assert anywhere.qdrant.signals() == [name]


@pytest.mark.parametrize("name", OTHERS)
def test_signals_for_which_qdrant_has_no_handler_reach_neither_it_nor_the_replicator(anywhere, name):
    anywhere.start_both("TERM=0", f"{name}=9")
    for _ in range(3):
        anywhere.signal(name)
        time.sleep(0.2)
    assert anywhere.stop()[0] == 0
    assert anywhere.qdrant.signals() == ["TERM"] and anywhere.replicator.signals() == ["TERM"]


@pytest.mark.parametrize("name", OTHERS)
def test_a_qdrant_without_a_handler_survives_them(anywhere, name):
    """`sleep` has none, as Qdrant."""
    anywhere.start(["sleep", "100"], EFS_ROOT="")
    wait_for(lambda: status(anywhere.pid, "SigBlk") != "0" * 16 and children(anywhere.pid))
    anywhere.signal(name)
    time.sleep(0.3)
    assert anywhere.process.poll() is None
    assert anywhere.stop()[0] == 143


@pytest.mark.parametrize("name", ["TERM", "INT", "QUIT"])
def test_whatever_asks_for_the_stop_the_replicator_gets_term_at_once(container, name):
    container.start_both(f"{name}=0@0.8", replicator=["TERM=0"])
    assert container.stop(name)[0] == 0
    assert container.replicator.signals() == ["TERM"]
    told = [record.all()[-1][2] for record in (container.qdrant, container.replicator)]
    assert abs(told[0] - told[1]) < 0.7, "the replicator was told only after Qdrant had ended"


@pytest.mark.parametrize("name", STOPS)
def test_a_signal_right_after_the_start_is_not_lost(container, name):
    """Before Qdrant had time for handlers: the signal's default action ends it, as without the entrypoint."""
    container.start(["sleep", "100"], EFS_ROOT="")
    wait_for(lambda: status(container.pid, "SigBlk") != "0" * 16)
    container.signal(name)
    assert container.end() == 128 + getattr(signal, "SIG" + name)


def test_signals_that_are_for_nobody_end_nothing(anywhere):
    anywhere.start_both("TERM=5")
    for name in ("ALRM", "PIPE", "CHLD", "URG", "WINCH", "IO", "PWR", "PROF", "VTALRM", "XCPU", "XFSZ",
                 "TTIN", "TTOU", "STKFLT", "RTMIN", "RTMAX"):
        anywhere.signal(name)
    assert anywhere.stop()[0] == 5
    assert anywhere.qdrant.signals() == ["TERM"] and anywhere.replicator.signals() == ["TERM"]


def test_a_second_stop_signal_is_not_passed_on(anywhere):
    anywhere.start_both("TERM=3@1.5")
    anywhere.signal("TERM")
    wait_for(anywhere.qdrant.signals)
    for name in ALL_SIX:
        anywhere.signal(name)
        time.sleep(0.05)
    assert anywhere.end() == 3
    assert anywhere.qdrant.signals() == ["TERM"]


def test_control_c_at_a_terminal_reaches_qdrant_once(container):
    master, slave = pty.openpty()

    def own_terminal():
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    container.start_both("INT=8@0.7", before_exec=own_terminal, pass_fds=[slave])
    container.signal("STOP")  # else two INTs in a row might be seen as one
    os.write(master, b"\x03")
    wait_for(container.qdrant.signals)
    container.signal("CONT")
    assert container.end() == 8
    assert container.qdrant.signals() == ["INT"]
    assert container.replicator.signals() == ["TERM"]
    os.close(master)
    os.close(slave)


def test_after_a_storm_of_signals_and_orphans_all_is_as_before(anywhere):
    storm = f"{anywhere.root}/storm"
    orphans = "import os\nfor _ in range(60):\n if os.fork() == 0:\n  os.fork()\n  os._exit(0)\n"
    open(storm, "w").close()
    loop = f"while test -e {storm}; do {PROGRAM[0]} -I -S -c '{orphans}'; done"
    qdrant = f"{{ {loop}; }} &\nexec {' '.join(anywhere.qdrant_program('TERM=7'))}"
    anywhere.start([anywhere.script("qdrant-script", qdrant)], LOG_LEVEL="info")
    wait_for(lambda: anywhere.qdrant.starts() and anywhere.replicator.starts())
    dice = random.Random(1)
    names = ["HUP", "USR1", "USR2", "CHLD", "WINCH", "ALRM", "PIPE", "RTMIN", "IO", "URG", "TTOU"]
    end = time.monotonic() + 3
    while time.monotonic() < end:
        for _ in range(200):
            anywhere.signal(dice.choice(names))
    os.unlink(storm)
    wait_for(lambda: len(children(anywhere.pid)) == 2)
    assert anywhere.qdrant.signals() == []
    before = cpu_ticks(anywhere.pid)
    time.sleep(1)
    assert cpu_ticks(anywhere.pid) - before <= 2, "busy with nothing to do"
    assert len(anywhere.qdrant.starts()) == len(anywhere.replicator.starts()) == 1
    assert anywhere.stop()[0] == 7


def test_a_storm_of_stop_signals_neither_cuts_the_flush_short_nor_stretches_it(container):
    container.start_both("TERM=6@1.5", "INT=6@1.5", "QUIT=6@1.5", replicator=["TERM=0"])
    dice = random.Random(2)
    begun = time.monotonic()
    while container.process.poll() is None and time.monotonic() < begun + 20:
        try:
            container.signal(dice.choice(ALL_SIX[:3]))
        except ProcessLookupError:
            break
    assert container.end() == 6
    assert 1.5 <= time.monotonic() - begun < 4
    assert len(container.qdrant.signals()) == 1
