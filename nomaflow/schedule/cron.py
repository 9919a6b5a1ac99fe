"""A cron expression in a zone: made once and kept, and shown to the person who writes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice

from nomaflow.schedule.fires import HORIZON, Cron
from nomaflow.schedule.words import words

__all__ = ["Cron", "Preview", "compiled", "preview", "words"]

YEAR = timedelta(days=366)
MAX_CHANGES = 6
"""So many changes of the clocks are told; there are two a year."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The next fires of a rule, the rule in words, and what may surprise about it: whole sentences."""

    fires: tuple[datetime, ...]
    words: str
    notes: tuple[str, ...]


@lru_cache(maxsize=4096)
def compiled(cron: str, timezone: str) -> Cron:
    """The expression in the zone, ready to fire; the same object each time.

    Args:
        cron: what `definitions.cron` accepts.
        timezone: an IANA name.

    Raises:
        ValueError: it does not; the text is the rest of a sentence that begins with "cron" or "timezone".
    """
    return Cron(cron, timezone)


def preview(cron: str, timezone: str, count: int, after: datetime) -> Preview:
    """The next `count` fires after an instant, fewer where no more come within 50 years.

    Raises:
        ValueError: as `compiled`.
    """
    rule = compiled(cron, timezone)
    fires = tuple(islice(rule.fires(after, after + timedelta(seconds=HORIZON)), count))
    return Preview(fires, words(cron), tuple(_notes(rule, fires, after)))


def _notes(rule: Cron, fires: tuple[datetime, ...], after: datetime) -> Iterator[str]:
    if rule.wall.either_day:
        yield "Day of month and day of week are both given: it fires on each day that fits one of them."
    yield from _rare(rule, after)
    # A time of day that is moved is worth a word long before; that an hour goes missing every few minutes' job is not.
    last = max(fires, default=after)
    until = last if rule.wall.is_star else max(last, after + YEAR)
    changes = list(islice(rule.clock_changes(after, until), MAX_CHANGES + 1))
    yield from changes[:MAX_CHANGES]
    if len(changes) > MAX_CHANGES:
        yield "Later changes of the clock are not listed."


def _rare(rule: Cron, after: datetime) -> Iterator[str]:
    first = rule.next(after)
    if first is None:
        yield "It does not fire within 50 years."
        return
    second = rule.next(first)
    if second is None or second - first > YEAR:
        then = "not again within 50 years" if second is None else f"then on {_day(rule, second)}"
        yield f"It fires less often than once a year: on {_day(rule, first)}, {then}."
    elif not rule.wall.either_day and (short := rule.wall.missing_day()):
        yield f"Months without a day {short} are passed over."


def _day(rule: Cron, fire: datetime) -> str:
    return f"{fire.astimezone(rule.zone.info):%-d %b %Y}"
