"""The model that a day is compared with says what it should, and the program agrees with it on a year of slots."""
import datetime
import random

from harness import tar_of
from scheduling import tiers_on_efs
from tier_model import Model

T = datetime.datetime


def tiers(*times):
    model = Model()
    return [model.tier(t) for t in times]


def test_on_the_clock_it_is_the_articles_rule():
    before = T(2026, 4, 30, 7, 45)
    assert tiers(before, T(2026, 4, 30, 8), T(2026, 4, 30, 8, 15), T(2026, 4, 30, 9), T(2026, 5, 1, 7, 45), T(2026, 5, 1, 8), T(2026, 5, 1, 8, 15),
                 T(2026, 5, 1, 9), T(2026, 5, 2, 8)) == ["monthly", "daily", "15min", "hourly", "hourly", "monthly", "15min", "hourly", "daily"]


def test_what_was_missed_is_caught_up_and_none_comes_twice():
    assert tiers(T(2026, 5, 1, 8), T(2026, 5, 2, 9, 31), T(2026, 5, 2, 8, 45), T(2026, 5, 2, 8, 30), T(2026, 6, 3, 12, 20), T(2026, 6, 3, 12, 0)) == [
        "monthly", "daily", "hourly", "15min", "monthly", "15min"]


def test_the_program_agrees_on_two_hundred_snapshots_of_a_year(tree):
    """In the order of their names, which is that of their times: one run publishes them so."""
    chance = random.Random(20260601)
    start, times = T(2025, 7, 1), set()
    while len(times) < 200:
        anchor = start + datetime.timedelta(days=chance.randrange(0, 360, 20), hours=chance.choice([7, 8, 9, 23]))
        times.add(anchor + datetime.timedelta(minutes=chance.randrange(0, 90), seconds=chance.randrange(60)))
    model, expected = Model(), {}
    for when in sorted(times):
        name = f"c-1-{when:%Y-%m-%d-%H-%M-%S}"
        tree.snapshot("c", name, tar_of(name))
        expected[name] = model.tier(when)
    assert tree.once(RETENTION="15min=9999,hourly=9999,daily=9999,monthly=9999").returncode == 0
    assert tiers_on_efs(tree) == expected and set(expected.values()) == {"15min", "hourly", "daily", "monthly"}
