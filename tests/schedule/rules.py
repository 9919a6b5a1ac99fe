"""Rules and changes of clocks to try, and what a rule means, read from first principles."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

MINUTE = timedelta(minutes=1)

CHANGES = [
    ("Europe/Paris", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Paris", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 2, 15, 2, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 3, 22, 2, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 2, 18, 2, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Asia/Pyongyang", datetime(2018, 5, 4, 15, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("Pacific/Kwajalein", datetime(1969, 9, 30, 13, tzinfo=UTC)),
    ("Pacific/Kwajalein", datetime(1993, 8, 21, 12, tzinfo=UTC)),
    ("Africa/Monrovia", datetime(1972, 1, 7, 0, 44, 30, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2026, 1, 1, tzinfo=UTC)),
]
"""Zones, each with a change of its clocks, be it by half an hour or by a day; Kolkata has none."""

_ENDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6), (0, 59)]


@st.composite
def field(draw: st.DrawFn, number: int, *, stars: bool = True) -> str:
    """A field of an expression, by its number; seconds are the sixth."""
    low, high = _ENDS[number]
    value = st.integers(low, high)
    step = st.integers(2, 30)
    item = st.one_of(
        value.map(str),
        st.tuples(value, value).map(lambda ends: f"{min(ends)}-{max(ends)}"),
        st.tuples(value, value, step).map(lambda ends: f"{min(ends[:2])}-{max(ends[:2])}/{ends[2]}"),
    )
    items = st.lists(item, min_size=1, max_size=3).map(",".join)
    return draw(st.just("*") | step.map(lambda n: f"*/{n}") | items if stars else items)


@st.composite
def rule(draw: st.DrawFn, *, with_seconds: bool | None = False) -> str:
    """An expression that fires on many days; short fields, since one is refused above 128 characters."""
    hours = field(1) | st.sampled_from(["0", "1", "2", "3", "1,2", "0-3", "23"])
    day = draw(st.sampled_from(["*"] * 6 + ["*/2", "1-31/3", "L", "4,25,29-30"]))
    weekday = draw(st.just("*") | field(4))
    text = f"{draw(field(0))} {draw(hours)} {day} {draw(st.sampled_from(['*', '*', '1-11', '*/2']))} {weekday}"
    if with_seconds or (with_seconds is None and draw(st.booleans())):
        text += " " + draw(field(5))
    return text


def values(text: str, number: int) -> set[int]:
    """What a field means."""
    low, high = _ENDS[number]
    found: set[int] = set()
    for item in text.split(","):
        ends, _, step = item.partition("/")
        first, _, last = ends.partition("-")
        if ends == "*":
            first, last = str(low), str(high)
        found |= set(range(int(first), int(last or (high if step else first)) + 1, int(step or 1)))
    return found


def on_day(cron: str, day: date) -> bool:
    """Whether a rule fires on a day, were it not for the clocks."""
    _, _, days, months, weekdays, *_ = cron.split(" ")
    if day.month not in values(months, 3):
        return False
    last = (day + timedelta(days=1)).day == 1
    fits_day = last if days == "L" else days == "*" or day.day in values(days, 2)
    fits_weekday = weekdays == "*" or day.isoweekday() % 7 in values(weekdays, 4)
    return fits_day or fits_weekday if days != "*" and weekdays != "*" else fits_day and fits_weekday


def is_star(cron: str) -> bool:
    """Whether minute or hour begins with a star."""
    return any(text.startswith("*") for text in cron.split(" ")[:2])


def by_first_principles(cron: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    """The fires of a rule of five fields, minute by minute; the ends are whole minutes."""
    found = _spacing if is_star(cron) else _times_of_day
    return sorted({fire for fire in found(cron, ZoneInfo(zone), after, until) if after < fire <= until})


def _spacing(cron: str, zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[datetime]:
    """Each time the wall shows a minute that fits."""
    minutes, hours = (values(text, number) for number, text in enumerate(cron.split(" ")[:2]))
    # The wall may be ahead by a part of a minute.
    instant = after - after.astimezone(zone).second * timedelta(seconds=1)
    while instant <= until:
        wall = instant.astimezone(zone)
        if wall.second:
            instant += timedelta(seconds=60 - wall.second)
            continue
        if wall.minute in minutes and wall.hour in hours and on_day(cron, wall.date()):
            yield instant
        instant += MINUTE


def _times_of_day(cron: str, zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[datetime]:
    """Each time of each day: when the wall shows it first, or else the first minute that it shows after."""
    minutes, hours = (values(text, number) for number, text in enumerate(cron.split(" ")[:2]))
    day = after.astimezone(zone).date() - timedelta(days=2)
    while day <= until.astimezone(zone).date():
        if on_day(cron, day):
            for hour, minute in product(hours, minutes):
                wall = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001  # what the wall shows
                while (instant := _first_shown(wall, zone)) is None:
                    wall += MINUTE
                yield instant
        day += timedelta(days=1)


def _first_shown(wall: datetime, zone: ZoneInfo) -> datetime | None:
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return instant if instant.astimezone(zone).replace(tzinfo=None) == wall else None
