"""When a schedule fires: the wall times of its expression, mapped to instants across the changes of its zone's clocks.

The rule is Debian's. Where neither minute nor hour begins with a `*`, the rule names times of day: each day has each of
them once. One that is skipped comes with the first minute after the gap, one that comes twice is taken the first time.
Where one of them begins with a `*`, the rule names a spacing: it fires whenever the wall shows a time that fits, so
not in a gap, and in a repeated hour twice.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from nomaflow.definitions.job import check_timezone
from nomaflow.schedule import clock_notes
from nomaflow.schedule.wall_times import WallTimes
from nomaflow.schedule.zone import DAY, FIRST, LAST, WIDEST_OFFSET, Stretch, instant, seconds, whole_minute, zone

HORIZON = 50 * 366 * DAY
"""Seconds; what does not come within 50 years never comes."""

_REACH = WIDEST_OFFSET + 60
"""A wall time, read as UTC, is at most this far from its fire: also a skipped one, which was due when the gap began."""

_CHUNK = 366 * DAY


class Cron:
    """The fires of one expression in one zone; instants are aware UTC, to the second.

    Made by `compiled`. `text` and `timezone` are what it was made from.
    """

    def __init__(self, cron: str, timezone: str) -> None:
        """Raises ValueError, the rest of a sentence, for an expression or a zone that is refused."""
        self.text, self.timezone = cron, timezone
        self.wall = WallTimes(cron)
        self.zone = zone(check_timezone(timezone))

    def __repr__(self) -> str:
        return f"Cron({self.text!r}, {self.timezone!r})"

    def __contains__(self, moment: datetime) -> bool:
        """Whether it fires at that instant."""
        return not moment.microsecond and self.count(moment - timedelta(seconds=1), moment) == 1

    @property
    def per_day(self) -> int:
        """How many fires a day of 24 hours has, where it has any."""
        return self.wall.per_day

    @property
    def most_per_day(self) -> int:
        """More fires than this no day has, however the clocks are changed on it."""
        return 2 * self.per_day if self.wall.is_star else self.per_day + len(self.wall.seconds)

    def fires(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The fires after `after` and up to `until`, in order, each worked out when it is asked for."""
        return map(instant, self._ascending(seconds(after) + 1, seconds(until)))

    def next(self, after: datetime) -> datetime | None:
        """The first fire after an instant; None where nothing comes within 50 years."""
        first = seconds(after) + 1
        found = next(self._ascending(first, first + HORIZON), None)
        return None if found is None else instant(found)

    def count(self, after: datetime, until: datetime) -> int:
        """How many fires there are after `after` and up to `until`; whole days are multiplied."""
        first, last = _within(seconds(after) + 1, seconds(until))
        counted = 0
        while first <= last:
            stretch = self.zone.stretch(first)
            stop = min(last + 1, stretch.ends)
            counted += self.wall.count(self._from(stretch, first), stop + stretch.offset)
            counted += sum(first <= moved < stop for moved in self._moved(stretch))
            first = stop
        return counted

    def newest(self, n: int, after: datetime, until: datetime) -> list[datetime]:
        """The last `n` fires after `after` and up to `until`, in order; those before them are not looked at."""
        first, last = _within(seconds(after) + 1, seconds(until))
        found = list(islice(self._descending(first, last), n))
        return [instant(second) for second in reversed(found)]

    def note(self, fire: datetime) -> str | None:
        """What is odd about a fire: its time was moved out of a gap, or comes twice on that day."""
        return clock_notes.note(self.wall, self.zone, seconds(fire))

    def clock_changes(self, after: datetime, until: datetime) -> Iterator[str]:
        """A sentence for each change of the zone's clocks that bears on it, after `after` and up to `until`."""
        return clock_notes.changes(self.wall, self.zone, seconds(after) + 1, seconds(until))

    def _ascending(self, first: int, last: int) -> Iterator[int]:
        first, last = _within(first, last)
        while first <= last:
            # A rule for one day in four years has nothing to do with the years between.
            earliest = self.wall.first(first - _REACH, last + _REACH)
            if earliest is None:
                return
            first = max(first, earliest - WIDEST_OFFSET)
            stretch = self.zone.stretch(first)
            stop = min(last + 1, stretch.ends)
            yield from self._ascending_in(stretch, first, stop)
            first = stop

    def _ascending_in(self, stretch: Stretch, first: int, stop: int) -> Iterator[int]:
        offset = stretch.offset
        regular = self.wall.ascending(self._from(stretch, first), stop + offset)
        if first < stretch.begins + 120 and (moved := self._moved(stretch)):
            instants = (wall - offset for wall in regular)
            yield from heapq.merge((second for second in moved if first <= second < stop), instants)
            return
        for wall in regular:
            yield wall - offset

    def _descending(self, first: int, last: int) -> Iterator[int]:
        while first <= last:
            # Backwards by years, so that what is far back is looked up only when it is reached.
            begin = max(first, last + 1 - _CHUNK)
            for stretch, start, stop in reversed(list(self._parts(begin, last))):
                walls = self.wall.descending(self._from(stretch, start), stop + stretch.offset)
                regular = (wall - stretch.offset for wall in walls)
                moved = [second for second in reversed(self._moved(stretch)) if start <= second < stop]
                yield from heapq.merge(moved, regular, reverse=True) if moved else regular
            last = begin - 1

    def _parts(self, first: int, last: int) -> Iterator[tuple[Stretch, int, int]]:
        while first <= last:
            stretch = self.zone.stretch(first)
            stop = min(last + 1, stretch.ends)
            yield stretch, first, stop
            first = stop

    def _from(self, stretch: Stretch, first: int) -> int:
        """The wall time from which a part of a stretch has fires of its own: times of day are taken the first time."""
        start = first + stretch.offset
        return start if self.wall.is_star else max(start, stretch.shown)

    def _moved(self, stretch: Stretch) -> list[int]:
        """The instants that stand for times of day in the gap before a stretch, where they are not fires anyway.

        The minute is moved to the first whole one after the gap and keeps its seconds.
        """
        gap, end = stretch.shown, stretch.first_wall
        if self.wall.is_star or gap >= end:
            return []
        kept: set[int] = set()
        for wall in self.wall.ascending(gap, end):
            kept.add(wall % 60)
            if len(kept) == len(self.wall.seconds):
                break
        minute = whole_minute(end)
        walls = [minute + second for second in sorted(kept)]
        return [wall - stretch.offset for wall in walls if not self.wall.count(wall, wall + 1)]


def _within(first: int, last: int) -> tuple[int, int]:
    """The part of a span that calendars are sure of."""
    return max(first, FIRST), min(last, LAST)
