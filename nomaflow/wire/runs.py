"""Runs, their steps, logs and events."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StrictBool

from nomaflow.launch.overrides import LogLevel, Reason, Sent
from nomaflow.launch.plan import Plan
from nomaflow.wire.base import Given, Instant, RunState, StepState


class StepError(Given):
    """What a step raised."""

    type: str
    message: str
    traceback: str = ""


class Attempt(Given):
    """One try of a step. `n` counts from 1; `retry_at` is when the next try is due."""

    n: int
    started_at: Instant
    finished_at: Instant | None = None
    error: StepError | None = None
    retry_at: Instant | None = None


class Progress(Given):
    """How far a step is; `total` is None where it is not known."""

    done: int
    total: int | None = None
    unit: str = "rows"
    text: str = ""


class StepRun(Given):
    """One step of one run."""

    name: str
    type: str
    state: StepState = StepState.PENDING
    reason: str | None = None
    attempt: int = 0
    attempts: list[Attempt] = []
    started_at: Instant | None = None
    finished_at: Instant | None = None
    rows_affected: int | None = None
    progress: Progress | None = None
    output: dict[str, JsonValue] | None = None
    error: StepError | None = None


class Rung(Given):
    """One step of the cancel ladder."""

    rung: str
    started_at: Instant
    ended_at: Instant | None = None
    result: str


class Receipt(Given):
    """What a cancel did, and how it is known that nothing is left."""

    requested_at: Instant
    requested_by: str
    reason: str | None = None
    force: bool = False
    rungs: list[Rung] = []
    rolled_back: bool | Literal["unknown"] = "unknown"
    survivors: list[str] = []
    proof: str | None = None


class Artifact(Given):
    """A file that a step left."""

    name: str
    media_type: str
    size: int


class RunSummary(Given):
    """A run in a list. `late_seconds` is how long after `scheduled_at` it started."""

    id: str
    job_id: str
    state: RunState
    reason: str | None = None
    queued_at: Instant
    started_at: Instant | None = None
    finished_at: Instant | None = None
    triggered_by: str
    via: str
    schedule: str | None = None
    scheduled_at: Instant | None = None
    late_seconds: float | None = None
    replay_of: str | None = None
    parent_run: str | None = None
    log_level: LogLevel = "INFO"
    etag: str = ""
    step_index: int = 0
    step_count: int = 0
    step_summary: str = ""
    rows_affected: int | None = None
    wait_reason: str | None = None
    expected_end_at: Instant | None = None


class Run(RunSummary):
    """A run whole."""

    artifacts: list[Artifact] = []
    plan: Plan
    steps: list[StepRun] = []
    receipt: Receipt | None = None


class Duration(Given):
    """How long one run took."""

    run_id: str
    state: RunState
    started_at: Instant
    seconds: float


class LogLine(Given):
    """One line of a run's log. `seq` counts from 1 within the run; `stream` is log, stdout, stderr or engine."""

    seq: int
    ts: Instant
    level: str
    step: str | None = None
    attempt: int = 0
    stream: str = "log"
    text: str


class LogPage(Given):
    """Some lines; `next` is the `after` of the following page, `end` says that no line will follow."""

    lines: list[LogLine]
    next: int
    end: bool


EventKind = Literal["run", "step", "slot", "job", "alert", "connector"]


class Event(Given):
    """One change. `seq` grows by one within an epoch; `record` is what changed, as its own route would give it."""

    seq: int
    happened_at: Instant
    kind: EventKind
    job_id: str | None = None
    run_id: str | None = None
    record: dict[str, JsonValue] = {}
    gone_tags: Annotated[tuple[str, ...], Field(exclude=True)] = ()
    """Never sent: whom to tell that a job is gone, since its tags are gone with it."""


class Cancel(Sent):
    """Stop a run; `force` skips the grace."""

    force: StrictBool = False
    reason: Reason | None = None
