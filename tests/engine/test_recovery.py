"""What a killed engine left in the store, after the next start."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import trio
import trio.testing

from nomaflow.engine.cancel import Stop
from nomaflow.engine.recovery import sort_out
from nomaflow.engine.rows import run_record
from nomaflow.engine.store import Store
from nomaflow.seams import run_number
from nomaflow.wire import Run, RunState, StepState
from tests.engine.clockwork import ANA, WallClock, clockwork
from tests.engine.clockwork import job as toml
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


def recovered(folder: Path, run_id: str, *, was_restored: bool = False) -> Run:
    store = Store(folder / "runs.duckdb")
    try:
        later = START + timedelta(hours=1)
        ended, left = sort_out(store, later, read=lambda job_id, text: None, was_restored=was_restored)
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
    assert (run.state, run.reason) == (RunState.CANCELED, "canceled before the engine restarted")


async def test_a_restored_run_that_was_being_canceled_says_so(autojump_clock: Clock, tmp_path: Path) -> None:
    """Its engine did not die: a backup was made while it was being canceled."""
    run_id, _ = await killed(tmp_path, "stone", seconds=5, cancel=True)
    run = recovered(tmp_path, run_id, was_restored=True)
    assert (run.state, run.reason) == (RunState.CANCELED, "canceled before it was restored from a backup")


async def test_the_attempts_are_those_that_were_made(autojump_clock: Clock, tmp_path: Path) -> None:
    """The wait between two tries is none of them."""
    retry = {"attempts": 9, "base_seconds": 100}
    run_id, attempts = await killed(tmp_path, "fail", seconds=250, retry=retry)
    run = recovered(tmp_path, run_id)
    assert attempts > 1
    assert run.steps[0].attempt == attempts
    assert [attempt.n for attempt in run.steps[0].attempts] == list(range(1, attempts + 1))


LOCKED = 'locks = ["x"]'


async def test_a_queued_run_goes_on(autojump_clock: Clock, tmp_path: Path) -> None:
    """What was accepted and had not begun is QUEUED again, with its place, and runs when it can."""
    jobs = {"a": toml("slow50", more=LOCKED), "b": toml("ok", more=LOCKED), "c": toml("ok", more=LOCKED)}
    async with clockwork(tmp_path, jobs) as here:
        a, b, c = [(await here.launch(job_id)).id for job_id in jobs]
        await trio.sleep(1)
        here.kill()
    async with clockwork(tmp_path) as here:
        assert here.stored(a).reason == "interrupted: engine restarted"
        ends = [await here.ended(run_id) for run_id in (b, c)]
        numbers = [row[0] for row in here.store.log(b, after=0, limit=9, tail=None, levels=[], step=None, text=None)]
    assert [run.state for run in ends] == [RunState.SUCCEEDED] * 2
    assert ends[0].started_at
    assert ends[1].started_at
    assert ends[0].started_at <= ends[1].started_at
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_step_that_waits_for_its_next_try_goes_on(autojump_clock: Clock, tmp_path: Path) -> None:
    """At the time that was stored, not sooner and not later, with the tries that were made, and its locks."""
    retry = "[retry]\nattempts = 3\nbase_seconds = 1000\nmax_seconds = 2000\n"
    jobs = {"a": toml("fail2", more=LOCKED + "\n" + retry), "b": toml("ok", more=LOCKED)}
    async with clockwork(tmp_path, jobs) as here:
        run_id = (await here.launch("a")).id
        await trio.sleep(10)
        due_at = here.runner.active_of("a")[0].run.steps[0].attempts[0].retry_at
        assert due_at
        here.kill()
    async with clockwork(tmp_path) as here:
        active = here.runner.active_of("a")[0]
        assert (active.run.state, active.run.steps[0].state) == (RunState.RUNNING, StepState.RUNNING)
        b = await here.launch("b")
        await trio.sleep(1)
        assert here.runner.active_of("b")[0].wait_reason == f"waits for the lock x, which {run_id} of a has"
        run = await here.ended(run_id)
        assert (await here.ended(b.id)).state is RunState.SUCCEEDED
    assert (run.state, run.steps[0].attempt) == (RunState.SUCCEEDED, 3)
    assert [attempt.n for attempt in run.steps[0].attempts] == [1, 2, 3]
    assert run.steps[0].attempts[1].started_at == due_at.replace(microsecond=due_at.microsecond // 1000 * 1000)
    assert run.steps[0].started_at == run.steps[0].attempts[0].started_at


async def test_a_try_that_had_begun_is_not_made_again(autojump_clock: Clock, tmp_path: Path) -> None:
    """Killed in its second try the run has failed: the wait for it was over, and nobody knows how far it came."""
    retry = "[retry]\nattempts = 3\nbase_seconds = 10\n"
    async with clockwork(tmp_path, {"a": toml("failslow900", more=retry)}) as here:
        run_id = (await here.launch("a")).id
        await trio.sleep(100)
        here.kill()
    async with clockwork(tmp_path) as here:
        run = here.stored(run_id)
        assert (run.state, run.reason) == (RunState.FAILED, "interrupted: engine restarted")
        assert [attempt.n for attempt in run.steps[0].attempts] == [1, 2]
        assert here.workers.all == []


async def test_a_queued_run_whose_cancel_was_acknowledged_does_not_go_on(autojump_clock: Clock, tmp_path: Path) -> None:
    """The cancel is on record when it is answered: an engine that dies right then has lost nothing."""
    jobs = {"a": toml("slow50", more=LOCKED), "b": toml("ok", more=LOCKED)}
    async with clockwork(tmp_path, jobs) as here:
        await here.launch("a")
        b = (await here.launch("b")).id
        await trio.sleep(1)
        answer = await here.runs.cancel(b, ANA, force=False, reason=None)
        assert (answer.state, here.stored(b).state) == (RunState.CANCELED, RunState.CANCELED)
        here.kill()
    async with clockwork(tmp_path) as here:
        await trio.sleep(100)
        assert here.stored(b).state is RunState.CANCELED


async def test_a_wait_that_was_canceled_is_canceled(autojump_clock: Clock, tmp_path: Path) -> None:
    """It is not tried again, whenever the engine was killed."""
    async with clockwork(tmp_path, {"a": toml("fail", more="[retry]\nattempts = 3\nbase_seconds = 1000\n")}) as here:
        run_id = (await here.launch("a")).id
        await trio.sleep(1)
        active = here.runner.active(run_id)
        assert active is not None
        here.nursery.start_soon(here.runner.stop, active, Stop("cancel", "user:ana", here.clock()))
        await trio.testing.wait_all_tasks_blocked()
        here.kill()
    async with clockwork(tmp_path) as here:
        run = here.stored(run_id)
        assert (run.state, run.steps[0].attempt, here.workers.all) == (RunState.CANCELED, 1, [])


@pytest.mark.parametrize(
    ("away", "state", "reason"),
    [
        (timedelta(minutes=30), RunState.SUCCEEDED, None),
        (timedelta(hours=2), RunState.CANCELED, "missed: the engine was away for 2 h 1 min while it waited"),
    ],
)
async def test_a_queued_fire_does_not_surprise(
    away: timedelta, state: RunState, reason: str | None, autojump_clock: Clock, tmp_path: Path
) -> None:
    """It still runs if the engine was away for no longer than its schedule's window."""
    jobs = {"a": toml("slow900", more=LOCKED), "b": toml("ok", "5 2 * * *", more=LOCKED)}
    async with clockwork(tmp_path, jobs) as here:
        await here.launch("a")
        await here.until(here.at("2:06"))
        here.kill()
    async with clockwork(tmp_path, clock=WallClock(away)) as here:
        run = await here.ended(next(run.id for run in here.all_runs() if run.job_id == "b"))
    assert (run.state, run.reason) == (state, reason)


async def test_a_run_whose_text_cannot_be_read_any_more_has_failed(autojump_clock: Clock, tmp_path: Path) -> None:
    """Its connector is gone from the settings: nobody can know what it would do."""
    connector = '[connectors.pg]\nkind = "sql"\nurl = "postgresql+psycopg://a@127.0.0.1/b"\n'
    query = '[[steps]]\nname = "q"\ntype = "sql_query"\nconnector = "pg"\nquery = "select 1"\n'
    jobs = {"a": toml("slow50", more=LOCKED), "b": f"{LOCKED}\n{query}"}
    async with clockwork(tmp_path, jobs, settings=connector) as here:
        await here.launch("a")
        b = (await here.launch("b")).id
        await trio.sleep(1)
        here.kill()
    async with clockwork(tmp_path, settings="") as here:
        assert (here.stored(b).state, here.stored(b).reason) == (RunState.FAILED, "interrupted: engine restarted")
