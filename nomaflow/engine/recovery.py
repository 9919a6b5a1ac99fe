"""What an earlier engine left unfinished, brought to an end before anything new can start.

Its workers end themselves when their pipe closes; one whose C code holds the interpreter does so when it lets go.
"""

from __future__ import annotations

from datetime import datetime

from nomaflow.engine.change import Change, Happened, Row
from nomaflow.engine.model import INTERRUPTED_RESTARTED, Actor, Run
from nomaflow.engine.rows import log_row, run_record, run_update, step_row
from nomaflow.engine.store import Store
from nomaflow.launch.plan import SKIPPED_DISABLED
from nomaflow.seams import run_number
from nomaflow.wire import Attempt, LogLine, RunState, StepError, StepState


def end_orphans(store: Store, now: datetime) -> int:
    """Mark every run that was in flight: FAILED `interrupted: engine restarted`, or CANCELED if it was being canceled.

    Returns:
        How many there were.
    """
    changes, lines = [], []
    for row, ended_steps in store.orphans():
        run = _run(row, ended_steps)
        changes.append(_ended(store, run, now, ended={step[1] for step in ended_steps}))
        text = f"run {run.state}: {run.reason}"
        line = LogLine(seq=store.last_line(run_number(run.id)) + 1, ts=now, level="ERROR", stream="engine", text=text)
        lines.append(log_row(run.id, line))
    if changes:
        store.commit(changes, lines)
    return len(changes)


def _run(row: Row, ended_steps: list[Row]) -> Run:
    record = run_record(row, ended_steps)
    return Run(
        id=record.id,
        job_id=record.job_id,
        plan=record.plan,
        steps=record.steps,
        actor=Actor(record.triggered_by.partition(":")[2], record.via),
        etag=record.etag,
        queued_at=record.queued_at,
        state=record.state,
        reason=record.reason,
        started_at=record.started_at,
        step_index=record.step_index,
        receipt=record.receipt,
    )


def _ended(store: Store, run: Run, now: datetime, *, ended: set[int]) -> Change:
    change = Change()
    starts = store.step_starts(run_number(run.id))
    canceled = run.state is RunState.CANCELING
    for position, (planned, step) in enumerate(zip(run.plan.steps, run.steps, strict=True)):
        if position in ended:
            continue
        if step.name in starts:
            step.started_at, last_try_at, step.attempt = starts[step.name]
            step.finished_at = now
            step.state = StepState.FAILED
            step.error = StepError(type="Interrupted", message=INTERRUPTED_RESTARTED)
            step.reason = INTERRUPTED_RESTARTED
            step.attempts = [Attempt(n=step.attempt, started_at=last_try_at, finished_at=now, error=step.error)]
        else:
            step.state = StepState.CANCELED
            step.reason = INTERRUPTED_RESTARTED if planned.runs else SKIPPED_DISABLED
        change.steps.append(step_row(run.id, position, step))
        change.events.append(Happened(now, "step", run.job_id, run.id, step.name, step.state, reason=step.reason))
    run.state = RunState.CANCELED if canceled else RunState.FAILED
    run.reason = "canceled before the engine restarted" if canceled else INTERRUPTED_RESTARTED
    run.finished_at = now
    change.updated.append(run_update(run))
    change.events.append(Happened(now, "run", run.job_id, run.id, state=run.state, who="engine", reason=run.reason))
    return change
