"""Whom the alarms page, and when: the templates' own alarms under CloudWatch's rules, which act on changes of state alone."""
import copy

import pytest
from alarm_model import Alarm
from templates import PRIMARY, SECOND, Template

MINUTE, HOUR, DAY = 60, 3600, 86400
RPO = 1800
BOTH = pytest.mark.parametrize("path", [PRIMARY, SECOND], ids=lambda p: p.stem)


def alarm(path, name, born=0, **changed):
    properties = copy.deepcopy(Template(path).body["Resources"][name]["Properties"]) | changed
    return Alarm(properties, RPO if name == "BackupTooOld" else None, born)


def every(seconds, value, since, until):
    return {at: [value] for at in range(since, until, seconds)}


def at_failover(path, name):
    """(the alarm, its template's resource) of a node that is started at 10 hours and never comes up."""
    condition = Template(path).body["Resources"][name]["Condition"]
    assert condition.startswith("Active"), "it stood in the account while the node was off"
    return alarm(path, name, born=10 * HOUR).run({}, 11 * HOUR)


@pytest.mark.parametrize("name", ["BackupTooOld", "ReplicatorUnhealthy", "NodeMissing"])
def test_a_node_of_the_second_region_that_does_not_come_up_pages(name):
    assert at_failover(SECOND, name).pages() == [600]  # in the minute of its birth: the silence before it counts


@pytest.mark.parametrize("name", ["BackupTooOld", "ReplicatorUnhealthy", "NodeMissing"])
def test_an_alarm_that_was_there_all_along_would_not_have_paged(name):
    """What the conditions are for: ActionsEnabled does not bring back the change of state that it suppressed."""
    a = alarm(SECOND, name, ActionsEnabled=False).run({}, 10 * HOUR)
    a.enabled = True
    assert a.state == "ALARM" and a.run({}, 20 * HOUR, since=10 * HOUR).pages() == []


@BOTH
def test_a_node_that_comes_up_and_goes_silent_pages_again(path):
    a = alarm(path, "ReplicatorUnhealthy").run(every(60, 0, 10 * MINUTE, 2 * HOUR), 3 * HOUR)
    assert [state for _, state in a.actions][-2:] == ["OK", "ALARM"] and 120 <= a.pages()[-1] <= 140


@BOTH
@pytest.mark.parametrize("name", ["BackupTooOld", "ReplicatorUnhealthy"])
def test_a_deployment_that_takes_nine_minutes_pages_nobody(path, name):
    for start in range(2 * HOUR, 2 * HOUR + 5 * MINUTE, MINUTE):
        samples = every(60, 0, 0, start) | every(60, 0, start + 9 * MINUTE, 4 * HOUR)
        assert alarm(path, name, born=HOUR).run(samples, 4 * HOUR).pages() == []


@BOTH
def test_a_backup_that_gets_too_old_pages_within_a_quarter_of_an_hour_and_says_when_it_is_over(path):
    samples = {at: [max(0, at - 2 * HOUR) if at < 4 * HOUR else 10] for at in range(0, 6 * HOUR, 60)}
    a = alarm(path, "BackupTooOld", born=HOUR).run(samples, 6 * HOUR)
    (page,) = a.pages()
    assert (2 * HOUR + RPO) // 60 < page <= (2 * HOUR + RPO) // 60 + 15 and a.actions[-1][1] == "OK" and a.state == "OK"


@BOTH
def test_a_failed_drill_is_an_alarm_until_a_drill_is_good(path):
    samples = {DAY: [0], 2 * DAY: [1], 4 * DAY: [0]}
    a = alarm(path, "DrillFailed").run(samples, 5 * DAY)
    assert [state for _, state in a.actions] == ["OK", "ALARM", "OK"]
    assert a.actions[2][0] - a.actions[1][0] == 2 * DAY // 60


@BOTH
def test_drills_that_are_no_longer_made_page(path):
    a = alarm(path, "DrillOverdue", born=4 * DAY).run(every(DAY, 0, 0, 5 * DAY), 9 * DAY)
    assert len(a.pages()) == 1 and a.pages()[0] <= 7 * DAY // 60


@BOTH
def test_what_s3_refuses_once_a_day_pages_once_and_what_passes_by_itself_does_not(path):
    daily = alarm(path, "S3Failed").run({5 * HOUR + 30: [1], 29 * HOUR: [1], 53 * HOUR: [1], 77 * HOUR: [1]}, 90 * HOUR)
    assert len(daily.pages()) == 1 and daily.pages()[0] <= 30 * 60 and daily.actions[-1][1] == "ALARM" and daily.state == "ALARM"
    assert alarm(path, "S3Failed").run({5 * HOUR: [3]}, 90 * HOUR).pages() == []


@BOTH
def test_a_failed_snapshot_pages_at_each_new_failure(path):
    a = alarm(path, "SnapshotFailed").run({2 * HOUR: [1], 5 * HOUR: [2]}, 8 * HOUR)
    assert len(a.pages()) == 2
