"""Takes one run from QUEUED to its end.

Every path ends in `_end`, whatever happens: an unknown connector, a crash of the worker and a cancel are outcomes of a
step, not exceptions of the runner. A step's end and the next one's start are one change, and no step's code begins
before it is on disk that it does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import trio

from nomaflow.definitions.steps.common import StepCommon
from nomaflow.engine import admission, retry
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.attempt import Attempt, Outcome, Surroundings
from nomaflow.engine.board import Board
from nomaflow.engine.cancel import Stop, prove
from nomaflow.engine.change import Change
from nomaflow.engine.model import INTERRUPTED_STOPPED, InForce
from nomaflow.engine.ports import Worker, Workers
from nomaflow.engine.rows import log_row
from nomaflow.errors import NotReadyError
from nomaflow.launch.plan import SKIPPED_DISABLED, PlannedStep
from nomaflow.launch.substitution import SubstitutionError
from nomaflow.seams import Seams
from nomaflow.wire import Attempt as AttemptRecord
from nomaflow.wire import RunState, StepError, StepState
from nomaflow.worker.pool import WorkerError

STORE_RETRY_SECONDS = 1.0
"""A run whose end cannot be recorded stays in flight, and its job busy, until the store takes it."""

log = logging.getLogger(__name__)


class Runner:
    """Runs in flight; `on_end` is told the state of each that ends."""

    def __init__(
        self,
        around: Surroundings,
        pool: Workers[Any],
        board: Board,
        seams: Seams,
        in_force: InForce,
        on_end: Callable[[RunState], None] = lambda state: None,
    ) -> None:
        self._on_end = on_end
        self._around, self._pool, self._board, self._seams, self._in_force = around, pool, board, seams, in_force
        self._workers = trio.CapacityLimiter(in_force.settings.engine.max_parallel_runs)
        self._active: dict[str, ActiveRun] = {}
        self._all_ended = trio.Event()
        self._draining = False
        in_force.on_change(lambda settings: setattr(self._workers, "total_tokens", settings.engine.max_parallel_runs))

    def active(self, run_id: str) -> ActiveRun | None:
        """A run in flight."""
        return self._active.get(run_id)

    def active_of(self, job_id: str) -> list[ActiveRun]:
        """The job's runs in flight, oldest first."""
        return [active for active in self._active.values() if active.run.job_id == job_id]

    def all_active(self) -> list[ActiveRun]:
        """Every run in flight, oldest first."""
        return list(self._active.values())

    def add(self, active: ActiveRun) -> None:
        """Take a run; from here on its job is busy. There must be no await between the busy check and this."""
        self._active[active.run.id] = active

    async def execute(self, active: ActiveRun) -> None:
        """Run it to its end."""
        self._say(active, f"run accepted, started by {active.run.actor.triggered_by}")
        change = Change()
        try:
            if await self._wait_for_worker(active):
                try:
                    state, reason, change = await self._run_steps(active)
                finally:
                    self._workers.release_on_behalf_of(active)
            else:
                state, reason = self._stopped_state(active)
                assert active.stop is not None
                active.stop.proof = "the run never began"
        except NotReadyError as error:
            # The store takes nothing; what is acknowledged is on disk, and the next start ends the run.
            log.error("%s cannot go on: %s", active.run.id, error)
            state, reason = RunState.FAILED, str(error)
        except Exception as error:
            # A fault of the engine itself: it ends this run and no other.
            log.exception("%s met a fault of the engine", active.run.id)
            state, reason = RunState.FAILED, f"a fault of the engine: {type(error).__name__}: {error}"
        await self._end(active, state, reason, self._end_steps(active, change, reason))

    async def stop(self, active: ActiveRun, stop: Stop) -> None:
        """Ask a run to stop. A second request only hurries the first, and one that comes too late changes nothing."""
        if active.is_ending:
            await active.ended.wait()
            return
        if active.stop is not None:
            if stop.force:
                active.stop.hurry()
            return
        if active.stop_of_step is not None:
            active.stop_of_step.adopt(stop)
            stop = active.stop_of_step
        active.stop = stop
        try:
            if stop.kind == "cancel":
                self._say(active, f"cancel requested by {stop.by}" + (f": {stop.reason}" if stop.reason else ""))
                if active.run.state is RunState.RUNNING:
                    await self._around.recorder.record(active.canceling(stop))
        finally:
            # Also when that cannot be recorded: whoever asks for a stop gets it.
            active.ask_to_stop()

    async def drain(self, seconds: float, hurry: trio.Event) -> None:
        """Let runs end for so long, then stop the rest; `hurry` skips the wait."""
        self._draining = True
        self._all_ended = trio.Event()
        if not self._active:
            return
        async with trio.open_nursery() as nursery:

            async def wait_for_ends() -> None:
                await self._all_ended.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait_for_ends)
            with trio.move_on_after(seconds):
                await hurry.wait()
            for active in self.all_active():
                stop = Stop("shutdown", "engine", self._seams.now(), INTERRUPTED_STOPPED, force=hurry.is_set())
                nursery.start_soon(self.stop, active, stop)
            await hurry.wait()
            for active in self.all_active():
                if active.stop is not None:
                    active.stop.hurry()

    async def _wait_for_worker(self, active: ActiveRun) -> bool:
        """Whether a worker may be used; False when the run was stopped while it waited."""
        try:
            self._workers.acquire_on_behalf_of_nowait(active)
            return True
        except trio.WouldBlock:
            active.run.wait_reason = admission.waits_for_worker(int(self._workers.total_tokens))
        got = False
        async with trio.open_nursery() as nursery:

            async def give_up() -> None:
                await active.stop_asked.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(give_up)
            await self._workers.acquire_on_behalf_of(active)
            got = True
            nursery.cancel_scope.cancel()
        return got

    async def _run_steps(self, active: ActiveRun) -> tuple[RunState, str | None, Change]:
        """Run what the plan says; how the run ends, why, and the change that is still to be recorded."""
        run = active.run
        change = active.began()
        worker: Worker | None = None
        failed: Outcome | None = None
        try:
            for position, (planned, step) in enumerate(self._steps(active)):
                if not planned.runs:
                    _add(change, active.step_ended(position, StepState.CANCELED, reason=SKIPPED_DISABLED))
                    continue
                if active.stop is not None:
                    break
                outcome, worker = await self._run_step(active, planned, step, position, worker, change)
                change = active.step_ended(
                    position,
                    outcome.state,
                    reason=outcome.reason,
                    error=outcome.error,
                    output=outcome.output,
                    rows_affected=outcome.rows_affected,
                )
                if outcome.state is not StepState.SUCCEEDED:
                    failed = outcome
                    break
        finally:
            if worker is not None:
                with trio.CancelScope(shield=True):
                    left = await self._pool.release(worker, clean=active.stop is None and failed is None)
                    if active.stop is not None and not left:
                        active.stop.proof = active.stop.proof or f"no step was running; process {worker.pid} is reaped"
        if active.stop is not None:
            active.stop.proof = active.stop.proof or "no step was running"
            return *self._stopped_state(active), change
        if failed is not None:
            return RunState.FAILED, f"step {run.steps[run.step_index - 1].name} failed", change
        return RunState.SUCCEEDED, None, change

    async def _run_step(
        self,
        active: ActiveRun,
        planned: PlannedStep,
        step: StepCommon,
        position: int,
        worker: Worker | None,
        change: Change,
    ) -> tuple[Outcome, Worker | None]:
        """All tries of one step; the outcome of the last, and the worker if it is fit for the next step."""
        policy = retry.policy(active.job.retry, step.retry)
        record = active.run.steps[position]
        while True:
            _add(change, active.step_began(position))
            await self._around.recorder.record(change)
            if active.acceptance is not None:
                await active.acceptance.wait_durable()
            self._say(active, f"▶ {step.name} ({planned.type}) {step.detail}", position)
            started_at = active.now()
            outcome, worker = await self._try(active, planned, step, position, worker)
            attempt = AttemptRecord(
                n=record.attempt, started_at=started_at, finished_at=active.now(), error=outcome.error
            )
            record.attempts.append(attempt)
            self._say_outcome(active, position, outcome)
            delay = retry.delay_seconds(policy, record.attempt, self._seams.draw, outcome.retry_after)
            if outcome.state is not StepState.FAILED or not outcome.may_retry or delay is None:
                if why := retry.why_last(policy, record.attempt, outcome.lasting):
                    self._say(active, why, position)
                return outcome, worker
            attempt.retry_at = active.now() + timedelta(seconds=delay)
            self._around.recorder.submit(active.step_waits(position))
            self._say(
                active, f"tries again in {delay:.0f} s ({record.attempt} of {policy.attempts} tries made)", position
            )
            with trio.move_on_after(delay):
                await active.stop_asked.wait()
                assert active.stop is not None
                return Outcome(StepState.CANCELED, reason=f"canceled by {active.stop.by}"), worker
            change = Change()

    async def _try(
        self, active: ActiveRun, planned: PlannedStep, step: StepCommon, position: int, worker: Worker | None
    ) -> tuple[Outcome, Worker | None]:
        try:
            worker = worker or await self._pool.acquire(active.run.job_id)
            attempt = Attempt(self._around, active, step, position, worker)
            spec = attempt.spec(planned, {**active.job.params, **getattr(step, "op_kwargs", {})})
            if step.runs_code:
                worker.ran_code_of = active.run.job_id
            grace = self._in_force.settings.engine.cancel_grace_seconds
            end = await attempt.run(spec, grace_seconds=grace)
            if "stale" in end:
                await worker.kill()
                worker = await self._pool.acquire(active.run.job_id)
                worker.ran_code_of = active.run.job_id
                attempt = Attempt(self._around, active, step, position, worker)
                end = await attempt.run(spec, grace_seconds=grace)
        except SubstitutionError as error:
            wrong = StepError(type="SubstitutionError", message=str(error))
            return Outcome(StepState.FAILED, error=wrong, may_retry=False, lasting="what is missing stays so"), worker
        except WorkerError as error:
            return Outcome(StepState.FAILED, error=StepError(type="WorkerError", message=str(error))), None
        except BaseException:
            if worker is not None:
                await worker.kill()
            raise
        outcome = attempt.outcome(end)
        if "stopped" in end:
            stop: Stop = end["stopped"]
            await prove(worker, stop, now=active.now, stuck=lambda: self._tell_stuck(active, stop))
            await attempt.settle(end, stop, self._pool)
            active.stop_of_step = None
            return outcome, None
        if "died" in end:
            await worker.kill()
            return outcome, None
        return outcome, worker

    def _steps(self, active: ActiveRun) -> Iterator[tuple[PlannedStep, StepCommon]]:
        for planned in active.run.plan.steps:
            step = active.job.step(planned.name)
            assert step is not None, "a plan is made from its job"
            yield planned, step

    def _end_steps(self, active: ActiveRun, change: Change, reason: str | None) -> Change:
        """CANCELED for the steps that were never begun; FAILED for one that the engine itself left in the middle."""
        why = f"canceled by {active.stop.by}" if active.stop else "an earlier step failed"
        for position, (planned, step) in enumerate(zip(active.run.plan.steps, active.run.steps, strict=True)):
            if step.state is StepState.PENDING:
                skipped = why if planned.runs else SKIPPED_DISABLED
                _add(change, active.step_ended(position, StepState.CANCELED, reason=skipped))
            elif step.state is StepState.RUNNING:
                _add(change, active.step_ended(position, StepState.FAILED, reason=reason))
        return change

    def _stopped_state(self, active: ActiveRun) -> tuple[RunState, str | None]:
        assert active.stop is not None
        if active.stop.kind == "shutdown":
            return RunState.FAILED, active.stop.reason
        return RunState.CANCELED, active.stop.reason

    async def _end(self, active: ActiveRun, state: RunState, reason: str | None, change: Change) -> None:
        """The only place where a run ends; its last step's end is in the same change."""
        active.is_ending = True
        if active.acceptance is not None and active.acceptance.error is not None:
            # It was never on record, so it was never a run.
            del self._active[active.run.id]
            active.ended.set()
            return
        elapsed = active.now() - (active.run.started_at or active.run.queued_at)
        by = f" by {active.stop.by}" if active.stop and state is RunState.CANCELED else ""
        self._say(active, f"run {state}{by} in {_seconds(elapsed.total_seconds())}")
        final, end = active.finished(state, reason)
        _add(change, end)
        self._around.recorder.take_lines([log_row(active.run.id, line) for line in active.log.rest()])
        while True:
            try:
                await self._around.recorder.record(change)
                break
            except NotReadyError as error:
                log.error("the end of %s could not be recorded: %s", active.run.id, error)
                if self._draining:
                    break  # the next start ends it
                await trio.sleep(STORE_RETRY_SECONDS)
        active.run = final
        self._board.ended(active.summary())
        del self._active[active.run.id]
        active.log.end()
        active.ended.set()
        self._on_end(state)
        if not self._active:
            self._all_ended.set()

    def _say_outcome(self, active: ActiveRun, position: int, outcome: Outcome) -> None:
        record = active.run.steps[position]
        rows = f", {outcome.rows_affected:,} rows" if outcome.rows_affected is not None else ""
        why = f": {outcome.error.type}: {outcome.error.message}" if outcome.error else ""
        level = "ERROR" if outcome.state is StepState.FAILED else "INFO"
        started = record.started_at or active.now()
        seconds = (active.now() - started).total_seconds()
        self._say(active, f"{record.name} {outcome.state} in {_seconds(seconds)}{rows}{why}", position, level)
        if outcome.error and outcome.error.traceback:
            for line in outcome.error.traceback.rstrip().split("\n"):
                self._say(active, line, position, level)

    def _tell_stuck(self, active: ActiveRun, stop: Stop) -> None:
        message = f"stuck: {', '.join(stop.survivors)} of the step cannot be killed"
        if active.run.wait_reason != message:
            active.run.wait_reason = message
            self._say(active, message, level="ERROR")
            log.error("%s is %s", active.run.id, message)

    def _say(self, active: ActiveRun, text: str, position: int | None = None, level: str = "INFO") -> None:
        record = active.run.steps[position] if position is not None else None
        lines = active.log.take(
            active.now().timestamp(),
            level,
            text,
            step=record.name if record else None,
            attempt=record.attempt if record else 0,
            stream="engine",
        )
        self._around.recorder.take_lines([log_row(active.run.id, line) for line in lines])


def _add(change: Change, more: Change) -> None:
    change.events += more.events
    change.updated += more.updated
    change.steps += more.steps


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
