"""Times as people type and read them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from nomaflow.cli.times import heading, moment, wall
from nomaflow.errors import InvalidError

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
"""Half past midnight in Paris; the clocks go forward in the night."""


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("06:00", "2026-03-29T06:00+02:00"),
        ("0:15", "2026-03-30T00:15+02:00"),
        ("00:30", "2026-03-30T00:30+02:00"),
        ("23:59:30", "2026-03-29T23:59:30+02:00"),
        ("today", "2026-03-29T00:00+01:00"),
        ("Tomorrow 06:00", "2026-03-30T06:00+02:00"),
        ("yesterday  6:00", "2026-03-28T06:00+01:00"),
        ("2026-12-24", "2026-12-24T00:00+01:00"),
        ("2026-12-24 18:00", "2026-12-24T18:00+01:00"),
        ("2026-12-24T18:00", "2026-12-24T18:00+01:00"),
        ("2026-12-24T18:00:00Z", "2026-12-24T18:00+00:00"),
        ("2026-12-24 18:00+05:30", "2026-12-24T18:00+05:30"),
        ("2h", "2026-03-29T01:30+00:00"),
        ("1h30m", "2026-03-29T01:00+00:00"),
        ("3d", "2026-03-31T23:30+00:00"),
    ],
)
def test_a_time_is_read_on_the_clock_of_its_zone(text: str, meant: str) -> None:
    """A time of day is the next one, a day its beginning, a length counts from now."""
    assert moment(text, NOW, PARIS, option="--until") == datetime.fromisoformat(meant)


def test_a_length_of_minutes_is_read_to_the_minute() -> None:
    """No sooner than it says, and since no later."""
    now = NOW.replace(second=20)
    assert moment("2h", now, PARIS, option="--until") == NOW + timedelta(hours=2, minutes=1)
    assert moment("2h", now, PARIS, option="--since", ahead=False) == NOW - timedelta(hours=2)
    assert moment("30s", now, PARIS, option="--until") == NOW + timedelta(seconds=50)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("06:00", "2026-03-28T06:00+01:00"),
        ("00:30", "2026-03-29T00:30+01:00"),
        ("2h", "2026-03-28T21:30+00:00"),
        ("yesterday", "2026-03-28T00:00+01:00"),
    ],
)
def test_a_time_that_is_past_is_the_last_one(text: str, meant: str) -> None:
    """Since when means before now."""
    assert moment(text, NOW, PARIS, option="--since", ahead=False) == datetime.fromisoformat(meant)


@pytest.mark.parametrize(
    ("text", "meant"), [("today", "2026-03-30T00:00+02:00"), ("today 06:00", "2026-03-29T06:00+02:00")]
)
def test_a_day_may_be_meant_with_all_of_it(text: str, meant: str) -> None:
    """`--until today` has today's fires in it."""
    assert moment(text, NOW, PARIS, option="--until", ends_day=True) == datetime.fromisoformat(meant)


@pytest.mark.parametrize(
    "text", ["", " ", "soon", "24:00", "6", "2026-02-30", "2026-13-01 06:00", "9999-12-31", "today-06:00", "-2h", "2"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """With the forms that there are."""
    with pytest.raises(InvalidError, match="--at must be a time such as 06:00, today, tomorrow 06:00, 2026-01-31"):
        moment(text, NOW, PARIS, option="--at")


@pytest.mark.parametrize(
    ("meant", "text"),
    [
        ("2026-03-29T03:00+02:00", "03:00"),
        ("2026-03-29T03:00:30+02:00", "03:00:30"),
        ("2026-03-30T03:00+02:00", "tomorrow 03:00"),
        ("2026-03-28T23:00+01:00", "yesterday 23:00"),
        ("2026-04-04T03:00+02:00", "Sat 03:00"),
        ("2026-04-05T03:00+02:00", "5 Apr 03:00"),
        ("2026-03-27T03:00+01:00", "27 Mar 03:00"),
        ("2027-01-01T03:00+01:00", "1 Jan 2027 03:00"),
    ],
)
def test_a_time_is_as_short_as_it_is_plain(meant: str, text: str) -> None:
    """The day is named by its distance; the zone only where this machine's clocks show another time."""
    instant = datetime.fromisoformat(meant)
    named = f" {instant.astimezone(PARIS):%Z}" if instant.astimezone().utcoffset() != instant.utcoffset() else ""
    assert wall(instant, NOW, PARIS) == text + named


def test_a_time_of_another_zone_names_it() -> None:
    """Nobody takes it for the time on their own wall."""
    instant = datetime(2026, 7, 1, 12, tzinfo=UTC)
    here = instant.astimezone().utcoffset()
    away = ZoneInfo("Asia/Tokyo" if here != timedelta(hours=9) else "Europe/Paris")
    assert wall(instant, NOW, away).endswith(f" {instant.astimezone(away):%Z}")


def test_a_day_has_a_heading() -> None:
    """With its distance where it is next to today, and its year where that is another one."""
    today = date(2026, 12, 31)
    assert [heading(today + timedelta(days=days), today) for days in (-1, 0, 1, -2)] == [
        "Yesterday, Wed 30 Dec",
        "Today, Thu 31 Dec",
        "Tomorrow, Fri 1 Jan 2027",
        "Tue 29 Dec",
    ]
