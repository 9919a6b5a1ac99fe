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
from nomaflow.schedule.wall_times import WallTimes
from nomaflow.schedule.zone import DAY, FIRST, LAST, WIDEST_OFFSET, Stretch, instant, seconds, zone

HORIZON = 50 * 366 * DAY
"""Seconds; what does not come within 50 years never comes."""

_REACH = WIDEST_OFFSET + DAY + 60
"""A fire is at most this far from its own wall time read as UTC: a zone may skip a whole day."""

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
        second = seconds(fire)
        if not self.zone.changes(second - _REACH, second + _REACH):
            return None
        stretch = self.zone.stretch(second)
        wall = second + stretch.offset
        if missing := self._missing(stretch, wall):
            verb = "also stands for" if self.wall.count(wall, wall + 1) else "moved from"
            return f"{verb} {missing}"
        if wall < stretch.shown:
            return f"{self._told(second)}, the second of two"
        following = self.zone.stretch(stretch.ends)
        if following.first_wall <= wall < following.shown:
            return f"{self._told(second)}, the first of two"
        return None

    def _missing(self, stretch: Stretch, wall: int) -> str | None:
        """The times of day that a fire stands for since they were skipped, with the words that follow."""
        gap, end = stretch.shown, stretch.first_wall
        if self.wall.is_star or not gap < end or not _whole_minute(end) <= wall < _whole_minute(end) + 60:
            return None
        walls = [skipped for skipped in self.wall.ascending(gap, end) if (skipped - wall) % 60 == 0]
        if not walls:
            return None
        times = [self._time(skipped) for skipped in walls]
        listed = " and ".join(times) if len(times) < 3 else f"{times[0]} … {times[-1]}"
        verb = "does not exist" if len(times) == 1 else "do not exist"
        day = _day(walls[0])
        return f"{listed}, which {verb} on that day" if day == _day(wall) else f"{listed} on {day}, which {verb} there"

    def _told(self, second: int) -> str:
        """The time of day with the zone's word for it, which tells apart two that look the same."""
        return f"{self._time(second + self.zone.stretch(second).offset)} {self.zone.abbreviation(second)}"

    def _time(self, wall: int) -> str:
        return instant(wall).strftime("%H:%M" if tuple(self.wall.seconds) == (0,) else "%H:%M:%S")

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
        minute = _whole_minute(end)
        walls = [minute + second for second in sorted(kept)]
        return [wall - stretch.offset for wall in walls if not self.wall.count(wall, wall + 1)]


def _within(first: int, last: int) -> tuple[int, int]:
    """The part of a span that calendars are sure of."""
    return max(first, FIRST), min(last, LAST)


def _whole_minute(second: int) -> int:
    """The first whole minute that is not before."""
    return -(-second // 60) * 60


def _day(wall: int) -> str:
    return f"{instant(wall):%-d %b %Y}"
