"""Records to rows of the store and back. Instants are naive UTC in rows and aware UTC in records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, TypeAdapter

from nomaflow.engine.change import Row, WaitRow
from nomaflow.engine.model import Actor, Run, Slot
from nomaflow.history.search_texts import StepFacts, error_lines, joined, param_items, step_items
from nomaflow.launch.plan import Plan
from nomaflow.seams import run_id_of, run_number
from nomaflow.wire import Attempt, LogLine, Receipt, RunState, RunSummary, StepError, StepRun, StepState
from nomaflow.wire import Run as WireRun

RUN_COLUMNS = [
    "id",
    "job_id",
    "state",
    "reason",
    "queued_at",
    "started_at",
    "finished_at",
    "account",
    "via",
    "schedule",
    "scheduled_at",
    "replay_of",
    "parent_run",
    "log_level",
    "etag",
    "step_index",
    "step_count",
    "step_summary",
    "rows_affected",
    "plan",
    "receipt",
    "epoch",
    "params",
    "step_ends",
    "problem",
]
RUN_CHANGES = [
    "id",
    "state",
    "reason",
    "started_at",
    "finished_at",
    "step_index",
    "step_summary",
    "rows_affected",
    "receipt",
    "step_ends",
    "problem",
]
NOT_LISTED = ("plan", "receipt", "epoch", "params", "step_ends", "problem")
"""Columns of a run that a list does not show."""
STEP_COLUMNS = [
    "run_id",
    "position",
    "name",
    "type",
    "state",
    "reason",
    "attempt",
    "attempts",
    "started_at",
    "finished_at",
    "rows_affected",
    "output",
    "error",
]

_ATTEMPTS = TypeAdapter(list[Attempt])


def naive(instant: datetime | None) -> datetime | None:
    """As a TIMESTAMP column takes it."""
    return instant.astimezone(UTC).replace(tzinfo=None) if instant else None


def aware(instant: datetime | None) -> datetime | None:
    """As a record holds it."""
    return instant.replace(tzinfo=UTC) if instant else None


def run_insert(run: Run, epoch: int) -> Row:
    """A new run, in the order of `RUN_COLUMNS`."""
    return (
        run_number(run.id),
        run.job_id,
        run.state.value,
        run.reason,
        naive(run.queued_at),
        naive(run.started_at),
        naive(run.finished_at),
        run.actor.account,
        run.actor.surface,
        run.schedule,
        naive(run.scheduled_at),
        run_number(run.replay_of) if run.replay_of else None,
        run_number(run.parent_run) if run.parent_run else None,
        run.plan.log_level,
        run.etag,
        run.step_index,
        len(run.steps),
        run.step_summary,
        run.rows_affected,
        run.plan.model_dump_json(),
        _json(run.receipt),
        epoch,
        joined(param_items(run.plan)),
        *_search_texts(run),
    )


def run_update(run: Run) -> Row:
    """What changes of a run, in the order of `RUN_CHANGES`."""
    return (
        run_number(run.id),
        run.state.value,
        run.reason,
        naive(run.started_at),
        naive(run.finished_at),
        run.step_index,
        run.step_summary,
        run.rows_affected,
        _json(run.receipt),
        *_search_texts(run),
    )


def step_facts(run: Run) -> list[StepFacts]:
    """What a search asks of its steps."""
    return [
        StepFacts(
            step.name,
            has_begun=step.started_at is not None,
            has_failed=step.state is StepState.FAILED,
            is_skipped=not planned.runs or (step.reason or "").startswith("skipped"),
            error=f"{step.error.type}: {step.error.message}" if step.error else None,
        )
        for planned, step in zip(run.plan.steps, run.steps, strict=True)
    ]


def step_row(run_id: str, position: int, step: StepRun) -> Row:
    """An ended step, in the order of `STEP_COLUMNS`."""
    return (
        run_number(run_id),
        position,
        step.name,
        step.type,
        step.state.value,
        step.reason,
        step.attempt,
        _ATTEMPTS.dump_json(step.attempts).decode() if step.attempts != _plain_attempts(step) else None,
        _in_milliseconds(naive(step.started_at)),
        _in_milliseconds(naive(step.finished_at)),
        step.rows_affected,
        json.dumps(step.output) if step.output is not None else None,
        _json(step.error),
    )


def slot_row(slot: Slot, epoch: int) -> Row:
    """A slot, in the order of its table."""
    return (
        slot.slot_id,
        slot.job_id,
        slot.schedule,
        naive(slot.scheduled_at),
        slot.state.value,
        slot.reason,
        run_number(slot.run_id) if slot.run_id else None,
        naive(slot.into_at),
        slot.count,
        naive(slot.last_at),
        naive(slot.decided_at),
        epoch,
    )


def wait_row(wait: WaitRow) -> Row:
    """A step's wait, in the order of its table."""
    attempts = _ATTEMPTS.dump_json(list(wait.attempts)).decode()
    return run_number(wait.run_id), wait.position, attempts, naive(wait.due_at)


