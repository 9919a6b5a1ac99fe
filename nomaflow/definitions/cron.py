"""Which cron expressions a schedule may carry: five fields, a sixth for seconds last, or one of six aliases.

croniter knows more than a schedule should say, and knows some of it differently from other crons. What is read
differently elsewhere is refused here with a sentence, so that a line copied from another system never fires at a
surprising time.
"""

from __future__ import annotations

import re

from croniter import CroniterError, croniter

MAX_LENGTH = 128
"""Checked before parsing: a string of some hundred thousand characters takes croniter most of a minute."""

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_FIELDS = ("minute", "hour", "day of month", "month", "day of week", "second")
_RANGE = re.compile(r"(\w+)-(\w+)(?=$|/)")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)} | {name: n for n, name in enumerate(_DAYS)}


def normalise(text: str) -> str:
    """The expression with aliases written out, as croniter is given it.

    Raises:
        ValueError: the rest of a sentence that begins with "cron".
    """
    text = text.strip()
    if len(text) > MAX_LENGTH:
        raise ValueError(f"is longer than {MAX_LENGTH} characters")
    if text.startswith("@"):
        if text not in ALIASES:
            raise ValueError(f"has an unknown alias {text!r}; known are {', '.join(ALIASES)}")
        return ALIASES[text]
    if not text.isascii() or re.search(r"[^\x21-\x7e ]|  ", text):
        raise ValueError("must be plain ASCII with single spaces between its fields")
    fields = text.split(" ") if text else []
    if len(fields) not in (5, 6):
        raise ValueError(
            f"must have five fields (minute, hour, day of month, month, day of week), or a sixth for seconds, last; "
            f"it has {len(fields)}"
        )
    fields = [_checked(name, field) for name, field in zip(_FIELDS, fields, strict=False)]
    if fields[2] != "*" and re.search(r"[#lL]", fields[4]):
        raise ValueError("cannot join a day of month with `#` or `L` in the day of week: crons read that differently")
    normal = " ".join(fields)
    try:
        valid = croniter.is_valid(normal, strict=True)
    except (CroniterError, ValueError, OverflowError):
        valid = False
    if not valid:
        _explain(normal)
    return normal


def _checked(name: str, field: str) -> str:
    """The field, with a range that holds one value written as that value: croniter takes it for the whole circle."""
    if re.search(r"(?<![A-Za-z])[RrHh](?![A-Za-z])", field):
        raise ValueError(f"has `R` or `H` in its {name}: a schedule says its times and draws no lots")
    if "?" in field:
        raise ValueError(f"has `?` in its {name}; write `*`")
    if re.search(r"\d[Ww]", field):
        raise ValueError(f"has `W` in its {name}, which is not known here")
    items = field.split(",")
    if len(items) > 1 and "*" in items:
        raise ValueError(f"has `*` beside other values in its {name}; write `*` alone")
    if name == "day of week" and len({bool(re.search(r"[#lL]", item)) for item in items}) > 1:
        raise ValueError("joins a weekday with `#` or `L` and one without; give each a schedule of its own")
    return ",".join(_unwrapped(name, item) for item in items)


def _unwrapped(name: str, item: str) -> str:
    match = _RANGE.match(item)
    if not match:
        return item
    low, high = (_number(end) for end in match.groups())
    if low is None or high is None:
        return item
    if low > high:
        raise ValueError(f"has a range that wraps, {match[0]}, in its {name}; write both parts, with a comma")
    return match[1] if low == high else item


def _number(end: str) -> int | None:
    return int(end) if end.isdecimal() else _NUMBERS.get(end.lower())


def _explain(text: str) -> None:
    try:
        croniter.expand(text)
    except (CroniterError, ValueError, OverflowError) as error:
        raise ValueError(f"is not valid: {error}") from None
    if text.split(" ")[4] == "*":
        raise ValueError("never fires: no such day exists")
    raise ValueError("has a day of month that none of its months has; leave it out, the day of week fires alone")
