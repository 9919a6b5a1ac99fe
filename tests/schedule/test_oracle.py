"""A virtual year of 50 schedules in six zones equals cronsim (Debian's rules), but for the named differences.

The named differences: a day of the month and a weekday are joined by "or" also where one of them is `*/n`; seconds
stand last, and a rule with seconds maps its minutes as one without. Two faults of cronsim are named as well: see the
tests at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from nomaflow.schedule.cron import compiled
from nomaflow.schedule.zone import instant, seconds
from tests.schedule.rules import is_star

ZONES = {
    "Australia/Lord_Howe": 2026,
    "Africa/Casablanca": 2026,
    "America/Sao_Paulo": 2018,
    "Europe/Paris": 2026,
    "America/New_York": 2026,
    "Asia/Kolkata": 2026,
}

SCHEDULES = [
    # times of day
    "30 2 * * *",
    "0 2 * * *",
    "0 0 * * *",
    "30 0 * * *",
    "15 1 * * *",
    "45 1 * * *",
    "0 3 * * *",
    "59 23 * * *",
    "0,30 2 * * *",
    "0,20,40 0-3 * * *",
    "30 1,2,3 * * *",
    "10 0-23 * * *",
    "0-59 2 * * *",
    "5/20 1-3 * * *",
    "7,37 9-17/2 * * mon-fri",
    "0 6,18 * * *",
    "0-0 4 * * *",
    # certain days
    "0 2 * * 0",
    "30 2 * * sun",
    "30 0 * * 7",
    "15 14 1 * *",
    "30 2 29 3 *",
    "0 0 L * *",
    "0 0 31 * *",
    "30 2 25-31 3,10 *",
    "0 0 1,15 * *",
    "0 2 */5 * *",
    "30 1 * mar,oct,nov sun",
    "0 0 29 2 *",
    "0 9 * * 1#1",
    "0 2 * * 0#1,0#4",
    "30 2 * * L7",
    "0 0 1 1 *",
    "30 2 1-7 * fri",
    "0 0 13 * 5",
    # spacings
    "* * * * *",
    "*/5 * * * *",
    "*/7 * * * *",
    "0 * * * *",
    "30 * * * *",
    "*/15 2 * * *",
    "*/20 1-3 * * *",
    "*/30 0 * * *",
    "* 1 * * *",
    "30 */2 * * *",
    "0 */3 * * *",
    "15,45 */5 * * 6,0",
    "*/10 8-17 * * mon-fri",
    "0 * 1 * *",
    "*/15 23 L * *",
]

MANY = 3000
"""A schedule with more fires in a year is watched around the changes of the clocks, and on three plain days."""


def cronsim_fires(cron: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    """What cronsim says; it wants the hash-less `L` behind the weekday."""
    text = " ".join(f"{part[1:]}L" if part[0] == "L" and len(part) == 2 else part for part in cron.split(" "))
    fires = (fire.astimezone(UTC) for fire in CronSim(text, after.astimezone(ZoneInfo(zone))))
    return [fire for fire in takewhile(lambda fire: fire <= until, fires) if fire > after]


def watched(cron: str, zone: str, year: int) -> Iterator[tuple[datetime, datetime]]:
    """The whole year, or those parts of it in which something may go wrong."""
    begins, ends = (datetime(year, month, day, 12, tzinfo=UTC) for month, day in ((1, 1), (12, 31)))
    rule = compiled(cron, zone)
    if rule.count(begins, ends) <= MANY:
        yield begins, ends
        return
    yield begins, begins + timedelta(days=3)
    for stretch in rule.zone.changes(seconds(begins), seconds(ends)):
        change = instant(stretch.begins)
        yield change - timedelta(hours=27), change + timedelta(hours=27)


def is_missed_half_hour(cron: str, zone: str, fire: datetime) -> bool:
    """Fault 1 of cronsim: where clocks are set by half an hour, it goes on by whole hours and misses half ones."""
    if zone != "Australia/Lord_Howe" or not is_star(cron):
        return False
    moment = seconds(fire)
    since_change = [
        moment - stretch.begins for stretch in compiled(cron, zone).zone.changes(moment - 129_600, moment + 1)
    ]
    if not since_change:
        return False
    hour_is_star = cron.split(" ")[1] == "*"
    return since_change[0] < 1800 or (not hour_is_star and fire.astimezone(ZoneInfo(zone)).minute < 30)


def is_imaginary_midnight(cron: str, zone: str, fire: datetime) -> bool:
    """Fault 2 of cronsim: where midnight is skipped, it takes it for a time that the wall shows."""
    moment = seconds(fire)
    changes = compiled(cron, zone).zone.changes(moment, moment + 1)
    return zone == "America/Sao_Paulo" and is_star(cron) and bool(changes)


@pytest.mark.parametrize("zone", ZONES)
def test_a_year_equals_cronsim(zone: str) -> None:
    """Slot by slot, a virtual year of 50 schedules is as cronsim says, but for its two named faults."""
    assert len(set(SCHEDULES)) == 50
    compared = 0
    for cron in SCHEDULES:
        for after, until in watched(cron, zone, ZONES[zone]):
            ours = set(compiled(cron, zone).fires(after, until))
            theirs = set(cronsim_fires(cron, zone, after, until))
            missed = {fire for fire in ours - theirs if not is_missed_half_hour(cron, zone, fire)}
            added = {fire for fire in theirs - ours if not is_imaginary_midnight(cron, zone, fire)}
            assert (cron, missed, added) == (cron, set(), set())
            compared += len(theirs)
    assert compared > 10_000


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/15 2 * * *", "30 */2 * * *"])
@pytest.mark.parametrize("zone", ZONES)
def test_seconds_stand_last_and_follow_their_minute(zone: str, cron: str) -> None:
    """With seconds, a rule fires in the minutes that cronsim names for the rule without them."""
    for after, until in watched("* * * * *", zone, ZONES[zone]):
        minutes = cronsim_fires(cron, zone, after, until)
        expected = [minute + timedelta(seconds=second) for minute in minutes for second in (10, 40)]
        fires = list(compiled(f"{cron} 10,40", zone).fires(after, until + timedelta(seconds=59)))
        missed = [fire for fire in fires if fire not in expected]
        assert all(is_missed_half_hour(cron, zone, fire) for fire in missed)
        assert [fire for fire in fires if fire not in missed] == expected


def test_seconds_first_would_be_another_rule() -> None:
    """Named difference: the sixth field is the last here and the first in cronsim."""
    after = datetime(2026, 5, 17, tzinfo=UTC)
    until = after + timedelta(hours=1)
    ours = list(compiled("30 0 * * * 15", "UTC").fires(after, until))
    assert ours == [after + timedelta(minutes=30, seconds=15)]
    assert cronsim_fires("15 30 0 * * *", "UTC", after, until) == ours


@pytest.mark.parametrize(
    ("cron", "parts"),
    [("0 0 */2 * 1", ["0 0 */2 * *", "0 0 * * 1"]), ("0 0 1 * */2", ["0 0 1 * *", "0 0 * * */2"])],
)
def test_two_day_fields_are_either(cron: str, parts: list[str]) -> None:
    """Named difference: a day of the month and a weekday are joined by "or" also where one is `*/n`; by "and" there."""
    after, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    ours = set(compiled(cron, "UTC").fires(after, until))
    each = [set(cronsim_fires(part, "UTC", after, until)) for part in parts]
    assert ours == each[0] | each[1]
    assert set(cronsim_fires(cron, "UTC", after, until)) == each[0] & each[1]


def test_cronsim_misses_half_an_hour() -> None:
    """Fault 1: on Lord Howe's days of change cronsim leaves out times that the wall shows, 03:00 and 03:15."""
    zone = "Australia/Lord_Howe"
    after, until = (datetime(2026, 10, 4, hour, 59, tzinfo=ZoneInfo(zone)).astimezone(UTC) for hour in (2, 3))
    ours = list(compiled("*/15 3 * * *", zone).fires(after, until))
    assert [f"{fire.astimezone(ZoneInfo(zone)):%H:%M}" for fire in ours] == ["03:00", "03:15", "03:30", "03:45"]
    assert cronsim_fires("*/15 3 * * *", zone, after - timedelta(days=1), until)[-2:] == ours[2:]


def test_cronsim_fires_at_an_imaginary_midnight() -> None:
    """Fault 2: on 4 November 2018 São Paulo had no hour 0, and cronsim fires in it."""
    zone = "America/Sao_Paulo"
    after, until = datetime(2018, 11, 3, 12, tzinfo=UTC), datetime(2018, 11, 4, 12, tzinfo=UTC)
    assert list(compiled("*/15 0 4 11 *", zone).fires(after, until)) == []
    assert cronsim_fires("*/15 0 4 11 *", zone, after, until) == [datetime(2018, 11, 4, 3, tzinfo=UTC)]