def waited(run_id: str, position: int, attempts: str, due_at: datetime) -> WaitRow:
    """A stored wait."""
    return WaitRow(run_id, position, tuple(_ATTEMPTS.validate_json(attempts)), due_at)


def log_row(run_id: str, line: LogLine) -> Row:
    """A log line."""
    return (
        run_number(run_id),
        line.seq,
        naive(line.ts),
        line.level,
        line.step,
        line.attempt,
        line.stream,
        # A lone surrogate cannot be stored as UTF-8.
        line.text.encode("utf-8", "backslashreplace").decode(),
    )


def log_line(row: Row) -> LogLine:
    """A stored line, without its run."""
    seq, ts, level, step, attempt, stream, text = row
    return LogLine(seq=seq, ts=ts, level=level, step=step, attempt=attempt, stream=stream, text=text)


def run_summary(row: Row) -> RunSummary:
    """A row of `RUN_COLUMNS` as a list shows it; those that are `NOT_LISTED` may be anything."""
    return RunSummary.model_construct(**_fields(row))


def run_record(row: Row, steps: Sequence[Row]) -> WireRun:
    """A row of `RUN_COLUMNS` with the rows of its ended steps; steps that never began come from the plan."""
    plan = Plan.model_validate_json(row[RUN_COLUMNS.index("plan")])
    ended = {step[1]: step_record(step) for step in steps}
    receipt = row[RUN_COLUMNS.index("receipt")]
    return WireRun(
        **_fields(row),
        plan=plan,
        steps=[
            ended.get(position, StepRun(name=planned.name, type=planned.type, reason=planned.reason))
            for position, planned in enumerate(plan.steps)
        ],
        receipt=Receipt.model_validate_json(receipt) if receipt else None,
    )


def step_record(row: Row) -> StepRun:
    """A row of `STEP_COLUMNS`."""
    values = dict(zip(STEP_COLUMNS, row, strict=True))
    step = StepRun(
        name=values["name"],
        type=values["type"],
        state=StepState(values["state"]),
        reason=values["reason"],
        attempt=values["attempt"],
        started_at=values["started_at"],
        finished_at=values["finished_at"],
        rows_affected=values["rows_affected"],
        output=json.loads(values["output"]) if values["output"] else None,
        error=StepError.model_validate_json(values["error"]) if values["error"] else None,
    )
    stored = values["attempts"]
    step.attempts = _plain_attempts(step) if stored is None else _ATTEMPTS.validate_json(stored)
    return step


def _in_milliseconds(instant: datetime | None) -> datetime | None:
    """As a TIMESTAMP_MS column takes it without rounding up: no step ends later than its run."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000) if instant else None


def _plain_attempts(step: StepRun) -> list[Attempt]:
    """The tries of a step that was tried at most once, as its other columns tell them: most steps, so not stored."""
    if step.started_at is None:
        return []
    return [Attempt(n=1, started_at=step.started_at, finished_at=step.finished_at, error=step.error)]


def _fields(row: Row) -> dict[str, Any]:
    values = dict(zip(RUN_COLUMNS, row, strict=True))
    account, via = values.pop("account"), values["via"]
    for name in NOT_LISTED:
        del values[name]
    for name in ("queued_at", "started_at", "finished_at", "scheduled_at"):
        values[name] = aware(values[name])
    for name in ("replay_of", "parent_run"):
        values[name] = run_id_of(values[name]) if values[name] is not None else None
    values["id"] = run_id_of(values["id"])
    values["state"] = RunState(values["state"])
    values["triggered_by"] = triggered_by(account, via)
    values["step_summary"] = values["step_summary"] or ""
    return values | {"late_seconds": late_seconds(values["scheduled_at"], values["started_at"])}


def triggered_by(account: str, via: str) -> str:
    """As `Actor.triggered_by`, from what is stored."""
    return Actor(account, via).triggered_by


def late_seconds(scheduled_at: datetime | None, started_at: datetime | None) -> float | None:
    """How long after its slot a run started."""
    return (started_at - scheduled_at).total_seconds() if scheduled_at and started_at else None


def _search_texts(run: Run) -> tuple[str | None, str | None]:
    """`step_ends` and `problem` of a run that has ended; one in flight is searched in memory."""
    if not run.state.is_terminal:
        return None, None
    steps = step_facts(run)
    return joined(step_items(steps)), joined(error_lines(step.error for step in steps)) or None


def _json(record: BaseModel | None) -> str | None:
    return record.model_dump_json() if record is not None else None
