"""What it costs while there is nothing to do (env IDLE_SECONDS: how long to watch, 60)."""
import os
import pathlib
import time

import pytest
from harness import wait_for
from scheduling import from_now

SECONDS = int(os.environ.get("IDLE_SECONDS", 60))
SANITIZED = os.environ.get("SANITIZED")


def switches(pid):
    n = 0
    for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
        n += sum(int(line.split()[1]) for line in status.read_text().splitlines() if "ctxt_switches" in line)
    return n


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(SANITIZED is not None and SANITIZED != "", reason="sanitizers have threads of their own")
def test_an_idle_replicator_wakes_less_than_once_a_second(bad, tree, record_property):
    interval = next(n for n in (300, 900, 3600, 7200, 86400) if n > SECONDS + 60)
    p = tree.start(**from_now(interval), EMF="off")
    wait_for(lambda: tree.logged("run_finished") and len(tree.complete()) == 1)
    time.sleep(6)  # the local disk is tidied
    log, asked = (tree.root / "log").read_text(), len(bad.requests)
    before, cpu = switches(p.pid), cpu_seconds(p.pid)
    time.sleep(SECONDS)
    woken, used = switches(p.pid) - before, cpu_seconds(p.pid) - cpu
    record_property("switches", woken)
    record_property("cpu_seconds", used)
    print(f"{SECONDS} s: {woken} context switches, {used:.2f} s of CPU")
    assert woken <= SECONDS + 10
    assert used <= 0.001 * SECONDS + 0.02
    assert (tree.root / "log").read_text() == log
    looks = [r.path for r in bad.requests[asked:]]  # once a minute, at how the cluster is and what is deleted
    assert looks.count("/cluster") <= SECONDS // 60 + 1 and set(looks) <= {"/cluster", "/telemetry"}
