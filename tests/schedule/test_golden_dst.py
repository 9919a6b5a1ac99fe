"""Every part of the schedule agrees with the golden table on the days when clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from nomaflow.schedule.calendar import due
from nomaflow.schedule.cron import Cron, compiled
from tests.schedule.golden_dst import GOLDEN, Golden

SECOND = timedelta(seconds=1)


def around(golden: Golden) -> tuple[Cron, datetime, datetime]:
    """The rule, and the ends of the local days that the row is about."""
    zone = ZoneInfo(golden.zone)
    midnight = datetime.fromisoformat(golden.day)
    ends = [(midnight + timedelta(days=days)).replace(tzinfo=zone).astimezone(UTC) for days in (0, golden.days)]
    return compiled(golden.cron, golden.zone), ends[0] - SECOND, ends[1] - SECOND


def shown(cron: Cron, fire: datetime) -> str:
    local = fire.astimezone(cron.zone.info)
    return local.strftime("%H:%M:%S %z" if len(cron.text.split()) == 6 else "%H:%M %z")


pytestmark = pytest.mark.parametrize("golden", GOLDEN, ids=lambda row: f"{row.cron} {row.zone} {row.day}")


def test_it_fires_as_the_table_says(golden: Golden) -> None:
    """Fires, count, the newest and the next agree with the table, forward and backward."""
    cron, after, until = around(golden)
    fires = list(cron.fires(after, until))
    assert [shown(cron, fire) for fire in fires] == golden.fires
    assert cron.count(after, until) == len(fires)
    assert cron.newest(len(fires) + 1, after, until) == fires
    for fire, following in pairwise([after, *fires]):
        assert cron.next(fire) == following
        assert following in cron
    for fire in fires[:50]:
        assert list(cron.fires(fire, until)) == [later for later in fires if later > fire]


def test_what_is_odd_is_said(golden: Golden) -> None:
    """A moved or repeated fire says so, and no other says anything."""
    cron, after, until = around(golden)
    notes = {shown(cron, fire): note for fire in cron.fires(after, until) if (note := cron.note(fire))}
    assert notes == golden.notes


def test_the_calendar_shows_it(golden: Golden) -> None:
    """The calendar has the same fires with the same notes."""
    cron, after, until = around(golden)
    slots = list(due(cron, after, until, dense=10_000))
    assert [(slot.scheduled_at, slot.note) for slot in slots] == [
        (fire, cron.note(fire)) for fire in cron.fires(after, until)
    ]


def test_the_change_is_told_in_a_sentence(golden: Golden) -> None:
    """A change that bears on the rule has a sentence, one that does not has none."""
    cron, after, until = around(golden)
    told = list(cron.clock_changes(after, until))
    if golden.notes and not golden.told:
        assert len(told) == 1
    else:
        assert told == ([golden.told] if golden.told else [])
