"""The fires to come as a calendar shows them: one by one, or one bar for a day that has very many."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from nomaflow.schedule.fires import Cron
from nomaflow.schedule.zone import DAY, instant, seconds

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class DueSlot:
    """One fire to come, or `count` of them on one day, from `scheduled_at` to `until_at`.

    `note` says what a change of the clocks does to it.
    """

    scheduled_at: datetime
    until_at: datetime | None = None
    count: int = 1
    note: str | None = None


DENSE = 24
"""A day with more fires is shown as one bar."""


def due(cron: Cron, after: datetime, until: datetime, dense: int = DENSE) -> Iterator[DueSlot]:
    """The fires after `after` and up to `until`, in order, each day worked out when it is asked for.

    A day of the schedule's zone with more than `dense` fires becomes one slot, for those of its fires that lie between
    the two instants.
    """
    if cron.most_per_day <= dense:
        yield from _one_by_one(cron, after, until)
        return
    while (first := next(cron.fires(after, until), None)) is not None:
        begins, ends = _day_around(cron, first)
        last = min(until, ends - _SECOND)
        if cron.count(begins - _SECOND, ends - _SECOND) > dense:
            yield _bar(cron, begins, first, last)
        else:
            yield from _one_by_one(cron, after, last)
        after = last


def apart(cron: Cron, slot: DueSlot, alone: Collection[datetime]) -> list[DueSlot]:
    """The slot without those of its fires that are to stand alone, and these, in order."""
    if slot.until_at is None:
        return [slot]
    before = slot.scheduled_at - _SECOND
    chosen = {fire for fire in alone if before < fire <= slot.until_at and fire in cron}
    if not chosen:
        return [slot]
    slots = [DueSlot(fire, note=cron.note(fire)) for fire in chosen]
    if slot.count > len(chosen):
        first = next(fire for fire in cron.fires(before, slot.until_at) if fire not in chosen)
        newest = cron.newest(len(chosen) + 1, before, slot.until_at)
        last = next(fire for fire in reversed(newest) if fire not in chosen)
        slots.append(DueSlot(first, last, slot.count - len(chosen), slot.note))
    return sorted(slots, key=lambda each: each.scheduled_at)


def _one_by_one(cron: Cron, after: datetime, until: datetime) -> Iterator[DueSlot]:
    return (DueSlot(fire, note=cron.note(fire)) for fire in cron.fires(after, until))


def _bar(cron: Cron, begins: datetime, first: datetime, last: datetime) -> DueSlot:
    (until,) = cron.newest(1, first - _SECOND, last)
    count = cron.count(first - _SECOND, last)
    return DueSlot(first, until, count, " ".join(cron.clock_changes(begins - _SECOND, last)) or None)


def _day_around(cron: Cron, fire: datetime) -> tuple[datetime, datetime]:
    """Where the fire's day begins and the next one does, in the zone of the schedule."""
    second = seconds(fire)
    day = (second + cron.zone.stretch(second).offset) // DAY
    # A clock that goes back over midnight shows the old day once more; the new one has begun.
    while (ends := cron.zone.day_begins(day + 1)) <= second:
        day += 1
    return instant(cron.zone.day_begins(day)), instant(ends)
