"""A cron expression in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from croniter import croniter

from nomaflow.definitions.cron import normalise

MAX_TIMES = 8
"""So many times of day are told one by one."""

_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY, _SECOND = range(6)
_CIRCLES = {_MINUTE: 60, _HOUR: 24, _MONTH: 12, _SECOND: 60}

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_ORDINALS = ("first", "second", "third", "fourth", "fifth")


def words(cron: str) -> str:
    """When the expression fires, as a sentence without a full stop; days and months are read as they fire here.

    Raises:
        ValueError: the expression is refused.
    """
    from cron_descriptor import ExpressionDescriptor, Options

    normal = normalise(cron)
    texts = normal.split(" ")
    values, nth = croniter.expand(normal)
    either_day = texts[_DAY] != "*" and texts[_WEEKDAY] != "*"
    fields = [_field(number, text, values[number], either_day) for number, text in enumerate(texts)]
    times = _times(texts, values)
    if times:
        fields[_MINUTE], fields[_HOUR] = "0", "0"
        del fields[_SECOND:]
    if nth:
        fields[_WEEKDAY] = "1#1"
    options = Options(locale_code="en_US", use_24hour_time_format=True)
    described: str = ExpressionDescriptor(" ".join([*fields[_SECOND:], *fields[:_SECOND]]), options).get_description()
    if times:
        described = f"At {_listed(times)}{described.removeprefix('At 00:00')}"
    if nth:
        described = described.replace("the first Monday", _nth(nth))
    return described.replace(" L of the month", " the last day of the month")


def _field(number: int, text: str, values: Sequence[int | str], either_day: bool) -> str:
    """The field as cron-descriptor tells it rightly; it tells apart less than cron does.

    It says "every 25 minutes" of a step that starts anew with each hour, "until 12:59" of a list that holds the hours
    up to 12, and leaves out the "or" before a range of weekdays.
    """
    if values == ["*"]:
        return "*"
    is_list, is_stepped = "," in text, "/" in text
    start, _, step = text.partition("/")
    if number == _DAY and start == "*":
        return f"1-31/{step}".removesuffix("/1")
    if (
        len(values) == 1
        or (is_list and (is_stepped or number == _HOUR))
        or (number == _WEEKDAY and (is_stepped or either_day))
        or (is_stepped and not is_list and "-" not in start and not _is_even(number, start, int(step)))
    ):
        return _one_by_one(values, as_range=number != _WEEKDAY)
    return text.upper().replace("-L", "-31").removesuffix("/1")


def _one_by_one(values: Sequence[int | str], *, as_range: bool) -> str:
    first, last = values[0], values[-1]
    if as_range and isinstance(first, int) and isinstance(last, int) and last - first == len(values) - 1 > 1:
        return f"{first}-{last}"
    return ",".join(str(value).upper() for value in values)


def _is_even(number: int, start: str, step: int) -> bool:
    """Whether a step goes round its field evenly, so that "every" is the whole truth."""
    circle = _CIRCLES.get(number, 1)
    lowest = 1 if number == _MONTH else 0
    return step > 1 and circle % step == 0 and (start == "*" or (start.isdecimal() and int(start) < step + lowest))


def _times(texts: Sequence[str], values: Sequence[Sequence[int | str]]) -> list[str]:
    """The times of day, where they are few and given one by one."""
    given = [texts[_HOUR], texts[_MINUTE], *texts[_SECOND:]]
    if not all(text.replace(",", "").isdecimal() for text in given):
        return []
    chosen = [values[_HOUR], values[_MINUTE], *values[_SECOND:]]
    if len(chosen[0]) * len(chosen[1]) * (len(chosen[2]) if len(chosen) > 2 else 1) > MAX_TIMES:
        return []
    return [":".join(f"{part:02}" for part in time) for time in product(*chosen)]


def _nth(nth: dict[int, set[int | str]]) -> str:
    return _listed(
        [
            f"the {'last' if which == 'l' else _ORDINALS[int(which) - 1]} {_WEEKDAYS[weekday]}"
            for weekday in sorted(nth)
            for which in sorted(nth[weekday], key=lambda which: (which == "l", which))
        ]
    )


def _listed(parts: Sequence[str]) -> str:
    if len(parts) < 3:
        return " and ".join(parts)
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"
