"""What a replay takes over from the run that it replays, and that it has it whatever happens."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import trio
import trio.testing

from nomaflow.engine.active import ActiveRun
from nomaflow.engine.model import Actor, Run
from nomaflow.engine.recovery import sort_out
from nomaflow.engine.replays import kept_steps
from nomaflow.engine.rows import run_record
from nomaflow.engine.store import Store
from nomaflow.launch.plan import SKIPPED_DISABLED, Plan, PlannedStep
from nomaflow.launch.replay import KEPT
from nomaflow.seams import run_number
from nomaflow.wire import StepRun, StepState
from tests.engine.world import START, World, job, world

Clock = trio.testing.MockClock


def planned(name: str, reason: str | None = None) -> PlannedStep:
    return PlannedStep(name=name, type="python", runs=reason is None, reason=reason)


def ended(name: str, state: StepState, reason: str | None = None, **output: int) -> StepRun:
    return StepRun(name=name, type="python", state=state, reason=reason, output=dict(output) or None, rows_affected=7)


def test_what_is_kept_is_the_output_and_nothing_else() -> None:
    """Of the steps whose reason names a run; rows and times are those of the run that made them."""
    plan = Plan(
        log_level="INFO",
        steps=[
            planned("made", KEPT + "run_A"),
            planned("passed-on", KEPT + "run_B"),
            planned("silent", KEPT + "run_A"),
            planned("off", SKIPPED_DISABLED),
            planned("again"),
        ],
    )
    old = [
        ended("made", StepState.SUCCEEDED, n=1),
        ended("passed-on", StepState.CANCELED, KEPT + "run_B", n=2),
        ended("silent", StepState.SUCCEEDED),
        ended("off", StepState.SUCCEEDED, n=3),
        ended("again", StepState.FAILED, n=4),
        ended("gone", StepState.SUCCEEDED, n=5),
    ]
    kept = kept_steps(plan, old)
    assert {name: (step.state, step.reason, step.output, step.rows_affected) for name, step in kept.items()} == {
        "made": ("CANCELED", KEPT + "run_A", {"n": 1}, None),
        "passed-on": ("CANCELED", KEPT + "run_B", {"n": 2}, None),
        "silent": ("CANCELED", KEPT + "run_A", None, None),
    }


async def replay(here: World, mode: str) -> ActiveRun:
    """A replay of three steps of which the middle one runs."""
    plan = Plan(log_level="INFO", steps=[planned("s0", KEPT + "run_A"), planned("s1"), planned("s2", KEPT + "run_A")])
    kept = kept_steps(plan, [ended("s0", StepState.SUCCEEDED, n=1), ended("s2", StepState.SUCCEEDED, n=3)])
    run = Run(
        id=here.seams.run_id(),
        job_id="job",
        plan=plan,
        steps=[kept.get(step.name) or StepRun(name=step.name, type=step.type) for step in plan.steps],
        actor=Actor("ana", "web"),
        etag="etag",
        queued_at=here.seams.now(),
    )
    active = ActiveRun(run, job("ok", mode, "ok"), here.store.epoch, here.seams.now, note="replay of run_A")
    here.runner.add(active)
    active.acceptance = here.recorder.submit(active.accepted())
    here.nursery.start_soon(here.runner.execute, active)
    await active.acceptance.wait_durable()
    return active


async def test_a_kept_step_serves_the_ones_behind_it(autojump_clock: Clock, tmp_path: Path) -> None:
    """They see its output and that it succeeded; it is no step of this run, and has one row."""
    async with world(tmp_path) as here:
        active = await replay(here, "ok")
        run = await here.ended(active)
        rows = here.store.steps_of(run_number(run.id))
        [worker] = here.workers.all
        log = here.log_of(active)
    assert worker.specs[0]["outputs"] == {"s0": {"output": {"n": 1}, "status": "SUCCEEDED"}}
    assert [step.state for step in run.steps] == ["CANCELED", "SUCCEEDED", "CANCELED"]
    assert (run.step_summary, len(rows), len(worker.specs)) == ("1 / 3 ✓, 2 skipped", 3, 1)
    assert log[:2] == ["replay of run_A", "run accepted, started by user:ana"]


async def test_what_is_kept_is_on_record_before_anything_runs(autojump_clock: Clock, tmp_path: Path) -> None:
    """An engine that is killed in the middle leaves a run that can be replayed from there."""
    async with world(tmp_path) as here:
        active = await replay(here, "slow")
        await trio.sleep(5)
        here.nursery.cancel_scope.cancel()
    store = Store(tmp_path / "runs.duckdb")
    try:
        sort_out(store, START + timedelta(hours=1), read=lambda job_id, text: None)
        row = store.run(active.run.id)
        assert row is not None
        run = run_record(row, store.steps_of(run_number(active.run.id)))
    finally:
        store.close()
    assert [(step.state, step.reason, step.output) for step in run.steps] == [
        ("CANCELED", KEPT + "run_A", {"n": 1}),
        ("FAILED", "interrupted: engine restarted", None),
        ("CANCELED", KEPT + "run_A", {"n": 3}),
    ]
