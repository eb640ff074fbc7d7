"""When ECS takes a node's disk away: the templates' restart policy and health check under ECS's rules."""
import copy
import functools

import pytest
from ecs_model import REPLACED, RESTARTED, Ecs
from rules import container, value_of
from templates import PRIMARY, SECOND, Template

MINUTE, HOUR = 60, 3600
BOTH = pytest.mark.parametrize("path", [PRIMARY, SECOND], ids=lambda p: p.stem)


@functools.cache
def template(path):
    return Template(path)


def ecs(path, **changed):
    c = copy.deepcopy(container(template(path)))
    for name, values in changed.items():
        c[name] = c[name] | values
    return Ecs(c)


def budget(path):
    """The health check is over by then, whatever it asks."""
    return int(value_of(template(path), "HEALTH_TIMEOUT_SECONDS"))


@BOTH
def test_a_crash_after_a_minute_keeps_the_disk_each_time_and_one_before_does_not(path):
    e = ecs(path)
    assert [e.ends(at, 137) for at in (61, 121, 200, 5000)] == [RESTARTED] * 4
    assert e.ends(5059, 137) == REPLACED and ecs(path).ends(59, 1) == REPLACED


@BOTH
def test_with_the_default_period_a_qdrant_that_dies_in_its_fifth_minute_would_lose_its_disk(path):
    assert ecs(path, RestartPolicy={"RestartAttemptPeriod": 300}).ends(299, 137) == REPLACED
    assert ecs(path).ends(299, 137) == RESTARTED


@BOTH
def test_a_wrong_setting_is_not_tried_again_in_place(path):
    assert ecs(path).ends(HOUR, 64) == REPLACED


@BOTH
@pytest.mark.parametrize("minutes", [1.5, 5, 9])
def test_minutes_of_busy_cpus_kill_nobody(path, minutes):
    def answers(now):
        busy = HOUR <= now < HOUR + minutes * MINUTE
        return (budget(path), False) if busy else (0.01, True)
    assert ecs(path).killed(answers, 2 * HOUR) is None


def test_the_check_of_before_would_have_killed_after_ninety_seconds():
    def answers(now):
        return (0.8, False) if HOUR <= now < HOUR + 90 else (0.01, True)
    assert ecs(PRIMARY, HealthCheck={"Interval": 30, "Timeout": 5, "Retries": 3}).killed(answers, 2 * HOUR) is not None
    assert ecs(PRIMARY).killed(answers, 2 * HOUR) is None


@BOTH
def test_a_check_that_takes_all_its_time_and_is_good_is_good(path):
    assert ecs(path).killed(lambda now: (budget(path), True), 2 * HOUR) is None
    assert ecs(path, HealthCheck={"Timeout": 5}).killed(lambda now: (budget(path), True), 2 * HOUR) is not None


@BOTH
def test_a_qdrant_that_hangs_for_good_is_replaced_after_ten_minutes_and_before_fifteen(path):
    at = ecs(path).killed(lambda now: (budget(path), False) if now >= HOUR else (0.01, True), 2 * HOUR)
    assert 10 * MINUTE <= at - HOUR <= 15 * MINUTE


@BOTH
def test_a_node_that_is_silent_from_the_start_has_less_than_a_quarter_of_an_hour(path):
    """Which is why the checks themselves must be good while a restore waits: HEALTH_START_SECONDS."""
    at = ecs(path).killed(lambda now: (0.01, False), 2 * HOUR)
    assert 13 * MINUTE <= at <= 15 * MINUTE


@BOTH
def test_a_load_balancers_grace_covers_a_restore_that_is_not_healthy_yet(path):
    t = template(path)
    grace = t["Parameters"][t.service["HealthCheckGracePeriodSeconds"]["Fn::If"][1]["Ref"]]["Default"]
    e = Ecs(container(t), grace)
    assert e.killed(lambda now: (0.01, now > 50 * MINUTE), 2 * HOUR) is None
    assert Ecs(container(t)).killed(lambda now: (0.01, now > 50 * MINUTE), 2 * HOUR) is not None
