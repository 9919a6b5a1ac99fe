"""What a killed engine left in the store, after the next start."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import trio
import trio.testing

from nomaflow.engine.recovery import sort_out
from nomaflow.engine.rows import run_record
from nomaflow.engine.store import Store
from nomaflow.seams import run_number
from nomaflow.wire import Run, RunState, StepState
from tests.engine.world import START, job, world

Clock = trio.testing.MockClock


async def killed(folder: Path, *modes: str, seconds: float, cancel: bool = False, **fields: object) -> tuple[str, int]:
    """A run whose engine is gone after so many seconds: nothing more is written. Its id, and its attempts by then."""
    async with world(folder) as here:
        active = await here.launch(job(*modes, **fields))
        await trio.sleep(seconds)
        if cancel:
            await here.runner.stop(active, here.stop())
        attempts = active.run.steps[0].attempt
        here.nursery.cancel_scope.cancel()
    return active.run.id, attempts


def recovered(folder: Path, run_id: str) -> Run:
    store = Store(folder / "runs.duckdb")
    try:
        ended, left = sort_out(store, START + timedelta(hours=1), read=lambda job_id, text: None)
        assert (ended, left) == (1, [])
        row = store.run(run_id)
        assert row is not None
        return run_record(row, store.steps_of(run_number(run_id)))
    finally:
        store.close()


async def test_a_run_in_flight_has_failed(autojump_clock: Clock, tmp_path: Path) -> None:
    """FAILED `interrupted: engine restarted`; its ended step stays, the others are CANCELED."""
    run = recovered(tmp_path, (await killed(tmp_path, "ok", "slow", "ok", seconds=5))[0])
    assert (run.state, run.reason) == (RunState.FAILED, "interrupted: engine restarted")
    assert [step.state for step in run.steps] == [StepState.SUCCEEDED, StepState.FAILED, StepState.CANCELED]
    assert run.steps[1].started_at == START


async def test_a_run_that_was_being_canceled_is_canceled(autojump_clock: Clock, tmp_path: Path) -> None:
    """A cancel never turns into a failure."""
    run = recovered(tmp_path, (await killed(tmp_path, "stone", seconds=5, cancel=True))[0])
    assert run.state is RunState.CANCELED


async def test_the_attempts_are_those_that_were_made(autojump_clock: Clock, tmp_path: Path) -> None:
    """The wait between two tries is none of them."""
    retry = {"attempts": 9, "base_seconds": 100}
    run_id, attempts = await killed(tmp_path, "fail", seconds=250, retry=retry)
    run = recovered(tmp_path, run_id)
    assert attempts > 1
    assert run.steps[0].attempt == attempts
    assert run.steps[0].attempts[0].n == attempts
