"""What becomes of the slots of a schedule that have come due: each one is decided once, with a reason.

Pure and forward only: the caller keeps the cursor, stores what is decided, and moves the cursor to `now` in the same
transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from nomaflow.definitions.job import Misfire
from nomaflow.schedule.fires import Cron

GRACE = timedelta(seconds=60)
"""A slot that is looked at no later than this fires as if nothing had happened."""

MAX_ROWS = 1000
"""So many slots of one decision have a row of their own; the older ones share one."""

MAX_CATCH_UP = 100
"""So many late slots fire at most where all are to be caught up."""

Verdict = Literal["fire", "skipped", "missed", "coalesced"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Decided:
    """What becomes of one slot, or of `count` of them from `scheduled_at` to `last_at`.

    `reason` is a sentence where it does not fire. `into` is the slot that fires in the place of a coalesced one.
    `late` says that it was looked at later than GRACE.
    """

    scheduled_at: datetime
    verdict: Verdict
    reason: str | None = None
    into: datetime | None = None
    count: int = 1
    last_at: datetime | None = None
    late: bool = False

    @property
    def is_catch_up(self) -> bool:
        """Whether it fires later than GRACE."""
        return self.late and self.verdict == "fire"


def decide(
    cron: Cron,
    *,
    after: datetime,
    now: datetime,
    misfire: Misfire,
    catchup_window: timedelta,
    skips: Mapping[datetime, str],
) -> list[Decided]:
    """Decide every slot after the cursor and up to now, in order.

    Args:
        cron: the rule.
        after: the schedule's cursor; slots up to it were decided before.
        now: the time at which the slots are looked at.
        misfire: what is done with slots that are looked at later than GRACE.
        catchup_window: how late a slot may still fire.
        skips: slots that somebody wants left out, each with the sentence that says who and why.
    """
    newest = cron.newest(MAX_ROWS, after, now)
    if not newest:
        return []
    older = list(_older(cron, after, newest[0], now, skips)) if len(newest) == MAX_ROWS else []
    wanted = [slot for slot in newest if slot not in skips]
    in_time = [slot for slot in wanted if now - slot <= GRACE]
    late = wanted[: len(wanted) - len(in_time)]
    caught_up = _caught_up(late, now, misfire, catchup_window) if misfire == "all" or not in_time else []
    fires = {*in_time, *caught_up}
    into = min(fires) if misfire == "latest" and fires else None
    decided = []
    for slot in newest:
        is_late = now - slot > GRACE
        if slot in skips:
            decided.append(Decided(slot, "skipped", skips[slot], late=is_late))
        elif slot in fires:
            decided.append(Decided(slot, "fire", late=is_late))
        elif into is not None:
            reason = f"{_outage(slot, now)}; a later one fires in its place"
            decided.append(Decided(slot, "coalesced", reason, into=into, late=True))
        else:
            reason = f"{_outage(slot, now)}; {_why_missed(now - slot, misfire, catchup_window)}"
            decided.append(Decided(slot, "missed", reason, late=True))
    return [*older, *decided]


def window(text: str) -> timedelta:
    """The length that a definition writes as `30m`, `1h`, `2d`, `45s` or `0`.

    Raises:
        ValueError: it says no length.
    """
    if text == "0":
        return timedelta()
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text, re.ASCII)
    if not found:
        raise ValueError(f'must be a duration like "30m", "1h" or "0", not {text!r}')
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def said(length: timedelta) -> str:
    """A length as people say it, in its two greatest units: `3 h 20 min`."""
    total = length // _SECOND
    for size, unit, smaller, smaller_unit in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if total >= size:
            whole, rest = divmod(total, size)
            return f"{whole} {unit} {rest // smaller} {smaller_unit}" if rest >= smaller else f"{whole} {unit}"
    return f"{total} s"


def _caught_up(late: list[datetime], now: datetime, misfire: Misfire, catchup_window: timedelta) -> list[datetime]:
    if misfire == "skip":
        return []
    at_most = MAX_CATCH_UP if misfire == "all" else 1
    return [slot for slot in late[-at_most:] if now - slot <= catchup_window]


def _older(
    cron: Cron, after: datetime, before: datetime, now: datetime, skips: Mapping[datetime, str]
) -> Iterator[Decided]:
    """Those before the newest: one row for all, and one for each that was to be left out."""
    until = before - _SECOND
    skipped = sorted(slot for slot in skips if after < slot <= until and slot in cron)
    count = cron.count(after, until) - len(skipped)
    rows = [Decided(slot, "skipped", skips[slot], late=True) for slot in skipped]
    if count > 0:
        first = next(slot for slot in cron.fires(after, until) if slot not in skips)
        last = next(slot for slot in reversed(cron.newest(len(skipped) + 1, after, until)) if slot not in skips)
        reason = f"{_outage(first, now)}; of so many slots only the newest {MAX_ROWS} are told one by one"
        rows.append(Decided(first, "missed", reason, count=count, last_at=last, late=True))
    yield from sorted(rows, key=lambda row: row.scheduled_at)


def _outage(slot: datetime, now: datetime) -> str:
    return f"the engine did not look for {said(now - slot)}"


def _why_missed(late: timedelta, misfire: Misfire, catchup_window: timedelta) -> str:
    if misfire == "skip":
        return 'with misfire = "skip" what is late does not fire'
    if late > catchup_window:
        return f"older than its catchup_window of {_written(catchup_window)}"
    return f"at most the newest {MAX_CATCH_UP} are caught up"


def _written(length: timedelta) -> str:
    """A length as a definition writes it."""
    total = length // _SECOND
    if total == 0:
        return "0"
    size, unit = next(
        (size, unit) for size, unit in ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s")) if total % size == 0
    )
    return f"{total // size}{unit}"
