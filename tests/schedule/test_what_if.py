"""A changed rule held against days that are past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.definitions.job import Overlap
from nomaflow.schedule.cron import EITHER_DAY, compiled
from nomaflow.schedule.what_if import MAX_WALKED, WhatIf, what_if
from tests.schedule.rules import CHANGES, rule

SINCE = datetime(2026, 5, 17, 23, 59, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTES = 60.0


def asked(
    new: str,
    *durations: float,
    old: str | None = "0 * * * *",
    overlap: Overlap = "skip",
    days: float = 1,
    zone: str = "UTC",
    since: datetime = SINCE,
) -> WhatIf:
    return what_if(
        compiled(old, zone) if old else None,
        compiled(new, zone),
        since=since,
        until=since + days * DAY,
        durations_seconds=durations,
        overlap=overlap,
    )


def test_fires_before_and_after_are_counted() -> None:
    """The old rule and the new one are counted over the same time."""
    seen = asked("*/30 * * * *", 60.0, days=10)
    assert (seen.fires_before, seen.fires_after) == (240, 480)
    assert (seen.since, seen.until) == (SINCE, SINCE + 10 * DAY)
    assert seen.words == "Every 30 minutes"
    assert asked("*/30 * * * *", old=None).fires_before == 0


def test_overlaps_are_told_for_a_usual_run_and_a_slow_one() -> None:
    """One run in twenty takes 40 minutes: with the usual 10 none overlaps, with the slow ones each second fire does."""
    durations = [10 * MINUTES] * 18 + [40 * MINUTES] * 2
    seen = asked("*/30 * * * *", *durations)
    assert (seen.median_seconds, seen.p95_seconds) == (600, 2400)
    assert (seen.overlaps, seen.overlaps_when_slow) == (0, 24)
    midnight = SINCE + timedelta(minutes=1)
    assert seen.examples == tuple(midnight + timedelta(minutes=30 + 60 * n) for n in range(5))


@pytest.mark.parametrize(
    ("overlap", "overlaps"),
    [
        # Fires at 0, 10, 20 … 50, each run takes 25 minutes.
        ("skip", ["10", "20", "40", "50"]),
        ("queue_one", ["10", "20", "30", "40", "50"]),
        ("cancel_running", ["10", "20", "30", "40", "50"]),
        ("allow", ["10", "20", "30", "40", "50"]),
    ],
)
def test_how_many_overlap_depends_on_what_the_job_does_then(overlap: Overlap, overlaps: list[str]) -> None:
    """A skipped fire starts no run, a queued one starts it later, others start it at once."""
    seen = asked("*/10 0 * * *", 25 * MINUTES, overlap=overlap)
    assert [f"{fire:%M}" for fire in seen.examples] == overlaps[:5]
    assert seen.overlaps == len(overlaps)


def test_a_queued_run_ends_before_the_next_fire() -> None:
    """Fires at 0, 10 and 40: the one of 10 waits until 15 and ends at 30, so the one of 40 is free."""
    assert asked("0,10,40 0 * * *", 15 * MINUTES, overlap="queue_one").overlaps == 1


def test_a_fire_at_the_end_of_a_run_does_not_overlap() -> None:
    """A run of exactly the distance ends when the next one is due."""
    assert asked("*/10 * * * *", 10 * MINUTES).overlaps == 0
    assert asked("*/10 * * * *", 10 * MINUTES + 1).overlaps == 72


def test_without_a_run_nothing_is_known_of_overlaps() -> None:
    """A job that never ran has no durations; a note says so."""
    seen = asked("*/30 * * * *")
    assert (seen.median_seconds, seen.p95_seconds, seen.overlaps, seen.overlaps_when_slow) == (None, None, 0, 0)
    assert seen.notes == ("No run of the job has ended yet: nothing is known of fires that come too early.",)


@pytest.mark.parametrize(
    ("new", "gap_hours", "busiest", "count"),
    [
        ("0 6 * * *", 24, "18 May 2026, 06:00 to 07:00: 1 fire", 1),
        ("0 6,9 * * *", 21, "18 May 2026, 06:00 to 07:00: 1 fire", 1),
        ("0,10 6 * * *", 23 + 50 / 60, "18 May 2026, 06:00 to 07:00: 2 fires", 2),
        ("0,50 * * * *", 50 / 60, "18 May 2026, 00:00 to 01:00: 2 fires", 2),
        ("* 23 * * *", 23 + 1 / 60, "18 May 2026, 23:00 to 00:00: 60 fires", 60),
        ("0 0 1 1 *", 240, None, 0),
    ],
)
def test_the_longest_gap_and_the_busiest_hour(new: str, gap_hours: float, busiest: str | None, count: int) -> None:
    """The longest time without a fire, and the first of the hours with the most."""
    seen = asked(new, 1.0, days=10)
    assert seen.longest_gap_seconds == pytest.approx(gap_hours * 3600)
    assert (seen.busiest_hour, seen.busiest_count) == (busiest, count)


def test_the_busiest_hour_is_one_of_the_zone() -> None:
    """Paris is two hours ahead in May."""
    seen = asked("*/20 9 * * *", zone="Europe/Paris")
    assert seen.busiest_hour == "18 May 2026, 09:00 to 10:00: 3 fires"


def test_the_days_of_changed_clocks_are_told() -> None:
    """A change in that time that bears on the new rule has a sentence, and so have two day fields."""
    since = datetime(2026, 3, 1, tzinfo=UTC)
    assert asked("30 2 * * *", 1.0, days=90, zone="Europe/Paris", since=since).notes == (
        "On 29 Mar 2026 02:30 does not exist: it fires at 03:00.",
    )
    assert asked("30 4 1 * 1", 1.0, days=90, zone="Europe/Paris", since=since).notes == (EITHER_DAY,)


@pytest.mark.limit(10)
def test_very_many_fires_are_counted_by_a_part_of_them() -> None:
    """A rule that fires each second is held against its newest fires, and the numbers are scaled up; a note says so."""
    seen = asked("* * * * * *", 1.5, days=90)
    assert seen.fires_after == 90 * 86_400
    assert seen.overlaps == pytest.approx(seen.fires_after / 2, rel=1e-3)
    assert seen.notes == (f"Overlaps are counted in the newest {MAX_WALKED:,} of 7,776,000 fires and scaled up.",)
    assert (seen.longest_gap_seconds, seen.busiest_count) == (1, 3600)


@given(rule(with_seconds=None), st.sampled_from(CHANGES), st.integers(-100_000, 100_000), st.integers(0, 20_000))
def test_gap_and_hour_are_those_of_the_fires(text: str, changed: tuple[str, datetime], start: int, length: int) -> None:
    """The longest gap and the number in the busiest hour are the same as from a walk through all fires."""
    zone, change = changed
    since = change + timedelta(seconds=start)
    until = since + timedelta(seconds=length)
    cron = compiled(text, zone)
    seen = what_if(None, cron, since=since, until=until, durations_seconds=[], overlap="skip")
    fires = list(cron.fires(since, until))
    assert seen.fires_after == len(fires)
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise([since, *fires, until])]
    assert seen.longest_gap_seconds == max(gaps)
    hours: dict[tuple[int, str], int] = {}
    for fire in fires:
        local = fire.astimezone(cron.zone.info)
        key = cron.zone.stretch(int(fire.timestamp())).begins, f"{local:%F %H}"
        hours[key] = hours.get(key, 0) + 1
    assert seen.busiest_count == max(hours.values(), default=0)
