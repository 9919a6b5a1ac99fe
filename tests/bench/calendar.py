"""What schedules cost: a month of fires for the calendar, what is due at a start, and a catch-up after an outage."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nomaflow.schedule.calendar import due
from nomaflow.schedule.cron import Cron, compiled
from nomaflow.schedule.slots import decide

JOBS = 500
MONTH = timedelta(days=30)
NOW = datetime(2026, 10, 31, 12, 0, 30, tzinfo=UTC)  # the month before it holds a change of the clocks

ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")


@dataclass(frozen=True)
class Calendar:
    """Seconds for all the jobs' fires of a month, and how many they are; for the same month as slots of a calendar;
    for all next fires, the first time and again; for all decisions after a month's outage."""

    fires: int
    fires_seconds: float
    slots_seconds: float
    first_next_seconds: float
    next_seconds: float
    catch_up_seconds: float


def mixed_jobs() -> list[Cron]:
    """Jobs as a team has them: a tenth fires each few minutes, a fifth each hour, the others at times of day."""
    draw = random.Random(1)  # the same jobs each time
    rules = []
    for number in range(JOBS):
        minute, hour, day = draw.randrange(60), draw.randrange(24), draw.randrange(1, 29)
        if number < 52:
            rule = "*/5 * * * *"
        elif number < 100:
            rule = f"{minute} * * * *"
        elif number < 120:
            rule = f"*/15 {hour // 2}-{hour // 2 + 9} * * mon-fri"
        elif number < 400:
            rule = f"{minute} {hour} * * *"
        elif number < 470:
            rule = f"{minute} {hour} * * {day % 7}"
        else:
            rule = draw.choice([f"{minute} {hour} {day} * *", f"{minute} {hour} * * 1#2", f"{minute} {hour} 1 */3 *"])
        rules.append(compiled(rule, draw.choice(ZONES)))
    return rules


def month_of_jobs() -> Calendar:
    """Everything that is asked of 500 schedules, once."""
    begun = time.perf_counter()
    jobs = mixed_jobs()
    for cron in jobs:
        cron.next(NOW)
    first_next_seconds = time.perf_counter() - begun
    fires = 0

    def walk() -> None:
        nonlocal fires
        fires = sum(1 for cron in jobs for _ in cron.fires(NOW - MONTH, NOW))

    return Calendar(
        fires_seconds=_seconds(walk),
        fires=fires,
        slots_seconds=_seconds(lambda: [list(due(cron, NOW - MONTH, NOW)) for cron in jobs]),
        first_next_seconds=first_next_seconds,
        next_seconds=_seconds(lambda: [cron.next(NOW) for cron in jobs]),
        catch_up_seconds=_seconds(lambda: [_caught_up(cron) for cron in jobs]),
    )


def _caught_up(cron: Cron) -> None:
    decide(cron, after=NOW - MONTH, now=NOW, misfire="all", catchup_window=timedelta(hours=1), skips={})


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
