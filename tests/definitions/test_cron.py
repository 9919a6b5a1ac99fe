"""Which cron expressions a schedule may carry; what other crons read differently is refused with a sentence."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.definitions.cron import normalise

REFUSED = {
    "0 0 31 2 *": "never fires: no such day exists",
    "0 0 30 2 *": "never fires: no such day exists",
    "0 0 31 4,6 *": "never fires: no such day exists",
    "0 0 31 4 1": "has a day of month that none of its months has; leave it out, the day of week fires alone",
    "* * */20 * 1L": "cannot join a day of month with `#` or `L` in the day of week",
    "0 0 1 * 1#1": "cannot join a day of month with `#` or `L` in the day of week",
    "0 22-2 * * *": "has a range that wraps, 22-2, in its hour; write both parts, with a comma",
    "0 0 * * sat-mon": "has a range that wraps, sat-mon, in its day of week",
    "0 0 * * FRI-1": "has a range that wraps, FRI-1, in its day of week",
    "0 0 * dec-jan *": "has a range that wraps, dec-jan, in its month",
    "50-10/5 * * * *": "has a range that wraps, 50-10, in its minute",
    "1,50-10 * * * *": "has a range that wraps, 50-10, in its minute",
    "R R * * *": "has `R` or `H` in its minute: a schedule says its times and draws no lots",
    "0 h * * *": "has `R` or `H` in its hour",
    "H(0-29)/10 * * * *": "has `R` or `H` in its minute",
    "0 0 ? * *": "has `?` in its day of month; write `*`",
    "*,5 * * * *": "has `*` beside other values in its minute; write `*` alone",
    "0 0 1,* * 1": "has `*` beside other values in its day of month",
    "0 0 * * mon,L5": "joins a weekday with `#` or `L` and one without; give each a schedule of its own",
    "0 0 * * 0-6,1#2": "joins a weekday with `#` or `L` and one without",
    "0 0 * * 1#2,*": "has `*` beside other values in its day of week",
    "0 0 1W * *": "has `W` in its day of month, which is not known here",
    "@reboot": "has an unknown alias '@reboot'; known are @yearly, @annually, @monthly, @weekly, @daily, @midnight",
    "@every 5m": "has an unknown alias '@every 5m'",
    "30 2 * * 1\n5": "must be plain ASCII with single spaces between its fields",
    "30  2 * * 1": "must be plain ASCII with single spaces between its fields",
    "30\t2 * * 1": "must be plain ASCII with single spaces between its fields",
    "\uff13\uff10 2 * * *": "must be plain ASCII with single spaces between its fields",
    "\u0663\u0660 2 * * *": "must be plain ASCII with single spaces between its fields",
    "30\0 2 * * *": "must be plain ASCII with single spaces between its fields",
    "": "it has 0",
    "0 0 * *": "it has 4",
    "0 0 1 1 * 0 2027": "it has 7",
    "0 0 0 1 1 * 2027 8": "it has 8",
    "60 * * * *": "is not valid: ",
    "0 0 0 * *": "is not valid: ",
    "*/0 * * * *": "is not valid: ",
    "10-10-12 * * * *": "is not valid: ",
    "x * * * *": "is not valid: ",
    "1,,2 * * * *": "is not valid: ",
    "*/1," * 50_000: "is longer than 128 characters",
    "9" * 1_000_000: "is longer than 128 characters",
}

ACCEPTED = {
    "30 2 * * *": "30 2 * * *",
    "  30 2 * * *\n": "30 2 * * *",
    "*/5 * * * *": "*/5 * * * *",
    "30 * * * * *": "30 * * * * *",
    "0 9-17/2 * * mon-fri": "0 9-17/2 * * mon-fri",
    "0 0 * * 5-7": "0 0 * * 5-7",
    "0 0 * jan-mar sun-sat": "0 0 * jan-mar sun-sat",
    "0 0 29 2 *": "0 0 29 2 *",
    "0 0 L * *": "0 0 L * *",
    "0 0 * * 1#2": "0 0 * * 1#2",
    "0 0 * * mon#1,L5": "0 0 * * mon#1,L5",
    "*/5,7 * * * *": "*/5,7 * * * *",
    "0 0 */2 * 1": "0 0 */2 * 1",
    "0 0 * * THU": "0 0 * * THU",
    # croniter reads a range of one value as the whole circle
    "0-0 * * * *": "0 * * * *",
    "0-0/5 * * * *": "0 * * * *",
    "5-5/2,7 * * * *": "5,7 * * * *",
    "0 0 * * mon-mon": "0 0 * * mon",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=lambda text: text[:20])
def test_what_is_read_differently_elsewhere_is_refused(text: str, message: str) -> None:
    """The message is the rest of a sentence that begins with the field's name, and says how to mend it."""
    begun = time.perf_counter()
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is checked below
        normalise(text)
    assert message in str(caught.value)
    assert time.perf_counter() - begun < 1


