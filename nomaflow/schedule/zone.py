"""A time zone as stretches of time, in each of which its clocks run evenly.

All instants here are whole seconds: since 1970 in UTC, or, for what a clock on the wall shows, since its own 1970.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY = 86_400
FIRST_YEAR, LAST_YEAR = 1900, 9900

WIDEST_OFFSET = 16 * 3600
"""No clock is or was further from UTC than this."""

# The closest two changes on record are 167 hours apart (Boa Vista, Noronha and Recife in 2000; Gaza in 2040).
_STEP = 2 * DAY

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_EPOCH_DAY = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time between two changes of a zone's clocks, or as much of it as was looked up: a year at least.

    `begins` and `ends` are UTC seconds, the end is not part of it. `offset` is what the wall shows ahead of UTC.
    `shown` is where the wall stood when the stretch began: wall times from there to the stretch's first are skipped;
    those from the stretch's first to there come a second time.
    """

    begins: int
    ends: int
    offset: int
    shown: int

    @property
    def first_wall(self) -> int:
        """What the wall shows when the stretch begins."""
        return self.begins + self.offset

    @property
    def end_wall(self) -> int:
        """What the wall would show when the stretch ends."""
        return self.ends + self.offset


class Zone:
    """The stretches of one zone; each year is looked up once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.info = ZoneInfo(name)
        self._changes: dict[int, tuple[tuple[int, int, int], ...]] = {}
        self._years: dict[int, tuple[list[int], list[Stretch]]] = {}

    def stretch(self, second: int) -> Stretch:
        """The stretch that holds a UTC second; it ends with the next year at the latest, changed or not."""
        year = min(max(year_of(second), FIRST_YEAR), LAST_YEAR)
        found = self._years.get(year)
        if found is None:
            stretches = self._stretches(year)
            found = self._years[year] = [stretch.begins for stretch in stretches], stretches
        begins, stretches = found
        return stretches[bisect_right(begins, second) - 1]

    def changes(self, since: int, until: int) -> list[Stretch]:
        """The stretches that begin with a change of the clocks, from `since` and before `until`."""
        years = range(max(year_of(since), FIRST_YEAR), min(year_of(until), LAST_YEAR) + 1)
        return [
            self.stretch(change) for year in years for change, *_ in self._changes_of(year) if since <= change < until
        ]

    def day_begins(self, day: int) -> int:
        """The first UTC second of a day, by its number since 1970 on the wall."""
        midnight = day * DAY
        stretch = self.stretch(midnight - WIDEST_OFFSET - DAY)
        while stretch.end_wall <= midnight:
            stretch = self.stretch(stretch.ends)
        return max(stretch.begins, midnight - stretch.offset)

    def abbreviation(self, second: int) -> str:
        """What the zone calls its time then: `CEST`, or `+11` where it has no letters."""
        return datetime.fromtimestamp(second, self.info).strftime("%Z")

    def _stretches(self, year: int) -> list[Stretch]:
        changes = [change for near in (year - 1, year, year + 1) for change in self._changes_of(near)]
        begins = _first_of(year - 1)
        offset = changes[0][1] if changes else self._offset(begins)
        shown = begins + offset
        stretches = []
        for change, _, after in changes:
            stretches.append(Stretch(begins, change, offset, shown))
            shown = max(shown, change + offset)
            begins, offset = change, after
        return [*stretches, Stretch(begins, _first_of(year + 2), offset, shown)]

    def _changes_of(self, year: int) -> tuple[tuple[int, int, int], ...]:
        """Each change of the offset in a year: the first second of the new one, the old offset, the new one."""
        if year not in self._changes:
            self._changes[year] = tuple(self._search(_first_of(year) - 1, _first_of(year + 1) - 1))
        return self._changes[year]

    def _search(self, low: int, last: int) -> list[tuple[int, int, int]]:
        found = []
        before = self._offset(low)
        while low < last:
            high = min(low + _STEP, last)
            after = self._offset(high)
            if after != before:
                early, late = low, high
                while late - early > 1:
                    middle = (early + late) // 2
                    if self._offset(middle) == before:
                        early = middle
                    else:
                        late = middle
                found.append((late, before, after))
            low, before = high, after
        return found

    def _offset(self, second: int) -> int:
        offset = datetime.fromtimestamp(second, self.info).utcoffset()
        assert offset is not None
        return offset.days * DAY + offset.seconds


@lru_cache(maxsize=128)
def zone(name: str) -> Zone:
    """The zone of that IANA name, one object for all that ask.

    Raises:
        KeyError, ValueError: there is none.
    """
    return Zone(name)


def seconds(instant: datetime) -> int:
    """The UTC second that an instant lies in."""
    return (instant - _EPOCH) // _SECOND


def instant(second: int) -> datetime:
    """The instant at which a UTC second begins."""
    return _EPOCH + timedelta(seconds=second)


def whole_minute(second: int) -> int:
    """The first whole minute that is not before a second."""
    return -(-second // 60) * 60


def year_of(second: int) -> int:
    """The year of a second since 1970."""
    return date.fromordinal(_EPOCH_DAY + second // DAY).year


def _first_of(year: int) -> int:
    return seconds(datetime(year, 1, 1, tzinfo=UTC))


FIRST, LAST = _first_of(FIRST_YEAR), _first_of(LAST_YEAR)
"""The UTC seconds between which stretches are known."""
