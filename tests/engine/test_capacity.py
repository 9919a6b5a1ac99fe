"""What runs wait for: workers, locks, connectors, their turn; in order, and with a sentence."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from nomaflow.wire import RunState
from tests.engine.clockwork import Clockwork, clockwork, job

Clock = trio.testing.MockClock

SETTINGS = """
[engine]
timezone = "UTC"
max_parallel_runs = 2
[connectors.small]
kind = "sql"
url = "postgresql+psycopg://a@127.0.0.1/b"
max_runs = 1
[connectors.file]
kind = "sql"
url = "sqlite:///data.db"
[connectors.same]
kind = "sql"
url = "sqlite:///./data.db"
"""


def using(connector: str, mode: str = "slow10") -> str:
    """A python job whose parameter names a connector."""
    return job(mode, more=f'[params]\ntarget_connector = "{connector}"')


def states(here: Clockwork, *jobs: str) -> list[str]:
    return [
        (here.runner.active_of(job_id)[0].run.state if here.runner.active_of(job_id) else "over") for job_id in jobs
    ]


def why(here: Clockwork, job_id: str) -> str | None:
    return here.runner.active_of(job_id)[0].wait_reason


async def test_a_lock_is_held_by_one_run_across_jobs(autojump_clock: Clock, tmp_path: Path) -> None:
    """The other one is QUEUED, says which run has the lock, and begins when that has ended."""
    locked = 'locks = ["jde"]'
    async with clockwork(tmp_path, {"a": job("slow10", more=locked), "b": job("slow10", more=locked)}) as here:
        first = await here.launch("a")
        second = await here.launch("b")
        await trio.sleep(1)
        assert why(here, "b") == f"waits for the lock jde, which {first.id} of a has"
        ends = [await here.ended(run.id) for run in (first, second)]
    assert ends[1].started_at == ends[0].finished_at


async def test_who_waits_longer_gets_the_lock(autojump_clock: Clock, tmp_path: Path) -> None:
    """Locks are given in order, also where the one that comes later would have begun sooner."""
    jobs = {
        "a": job("slow10", more='locks = ["x"]'),
        "b": job("slow10", more='locks = ["x", "y"]'),
        "c": job("slow10", more='locks = ["y"]'),
    }
    async with clockwork(tmp_path, jobs, settings=SETTINGS.replace("= 2", "= 9")) as here:
        for job_id in jobs:
            await here.launch(job_id)
            await trio.sleep(1)
        first, second, _ = here.runner.all_active()
        assert why(here, "b") == f"waits for the lock x, which {first.run.id} of a has"
        assert why(here, "c") == f"waits behind {second.run.id} of b for the lock y"
        await trio.sleep(10)
        assert states(here, "a", "b", "c") == ["over", RunState.RUNNING, RunState.QUEUED]


async def test_a_run_that_waits_for_a_lock_takes_no_worker(autojump_clock: Clock, tmp_path: Path) -> None:
    """So the ones behind it, which need no lock, go first."""
    locked = 'locks = ["x"]'
    jobs = {"a": job("slow10", more=locked), "b": job("slow10", more=locked), "c": job("slow10"), "d": job("slow10")}
    async with clockwork(tmp_path, jobs, settings=SETTINGS) as here:
        for job_id in jobs:
            await here.launch(job_id)
        await trio.sleep(1)
        assert states(here, *jobs) == [RunState.RUNNING, RunState.QUEUED, RunState.RUNNING, RunState.QUEUED]
        assert why(here, "d") == "waits for a free worker: all 2 of max_parallel_runs are busy"


async def test_a_connector_takes_so_many_runs(autojump_clock: Clock, tmp_path: Path) -> None:
    """`max_runs` of a connector counts the runs that use it at once."""
    jobs = {"a": using("small"), "b": using("small")}
    async with clockwork(tmp_path, jobs, settings=SETTINGS) as here:
        first = await here.launch("a")
        await here.launch("b")
        await trio.sleep(1)
        assert why(here, "b") == f"waits for the connector small: {first.id} uses it, and its max_runs is 1"
        await trio.sleep(10)
        assert states(here, "a", "b") == ["over", RunState.RUNNING]


async def test_a_file_is_written_by_one_run(autojump_clock: Clock, tmp_path: Path) -> None:
    """A database that is a file is a lock by itself, whatever name it has."""
    async with clockwork(tmp_path, {"a": using("file"), "b": using("same")}, settings=SETTINGS) as here:
        first = await here.launch("a")
        await here.launch("b")
        await trio.sleep(1)
        assert why(here, "b") == f"waits for the file {tmp_path / 'data.db'}, which {first.id} of a has"


async def test_a_waiting_run_can_be_canceled(autojump_clock: Clock, tmp_path: Path) -> None:
    """It never begins, and who stood behind it moves up."""
    jobs = {
        "a": job("slow10", more='locks = ["x"]'),
        "b": job("ok", more='locks = ["x", "y"]'),
        "c": job("slow10", more='locks = ["y"]'),
    }
    async with clockwork(tmp_path, jobs, settings=SETTINGS) as here:
        for job_id in jobs:
            await here.launch(job_id)
            await trio.sleep(1)
        b = here.runner.active_of("b")[0].run.id
        await here.runs.cancel(b, here.runner.active_of("a")[0].run.actor, force=False, reason="not today")
        run = await here.ended(b)
        assert (run.state, run.reason, run.started_at) == (RunState.CANCELED, "not today", None)
        await trio.sleep(1)
        assert states(here, "a", "c") == [RunState.RUNNING, RunState.RUNNING]


async def test_a_run_has_its_locks_until_its_end_is_on_record(autojump_clock: Clock, tmp_path: Path) -> None:
    """An engine that came next would go on with it, beside the run that was let in after it."""
    jobs = {name: job("slow10", more='locks = ["x"]') for name in ("a", "b")}
    async with clockwork(tmp_path, jobs, settings=SETTINGS) as here:
        a, b = [await here.launch(name) for name in jobs]
        await trio.sleep(5)
        here.commit_fails = True
        await trio.sleep(20)
        assert states(here, "a", "b") == [RunState.RUNNING, RunState.QUEUED]
        assert why(here, "b") == f"waits for the lock x, which {a.id} of a has"
        here.commit_fails = False
        assert [(await here.ended(each.id)).state for each in (a, b)] == [RunState.SUCCEEDED, RunState.SUCCEEDED]


async def test_a_step_that_waits_for_its_next_try_holds_its_locks_only(autojump_clock: Clock, tmp_path: Path) -> None:
    """No worker and no connector; another job may use them meanwhile, and one with the same lock may not."""
    retry = "[retry]\nattempts = 2\nbase_seconds = 100\n"
    jobs = {
        "a": job("fail1", more=f'locks = ["x"]\n{retry}\n[params]\nconnector = "small"'),
        "b": using("small"),
        "c": job("slow10", more='locks = ["x"]'),
    }
    async with clockwork(tmp_path, jobs, settings=SETTINGS.replace("= 2", "= 1")) as here:
        a = await here.launch("a")
        await trio.sleep(1)
        await here.launch("b")
        await here.launch("c")
        await trio.sleep(1)
        reason = why(here, "a")
        assert reason
        assert reason.startswith("waits for its next try at 2026-03-01T02:0")
        assert states(here, "a", "b", "c") == [RunState.RUNNING, RunState.RUNNING, RunState.QUEUED]
        run = await here.ended(a.id)
    assert (run.state, run.steps[0].attempt) == (RunState.SUCCEEDED, 2)


async def test_more_workers_by_a_reload_let_more_begin(autojump_clock: Clock, tmp_path: Path) -> None:
    """The limit counts as soon as the settings are in force."""
    jobs = {"a": job("slow100"), "b": job("slow100"), "c": job("slow100")}
    async with clockwork(tmp_path, jobs, settings=SETTINGS) as here:
        for job_id in jobs:
            await here.launch(job_id)
        await trio.sleep(1)
        assert states(here, *jobs) == [RunState.RUNNING, RunState.RUNNING, RunState.QUEUED]
        here.home.settings_file.write_text(SETTINGS.replace("max_parallel_runs = 2", "max_parallel_runs = 3"))
        await here.jobs.reload(here.runner.all_active()[0].run.actor)
        await trio.sleep(1)
        assert states(here, *jobs) == [RunState.RUNNING] * 3


async def test_a_draining_engine_begins_nothing(autojump_clock: Clock, tmp_path: Path) -> None:
    """What is queued stays QUEUED in the store for the next engine, which goes on with it."""
    jobs = {"a": job("slow10", more='locks = ["x"]'), "b": job("slow10", more='locks = ["x"]')}
    async with clockwork(tmp_path, jobs) as here:
        first, second = await here.launch("a"), await here.launch("b")
        await trio.sleep(1)
        await here.runner.drain(30, trio.Event())
        assert (here.stored(first.id).state, here.stored(second.id).state) == (RunState.SUCCEEDED, RunState.QUEUED)
    async with clockwork(tmp_path) as here:
        run = await here.ended(second.id)
        assert run.state is RunState.SUCCEEDED
        assert "a new engine goes on with the run" in here.log_of(second.id)