@pytest.mark.parametrize(("text", "normal"), ACCEPTED.items())
def test_what_all_crons_read_alike_is_taken(text: str, normal: str) -> None:
    """Five fields, a sixth for seconds, last, and seven aliases; trimmed."""
    assert normalise(text) == normal


_FIELDS = [(0, 59), (0, 23), (1, 28), (1, 12), (0, 6)]


@st.composite
def _fields(draw: st.DrawFn, low: int, high: int) -> str:
    number = st.integers(low, high)
    item = st.one_of(
        number.map(str),
        st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}"),
        st.tuples(number, number, st.integers(1, 7)).map(lambda ends: f"{min(ends[:2])}-{max(ends[:2])}/{ends[2]}"),
    )
    return draw(st.just("*") | st.lists(item, min_size=1, max_size=3).map(",".join))


def _values(field: str, low: int, high: int) -> set[int]:
    """What a field means, read from first principles."""
    if field == "*":
        return set(range(low, high + 1))
    values: set[int] = set()
    for item in field.split(","):
        ends, _, step = item.partition("/")
        first, _, last = ends.partition("-")
        values |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return values


def _fires(fields: tuple[str, ...], day: datetime) -> Iterator[datetime]:
    minutes, hours, days, months, weekdays = (
        _values(field, *ends) for field, ends in zip(fields, _FIELDS, strict=True)
    )
    both = "*" not in (fields[2], fields[4])
    while True:
        fits = (fields[2] == "*" or day.day in days, day.isoweekday() % 7 in weekdays)
        if day.month in months and (any(fits) if both else all(fits)):
            yield from (day.replace(hour=hour, minute=minute) for hour in sorted(hours) for minute in sorted(minutes))
        day += timedelta(days=1)


@given(st.tuples(*(_fields(low, high) for low, high in _FIELDS)))
def test_croniter_fires_as_the_fields_say(fields: tuple[str, ...]) -> None:
    """What is taken fires when each field, read from first principles, says so; a day of month and a weekday are OR."""
    text = " ".join(fields)
    if len(text) > 128:
        return
    start = datetime(2026, 1, 1)  # noqa: DTZ001  # wall time
    fires = croniter(normalise(text), start - timedelta(seconds=1))
    assert [fires.get_next(datetime) for _ in range(5)] == list(islice(_fires(fields, start), 5))


@given(st.text(max_size=140) | st.text("0123456789*/-,#LW? ", max_size=40))
def test_any_text_is_taken_or_refused(text: str) -> None:
    """Nothing but a ValueError ever comes out, and what is taken has a next fire."""
    try:
        normal = normalise(text)
    except ValueError:
        return
    assert croniter(normal, datetime(2026, 1, 1, tzinfo=UTC)).get_next(datetime) > datetime(2026, 1, 1, tzinfo=UTC)
