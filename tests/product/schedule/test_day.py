"""A day of slots on a clock of its own, for Qdrant and the replicator alike: every slot is served once, and every snapshot
lands in the tier that an independent model says, across missed slots, steps of the clock, restarts and deaths."""
import collections
import datetime
import os
import signal
import time

import pytest
from harness import wait_for
from scheduling import attach, fill, made, slots, tiers_on_efs
from server import REAL, Server
from tier_model import Model, slot_of
from wall_clock import COMPILER, UTC, WallClock

pytestmark = [
    pytest.mark.skipif(not COMPILER, reason="needs a C compiler"),
    pytest.mark.skipif(bool(os.environ.get("SANITIZED")), reason="sanitizers must come before any other preloaded library")]

MINUTE, HOUR = datetime.timedelta(minutes=1), datetime.timedelta(hours=1)
QUARTER = 15 * MINUTE
NOTICED = 3.5  # seconds in which a step is noticed (2 by design), the snapshot made, and both seen


def at(day, hour, minute=0):
    """On the last of May or the first of June of a year that is over: file times are real, and no slot may lie ahead of them."""
    return datetime.datetime(2026, 5 if day == 31 else 6, day, hour, minute, tzinfo=UTC)


START, END = at(31, 7, 45), at(1, 8, 30)  # 08:00 of a day, and 08:00 of a first of a month


def taken(snapshot):
    """The time in its name."""
    return datetime.datetime.strptime(snapshot[-19:], "%Y-%m-%d-%H-%M-%S").replace(tzinfo=UTC)


class Node:
    """Qdrant and the replicator, with their clock, and the slots that were served so far."""

    def __init__(self, tree, root, names=("c",)):
        self.tree, self.names, self.clock = tree, names, WallClock(root / "clock", START)
        self.server = Server("real" if REAL else "standin", root / "server", env=self.clock.environment)
        attach(tree, self.server)
        tree.env |= {"SNAPSHOT_INTERVAL": "15m", "RETENTION": "15min=400,hourly=400,daily=400,monthly=400",
                     "LOCAL_KEEP": "3", "COMPRESSION_THREADS": "0"} | self.clock.environment
        self.process, self.served, self.slowest = None, [], 0.0

    def __enter__(self):
        self.server.start()
        fill(self.server, *self.names)
        (self.tree.root / "log").touch()
        return self

    def __exit__(self, *_):
        self.tree.stop()
        self.server.stop()

    def start(self):
        started = len(self.tree.logged("started"))
        self.process = self.tree.start()
        wait_for(lambda: len(self.tree.logged("started")) > started)

    def end(self, number):
        self.process.send_signal(number)
        assert self.process.wait(20) == (0 if number == signal.SIGTERM else -number)

    def runs(self):
        return len(slots(self.tree))

    def serves(self, change):
        """After the change the slot of the clock's time is served, and soon."""
        before, begin = self.runs(), time.monotonic()
        change()
        slot = slot_of(self.clock.now())
        wait_for(lambda: self.runs() > before, 15)
        self.slowest = max(self.slowest, time.monotonic() - begin)
        run = self.tree.logged("run_finished")[-1]
        assert slots(self.tree)[-1] == slot.timestamp() and run["made"] == len(self.names), (slot, run)
        self.served.append(slot)

    def step_to(self, when):
        self.serves(lambda: self.clock.set(when))

    def rests(self):
        """Nothing is made for a while."""
        before = self.runs(), len(made(self.tree))
        time.sleep(4)
        assert (self.runs(), len(made(self.tree))) == before

    def published(self):
        wait_for(lambda: len(self.tree.complete()) >= len(self.served) * len(self.names), 30)

    def arrived(self, name):
        """{time taken: tier} of a collection's backups, in the order in which they came to EFS."""
        tiers = tiers_on_efs(self.tree, name)
        when = {s: next(self.tree.base.rglob(f"{name}/{s}.json")).stat().st_mtime_ns for s in tiers}
        return {taken(s): tiers[s] for s in sorted(tiers, key=when.get)}

    def check(self):
        """There is one backup of each slot that was served, in the tier of the model."""
        self.published()
        for name in self.names:
            arrived, model = self.arrived(name), Model()
            assert collections.Counter(map(slot_of, arrived)) == collections.Counter(self.served)
            assert arrived == {when: model.tier(when) for when in arrived}
        # What a stop left, the next start has published: that all have arrived was looked at above.
        assert not [line for line in self.tree.log() if line["level"] == "error" and line["event"] != "left_unpublished"]
        return collections.Counter(arrived.values())


# What happens in the day. Each is called when the clock is about to be set to `when`, which its slot begins with; true
# when it has that slot served itself.

def term_and_back_in_the_same_slot(node, when):
    node.end(signal.SIGTERM)
    node.start()
    node.rests()


def killed_after_a_run_and_back_in_the_next_slot(node, when):
    node.end(signal.SIGKILL)
    node.serves(lambda: (node.clock.set(when + MINUTE), node.start()))
    return True


