"""The calendar's fires to come: one by one, or a bar for a day that has very many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.schedule.calendar import DueSlot, apart, due
from nomaflow.schedule.cron import compiled
from tests.schedule.rules import CHANGES, rule

SECOND = timedelta(seconds=1)


def paris(text: str) -> datetime:
    """A time of the wall in Paris in summer."""
    return datetime.fromisoformat(f"{text}+02:00").astimezone(UTC)


def test_few_fires_are_shown_one_by_one() -> None:
    """A schedule with few fires a day has a slot for each, from after the one end to the other."""
    slots = list(due(compiled("0 9,18 * * *", "Europe/Paris"), paris("2026-05-17T09:00"), paris("2026-05-18T18:00")))
    assert slots == [
        DueSlot(paris("2026-05-17T18:00")),
        DueSlot(paris("2026-05-18T09:00")),
        DueSlot(paris("2026-05-18T18:00")),
    ]


def test_a_day_with_very_many_is_one_bar() -> None:
    """More than 24 fires on a day of the schedule's zone are one slot with its first, last and number."""
    slots = list(due(compiled("*/5 * * * *", "Europe/Paris"), paris("2026-05-17T21:59"), paris("2026-05-19T00:05")))
    assert slots == [
        DueSlot(paris("2026-05-17T22:00"), paris("2026-05-17T23:55"), 24),
        DueSlot(paris("2026-05-18T00:00"), paris("2026-05-18T23:55"), 288),
        DueSlot(paris("2026-05-19T00:00"), paris("2026-05-19T00:05"), 2),
    ]


@pytest.mark.parametrize(
    ("alone", "slots"),
    [
        (["10:07", "09:55"], [("10:00", "10:15", 4)]),
        (["10:05"], [("10:00", "10:15", 3), ("10:05", None, 1)]),
        (["10:00"], [("10:00", None, 1), ("10:05", "10:15", 3)]),
        (["10:15", "10:00"], [("10:00", None, 1), ("10:05", "10:10", 2), ("10:15", None, 1)]),
        (
            ["10:00", "10:05", "10:10"],
            [("10:00", None, 1), ("10:05", None, 1), ("10:10", None, 1), ("10:15", "10:15", 1)],
        ),
        (["10:00", "10:05", "10:10", "10:15"], [(time, None, 1) for time in ("10:00", "10:05", "10:10", "10:15")]),
    ],
)
def test_some_fires_of_a_bar_stand_alone(alone: list[str], slots: list[tuple[str, str | None, int]]) -> None:
    """The bar has the others, from the first of them to the last; what is no fire of it changes nothing."""

    def on_the_day(time: str) -> datetime:
        return paris(f"2026-05-17T{time}")

    bar = DueSlot(on_the_day("10:00"), on_the_day("10:15"), 4, "a note")
    found = apart(compiled("*/5 * * * *", "Europe/Paris"), bar, [on_the_day(time) for time in alone])
    assert [(slot.scheduled_at, slot.until_at, slot.count) for slot in found] == [
        (on_the_day(first), on_the_day(last) if last else None, count) for first, last, count in slots
    ]
    assert {slot.note for slot in found if slot.until_at} <= {"a note"}


def test_the_bound_is_what_one_day_may_have() -> None:
    """An hourly schedule is shown one by one, but for the day of 25 hours."""
    cron = compiled("0 * * * *", "Europe/Paris")
    slots = list(due(cron, datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 26, 12, tzinfo=UTC)))
    assert [slot.count for slot in slots if slot.count > 1] == [25]
    (bar,) = (slot for slot in slots if slot.count > 1)
    assert bar.note == "On 25 Oct 2026 the time from 02:00 to 03:00 comes twice: it fires both times."
    assert next(due(cron, bar.scheduled_at - SECOND, bar.scheduled_at, dense=25)).count == 1


def test_a_bar_of_a_day_that_begins_with_a_gap_tells_of_it() -> None:
    """São Paulo's 4 November 2018 begins at 01:00."""
    cron = compiled("*/15 * * * *", "America/Sao_Paulo")
    (bar,) = due(cron, datetime(2018, 11, 4, 2, 59, tzinfo=UTC), datetime(2018, 11, 5, 1, 59, tzinfo=UTC))
    assert bar == DueSlot(
        datetime(2018, 11, 4, 3, tzinfo=UTC),
        datetime(2018, 11, 5, 1, 45, tzinfo=UTC),
        92,
        "On 4 Nov 2018 the clock goes from 00:00 to 01:00: nothing fires between.",
    )


def test_an_empty_time_has_none() -> None:
    """Where nothing is due, or the ends are the wrong way round, nothing is shown."""
    for text in ("30 2 * * *", "* * * * *"):
        cron = compiled(text, "UTC")
        assert list(due(cron, paris("2026-05-17T09:00"), paris("2026-05-17T09:00"))) == []
        assert list(due(cron, paris("2026-05-17T09:00"), paris("2026-05-16T09:00"))) == []


@given(
    rule(with_seconds=None),
    st.sampled_from([*CHANGES, ("America/St_Johns", datetime(2010, 11, 7, 2, 31, tzinfo=UTC))]),
    st.integers(-200_000, 200_000),
    st.integers(0, 300_000),
    st.sampled_from([0, 1, 24, 100]),
)
def test_every_fire_is_in_one_slot(
    text: str, changed: tuple[str, datetime], start: int, length: int, dense: int
) -> None:
    """Slots follow one another, hold each fire once, and only days with more than so many are bars."""
    cron = compiled(text, changed[0])
    after = changed[1] + start * SECOND
    until = after + length * SECOND
    slots = list(due(cron, after, until, dense))
    seen = after
    for slot in slots:
        last = slot.until_at or slot.scheduled_at
        assert slot.scheduled_at == cron.next(seen)
        assert cron.count(slot.scheduled_at - SECOND, last) == slot.count
        assert last in cron
        assert (slot.until_at is None) <= (slot.count == 1)
        seen = last
    assert sum(slot.count for slot in slots) == cron.count(after, until)
    if dense >= cron.most_per_day:
        assert all(slot.until_at is None for slot in slots)
    if cron.per_day <= dense:
        assert sum(slot.until_at is not None for slot in slots) <= 2


@pytest.mark.limit(10)
def test_a_year_of_seconds_is_a_bar_a_day() -> None:
    """A schedule that fires each second costs as many slots as the year has days."""
    cron = compiled("* * * * * *", "Europe/Paris")
    slots = list(due(cron, paris("2026-06-01T00:00") - SECOND, paris("2027-06-01T00:00") - SECOND))
    assert len(slots) == 365
    assert {slot.count for slot in slots} == {86_400, 90_000, 82_800}
