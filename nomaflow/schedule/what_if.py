"""A changed rule held against days that are past: how often it would have fired, and into runs that still went."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, pairwise

from nomaflow.definitions.job import Overlap
from nomaflow.schedule.cron import EITHER_DAY, Cron, changes_told, words
from nomaflow.schedule.zone import instant, seconds

MAX_WALKED = 50_000
"""So many fires are looked at one by one; where there are more, the newest stand for all."""

MAX_EXAMPLES = 5

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a changed rule would have done between two instants.

    `overlaps` counts the fires that come while the run before still goes, where each takes the median of the
    durations; `overlaps_when_slow` where each takes the one that 95 % of them stay within. `examples` are the first
    of the latter. `longest_gap_seconds` is the longest time without a fire, the ends included. `busiest_hour` is the
    first one with the most fires, on the clock of the zone, and `busiest_count` how many.
    """

    since: datetime
    until: datetime
    fires_before: int
    fires_after: int
    overlaps: int
    overlaps_when_slow: int
    median_seconds: float | None
    p95_seconds: float | None
    longest_gap_seconds: float
    busiest_hour: str | None
    busiest_count: int
    examples: tuple[datetime, ...]
    words: str
    notes: tuple[str, ...]


def what_if(
    old: Cron | None,
    new: Cron,
    *,
    since: datetime,
    until: datetime,
    durations_seconds: Sequence[float],
    overlap: Overlap,
) -> WhatIf:
    """Hold a changed rule against the time after `since` and up to `until`.

    Args:
        old: the rule in force; None where there is none.
        new: the changed rule.
        since: where the past begins.
        until: where it ends.
        durations_seconds: how long the job's runs took.
        overlap: what the job does with a fire that comes while a run goes.
    """
    total = new.count(since, until)
    walked = new.newest(MAX_WALKED, since, until)
    median = statistics.median(durations_seconds) if durations_seconds else None
    p95 = _p95(durations_seconds) if durations_seconds else None
    usual = _overlapping(walked, median, overlap)
    slow = _overlapping(walked, p95, overlap)
    hours = list(_hours(new, since, until))
    busiest = max(hours, key=lambda hour: hour.count, default=None)
    return WhatIf(
        since=since,
        until=until,
        fires_before=old.count(since, until) if old else 0,
        fires_after=total,
        overlaps=_for_all(len(usual), len(walked), total),
        overlaps_when_slow=_for_all(len(slow), len(walked), total),
        median_seconds=median,
        p95_seconds=p95,
        longest_gap_seconds=_longest_gap(new, hours, since, until).total_seconds(),
        busiest_hour=_hour_said(new, busiest) if busiest else None,
        busiest_count=busiest.count if busiest else 0,
        examples=tuple(slow[:MAX_EXAMPLES]),
        words=words(new.text),
        notes=tuple(_notes(new, since, until, len(walked), total, bool(durations_seconds))),
    )


@dataclass(frozen=True, slots=True)
class _Hour:
    """The fires of an hour on the clock."""

    first: datetime
    last: datetime
    count: int


def _hours(cron: Cron, since: datetime, until: datetime) -> Iterator[_Hour]:
    """Each hour with fires; their number does not grow with that of the fires."""
    while (first := next(cron.fires(since, until), None)) is not None:
        second = seconds(first)
        stretch = cron.zone.stretch(second)
        ends = min(stretch.ends, second + 3600 - (second + stretch.offset) % 3600)
        since = min(until, instant(ends - 1))
        (last,) = cron.newest(1, first - _SECOND, since)
        yield _Hour(first, last, cron.count(first - _SECOND, last))


def _longest_gap(cron: Cron, hours: Sequence[_Hour], since: datetime, until: datetime) -> timedelta:
    if not hours:
        return until - since
    gaps = [hours[0].first - since, until - hours[-1].last]
    gaps += [later.first - earlier.last for earlier, later in pairwise(hours)]
    whole = len(cron.wall.in_hour)
    for hour in [*(hour for hour in hours if hour.count < whole), *_first_whole(hours, whole)]:
        gaps += [later - earlier for earlier, later in pairwise(cron.fires(hour.first - _SECOND, hour.last))]
    return max(gaps)


def _first_whole(hours: Sequence[_Hour], whole: int) -> list[_Hour]:
    """One whole hour stands for all: they are alike."""
    return list(islice((hour for hour in hours if hour.count >= whole), 1))


def _overlapping(fires: Sequence[datetime], duration_seconds: float | None, overlap: Overlap) -> list[datetime]:
    """The fires that come while a run goes, where every run takes as long."""
    if duration_seconds is None:
        return []
    duration = timedelta(seconds=duration_seconds)
    found = []
    ends: datetime | None = None
    is_queued = False
    for fire in fires:
        if ends is not None and is_queued and ends <= fire:
            ends, is_queued = ends + duration, False
        if ends is None or ends <= fire:
            ends = fire + duration
            continue
        found.append(fire)
        if overlap == "queue_one":
            is_queued = True
        elif overlap != "skip":
            ends = fire + duration
    return found


def _p95(durations: Sequence[float]) -> float:
    return sorted(durations)[math.ceil(0.95 * len(durations)) - 1]


def _for_all(counted: int, walked: int, total: int) -> int:
    return round(counted * total / walked) if walked else 0


def _hour_said(cron: Cron, hour: _Hour) -> str:
    begins = hour.first.astimezone(cron.zone.info)
    fires = "1 fire" if hour.count == 1 else f"{hour.count} fires"
    return f"{begins:%-d %b %Y, %H}:00 to {(begins.hour + 1) % 24:02}:00: {fires}"


def _notes(cron: Cron, since: datetime, until: datetime, walked: int, total: int, is_known: bool) -> Iterator[str]:
    if not is_known:
        yield "No run of the job has ended yet: nothing is known of fires that come too early."
    elif walked < total:
        yield f"Overlaps are counted in the newest {walked:,} of {total:,} fires and scaled up."
    if cron.wall.either_day:
        yield EITHER_DAY
    yield from changes_told(cron, since, until)
