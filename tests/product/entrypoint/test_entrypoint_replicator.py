"""The replicator: behind Qdrant in everything, started again when it ends, unless that is useless."""
import os
import re
import signal
import subprocess
import time

from harness import BUILD, wait_for
from running import children

STARTED = "echo started $$ $(cut -d' ' -f1 /proc/uptime) >> replicator"


def test_it_runs_at_low_cpu_and_io_priority_in_its_own_group_and_first_in_line_for_the_oom_killer(anywhere):
    anywhere.start_both("TERM=0")
    qdrant, replicator = anywhere.qdrant.pid(), anywhere.replicator.pid()
    assert os.getpriority(os.PRIO_PROCESS, replicator) == os.getpriority(os.PRIO_PROCESS, qdrant) + 10
    ionice = subprocess.run(["ionice", "-p", str(replicator)], capture_output=True, text=True)
    assert ionice.stdout.strip() == "best-effort: prio 7"
    assert os.getpgid(replicator) == replicator
    assert os.getpgid(qdrant) == os.getpgid(anywhere.pid)
    adjust = {p: int(open(f"/proc/{p}/oom_score_adj").read()) for p in (qdrant, replicator, anywhere.pid)}
    assert adjust[replicator] == 1000 and adjust[qdrant] == adjust[anywhere.pid] < 1000
    scores = {p: int(open(f"/proc/{p}/oom_score").read()) for p in (qdrant, replicator)}
    assert scores[replicator] > scores[qdrant]
    assert anywhere.stop()[0] == 0


def test_under_a_nice_entrypoint_it_is_nicer_still_and_starts(container):
    container.start_both("TERM=0", before_exec=lambda: os.nice(15))
    assert os.getpriority(os.PRIO_PROCESS, container.replicator.pid()) == 19
    assert container.log("failed") == [] and container.stop()[0] == 0


def test_a_crash_is_followed_by_starts_after_one_two_and_four_seconds_and_qdrant_never_notices(container):
    container.start_both("TERM=0", replicator=f"{STARTED}; kill -SEGV $$")
    qdrant = container.qdrant.pid()
    wait_for(lambda: len(container.replicator.starts()) == 4)
    times = [t for _, t in container.replicator.starts()]
    gaps = [b - a for a, b in zip(times, times[1:])]
    for gap, least in zip(gaps, (1, 2, 4)):
        assert least - 0.02 <= gap < least * 1.25 + 0.7, gaps
    said = [float(re.search(r"again in ([\d.]+) s", m)[1]) for m in container.messages("replicator_ended")]
    assert all(least <= wait <= least * 1.25 for wait, least in zip(said, (1, 2, 4)))
    assert "by signal SEGV" in container.messages("replicator_ended")[0]
    assert container.qdrant.signals() == [] and container.qdrant.pid() == qdrant
    assert container.stop()[0] == 0


def test_it_is_started_again_also_after_exit_code_0_when_no_stop_was_asked(container):
    container.start_both("TERM=0", replicator=["TERM=0"])
    os.kill(container.replicator.pid(), signal.SIGTERM)
    wait_for(lambda: len(container.replicator.starts()) == 2)
    assert container.stop()[0] == 0


def test_jitter_spreads_the_starts_of_containers_that_lose_it_at_the_same_time(containers):
    made = [containers() for _ in range(8)]
    for c in made:
        c.start(["sleep", "100"], replicator="exit 1")
    waits = set()
    for c in made:
        wait_for(lambda: len(c.log("replicator_ended")) >= 2)
        waits.add(tuple(re.search(r"again in ([\d.]+) s", m)[1] for m in c.messages("replicator_ended")[:2]))
    assert len(waits) > 1, waits


def test_exit_code_64_means_a_wrong_setting_one_loud_line_and_no_second_start(anywhere):
    anywhere.start_both("TERM=12", replicator=f"{STARTED}; exit 64")
    wait_for(lambda: anywhere.log("no_backups"))
    line, = anywhere.log("no_backups")
    assert line["level"] == "error" and "NO BACKUPS" in line["message"] and "setting" in line["message"]
    time.sleep(1.5)
    assert len(anywhere.replicator.starts()) == 1 and len(children(anywhere.pid)) == 1
    code, seconds = anywhere.stop()
    assert code == 12 and seconds < 0.9


def test_a_replicator_that_cannot_be_run_is_said_so_and_tried_again(container):
    container.start(container.qdrant_program("TERM=0"), REPLICATOR_BIN="/nowhere/replicator")
    wait_for(lambda: len(container.messages("cannot_run")) == 2)
    assert "/nowhere/replicator: No such file or directory" in container.messages("cannot_run")[0]
    assert not container.log("replicator_started") and container.log("qdrant_started")
    assert "with code 127" in container.messages("replicator_ended")[0]
    assert container.stop()[0] == 0


def test_what_a_crashed_replicator_leaves_in_its_group_is_gone_before_the_next_start(anywhere):
    """Else two would run: a script around it dies, and the program that it ran goes on."""
    script = f"{STARTED}; [ $(wc -l < replicator) = 2 ] && exec sleep 100; sleep 3210 & kill -9 $$"
    anywhere.start_both("TERM=0", replicator=script)
    wait_for(lambda: len(anywhere.replicator.starts()) == 2)
    names = [open(f"/proc/{p}/cmdline").read().split("\0") for p in anywhere.left()]
    assert ["sleep", "3210", ""] not in names
    assert anywhere.stop()[0] == 0


def test_its_whole_group_is_told_to_stop_and_killed_with_it(container):
    inner = container.script("inner", " ".join(container.replicator_program()))
    container.start_both("TERM=0", replicator=f"trap '' TERM; {inner} & wait")
    assert container.stop()[0] == 0
    assert container.replicator.signals() == ["TERM"]
    wait_for(lambda: not container.left())


def test_a_qdrant_that_ends_while_a_start_is_due_ends_it_all_at_once(container):
    container.start_both("TERM=0", replicator=f"{STARTED}; exit 1")
    wait_for(lambda: container.messages("replicator_ended"))
    begun = time.monotonic()
    os.kill(container.qdrant.pid(), signal.SIGKILL)
    assert container.end() == 137 and time.monotonic() - begun < 0.9


def test_our_own_replicator_starts_beside_it_and_stops_with_it(anywhere):
    (anywhere.root / "efs").mkdir()
    anywhere.start(anywhere.qdrant_program("TERM=13"), REPLICATOR_BIN=str(BUILD / "qdrant-replicator"),
                   SNAPSHOTS_DIR=str(anywhere.root), LOG_LEVEL="info")
    wait_for(lambda: anywhere.log("started") and anywhere.qdrant.starts())
    assert anywhere.stop()[0] == 13
    assert "the replicator ended with code 0" in anywhere.messages("replicator_ended")


def test_our_own_replicator_with_a_wrong_setting_is_given_up_on(anywhere):
    anywhere.start(anywhere.qdrant_program("TERM=14"), REPLICATOR_BIN=str(BUILD / "qdrant-replicator"),
                   RETENTION="nonsense", LOG_LEVEL="info")
    wait_for(lambda: anywhere.log("no_backups") and anywhere.qdrant.starts())
    assert any("RETENTION" in message for message in anywhere.messages("wrong_setting"))
    assert anywhere.stop()[0] == 14
    assert len(anywhere.log("replicator_started")) == 1
