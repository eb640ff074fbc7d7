"""What it costs to have it: memory, processor time, wakeups."""
import os
import pathlib
import re
import time

import pytest
from harness import wait_for
from running import BARE, NOT_BARE, cpu_ticks, status, switches, wait_until_quiet

pytestmark = pytest.mark.skipif(not BARE, reason=NOT_BARE)
QUIET_SECONDS = 2


def test_it_stays_within_two_mebibytes_also_after_much_has_happened(anywhere):
    script = "echo started $$ 0 >> replicator; exit $(wc -l < replicator)"
    anywhere.start_both("TERM=0", replicator=script, STOP_GRACE_SECONDS="x" * 10000,
                        QDRANT_ALLOW_RECOVERY_MODE="true")
    os.kill(anywhere.qdrant.pid(), 9)
    wait_for(lambda: len(anywhere.qdrant.starts()) == 2 and len(anywhere.replicator.starts()) == 3)
    for name in ("HUP", "USR1", "USR2") * 50:
        anywhere.signal(name)
    wait_until_quiet(anywhere.pid)
    assert int(status(anywhere.pid, "VmRSS")) <= 2048
    assert int(status(anywhere.pid, "VmHWM")) <= 2048
    assert anywhere.stop()[0] == 0


def stays_asleep(container):
    wait_until_quiet(container.pid)
    before = switches(container.pid), cpu_ticks(container.pid)
    time.sleep(QUIET_SECONDS)
    return (switches(container.pid), cpu_ticks(container.pid)) == before


def test_while_nothing_happens_it_does_not_wake_up_once(anywhere):
    anywhere.start_both("TERM=0")
    assert stays_asleep(anywhere)
    assert anywhere.stop()[0] == 0


def test_with_its_replicator_given_up_on_it_does_not_wake_up_once(container):
    container.start_both("TERM=0", replicator="echo started $$ 0 >> replicator; exit 64")
    wait_for(lambda: container.log("no_backups"))
    assert stays_asleep(container)
    assert container.stop()[0] == 0


def test_while_it_waits_for_a_stop_to_end_it_does_not_wake_up_once(container):
    container.start_both("TERM=0@20", replicator=[])
    container.signal("TERM")
    wait_for(container.replicator.signals)
    assert stays_asleep(container)


def test_it_needs_no_library_but_libc(container):
    maps = container.start_both("TERM=0") and pathlib.Path(f"/proc/{container.pid}/maps").read_text()
    libraries = {re.sub(r".*/", "", line.split()[-1]) for line in maps.splitlines() if ".so" in line}
    assert all(name.startswith(("libc.", "libc-", "ld-linux", "ld-")) for name in libraries), libraries
    assert container.stop()[0] == 0
