"""When schedules fire, by another's cron: cronsim names the minutes, and each second of them is looked at.

Days of the same length are the same for a rule that names no days, so one of them is worked out and moved.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim

from tests.schedule.rules import values

ALIASES = {"@daily": "0 0 * * *", "@hourly": "0 * * * *"}
DAY = 86_400


def fires(cron: str, zone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """The fires after an instant and up to another, in order."""
    first, last = after.timestamp(), until.timestamp()
    for number in range(int(first // DAY), int(last // DAY) + 1):
        for second in _of_day(cron, zone, number):
            if first < second <= last:
                yield datetime.fromtimestamp(second, UTC)


def count(cron: str, zone: str, after: datetime, until: datetime) -> int:
    """How many fires there are after an instant and up to another."""
    first, last = after.timestamp(), until.timestamp()
    begin, end = int(first // DAY), int(last // DAY)
    whole = sum(len(_of_day(cron, zone, number)) for number in range(begin, end))
    return whole + bisect(_of_day(cron, zone, end), last) - bisect(_of_day(cron, zone, begin), first)


def is_fire(cron: str, zone: str, instant: datetime) -> bool:
    """Whether it fires at that instant."""
    return count(cron, zone, instant - timedelta(seconds=1), instant) == 1


@lru_cache(maxsize=100_000)
def _of_day(cron: str, zone: str, number: int) -> tuple[int, ...]:
    """The fires of a day of UTC, in seconds since 1970."""
    cron = ALIASES.get(cron, cron)
    info, begins = ZoneInfo(zone), datetime.fromtimestamp(number * DAY, UTC)
    around = {(begins + timedelta(hours=hour)).astimezone(info).utcoffset() for hour in range(-24, 49, 6)}
    if cron.split(" ")[2:5] == ["*", "*", "*"] and len(around) == 1:
        offset = around.pop()
        assert offset is not None
        return tuple(number * DAY + second for second in _plain(cron, zone, int(offset.total_seconds()), number))
    return tuple(_walked(cron, info, number))


# `number` is that of the day which happens to be worked out: any of the same length does.
_known: dict[tuple[str, str, int], tuple[int, ...]] = {}


def _plain(cron: str, zone: str, offset: int, number: int) -> tuple[int, ...]:
    key = cron, zone, offset
    if key not in _known:
        _known[key] = tuple(second - number * DAY for second in _walked(cron, ZoneInfo(zone), number))
    return _known[key]


def _walked(cron: str, info: ZoneInfo, number: int) -> Iterator[int]:
    fields = cron.split(" ")
    seconds = sorted(values(fields[5], 5)) if len(fields) == 6 else [0]
    after = datetime.fromtimestamp(number * DAY - 1, UTC).astimezone(info)
    for minute in CronSim(" ".join(fields[:5]), after):
        stamp = int(minute.timestamp())
        if stamp >= (number + 1) * DAY:
            return
        if stamp >= number * DAY:
            yield from (stamp + second for second in seconds)
