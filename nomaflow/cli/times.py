"""Times as people type them, and as they read them on the clock of a zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from nomaflow.errors import InvalidError
from nomaflow.history.search_values import seconds

DAY = timedelta(days=1)
MINUTE, WEEK = 60, 7

FORMS = "06:00, today, tomorrow 06:00, 2026-01-31, 2026-01-31 06:00, 2h, 3d or 2026-01-31T05:00:00Z"

_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_CLOCK = r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?"
_WALL = re.compile(
    rf"(?:(yesterday|today|tomorrow|\d{{4}}-\d\d-\d\d)(?: +|T(?=\d)|$))?({_CLOCK})?", re.ASCII | re.IGNORECASE
)


def moment(
    text: str, now: datetime, zone: ZoneInfo, *, option: str, ahead: bool = True, ends_day: bool = False
) -> datetime:
    """The instant that is meant, in UTC.

    Args:
        text: a time of day, a day, both, a length of time from now (to the minute), or an instant with its zone.
        now: the time.
        zone: where times of day and days are read.
        option: what the sentence begins with when the text is none of these.
        ahead: the next time of day and a length after now; else the last one and a length before now.
        ends_day: a day alone means its end, not its beginning.

    Raises:
        InvalidError: it says no time.
    """
    text = text.strip()
    try:
        found = _instant(text) or _length(text, now, ahead=ahead) or _on_the_wall(text, now, zone, ahead, ends_day)
        # Within a day of either end of the calendar a change of zone overflows.
        if found is not None and 1900 <= found.year <= 9000:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidError(f"{option} must be a time such as {FORMS}, not {text[:80]!r}")


def _instant(text: str) -> datetime | None:
    if not re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text):
        return None
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else None


def _length(text: str, now: datetime, *, ahead: bool) -> datetime | None:
    length = seconds(text)
    if length is None:
        return None
    if length >= MINUTE:
        # Nobody who says two hours means the seconds.
        now = now.replace(second=0, microsecond=0) + timedelta(minutes=ahead and now.second > 0)
    return now + timedelta(seconds=length if ahead else -length)


def _on_the_wall(text: str, now: datetime, zone: ZoneInfo, ahead: bool, ends_day: bool) -> datetime | None:
    found = _WALL.fullmatch(text)
    if found is None or not text:
        return None
    today = now.astimezone(zone).date()
    clock = time(int(found[3]), int(found[4]), int(found[5] or 0)) if found[2] else None
    if found[1] is None:
        assert clock is not None, "one of the two is there"
        nearest = [datetime.combine(today + shift * DAY, clock, zone) for shift in (-1, 0, 1)]
        return next(each for each in nearest if each > now) if ahead else max(each for each in nearest if each <= now)
    name = found[1].lower()
    day = today + _DAYS[name] * DAY if name in _DAYS else date.fromisoformat(name)
    if clock is None and ends_day:
        day, clock = day + DAY, time()
    return datetime.combine(day, clock or time(), zone)


def clock(instant: datetime, zone: ZoneInfo) -> str:
    """The time of day: `02:30`, with seconds where it has some."""
    there = instant.astimezone(zone)
    return f"{there:%H:%M:%S}" if there.second else f"{there:%H:%M}"


def wall(instant: datetime, now: datetime, zone: ZoneInfo) -> str:
    """`02:30`, `tomorrow 02:30`, `Sun 02:30`, `31 Jan 02:30`: as short as it is plain which day is meant.

    Where the zone's clocks show another time than this machine's, the zone is named.
    """
    there, today = instant.astimezone(zone), now.astimezone(zone).date()
    days = (there.date() - today).days
    if days in _DAYS.values():
        named = {0: "", 1: "tomorrow ", -1: "yesterday "}[days]
    elif 0 < days < WEEK:
        named = f"{there:%a} "
    else:
        named = f"{there:%-d %b} " if there.year == today.year else f"{there:%-d %b %Y} "
    return named + clock(instant, zone) + (f" {there:%Z}" if is_elsewhere(instant, zone) else "")


def heading(day: date, today: date) -> str:
    """A day as the heading of what happens on it: `Tomorrow, Wed 25 Nov`."""
    named = {0: "Today, ", 1: "Tomorrow, ", -1: "Yesterday, "}.get((day - today).days, "")
    return f"{named}{day:%a %-d %b}" + (f" {day.year}" if day.year != today.year else "")


def is_elsewhere(instant: datetime, zone: ZoneInfo) -> bool:
    """Whether the zone's clocks show another time than this machine's."""
    return instant.astimezone(zone).utcoffset() != instant.astimezone().utcoffset()
