"""A virtual year of fifty schedules in six zones: every fire of it has its slot, once."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
import trio.testing

from nomaflow.engine.rows import aware
from tests.simulation import oracle
from tests.simulation.homes import HomeSpec, JobSpec, Pace, ScheduleSpec, StepSpec
from tests.simulation.shortcuts import DAY, in_order, shortened
from tests.simulation.world import World, opened

START = datetime(2026, 1, 1, 11, 17, 3, tzinfo=UTC)
YEAR = 365 * DAY
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca"]

CRONS = [
    "30 2 * * *",
    "0 0 * * *",
    "15 1,13 * * mon",
    "0 3 * * mon-fri",
    "45 2 * * 0",
    "0 2 1-7 3,10 *",
    "30 1 25-31 3,10,11 *",
    "0 6 1,15 * *",
    "30 2 29 3 *",
    "0 0 L * *",
    "0 9 * * 1#1",
    "10 4 * * 6",
    "0 12 31 * *",
    "0 0 29 2 *",
    "5 5 5 5 *",
    "20 0 1 * * 0,30",
    "59 23 * * 5",
]
"""Times of day: those come thin enough for a year, and the changes of the clocks meet them all."""

SPACED = ["*/30 1-3 25-31 3,10 *", "*/20 0 1-2 11 *", "15 */2 8 3 *", "0 * 29 3 *", "*/15 2 29 3 *"]
"""Spacings, around the changes of the clocks; not where cronsim has a fault."""


def fifty() -> list[ScheduleSpec]:
    """Fifty schedules, no two alike."""
    pairs = [(cron, zone) for cron in CRONS for zone in ZONES]
    random.Random(1).shuffle(pairs)
    pairs = [*pairs[:40], *((cron, zone) for cron in SPACED for zone in ZONES[1:3])]
    return [ScheduleSpec("default", cron, zone) for cron, zone in pairs]


@pytest.mark.limit(60)
def test_every_slot_of_a_year_is_there_once(tmp_path: Path) -> None:
    """By another's cron, slot for slot; and each has fired."""
    schedules = fifty()
    assert len({(each.cron, each.timezone) for each in schedules}) == 50
    pace = Pace("year", YEAR, [], [], [], [], look_seconds=DAY)
    spec = HomeSpec(pace, START, max_parallel_runs=50)
    for number, schedule in enumerate(schedules):
        job_id = f"job{number:02}"
        spec.jobs[job_id] = JobSpec(job_id, schedules=(schedule,), steps=(StepSpec("s", seconds=0),))
    with shortened(pace.look_seconds), in_order(1):
        world = World(1, spec, tmp_path)
        world.home.jobs_dir.mkdir()
        world.home.make_state_dir()
        trio.run(_lived, world, clock=trio.testing.MockClock(autojump_threshold=0))
    rows = world.disk.tables.slots.values()
    found = Counter((row[1], aware(row[3])) for row in rows)
    until = world.evidence.wall(YEAR)
    due = Counter(
        (f"job{number:02}", fire)
        for number, schedule in enumerate(schedules)
        for fire in oracle.fires(schedule.cron, schedule.timezone or "UTC", START, until)
    )
    assert found == due
    assert {row[4] for row in rows} == {"FIRED"}
    assert len(world.disk.tables.runs) == len(due) > 3000


async def _lived(world: World) -> None:
    world.write(None, world.spec.settings())
    for job in world.spec.jobs.values():
        world.write(job.id, job.text())
    async with opened(world):
        await trio.sleep(YEAR + 0.5)
        world.is_over = True
