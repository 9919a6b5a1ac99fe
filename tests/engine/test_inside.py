"""Steps that the engine runs itself: how they end, and what its housekeeping does."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import trio
import trio.testing

from nomaflow.definitions.steps.common import StepCommon
from nomaflow.engine.cancel import Stop
from nomaflow.engine.inside import Done, Say
from nomaflow.wire import RunState, StepState
from tests.engine.clockwork import WallClock, clockwork, job

Clock = trio.testing.MockClock

OWN = '{more}\n[[steps]]\nname = "old"\ntype = "retention"\n'


def own(more: str = "") -> str:
    return OWN.format(more=more)


async def sleeps(step: StepCommon, say: Say) -> Done:
    """A work that takes a day."""
    say("at work")
    await trio.sleep(86_400)
    return Done({})


async def breaks(step: StepCommon, say: Say) -> Done:
    """A work that fails."""
    raise OSError(28, "No space left on device")


async def test_old_runs_go(autojump_clock: Clock, tmp_path: Path) -> None:
    """With what is theirs; failed ones stay longer, and the newest of each job for ever."""
    settings = "[retention]\ndays = 10\nfailed_days = 100\n"
    jobs = {"a": job("ok"), "bad": job("fail"), "keep": own()}
    async with clockwork(tmp_path, jobs, settings=settings) as here:
        old = [(await here.ended((await here.launch(job_id)).id)).id for job_id in ("a", "bad", "a", "bad")]
    async with clockwork(tmp_path, clock=WallClock(timedelta(days=50)), settings=settings) as here:
        run = await here.ended((await here.launch("keep")).id)
        assert (run.state, run.steps[0].output, run.rows_affected) == (RunState.SUCCEEDED, {"runs": 1}, 1)
        assert [bool(here.store.run(run_id)) for run_id in old] == [False, True, True, True]
        assert here.log_of(old[0]) == []
        assert "deleted so far: 1" in here.log_of(run.id)


async def test_a_cancel_ends_it_where_it_waits(autojump_clock: Clock, tmp_path: Path) -> None:
    """CANCELED, with a receipt like every other step's."""
    async with clockwork(tmp_path, {"keep": own()}, works={"retention": sleeps}) as here:
        run_id = (await here.launch("keep")).id
        await trio.sleep(5)
        active = here.runner.active(run_id)
        assert active is not None
        await here.runner.stop(active, Stop("cancel", "user:ana", here.clock()))
        run = await here.ended(run_id)
    assert (run.state, run.steps[0].state) == (RunState.CANCELED, StepState.CANCELED)
    assert run.receipt is not None
    assert run.receipt.proof == "the step ran in the engine, which has left it"


async def test_its_time_is_limited(autojump_clock: Clock, tmp_path: Path) -> None:
    """As that of every other step, and it is tried again where the job says so."""
    text = own("[retry]\nattempts = 2\nbase_seconds = 5") + "timeout_seconds = 60\n"
    async with clockwork(tmp_path, {"keep": text}, works={"retention": sleeps}) as here:
        run = await here.ended((await here.launch("keep")).id)
    assert (run.state, run.steps[0].reason, run.steps[0].attempt) == (RunState.FAILED, "timed out after 60 s", 2)


async def test_what_it_raises_is_the_steps_error(autojump_clock: Clock, tmp_path: Path) -> None:
    """A full disk is the run's failure, and no other's."""
    async with clockwork(tmp_path, {"keep": own()}, works={"retention": breaks}) as here:
        run = await here.ended((await here.launch("keep")).id)
    assert run.state is RunState.FAILED
    assert run.steps[0].error is not None
    assert run.steps[0].error.message == "[Errno 28] No space left on device"
