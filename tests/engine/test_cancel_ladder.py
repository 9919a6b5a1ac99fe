"""The ladder on a virtual clock: its deadlines, its receipt, and what it does about servers."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from nomaflow.definitions.job import Job
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.server_side import Backend, left_at_work
from nomaflow.wire import Run as WireRun
from nomaflow.wire import RunState, StepState
from tests.engine.world import World, job, world

Clock = trio.testing.MockClock


def sql_job(mode: str, **fields: Any) -> Job:
    """A job whose one step is a query, which is one transaction."""
    step = {"name": "s0", "type": "sql_query", "connector": "pg", "query": mode, **fields}
    return Job.model_validate({"id": "job", "steps": [step]})


async def canceled(here: World, what: Job, *, force: bool = False) -> tuple[ActiveRun, WireRun]:
    """Launch it, cancel it after a second, and wait for its end."""
    active = await here.launch(what)
    await trio.sleep(1)
    await here.runner.stop(active, here.stop(force=force))
    return active, await here.ended(active)


async def test_a_step_that_raises_when_it_is_canceled_has_not_failed(autojump_clock: Clock, tmp_path: Path) -> None:
    """What it raises comes of the cancel: it is kept, the step is CANCELED, and there is no other try."""
    async with world(tmp_path) as here:
        active, run = await canceled(here, job("sore", "ok", retry={"attempts": 3, "base_seconds": 0}))
        assert not any("tries again" in text for text in here.log_of(active))
    first, second = run.steps
    assert (run.state, first.state, second.state) == (RunState.CANCELED, StepState.CANCELED, StepState.CANCELED)
    assert (first.attempt, len(first.attempts)) == (1, 1)
    assert first.error is not None
    assert (first.error.type, first.error.message) == ("KeyError", "was busy")


async def test_a_fault_of_the_engine_makes_no_failure_of_a_cancel(autojump_clock: Clock, tmp_path: Path) -> None:
    """Whatever goes wrong after the request: the run is CANCELED, the reason says what, and the worker is killed."""
    async with world(tmp_path) as here:
        _, run = await canceled(here, job("trap", retry={"attempts": 3, "base_seconds": 0}))
        assert here.workers.all[0].killed
    assert (run.state, run.reason) == (RunState.CANCELED, "a fault of the engine: ZeroDivisionError: division by zero")


async def test_a_step_that_raises_at_its_timeout_has_timed_out(autojump_clock: Clock, tmp_path: Path) -> None:
    """The reason is the timeout, what it raised stands in the traceback, and it is tried again."""
    retry = {"attempts": 2, "base_seconds": 0}
    async with world(tmp_path) as here:
        run = await here.ended(await here.launch(job("sore", retry=retry, step_fields={"timeout_seconds": 5})))
    (step,) = run.steps
    assert (run.state, step.state, step.reason, step.attempt) == (
        RunState.FAILED,
        StepState.FAILED,
        "timed out after 5 s",
        2,
    )
    assert step.error is not None
    assert (step.error.type, step.error.traceback) == ("TimeoutError", "KeyError: was busy")


async def test_a_worker_is_told_how_much_time_it_has(autojump_clock: Clock, tmp_path: Path) -> None:
    """So that it cuts a silent connection in time; with force there is none."""
    async with world(tmp_path, cancel_grace_seconds=4) as here:
        for force in (False, True):
            await canceled(here, job("slow"), force=force)
        sent = [worker.sent for worker in here.workers.all]
    assert sent == [
        [{"cancel": "cancel by user:ana", "grace_seconds": 4}],
        [{"cancel": "cancel by user:ana", "grace_seconds": 0}],
    ]


async def test_force_leaves_a_moment_for_a_clean_end(autojump_clock: Clock, tmp_path: Path) -> None:
    """A step that honours the request ends before SIGTERM; one that does not meets it 0.2 s later."""
    async with world(tmp_path) as here:
        _, gentle = await canceled(here, job("slow"), force=True)
        _, deaf = await canceled(here, job("stone"), force=True)
        assert here.workers.all[0].signals == []
        assert here.workers.all[1].signals == [signal.SIGTERM, signal.SIGKILL]
    assert gentle.receipt is not None
    assert deaf.receipt is not None
    assert [rung.rung for rung in gentle.receipt.rungs] == ["soft cancel"]
    times = [(rung.started_at - deaf.receipt.requested_at).total_seconds() for rung in deaf.receipt.rungs]
    assert times == pytest.approx([0, 0.2, 1.2], abs=0.001)


async def test_force_shortens_the_wait_after_sigterm_too(autojump_clock: Clock, tmp_path: Path) -> None:
    """A second request in the five seconds after SIGTERM brings SIGKILL, no sooner than a second after SIGTERM."""
    async with world(tmp_path, cancel_grace_seconds=2) as here:
        active = await here.launch(job("stone"))
        await trio.sleep(1)
        asked = here.stop()
        await here.runner.stop(active, asked)
        await trio.sleep(2.5)
        await here.runner.stop(active, here.stop(force=True))
        run = await here.ended(active)
    assert run.receipt is not None
    times = [(rung.started_at - run.receipt.requested_at).total_seconds() for rung in run.receipt.rungs]
    assert times == pytest.approx([0, 2, 3], abs=0.001)


async def test_each_hard_rung_is_a_line_of_the_log(autojump_clock: Clock, tmp_path: Path) -> None:
    """A timeout has no receipt, so the log says what was needed."""
    async with world(tmp_path) as here:
        active = await here.launch(job("stone", step_fields={"timeout_seconds": 5}))
        await here.ended(active)
        texts = here.log_of(active)
    assert [text for text in texts if "process group" in text] == [
        "the step goes on; SIGTERM to its process group 1000",
        "the step goes on; SIGKILL to its process group 1000",
    ]


async def test_a_stop_that_comes_before_the_step_asks_nobody(autojump_clock: Clock, tmp_path: Path) -> None:
    """While a step's beginning is put on record the run is canceled: no code of it begins, and no rung is needed."""
    async with world(tmp_path) as here:
        active = await here.launch(job("slow2", "ok"))
        await trio.sleep(1.5)
        here.commit_seconds = 2
        await trio.sleep(1)
        assert active.run.steps[1].state is StepState.RUNNING
        stopping = here.stop()
        await here.runner.stop(active, stopping)
        run = await here.ended(active)
        assert [len(worker.specs) for worker in here.workers.all] == [1]
    assert (run.state, run.steps[1].state) == (RunState.CANCELED, StepState.CANCELED)
    assert run.receipt is not None
    assert (run.receipt.rungs, run.receipt.rolled_back) == ([], True)


