"""What a change of a zone's clocks does to a schedule, said to people."""

from __future__ import annotations

from collections.abc import Iterator

from nomaflow.schedule.wall_times import WallTimes
from nomaflow.schedule.zone import DAY, WIDEST_OFFSET, Stretch, Zone, instant, whole_minute

# A zone may skip a whole day.
_REACH = WIDEST_OFFSET + DAY


def note(walls: WallTimes, zone: Zone, fire: int) -> str | None:
    """What is odd about a fire at a UTC second: its time was moved out of a gap, or comes twice on that day."""
    if not zone.changes(fire - _REACH, fire + _REACH):
        return None
    stretch = zone.stretch(fire)
    wall = fire + stretch.offset
    if missing := _missing(walls, stretch, wall):
        return f"{'also stands for' if walls.count(wall, wall + 1) else 'moved from'} {missing}"
    told = f"{_time(walls, wall)} {zone.abbreviation(fire)}"
    if wall < stretch.shown:
        return f"{told}, the second of two"
    following = zone.stretch(stretch.ends)
    if following.first_wall <= wall < following.shown:
        return f"{told}, the first of two"
    return None


def changes(walls: WallTimes, zone: Zone, first: int, last: int) -> Iterator[str]:
    """A sentence for each change of the clocks in a span of UTC seconds that bears on the schedule."""
    for stretch in zone.changes(first, last + 1):
        was, comes = stretch.shown, stretch.first_wall
        if was < comes and (skipped := walls.count(was, comes)):
            yield _skipped(walls, stretch, skipped)
        elif comes < was and (repeated := walls.count(comes, was)):
            yield _repeated(walls, stretch, repeated, zone.abbreviation(stretch.begins - 1))


def _skipped(walls: WallTimes, stretch: Stretch, count: int) -> str:
    gap, end = stretch.shown, stretch.first_wall
    if walls.is_star:
        return f"On {_day(gap)} the clock goes from {_clock(gap)} to {_clock_from(gap, end)}: nothing fires between."
    instead = _clock_from(gap, whole_minute(end))
    return f"On {_day(gap)} {_ends(walls, gap, end, count)} {_do(count)} not exist: it fires at {instead}."


def _repeated(walls: WallTimes, stretch: Stretch, count: int, abbreviation: str) -> str:
    start, end = stretch.first_wall, stretch.shown
    if walls.is_star:
        return f"On {_day(start)} the time from {_clock(start)} to {_clock(end)} comes twice: it fires both times."
    times, verb = _ends(walls, start, end, count), "comes" if count == 1 else "come"
    return f"On {_day(start)} {times} {verb} twice: it fires the first time only ({abbreviation})."


def _missing(walls: WallTimes, stretch: Stretch, wall: int) -> str | None:
    """The times of day that a fire stands for since they were skipped, with the words that follow."""
    gap, end = stretch.shown, stretch.first_wall
    if walls.is_star or not gap < end or not whole_minute(end) <= wall < whole_minute(end) + 60:
        return None
    skipped = [time for time in walls.ascending(gap, end) if (time - wall) % 60 == 0]
    if not skipped:
        return None
    times = _listed(walls, skipped[0], skipped[-1], len(skipped))
    if _day(gap) == _day(wall):
        return f"{times}, which {_do(len(skipped))} not exist on that day"
    return f"{times} on {_day(gap)}, which {_do(len(skipped))} not exist there"


def _ends(walls: WallTimes, start: int, stop: int, count: int) -> str:
    return _listed(walls, next(walls.ascending(start, stop)), next(walls.descending(start, stop)), count)


def _listed(walls: WallTimes, first: int, last: int, count: int) -> str:
    """Times of day, the first and the last where they are many."""
    if count == 1:
        return _time(walls, first)
    return f"{_time(walls, first)} {'and' if count == 2 else 'to'} {_time(walls, last)}"


def _do(count: int) -> str:
    return "does" if count == 1 else "do"


def _time(walls: WallTimes, wall: int) -> str:
    return _clock(wall, with_seconds=tuple(walls.seconds) != (0,))


def _clock(wall: int, *, with_seconds: bool = False) -> str:
    return instant(wall).strftime("%H:%M:%S" if with_seconds or wall % 60 else "%H:%M")


def _clock_from(day: int, wall: int) -> str:
    """A time, with its date where that is not the day spoken of."""
    return _clock(wall) if _day(wall) == _day(day) else f"{_clock(wall)} on {_day(wall)}"


def _day(wall: int) -> str:
    return f"{instant(wall):%-d %b %Y}"
