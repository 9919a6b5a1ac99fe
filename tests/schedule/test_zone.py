"""A zone's stretches tell what its clocks show."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.schedule.zone import DAY, WIDEST_OFFSET, Zone, instant, seconds, zone
from tests.schedule.rules import CHANGES

NAMES = sorted({name for name, _ in CHANGES} | {"UTC", "America/Boa_Vista", "Asia/Gaza", "America/St_Johns"})
FROM, TO = (seconds(datetime(year, 1, 1, tzinfo=UTC)) for year in (1930, 2080))


@given(st.sampled_from(NAMES), st.integers(FROM, TO))
def test_the_offset_is_that_of_the_zone(name: str, second: int) -> None:
    """At any second the stretch that holds it has the offset that the time zone database names."""
    stretch = zone(name).stretch(second)
    offset = instant(second).astimezone(zoneinfo.ZoneInfo(name)).utcoffset()
    assert offset is not None
    assert stretch.begins <= second < stretch.ends
    assert stretch.offset == offset.total_seconds()


@pytest.mark.parametrize("name", NAMES)
def test_stretches_follow_one_another(name: str) -> None:
    """Each second is in one stretch, and what the wall showed before a stretch is where the one before it ended."""
    before = zone(name).stretch(seconds(datetime(1990, 1, 1, tzinfo=UTC)))
    while before.ends < TO:
        after = zone(name).stretch(before.ends)
        if after.offset == before.offset:  # the look-up of some years ended, not the stretch
            assert after.shown == after.first_wall or after.begins == before.begins
        else:
            assert after.begins == before.ends
            assert after.shown == before.end_wall
        before = after


@pytest.mark.parametrize(("name", "change"), [row for row in CHANGES if row[0] != "Asia/Kolkata"])
def test_a_change_is_found_to_the_second(name: str, change: datetime) -> None:
    """The stretch after a change begins with its first second."""
    found = Zone(name).changes(seconds(change) - 5 * DAY, seconds(change) + 5 * DAY)
    assert [instant(stretch.begins) for stretch in found] == [change]
    assert zone(name).changes(seconds(change), seconds(change) + 1)
    assert not zone(name).changes(seconds(change) - DAY, seconds(change))


@pytest.mark.parametrize(
    ("name", "year"),
    [
        ("America/Boa_Vista", 2000),
        ("America/Noronha", 2000),
        ("Asia/Gaza", 2040),
        ("Asia/Gaza", 2054),
        ("Asia/Gaza", 2072),
    ],
)
def test_two_changes_within_a_week_are_two(name: str, year: int) -> None:
    """Some summers, and pauses of summers, last 167 hours, the shortest there are."""
    ends = [seconds(datetime(year + more, 1, 1, tzinfo=UTC)) for more in (0, 1)]
    changes = [stretch.begins for stretch in zone(name).changes(*ends)]
    assert 167 * 3600 in [after - before for before, after in pairwise(changes)]


@pytest.mark.limit(60)
def test_no_zone_is_further_from_utc() -> None:
    """No offset is wider than the widest, and no two changes come within five days: the search relies on both."""
    year = [seconds(datetime(year, 1, 1, tzinfo=UTC)) for year in (2026, 2028)]
    for name in zoneinfo.available_timezones():
        changes = zone(name).changes(*year)
        assert all(abs(stretch.offset) <= WIDEST_OFFSET for stretch in changes)
        assert all(after.begins - before.begins > 5 * DAY for before, after in pairwise(changes))


@given(st.sampled_from(NAMES), st.integers(FROM // DAY, TO // DAY))
def test_a_day_begins_when_the_wall_says_so(name: str, day: int) -> None:
    """A day begins with the first second at which the wall has reached its midnight."""
    begins = zone(name).day_begins(day)
    walls = [second + zone(name).stretch(second).offset for second in (begins - 1, begins)]
    assert walls[0] < day * DAY <= walls[1]


def test_a_year_out_of_the_calendar_is_like_its_neighbour() -> None:
    """Python's calendar ends; what is asked beyond does not raise."""
    for second in (seconds(datetime(1, 1, 3, tzinfo=UTC)), seconds(datetime(9999, 12, 30, tzinfo=UTC))):
        assert zone("Europe/Paris").stretch(second).offset in (561, 3600)
