"""The times of a clock on the wall that a cron expression names, in a world where no clock is ever changed.

They are whole seconds since 1970 of that clock. Hours and days are multiplied rather than walked, so a count costs
the same for a rule that fires each second as for one that fires each day.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache

from croniter import croniter

from nomaflow.definitions.cron import normalise
from nomaflow.schedule.zone import DAY

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_COMMON_YEAR = 2001
_WHOLE = (range(60), range(24), range(1, 32), range(1, 13), range(7), range(60))


class WallTimes:
    """The wall times of one expression.

    `in_hour` are the seconds of an hour at which it fires, `seconds` those of a minute.
    """

    def __init__(self, cron: str) -> None:
        """Raises ValueError where `definitions.cron` refuses the expression; the text is the rest of a sentence."""
        normal = normalise(cron)
        texts = normal.split(" ")
        expanded, nth = croniter.expand(normal)
        minutes, self.hours, days, months, weekdays, self.seconds = (
            whole if "*" in values else tuple(sorted(value for value in values if value != "l"))
            for whole, values in zip(_WHOLE, [*expanded, [0]][:6], strict=True)
        )
        # An array, since a rule that fires each second has 3,600 of them.
        self.in_hour = array("H", (minute * 60 + second for minute in minutes for second in self.seconds))
        self.per_day = len(self.hours) * len(self.in_hour)
        self.is_star = texts[0].startswith("*") or texts[1].startswith("*")
        self.either_day = texts[2] != "*" and texts[4] != "*"
        self.days = frozenset(days)
        self.on_last_day = "l" in expanded[2]
        self._any_day, self._any_weekday = texts[2] == "*", texts[4] == "*"
        self._months = frozenset(months)
        # An item with `#` or `L` stands with none but its like.
        self._weekdays = frozenset() if nth else frozenset(weekdays)
        self._nth: dict[int, set[int | str]] = nth
        self._month_days: dict[tuple[int, int], Sequence[int]] = {}

    def ascending(self, start: int, stop: int) -> Iterator[int]:
        """Those from `start` to before `stop`, earliest first."""
        for day in self._ascending_days(start // DAY, (stop - 1) // DAY):
            yield from self._ascending_times(day * DAY, max(start, day * DAY), min(stop, (day + 1) * DAY))

    def descending(self, start: int, stop: int) -> Iterator[int]:
        """Those from `start` to before `stop`, latest first."""
        for day in self._descending_days(start // DAY, (stop - 1) // DAY):
            midnight = day * DAY
            for hour in reversed(self.hours):
                begin = midnight + hour * 3600
                if begin >= stop:
                    continue
                if begin + 3600 <= start:
                    return
                last = bisect_left(self.in_hour, stop - begin)
                first = bisect_left(self.in_hour, start - begin)
                for index in range(last - 1, first - 1, -1):
                    yield begin + self.in_hour[index]

    def first(self, start: int, stop: int) -> int | None:
        """The earliest from `start` to before `stop`."""
        return next(self.ascending(start, stop), None)

    def count(self, start: int, stop: int) -> int:
        """How many there are from `start` to before `stop`."""
        if start >= stop:
            return 0
        first, last = start // DAY, (stop - 1) // DAY
        if first == last:
            return self._before(stop - first * DAY) - self._before(start - first * DAY) if self._on(first) else 0
        whole = self.per_day * self._count_days(first + 1, last - 1)
        head = self.per_day - self._before(start - first * DAY) if self._on(first) else 0
        tail = self._before(stop - last * DAY) if self._on(last) else 0
        return head + whole + tail

    def missing_day(self) -> int | None:
        """The first of its days of the month, where some of its months are too short for that one."""
        first = min(self.days, default=0)
        is_missing = not self.on_last_day and any(monthrange(_COMMON_YEAR, month)[1] < first for month in self._months)
        return first if is_missing else None

    def _before(self, second: int) -> int:
        """How many there are on a day that fits, before a second of the day."""
        hour, rest = divmod(second, 3600)
        index = bisect_left(self.hours, hour)
        counted = index * len(self.in_hour)
        if index < len(self.hours) and self.hours[index] == hour:
            counted += bisect_left(self.in_hour, rest)
        return counted

    def _ascending_times(self, midnight: int, start: int, stop: int) -> Iterator[int]:
        for hour in self.hours:
            begin = midnight + hour * 3600
            if begin >= stop:
                return
            if begin >= start and begin + 3600 <= stop:
                for second in self.in_hour:
                    yield begin + second
            elif begin + 3600 > start:
                first, last = bisect_left(self.in_hour, start - begin), bisect_left(self.in_hour, stop - begin)
                for index in range(first, last):
                    yield begin + self.in_hour[index]

    def _ascending_days(self, first: int, last: int) -> Iterator[int]:
        if first > last:
            return
        day = date.fromordinal(_EPOCH_DAY + first)
        year, month = day.year, day.month
        while (begin := _first_of_month(year, month)) <= last:
            for number in self._days_of(year, month, begin):
                day_number = begin + number - 1
                if day_number > last:
                    return
                if day_number >= first:
                    yield day_number
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)

    def _descending_days(self, first: int, last: int) -> Iterator[int]:
        if first > last:
            return
        day = date.fromordinal(_EPOCH_DAY + last)
        year, month = day.year, day.month
        while True:
            begin = _first_of_month(year, month)
            for number in reversed(self._days_of(year, month, begin)):
                day_number = begin + number - 1
                if day_number < first:
                    return
                if day_number <= last:
                    yield day_number
            if begin <= first:
                return
            year, month = (year, month - 1) if month > 1 else (year - 1, 12)

    def _count_days(self, first: int, last: int) -> int:
        if first > last:
            return 0
        counted = 0
        day = date.fromordinal(_EPOCH_DAY + first)
        year, month = day.year, day.month
        while (begin := _first_of_month(year, month)) <= last:
            days = self._days_of(year, month, begin)
            low = bisect_left(days, first - begin + 1) if begin < first else 0
            counted += bisect_left(days, last - begin + 2) - low
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return counted

    def _on(self, day_number: int) -> bool:
        day = date.fromordinal(_EPOCH_DAY + day_number)
        return day.day in self._days_of(day.year, day.month, day_number - day.day + 1)

    def _days_of(self, year: int, month: int, begin: int) -> Sequence[int]:
        """The days of a month on which it fires; one that begins on the day number `begin`."""
        if month not in self._months:
            return ()
        # 1 January 1970 was a Thursday.
        key = monthrange(year, month)[1], (begin + 4) % 7
        if key not in self._month_days:
            length, weekday = key
            self._month_days[key] = tuple(
                day for day in range(1, length + 1) if self._fits(day, length, (weekday + day - 1) % 7)
            )
        return self._month_days[key]

    def _fits(self, day: int, length: int, weekday: int) -> bool:
        by_day = self._any_day or day in self.days or (self.on_last_day and day == length)
        ordinals = self._nth.get(weekday, ())
        by_weekday = (
            self._any_weekday
            or weekday in self._weekdays
            or (day + 6) // 7 in ordinals
            or ("l" in ordinals and day + 7 > length)
        )
        return by_day or by_weekday if self.either_day else by_day and by_weekday


@lru_cache(maxsize=4096)
def _first_of_month(year: int, month: int) -> int:
    return date(year, month, 1).toordinal() - _EPOCH_DAY
