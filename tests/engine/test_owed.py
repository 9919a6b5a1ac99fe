"""What a store that failed did not take of schedules and pauses is recorded anew."""

from __future__ import annotations

from pathlib import Path

import trio.testing

from nomaflow.engine.model import Actor
from nomaflow.errors import NotReadyError
from nomaflow.wire import Toggle
from tests.engine.clockwork import Clockwork, clockwork, job

Clock = trio.testing.MockClock
ADMIN = Actor("admin", "cli")
HOURLY = job("ok", "0 * * * *")


async def switched_off_while_the_store_fails(here: Clockwork) -> None:
    here.commit_fails = True
    try:
        await here.jobs.set_enabled("a", Toggle(enabled=False, reason="maintenance"), ADMIN)
    except NotReadyError:
        here.commit_fails = False
        return
    raise AssertionError("a store that takes nothing is no success")


async def test_a_switch_that_was_not_recorded_is_when_the_store_is_well(autojump_clock: Clock, tmp_path: Path) -> None:
    """The schedule's rule and the pause: the file says it, so it holds for engines to come."""
    async with clockwork(tmp_path, {"a": HOURLY}) as here:
        await switched_off_while_the_store_fails(here)
        await here.until(here.at("02:10"))
        (row,) = here.store.schedules()
        assert row.rule.endswith("off")
        assert [pause.reason for pause in here.store.pauses()] == ["maintenance"]


async def test_an_engine_that_comes_later_catches_up_with_nothing(autojump_clock: Clock, tmp_path: Path) -> None:
    """The hours in which the job was off have no slots, although the first answer was that nothing was recorded."""
    async with clockwork(tmp_path, {"a": HOURLY}) as here:
        await switched_off_while_the_store_fails(here)
        await here.until(here.at("05:30"))
        here.kill()
    (tmp_path / "jobs" / "a.toml").write_text(HOURLY)
    async with clockwork(tmp_path, clock=here.clock) as here:
        await here.until(here.at("06:30"))
        assert [told[0] for told in here.told()] == ["06:00:00"]
