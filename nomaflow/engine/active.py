"""One run in flight: its record, its log, and every transition of them as a change to be recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import trio

from nomaflow.definitions.job import Job
from nomaflow.engine.cancel import Stop
from nomaflow.engine.change import Change, Happened, WaitRow
from nomaflow.engine.claims import Claims
from nomaflow.engine.model import Run
from nomaflow.engine.rows import late_seconds, run_insert, run_update, step_row
from nomaflow.engine.run_log import RunLog
from nomaflow.engine.ticket import Ticket
from nomaflow.wire import ActiveRun as ActiveRunCard
from nomaflow.wire import Attempt, RunState, RunSummary, StepError, StepRun, StepState
from nomaflow.wire import Run as WireRun

WAITS = "waits for its next try"


@dataclass(eq=False)
class ActiveRun:
    """A run from its acceptance to its end. Every method that changes it gives back the change to record.

    `acceptance` is the change that made it: no step begins before that is on disk. `unrecorded` is a change that the
    store may not have taken, for the run's end to take along. `stop` is a request to stop the run,
    `canceling_ticket` the change that puts it on record, `stop_of_step` the one that is ending a step now, which may be
    its timeout. From `is_ending` on nothing changes any
    more how the run ends. `obstacle` says what the run waits for while it does, and `tell` passes that on to followers.
    `goes_on` is the wait in which an earlier engine left it. One that `is_parked` stays as the store has it: this
    engine stops, and the next one goes on with it. `parent` is the run that waits for this one's end and lends it its
    locks, `child` the one that this one waits for. One that `holds_on` is in the middle of something that no other
    engine could go on with, although it waits.
    """

    run: Run
    job: Job
    epoch: int
    now: Callable[[], datetime]
    claims: Claims = field(default_factory=Claims)
    log: RunLog = field(default_factory=RunLog)
    obstacle: Callable[[], str | None] | None = None
    tell: Callable[[Happened], None] = lambda happened: None
    goes_on: WaitRow | None = None
    note: str | None = None
    is_parked: bool = False
    parent: ActiveRun | None = None
    child: ActiveRun | None = None
    holds_on: bool = False
    acceptance: Ticket | None = None
    unrecorded: Change = field(default_factory=Change)
    is_ending: bool = False
    stop: Stop | None = None
    canceling_ticket: Ticket | None = None
    stop_of_step: Stop | None = None
    stop_asked: trio.Event = field(default_factory=trio.Event)
    _scope: trio.CancelScope | None = None
    _try_began_at: datetime | None = None
    ended: trio.Event = field(default_factory=trio.Event)

    @contextmanager
    def undisturbed(self, seconds: float) -> Iterator[trio.CancelScope]:
        """Leave the block when the run is asked to stop, or after so long; the scope then says `cancelled_caught`."""
        with trio.move_on_after(seconds) as scope:
            self._scope = scope
            if self.stop_asked.is_set():
                scope.cancel()
            yield scope

    @property
    def is_disturbed(self) -> bool:
        """Whether the block that is left undisturbed is to be left: a stop is asked for, or its time is over."""
        return self._scope is not None and self._scope.cancel_called

    def ask_to_stop(self) -> None:
        """Wake whatever waits in this run."""
        self.stop_asked.set()
        if self._scope is not None:
            self._scope.cancel()

    async def tell_waiting(self) -> None:
        """Let followers know that the run waits, and for what, once it is on record. Told, not stored: nothing has
        changed."""
        if self.acceptance is not None:
            await self.acceptance.settled()
        if self.acceptance is None or self.acceptance.error is None:
            self.tell(self._run_event())

    def accepted(self) -> Change:
        """QUEUED. What a replay keeps is on record from here on, however the run goes."""
        kept = [(n, step) for n, step in enumerate(self.run.steps) if step.state is not StepState.PENDING]
        return Change(
            inserted=[run_insert(self.run, self.epoch)],
            steps=[step_row(self.run.id, position, step) for position, step in kept],
            events=[
                self._run_event(self.run.actor.triggered_by),
                *(self._step_event(step) for _, step in kept),
            ],
        )

    def began(self) -> Change:
        """RUNNING."""
        run = self.run
        run.state, run.started_at, run.wait_reason = RunState.RUNNING, self.now(), None
        return Change(updated=[run_update(run)], events=[self._run_event()])

    def canceling(self, stop: Stop) -> Change:
        """CANCELING: the request is on record before anything is stopped."""
        run = self.run
        run.state, run.reason, run.receipt = RunState.CANCELING, stop.reason, stop.receipt()
        return Change(updated=[run_update(run)], events=[self._run_event(stop.by)])

    def finished(self, state: RunState, reason: str | None) -> tuple[Run, Change]:
        """The run as it will be when its end is on disk, and that change.

        Until then nobody is shown an end: a run that is seen to be over stays over, and its job can run again.
        """
        run = replace(self.run, state=state, finished_at=self.now(), wait_reason=None, reason=reason or self.run.reason)
        if self.stop is not None and self.stop.kind != "timeout":
            run.receipt = self.stop.receipt()
        who = self.stop.by if self.stop else None
        return run, Change(updated=[run_update(run)], events=[self._run_event(who, run)])

    def step_began(self, position: int) -> Change:
        """A try of a step."""
        step = self.run.steps[position]
        self.run.step_index = position + 1
        self._try_began_at = self.now()
        step.state, step.started_at = StepState.RUNNING, step.started_at or self._try_began_at
        step.attempt += 1
        step.progress = None
        return Change(updated=[run_update(self.run)], events=[self._step_event(step)])

    def try_ended(self, position: int, error: StepError | None) -> Attempt:
        """The end of a try, on its step's record; whether the step ends with it is not said."""
        step, now = self.run.steps[position], self.now()
        attempt = Attempt(n=step.attempt, started_at=self._try_began_at or now, finished_at=now, error=error)
        step.attempts.append(attempt)
        return attempt

    def step_ended(
        self,
        position: int,
        state: StepState,
        *,
        reason: str | None = None,
        error: StepError | None = None,
        output: dict[str, Any] | None = None,
        rows_affected: int | None = None,
    ) -> Change:
        """The end of a step, or that it never began."""
        step = self.run.steps[position]
        step.state, step.reason, step.error = state, reason, error
        step.output, step.rows_affected = output, rows_affected
        if step.started_at:
            # It ends with its last try, unless it waited for another.
            last = step.attempts[-1] if step.attempts else None
            step.finished_at = last.finished_at if last is not None and last.retry_at is None else self.now()
        return Change(
            steps=[step_row(self.run.id, position, step)],
            events=[self._step_event(step)],
            updated=[run_update(self.run)],
        )

    def steps_left(self, change: Change, reason: str | None) -> Change:
        """CANCELED for the steps that were never begun; FAILED for one that the engine itself left in the middle."""
        why = f"canceled by {self.stop.by}" if self.stop else "an earlier step failed"
        for position, (planned, step) in enumerate(zip(self.run.plan.steps, self.run.steps, strict=True)):
            if step.state is StepState.PENDING:
                skipped = why if planned.runs else planned.reason
                change.add(self.step_ended(position, StepState.CANCELED, reason=skipped))
            elif step.state is StepState.RUNNING:
                change.add(self.step_ended(position, StepState.FAILED, reason=reason))
        return change

    def step_waits(self, position: int, due_at: datetime) -> Change:
        """The next try is due then, whichever engine makes it. The event's reason tells it from the start of a try."""
        step = self.run.steps[position]
        wait = WaitRow(self.run.id, position, tuple(step.attempts), due_at)
        return Change(waits=[wait], events=[replace(self._step_event(step), reason=WAITS)])

    def progress(self, position: int) -> Happened:
        """How far a step is; told, not stored."""
        return self._step_event(self.run.steps[position])

    def summary(self) -> RunSummary:
        """As a list shows it."""
        return self._summary(self.run)

    def record(self) -> WireRun:
        """As it is now, whole; a copy that does not change when the run goes on."""
        return WireRun.model_construct(
            **self._fields(self.run),
            artifacts=[],
            plan=self.run.plan,
            steps=[step.model_copy(update={"attempts": list(step.attempts)}) for step in self.run.steps],
            receipt=self.stop.receipt() if self.stop and self.run.receipt else self.run.receipt,
        )

    def card(self) -> ActiveRunCard:
        """As the job's card shows it."""
        run = self.run
        return ActiveRunCard(
            id=run.id,
            state=run.state,
            step_index=run.step_index,
            step_name=run.steps[run.step_index - 1].name if run.step_index else None,
            step_count=len(run.steps),
            started_at=run.started_at,
            expected_end_at=self.expected_end_at,
        )

    @property
    def may_be_parked(self) -> bool:
        """Whether nothing of the run goes on that the next engine could not begin: it is QUEUED, or a step waits."""
        waits = self.run.state is RunState.QUEUED or self.run.wait_reason is not None or self.obstacle is not None
        return waits and self.stop is None and not self.holds_on and self.parent is None

    @property
    def lenders(self) -> list[ActiveRun]:
        """The runs that wait for this one: what they have is its own, too."""
        return [self.parent, *self.parent.lenders] if self.parent is not None else []

    @property
    def wait_reason(self) -> str | None:
        """What the run waits for now, as a sentence."""
        if self.run.state is RunState.QUEUED and self.stop is not None:
            return f"is being canceled by {self.stop.by}"
        return self.run.wait_reason or (self.obstacle() if self.obstacle is not None else None)

    @property
    def expected_end_at(self) -> datetime | None:
        """When a run that goes as the ones before it will be over."""
        if self.run.started_at is None or self.run.expected_seconds is None:
            return None
        return self.run.started_at + timedelta(seconds=self.run.expected_seconds)

    def _summary(self, run: Run) -> RunSummary:
        return RunSummary.model_construct(**self._fields(run))

    def _fields(self, run: Run) -> dict[str, Any]:
        return {
            "id": run.id,
            "job_id": run.job_id,
            "state": run.state,
            "reason": run.reason,
            "queued_at": run.queued_at,
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "triggered_by": run.actor.triggered_by,
            "via": run.actor.surface,
            "schedule": run.schedule,
            "scheduled_at": run.scheduled_at,
            "late_seconds": late_seconds(run.scheduled_at, run.started_at),
            "replay_of": run.replay_of,
            "parent_run": run.parent_run,
            "log_level": run.plan.log_level,
            "etag": run.etag,
            "step_index": run.step_index,
            "step_count": len(run.steps),
            "step_summary": run.step_summary,
            "rows_affected": run.rows_affected,
            "wait_reason": self.wait_reason,
            "expected_end_at": self.expected_end_at,
        }

    def _run_event(self, who: str | None = None, run: Run | None = None) -> Happened:
        run = run or self.run
        return Happened(
            self.now(),
            "run",
            run.job_id,
            run.id,
            state=run.state,
            who=who,
            reason=run.reason,
            record=self._summary(run),
        )

    def _step_event(self, step: StepRun) -> Happened:
        snapshot = step.model_copy(update={"attempts": list(step.attempts)})
        run = self.run
        return Happened(
            self.now(), "step", run.job_id, run.id, step.name, step.state, reason=step.reason, record=snapshot
        )
