"""The sentence that says why a job does not run now."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
import trio.testing

from nomaflow.engine.why import span
from nomaflow.wire import SlotChoice, Toggle
from tests.engine.clockwork import ANA, clockwork, job

Clock = trio.testing.MockClock

SETTINGS = "[engine]\ntimezone = 'Europe/Paris'\n"


@pytest.mark.parametrize(
    ("text", "expected", "action"),
    [
        (job("ok"), "it is manual-only: it has no schedule", "run"),
        (job("ok", "30 4 * * *"), "it waits for its next fire: 2026-03-01 04:30 Europe/Paris, in 1 h 30 min", "run"),
        (
            job("ok", "15 4 1 3 *", schedule='timezone = "Asia/Kolkata"'),
            "it waits for its next fire: 2027-03-01 04:15 Asia/Kolkata, in 364 d 20 h",
            "run",
        ),
        (job("ok", "0 0 * * *", schedule="enabled = false"), "all its schedules are off", "run"),
        (job("ok", "@daily", more="enabled = false"), "it is disabled; it can still be run by hand", "enable"),
    ],
)
async def test_a_job_that_is_idle(text: str, expected: str, action: str, autojump_clock: Clock, tmp_path: Path) -> None:
    """When it will run, or what keeps it from running by itself."""
    async with clockwork(tmp_path, {"a": text}, settings=SETTINGS) as here:
        why = here.jobs.why("a")
    assert (why.why, why.action) == (expected, action)


async def test_a_job_in_flight(autojump_clock: Clock, tmp_path: Path) -> None:
    """Its run, and what that waits for."""
    locked = 'locks = ["x"]'
    async with clockwork(tmp_path, {"a": job("slow10", more=locked), "b": job("ok", more=locked)}) as here:
        a, b = await here.launch("a"), await here.launch("b")
        await trio.sleep(1)
        assert here.jobs.why("a").why == f"{a.id} is RUNNING"
        assert here.jobs.why("b").why == f"{b.id} is QUEUED: it waits for the lock x, which {a.id} of a has"


async def test_a_wait_for_the_next_try_is_told_in_local_time(autojump_clock: Clock, tmp_path: Path) -> None:
    """That of the schedule that fired the run, else of the home; with the date where it is not today's."""

    def retried(seconds: int, cron: str | None = None) -> str:
        wait = f"[retry]\nattempts = 3\nbase_seconds = {seconds}\nmax_seconds = {seconds}\n"
        return job("fail", cron, more=wait, schedule='timezone = "Asia/Kolkata"')

    fired = tmp_path / "fired"
    fired.mkdir()
    async with clockwork(fired, {"a": retried(600, "31 7 * * *")}, settings=SETTINGS) as here:
        await here.until(here.at("2:02"))
        assert re.search(r"it waits for its next try at 07:[34]\d:\d\d$", here.jobs.why("a").why)
    async with clockwork(tmp_path, {"a": retried(600), "b": retried(86_400)}, settings=SETTINGS) as here:
        run = await here.launch("a")
        await trio.sleep(1)
        waits = r" is RUNNING: it waits for its next try at "
        assert re.fullmatch(run.id + waits + r"03:\d\d:\d\d", here.jobs.why("a").why)
        await here.until(here.at("12:00"))
        run = await here.launch("b")
        await trio.sleep(1)
        assert re.fullmatch(run.id + waits + r"2026-03-02 \d\d:\d\d:\d\d", here.jobs.why("b").why)


async def test_a_job_with_a_problem(autojump_clock: Clock, tmp_path: Path) -> None:
    """The first problem, and that an edit mends it."""
    async with clockwork(tmp_path, {"a": "steps = 3\n"}) as here:
        why = here.jobs.why("a")
    assert why.why.startswith("its file has a problem: jobs/a.toml")
    assert why.action == "edit"


async def test_an_engine_that_takes_no_runs(autojump_clock: Clock, tmp_path: Path) -> None:
    """Nothing that the job could do would help."""
    async with clockwork(tmp_path, {"a": job("ok")}) as here:
        here.why_not_ready.append("the disk is full")
        assert here.jobs.why("a").why == "no run can start: the disk is full"


async def test_a_fire_that_is_left_out(autojump_clock: Clock, tmp_path: Path) -> None:
    """Who wanted it, and when the job really fires."""
    async with clockwork(tmp_path, {"a": job("ok", "0 * * * *")}) as here:
        for clock in ("3:00", "4:00"):
            await here.schedules.skip("a", SlotChoice(scheduled_at=here.at(clock)), ANA)
        assert here.jobs.why("a").why == (
            "its next fire is left out as user:ana asked: 2026-03-01 03:00 UTC, in 1 h; "
            "the next that happens is 2026-03-01 05:00"
        )


async def test_the_newest_fire_that_did_not_run(autojump_clock: Clock, tmp_path: Path) -> None:
    """What became of it is a part of the answer."""
    async with clockwork(tmp_path, {"a": job("slow3000", "*/20 * * * *")}) as here:
        await here.until(here.at("3:15"))
        first = here.all_runs()[0].id
        assert here.jobs.why("a").why == (
            "it waits for its next fire: 2026-03-01 03:20 UTC, in 5 min; "
            f"its fire of 2026-03-01 03:00 was SKIPPED: {first} is in flight"
        )
        await here.jobs.set_enabled("a", Toggle(enabled=False, reason="rest"), ANA)
        assert here.jobs.why("a").why == "it is disabled by user:ana: rest; it can still be run by hand"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (7200, "2 h"), (90_061, "1 d 1 h"), (-5, "0 s")],
)
def test_a_span_has_its_two_largest_units(seconds: float, expected: str) -> None:
    """Nobody reads three."""
    assert span(timedelta(seconds=seconds)) == expected
