"""The fixed words that may stand in `${…}`: dates, and what is looked up when a step starts.

Date tokens are resolved when a run is planned, in the zone of its schedule or home, so that the stored plan holds the
day that was really meant. The looked-up ones stay in the plan as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta

TOKEN = re.compile(r"\$\{([^${}]*)\}")
LOOKED_UP = ("env", "kw", "out", "ctx")


def _first_of_previous_month(day: date) -> date:
    return (day.replace(day=1) - timedelta(days=1)).replace(day=1)


def _last_of_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


DATES: dict[str, Callable[[date], date]] = {
    "today": lambda day: day,
    "yesterday": lambda day: day - timedelta(days=1),
    "tomorrow": lambda day: day + timedelta(days=1),
    "week.monday": lambda day: day - timedelta(days=day.weekday()),
    "week.sunday": lambda day: day + timedelta(days=6 - day.weekday()),
    "month.first": lambda day: day.replace(day=1),
    "month.last": _last_of_month,
    "month.previous": _first_of_previous_month,
}


def is_date(text: str) -> bool:
    """Whether the whole text is one date token."""
    match = TOKEN.fullmatch(text)
    return bool(match and match[1] in DATES)


def check(text: str) -> None:
    """Refuse an unknown token.

    Raises:
        ValueError: names the token and what may stand there.
    """
    for word in TOKEN.findall(text):
        kind, _, rest = word.partition(":")
        if word not in DATES and not (kind in LOOKED_UP and rest):
            raise ValueError(
                f"has an unknown token ${{{word}}}; known are ${{env:X}}, ${{kw:x}}, ${{out:step.field}}, "
                f"${{ctx:run_id}} and the dates {', '.join(DATES)}"
            )


def resolve_dates(text: str, today: date) -> str:
    """Put the dates in; every other token stays."""
    return TOKEN.sub(lambda match: str(DATES[match[1]](today)) if match[1] in DATES else match[0], text)
