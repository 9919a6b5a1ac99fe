"""What the values of a search mean: days and instants, lengths of time, counts, states, run ids."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ACTIVE = frozenset({"QUEUED", "RUNNING", "CANCELING"})
ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})
NEVER = "NEVER"
"""The state of a job that has not run yet."""

STATES = {state.lower(): frozenset({state}) for state in ACTIVE | ENDED} | {"active": ACTIVE, "ended": ENDED}
JOB_STATES = {**STATES, "never": frozenset({NEVER})}

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_LENGTH = r"(\d{1,9}(?:\.\d{1,3})?)(ms|[smhdw])"
_MAX_COUNT = 2**63 - 1
_CROCKFORD = "0-9A-HJKMNP-TV-Z"
FEWEST_DIGITS, RUN_DIGITS = 4, 13


def seconds(text: str) -> float | None:
    """A length of time such as `90s`, `5m` or `1h30m`; None where it is none."""
    if not re.fullmatch(f"(?:{_LENGTH})+", text, re.ASCII | re.IGNORECASE):
        return None
    found = re.findall(_LENGTH, text, re.ASCII | re.IGNORECASE)
    return sum(float(number) * _UNIT_SECONDS[unit.lower()] for number, unit in found)


def count(text: str) -> int | None:
    """A whole number that the store can hold; None where it is none."""
    if not re.fullmatch(r"\d{1,19}", text, re.ASCII):
        return None
    return number if (number := int(text)) <= _MAX_COUNT else None


def span(text: str, now: datetime, timezone: ZoneInfo) -> tuple[datetime, datetime] | None:
    """When what the text names begins and ends, in UTC; None where it names no time.

    A month or a day lasts as long as it does in the zone; an instant, or a length of time before now, begins and ends
    at once. An instant without an offset is the zone's.
    """
    try:
        found = _instant(text, now, timezone) or _days(text, now.astimezone(timezone).date())
        if found is None:
            return None
        begin, end = (
            each if isinstance(each, datetime) else datetime.combine(each, time(), timezone) for each in found
        )
        # Within a day of either end of the calendar a change of zone overflows.
        if begin.year < 1900 or end.year > 9000:
            return None
        return begin.astimezone(UTC), end.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def run_digits(text: str) -> str | None:
    """The last digits of a run's id, in capitals: all of them, or at least four; None where they can't be that."""
    digits = text.upper().removeprefix("RUN_")
    return digits if re.fullmatch(f"[{_CROCKFORD}]{{{FEWEST_DIGITS},{RUN_DIGITS}}}", digits, re.ASCII) else None


def _instant(text: str, now: datetime, timezone: ZoneInfo) -> tuple[datetime, datetime] | None:
    if (ago := seconds(text)) is not None:
        instant = now - timedelta(seconds=ago)
    elif re.match(r"\d{4}-\d\d-\d\d[Tt]", text):
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=timezone)
    else:
        return None
    return instant, instant


def _days(text: str, today: date) -> tuple[date, date] | None:
    if re.fullmatch(r"\d{4}-\d\d", text, re.ASCII):
        first = date.fromisoformat(f"{text}-01")
        return first, (first + timedelta(days=31)).replace(day=1)
    if text.lower() in ("today", "yesterday"):
        first = today - timedelta(days=text.lower() == "yesterday")
    elif re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        first = date.fromisoformat(text)
    else:
        return None
    return first, first + timedelta(days=1)