@pytest.mark.parametrize(
    ("mode", "ends", "rolled_back", "survivors"),
    [
        ("served", True, True, 0),
        ("commits", True, "unknown", 0),
        ("served", False, "unknown", 1),
        ("served", None, "unknown", 1),
    ],
)
async def test_what_a_killed_worker_had_open_is_ended_on_its_server(
    autojump_clock: Clock, tmp_path: Path, mode: str, ends: bool | None, rolled_back: bool | str, survivors: int
) -> None:
    """By a worker of its own, for a second at most; undone is what had not begun to commit and is surely gone."""
    async with world(tmp_path) as here:
        here.workers.backend_ends = ends
        active, run = await canceled(here, sql_job(mode), force=True)
        spec = here.workers.all[1].specs[0]
        texts = here.log_of(active)
    assert (spec["type"], spec["options"]["connector"], spec["options"]["process"]) == ("end_backend", "pg", 77)
    receipt = run.receipt
    assert receipt is not None
    assert [rung.rung for rung in receipt.rungs] == ["soft cancel", "SIGTERM", "server-side terminate"]
    assert receipt.rungs[-1].result in texts
    assert (receipt.rolled_back, len(receipt.survivors)) == (rolled_back, survivors)
    assert run.finished_at is not None
    assert (run.finished_at - receipt.requested_at).total_seconds() == pytest.approx(1.2 if ends is None else 0.2)


async def test_a_late_end_is_not_undone(autojump_clock: Clock, tmp_path: Path) -> None:
    """A step that comes to its end after the request has done what it does, and the receipt says so."""
    async with world(tmp_path) as here:
        _, run = await canceled(here, job("deaf3"))
    assert (run.state, run.steps[0].state) == (RunState.CANCELED, StepState.SUCCEEDED)
    assert run.receipt is not None
    assert run.receipt.rolled_back is False


async def test_an_error_that_stays_is_not_tried_again(autojump_clock: Clock, tmp_path: Path) -> None:
    """And the log says why there is no other try; without `attempts` there is nothing to say."""
    async with world(tmp_path) as here:
        active = await here.launch(job("lasting", retry={"attempts": 3, "base_seconds": 60}))
        run = await here.ended(active)
        once = await here.launch(job("lasting", job_id="once"))
        await here.ended(once)
        texts, other = here.log_of(active), here.log_of(once)
    assert (run.state, run.steps[0].attempt) == (RunState.FAILED, 1)
    assert "not tried again: a syntax error stays one" in texts
    assert not any("tried again" in text for text in other)


async def test_a_step_is_tried_again_when_it_says(autojump_clock: Clock, tmp_path: Path) -> None:
    """A wait that the step asks for is longer than the formula's, and the job's cap holds."""
    retry = {"attempts": 2, "base_seconds": 1, "max_seconds": 600}
    async with world(tmp_path) as here:
        soon = await here.ended(await here.launch(job("later90", retry=retry)))
        capped = await here.ended(await here.launch(job("later900", retry=retry)))
    for run, seconds in ((soon, 90), (capped, 600)):
        first = run.steps[0].attempts[0]
        assert first.retry_at is not None
        assert first.finished_at is not None
        assert (first.retry_at - first.finished_at).total_seconds() == seconds


@pytest.mark.parametrize(
    ("end", "left"),
    [
        ({"died": "by SIGKILL"}, [Backend("a", 1), Backend("b", 2)]),
        ({"canceled": "why"}, []),
        ({"canceled": "why", "left": [{"connector": "b", "process": 2}]}, [Backend("b", 2)]),
        ({"canceled": "why", "left": [{"connector": 1}, None, "x", {"connector": "b", "process": "2"}]}, []),
        ({"canceled": "why", "left": 5}, []),
        ({"done": {}}, []),
    ],
)
def test_what_is_left_is_what_the_worker_says(end: dict[str, Any], left: list[Backend]) -> None:
    """One that was killed says nothing, so all that it had open counts; nonsense is left out."""
    assert left_at_work(end, {Backend("b", 2), Backend("a", 1)}) == left
