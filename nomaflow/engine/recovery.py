"""What an earlier engine left unfinished, sorted out before anything new can start.

Its workers are gone by then. A run in the middle of a step has ended with its worker; one that was QUEUED, or waits for
a step's next try, can go on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from nomaflow.definitions.job import Job
from nomaflow.definitions.steps.call_job import CallJob
from nomaflow.engine.change import Change, Happened, Row, WaitRow
from nomaflow.engine.model import INTERRUPTED_RESTARTED, INTERRUPTED_RESTORED, Actor, Run
from nomaflow.engine.rows import log_row, run_record, run_update, step_row
from nomaflow.engine.store import Store
from nomaflow.engine.why import span
from nomaflow.schedule.slots import GRACE, window
from nomaflow.seams import run_number
from nomaflow.wire import Attempt, LogLine, RunState, StepError, StepState

PATIENCE = timedelta(hours=24)
"""What a person asked for, or a step's next try, still happens when the engine was away for no longer than this."""


@dataclass(frozen=True)
class LeftOver:
    """A run to go on with: what it was made from, the number of its log's last line, and the wait that it was in."""

    run: Run
    job: Job
    line: int
    goes_on: WaitRow | None


def sort_out(
    store: Store, now: datetime, *, read: Callable[[str, str], Job | None], was_restored: bool = False
) -> tuple[int, list[LeftOver]]:
    """End what was in the middle of a step, and give back what can go on.

    FAILED `interrupted: engine restarted`, or `interrupted: restored from a backup`; CANCELED where it was being
    canceled, or where it was to begin so long ago that it would surprise.

    Args:
        store: the run store.
        now: the time.
        read: a job from its id and its stored text; None where it cannot be read any more.
        was_restored: whether the store is a backup's: then its engine did not die.

    Returns:
        How many runs were ended, and the others, oldest first.
    """
    interrupted = INTERRUPTED_RESTORED if was_restored else INTERRUPTED_RESTARTED
    last_at = store.newest_at()
    away = now - last_at if last_at is not None else timedelta()
    waits, left, changes, lines = store.waits(), list[LeftOver](), list[Change](), list[Row]()
    orphans = [(_run(row, ended_steps), {step[1] for step in ended_steps}) for row, ended_steps in store.orphans()]
    called = partial(_caller, store, {run.id: run for run, _ in orphans}, read)
    for run, ended in orphans:
        waited = waits.get(run.id)
        wait = waited if waited is not None and not _is_past(store, run, waited, ended) else None
        line = store.last_line(run_number(run.id))
        text = store.definition(run.job_id, run.etag)
        job = read(run.job_id, text) if text is not None else None
        reason = _why_over(run, job, wait, away, interrupted)
        if reason is None and (caller := called(run)) is not None:
            begun = run.state is not RunState.QUEUED
            reason = interrupted if begun else f"{caller.id}, which called it, was interrupted"
        if reason is None and job is not None:
            _take_up(store, run, wait)
            left.append(LeftOver(run, job, line, wait))
            continue
        changes.append(_ended(store, run, now, reason or interrupted, interrupted, ended=ended, waited=waited))
        text = f"run {run.state}: {run.reason}"
        lines.append(log_row(run.id, LogLine(seq=line + 1, ts=now, level="ERROR", stream="engine", text=text)))
    if changes:
        store.commit(changes, lines)
    return len(changes), sorted(left, key=lambda each: each.run.id)


def _caller(store: Store, orphans: Mapping[str, Run], read: Callable[[str, str], Job | None], run: Run) -> Run | None:
    """The run that waited for this one in a step of its own, which has ended with its engine."""
    caller = orphans.get(run.parent_run) if run.parent_run is not None else None
    if caller is None or caller.step_index == 0:
        return None
    text = store.definition(caller.job_id, caller.etag)
    job = read(caller.job_id, text) if text is not None else None
    step = job.step(caller.steps[caller.step_index - 1].name) if job is not None else None
    return caller if isinstance(step, CallJob) and step.wait and step.job == run.job_id else None


def _is_past(store: Store, run: Run, wait: WaitRow, ended: set[int]) -> bool:
    """Whether the try that the step waited for was begun: nobody knows how far it came, so it is not made again."""
    starts = store.step_starts(run_number(run.id))
    return wait.position in ended or starts[run.steps[wait.position].name][2] > len(wait.attempts)


def _why_over(run: Run, job: Job | None, wait: WaitRow | None, away: timedelta, interrupted: str) -> str | None:
    """Why a run cannot go on; None where it can."""
    if run.state is RunState.CANCELING:
        restarted = interrupted == INTERRUPTED_RESTARTED
        return "canceled before the engine restarted" if restarted else "canceled before it was restored from a backup"
    if job is None or (run.state is RunState.RUNNING and (wait is None or away > PATIENCE)):
        return interrupted
    if run.state is RunState.QUEUED:
        schedule = next((each for each in job.schedules if each.name == run.schedule), None)
        patience = max(GRACE, window(schedule.catchup_window)) if schedule is not None else PATIENCE
        if away > patience:
            return f"missed: the engine was away for {span(away)} while it waited"
    return None


def _take_up(store: Store, run: Run, wait: WaitRow | None) -> None:
    """Put in what the store keeps elsewhere: the step that waits."""
    if wait is not None:
        step = run.steps[wait.position]
        starts = store.step_starts(run_number(run.id))
        step.state, step.started_at = StepState.RUNNING, starts[step.name][0]
        step.attempts, step.attempt = list(wait.attempts), len(wait.attempts)


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
        schedule=record.schedule,
        scheduled_at=record.scheduled_at,
        replay_of=record.replay_of,
        parent_run=record.parent_run,
        state=record.state,
        reason=record.reason,
        started_at=record.started_at,
        step_index=record.step_index,
        receipt=record.receipt,
    )


def _ended(
    store: Store,
    run: Run,
    now: datetime,
    reason: str,
    interrupted: str,
    *,
    ended: set[int],
    waited: WaitRow | None,
) -> Change:
    change = Change()
    starts = store.step_starts(run_number(run.id))
    for position, (planned, step) in enumerate(zip(run.plan.steps, run.steps, strict=True)):
        if position in ended:
            continue
        if step.name in starts:
            step.started_at, last_try_at, step.attempt = starts[step.name]
            step.finished_at = now
            step.state = StepState.FAILED
            step.error = StepError(type="Interrupted", message=interrupted)
            step.reason = interrupted
            if waited is not None and waited.position == position:
                step.attempts = list(waited.attempts)
            if len(step.attempts) < step.attempt:
                last_try = Attempt(n=step.attempt, started_at=last_try_at, finished_at=now, error=step.error)
                step.attempts.append(last_try)
        else:
            step.state = StepState.CANCELED
            step.reason = reason if planned.runs else planned.reason
        change.steps.append(step_row(run.id, position, step))
        change.events.append(Happened(now, "step", run.job_id, run.id, step.name, step.state, reason=step.reason))
    # What never began has not failed, and what was being canceled is.
    run.state = RunState.FAILED if reason == interrupted else RunState.CANCELED
    run.reason, run.finished_at = reason, now
    change.updated.append(run_update(run))
    change.events.append(Happened(now, "run", run.job_id, run.id, state=run.state, who="engine", reason=run.reason))
    return change