def away_while_a_slot_begins(node, when):
    node.end(signal.SIGTERM)
    node.clock.set(when + 2 * MINUTE)
    time.sleep(1)
    node.serves(node.start)
    return True


def killed_in_the_middle_of_a_run(node, when):
    before = len(made(node.tree))
    node.clock.set(when + MINUTE)
    wait_for(lambda: len(made(node.tree)) > before, 15)
    node.end(signal.SIGKILL)
    node.start()
    wait_for(lambda: all(slot_of(when) in {slot_of(taken(s)) for s in tiers_on_efs(node.tree, c)} for c in node.names))
    node.served.append(slot_of(when))
    return True


def a_small_step_back(node, when):
    node.clock.set(when - 20 * MINUTE)
    node.rests()


def a_large_step_back(node, when):
    """Not the slot that it leads to, but those after it are served again: time passes, and what is stored changes. There is
    no second hourly backup for it."""
    node.published()
    node.clock.set(when - 3 * HOUR + 5 * MINUTE)
    node.rests()
    node.step_to(when - 3 * HOUR + 65 * MINUTE)
    node.published()


def hours_ahead_and_back(node, when):
    """The slot there is served; those between are still to come, and that one is not served a second time."""
    node.step_to(when + 4 * HOUR + 20 * MINUTE)
    node.published()


INCIDENTS = {at(31, 10): term_and_back_in_the_same_slot, at(31, 11): killed_after_a_run_and_back_in_the_next_slot,
             at(31, 14, 30): away_while_a_slot_begins, at(31, 16): a_small_step_back, at(31, 18): a_large_step_back,
             at(31, 20): hours_ahead_and_back, at(1, 2): killed_in_the_middle_of_a_run,
             at(1, 5, 30): killed_after_a_run_and_back_in_the_next_slot}
MISSED = {at(31, 8), at(31, 12), at(31, 12, 15), *(at(31, 22) + n * QUARTER for n in range(6))}
SERVED_AHEAD = at(1, 0, 15)


def test_a_day_with_missed_slots_steps_restarts_and_deaths(tree, tmp_path):
    with Node(tree, tmp_path, ("docs", "users")) as node:
        node.serves(node.start)
        when = START
        while when < END:
            when += QUARTER
            if when in MISSED or when == SERVED_AHEAD:
                continue
            if when not in INCIDENTS or not INCIDENTS[when](node, when):
                node.step_to(when + datetime.timedelta(seconds=7 * len(node.served) % 600))
        counts = node.check()
    assert len(node.served) == 100 - len(MISSED) + 1
    # May's first and June's 08:00; 31 May's 08:00, which was missed, at 08:15; and of each of the other 22 hours one: 22:00
    # was missed, 23:00 came at 23:30, 12:00 at 12:30, and 00:00 after 00:15.
    assert counts["monthly"] == 2 and counts["daily"] == 1
    assert counts["hourly"] == len({(slot.day, slot.hour) for slot in node.served}) - 3
    told = sum(int(line["message"].split()[0]) for line in tree.logged("slots_missed"))
    assert told >= len(MISSED)
    print(f"{len(node.served)} slots, the slowest after {node.slowest:.1f} s")
    assert node.slowest < 10


@pytest.mark.parametrize("minutes", [15, 100, 40 * 24 * 60])
def test_a_step_of_the_clock_is_noticed_within_two_seconds(tree, tmp_path, minutes):
    with Node(tree, tmp_path) as node:
        node.serves(node.start)
        seconds = []
        for _ in range(3):
            begin = time.monotonic()
            node.step_to(node.clock.now() + minutes * MINUTE)
            seconds.append(time.monotonic() - begin)
        assert min(seconds) < NOTICED, "at least once; on a busy machine the rest takes its time"


def test_a_step_during_a_run_that_goes_on_and_on_ends_it(tree, tmp_path):
    """A collection that fails is tried again until its slot is over, by the wall clock, however that got there."""
    with Node(tree, tmp_path, ("a", "b")) as node:
        (node.server.snapshots / "b").write_text("not a folder")
        node.start()
        wait_for(lambda: tree.logged("snapshot_failed"))
        node.clock.set(START + QUARTER + MINUTE)
        wait_for(lambda: made(tree).count("a") == 2, 2 * NOTICED)
        assert tree.logged("slot_overrun") and tree.logged("run_finished")[0]["failed"] == 1


def test_a_clock_that_was_far_ahead_keeps_nothing_from_being_made_after_its_step_back(tree, tmp_path):
    with Node(tree, tmp_path) as node:
        node.serves(node.start)
        node.step_to(START + datetime.timedelta(days=30))
        for n in range(1, 4):
            node.step_to(START + n * QUARTER)
        node.published()
        node.end(signal.SIGTERM)
        node.serves(lambda: (node.clock.set(START + 4 * QUARTER), node.start()))
        node.published()


def test_a_step_back_while_it_stops_does_not_keep_it_from_ending(tree, tmp_path):
    with Node(tree, tmp_path) as node:
        node.serves(node.start)
        node.process.send_signal(signal.SIGTERM)
        node.clock.set(START - 2 * HOUR)
        assert node.process.wait(5) == 0
