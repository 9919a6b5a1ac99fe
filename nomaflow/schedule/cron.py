"""A cron expression in a zone: made once and kept, and shown to the person who writes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice

from nomaflow.schedule.fires import HORIZON, Cron
from nomaflow.schedule.words import words

__all__ = ["Cron", "Preview", "changes_told", "compiled", "preview", "words"]

EITHER_DAY = "Day of month and day of week are both given: it fires on each day that fits one of them."
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
    rule = Cron(cron, timezone)  # what is being written is not kept
    fires = tuple(islice(rule.fires(after, after + timedelta(seconds=HORIZON)), count))
    return Preview(fires, words(cron), tuple(_notes(rule, fires, after)))


def changes_told(rule: Cron, after: datetime, until: datetime) -> Iterator[str]:
    """What the first changes of the clocks do to a rule after `after` and up to `until`."""
    changes = rule.clock_changes(after, until)
    yield from islice(changes, MAX_CHANGES)
    if next(changes, None):
        yield "Later changes of the clocks are not listed."


def _notes(rule: Cron, fires: tuple[datetime, ...], after: datetime) -> Iterator[str]:
    if rule.wall.either_day:
        yield EITHER_DAY
    yield from _rare(rule, after)
    # A time of day that is moved is worth a word long before; that an hour goes missing every few minutes' job is not.
    last = max(fires, default=after)
    yield from changes_told(rule, after, last if rule.wall.is_star else max(last, after + YEAR))


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
