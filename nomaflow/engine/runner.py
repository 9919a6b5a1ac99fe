"""Takes one run from QUEUED to its end.

Every path ends in `_end`, whatever happens: an unknown connector, a crash of the worker and a cancel are outcomes of a
step, not exceptions of the runner. A step's end and the next one's start are one change, and no step's code begins
before it is on disk that it does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import trio

from nomaflow.definitions.steps.common import StepCommon
from nomaflow.engine import retry
from nomaflow.engine.active import WAITS, ActiveRun
from nomaflow.engine.attempt import Attempt
from nomaflow.engine.board import Board
from nomaflow.engine.cancel import Stop, prove
from nomaflow.engine.capacity import Capacity
from nomaflow.engine.change import Change
from nomaflow.engine.inside import Works, run_inside
from nomaflow.engine.model import INTERRUPTED_STOPPED, InForce
from nomaflow.engine.narration import Narrator, seconds_text
from nomaflow.engine.outcome import Outcome
from nomaflow.engine.ports import Worker, Workers
from nomaflow.engine.rows import log_row
from nomaflow.engine.step_try import StepTry, Surroundings
from nomaflow.errors import NotReadyError
from nomaflow.launch.plan import PlannedStep
from nomaflow.launch.substitution import SubstitutionError
from nomaflow.seams import Seams
from nomaflow.wire import RunState, StepError, StepState, iso
from nomaflow.worker.pool import WorkerError

STORE_RETRY_SECONDS = 1.0
"""A run whose end cannot be recorded stays in flight, and its job busy, until the store takes it."""

log = logging.getLogger(__name__)


class _ParkedError(Exception):
    """The engine stops, and the run is left to the next one."""


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
        works: Works | None = None,
    ) -> None:
        self._on_end, self._works = on_end, works or {}
        self._around, self._pool, self._board, self._seams, self._in_force = around, pool, board, seams, in_force
        self._capacity = Capacity(in_force)
        self._say = Narrator(around.recorder)
        self._active: dict[str, ActiveRun] = {}
        self._all_ended = trio.Event()
        self._draining = False

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
        if active.goes_on is not None:
            self._capacity.keep_locks(active)
        else:
            self._capacity.line_up(active, active.run.due_at)

    async def execute(self, active: ActiveRun) -> None:
        """Run it to its end, or until it is parked."""
        change = Change()
        self._say.accepted(active)
        try:
            try:
                if active.goes_on is not None or await self._capacity.wait(active):
                    state, reason, change = await self._run_steps(active)
                else:
                    state, reason = self._never_began(active)
            finally:
                # Its locks it has until its end is on record, or a run after it might be on record without it.
                self._capacity.release(active, keeps_locks=True)
        except _ParkedError:
            self._park(active)
            return
        except NotReadyError as error:
            # The store takes nothing; what is acknowledged is on disk, and the next start ends the run.
            log.error("%s cannot go on: %s", active.run.id, error)
            state, reason, change = RunState.FAILED, str(error), active.unrecorded
        except Exception as error:
            # A fault of the engine itself: it ends this run and no other.
            log.exception("%s met a fault of the engine", active.run.id)
            while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
                error = error.exceptions[0]
            # What happens after somebody has asked for the end makes no failure of it.
            is_canceled = active.stop is not None and active.stop.kind == "cancel"
            state = RunState.CANCELED if is_canceled else RunState.FAILED
            reason = f"a fault of the engine: {type(error).__name__}: {error}"
        await self._end(active, state, reason, active.steps_left(change, reason))

    async def stop(self, active: ActiveRun, stop: Stop) -> None:
        """Ask a run to stop. A second request only hurries the first, and one that comes too late changes nothing."""
        if active.is_ending or active.is_parked:
            await active.ended.wait()
            return
        if active.stop is not None:
            if stop.force:
                active.stop.hurry()
            if active.canceling_ticket is not None:
                await active.canceling_ticket.wait_durable()
            return
        if active.stop_of_step is not None:
            active.stop_of_step.adopt(stop)
            stop = active.stop_of_step
        active.stop = stop
        try:
            if stop.kind == "cancel":
                self._say.line(active, f"cancel requested by {stop.by}" + (f": {stop.reason}" if stop.reason else ""))
                if active.run.state is RunState.RUNNING:
                    ticket = self._around.recorder.submit(active.canceling(stop), active.acceptance)
                    active.canceling_ticket = ticket
                    await ticket.wait_durable()
        finally:
            # Also when that cannot be recorded: whoever asks for a stop gets it.
            active.ask_to_stop()

    async def drain(self, seconds: float, hurry: trio.Event) -> None:
        """Let runs end for so long, then stop the rest; `hurry` skips the wait.

        A run that has not begun, or waits for a step's next try, is left as it is: the next engine goes on with it.
        """
        self._draining = True
        self._all_ended = trio.Event()
        self._capacity.close()
        for active in self.all_active():
            if active.may_be_parked:
                active.is_parked = True
                active.ask_to_stop()
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

    def _never_began(self, active: ActiveRun) -> tuple[RunState, str | None]:
        """How a run ends that was stopped while it waited."""
        if active.stop is None and active.parent is not None:
            return RunState.CANCELED, INTERRUPTED_STOPPED  # the run that waits for it ends with this engine
        if active.stop is None or active.is_parked:
            raise _ParkedError
        active.stop.proof, active.stop.rolled_back = "the run never began", True
        return self._stopped_state(active)

    def _park(self, active: ActiveRun) -> None:
        """Leave a run to the next engine, as the store has it."""
        active.is_parked = True
        self._around.recorder.take_lines([log_row(active.run.id, line) for line in active.log.rest()])
        self._leave(active)

    def _leave(self, active: ActiveRun) -> None:
        del self._active[active.run.id]
        self._capacity.release(active)
        active.log.end()
        active.ended.set()
        if not self._active:
            self._all_ended.set()

    async def _run_steps(self, active: ActiveRun) -> tuple[RunState, str | None, Change]:
        """Run what the plan says; how the run ends, why, and the change that is still to be recorded."""
        run, goes_on = active.run, active.goes_on
        change = active.began() if run.started_at is None else Change()
        worker: Worker | None = None
        failed: Outcome | None = None
        try:
            for position, (planned, step) in enumerate(self._steps(active)):
                if goes_on is not None and position < goes_on.position:
                    continue
                if not planned.runs:
                    if run.steps[position].state is StepState.PENDING:
                        change.add(active.step_ended(position, StepState.CANCELED, reason=planned.reason))
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
        goes_on = active.goes_on
        if goes_on is not None and position == goes_on.position:
            stopped = await self._wait_for_try(active, goes_on.due_at)
            if stopped is not None:
                return stopped, worker
        while True:
            change.add(active.step_began(position))
            active.unrecorded = change
            await self._around.recorder.record(change, active.acceptance)
            active.unrecorded = Change()
            if active.acceptance is not None:
                await active.acceptance.wait_durable()
            self._say.line(active, f"▶ {step.name} ({planned.type}) {step.detail}", position)
            outcome, worker = await self._try(active, planned, step, position, worker)
            attempt = active.try_ended(position, outcome.error)
            self._say.outcome(active, position, outcome)
            delay = retry.delay_seconds(policy, record.attempt, self._seams.draw, outcome.retry_after)
            if outcome.state is not StepState.FAILED or not outcome.may_retry or delay is None:
                if why := retry.why_last(policy, record.attempt, outcome.lasting):
                    self._say.line(active, why, position)
                return outcome, worker
            attempt.retry_at = due_at = active.now() + timedelta(seconds=delay)
            self._say.line(
                active, f"tries again in {delay:.0f} s ({record.attempt} of {policy.attempts} tries made)", position
            )
            if worker is not None:
                await self._pool.release(worker, clean=False)
                worker = None
            self._around.recorder.submit(active.step_waits(position, due_at))
            if stopped := await self._wait_for_try(active, due_at):
                return stopped, worker
            change = Change()

    async def _wait_for_try(self, active: ActiveRun, due_at: datetime) -> Outcome | None:
        """Wait until a step's next try is due and the run has a worker again; it holds none meanwhile.

        Returns the outcome of the step where the run was stopped instead.
        """
        active.run.wait_reason = f"{WAITS} at {iso(due_at)}"
        await active.tell_waiting()
        self._capacity.release(active, keeps_locks=True)
        with active.undisturbed(max((due_at - active.now()).total_seconds(), 0)):
            await trio.sleep_forever()
        active.run.wait_reason = None
        if not active.stop_asked.is_set():
            self._capacity.line_up(active, due_at)
            if await self._capacity.wait(active):
                return None
        if active.stop is None and active.parent is not None:
            return Outcome(StepState.FAILED, reason=INTERRUPTED_STOPPED)
        if active.stop is None or active.is_parked:
            raise _ParkedError
        return Outcome(StepState.CANCELED, reason=f"canceled by {active.stop.by}")

    async def _try(
        self, active: ActiveRun, planned: PlannedStep, step: StepCommon, position: int, worker: Worker | None
    ) -> tuple[Outcome, Worker | None]:
        one = StepTry(self._around, active, step, position)
        try:
            if step.runs_in_engine:
                if not step.gives_up_place:
                    return await run_inside(self._works, one, planned), worker
                if worker is not None:
                    spare, worker = worker, None
                    await self._pool.release(spare, clean=True)
                self._capacity.release(active, keeps_locks=True)
                outcome = await run_inside(self._works, one, planned)
                goes_on = any(later.runs for later in active.run.plan.steps[position + 1 :])
                if outcome.state is StepState.SUCCEEDED and goes_on:
                    await self._capacity.take_again(active)
                return outcome, None
            worker = worker or await self._pool.acquire(active.run.job_id)
            attempt = Attempt(one, worker)
            spec = attempt.spec(planned)
            if step.runs_code:
                worker.ran_code_of = active.run.job_id
            grace = self._in_force.settings.engine.cancel_grace_seconds
            end = await attempt.run(spec, grace_seconds=grace)
            if "stale" in end:
                await worker.kill()
                worker = await self._pool.acquire(active.run.job_id)
                worker.ran_code_of = active.run.job_id
                attempt = Attempt(one, worker)
                end = await attempt.run(spec, grace_seconds=grace)
        except SubstitutionError as error:
            error_of_plan = StepError(type="SubstitutionError", message=str(error))
            return Outcome(StepState.FAILED, error=error_of_plan, may_retry=False), worker
        except WorkerError as error:
            return Outcome(StepState.FAILED, error=StepError(type="WorkerError", message=str(error))), None
        except BaseException:
            if worker is not None:
                await worker.kill()
            raise
        outcome = attempt.outcome(end)
        if "stopped" in end:
            stop: Stop = end["stopped"]
            await prove(worker, stop, now=active.now, stuck=lambda: self._say.stuck(active, stop))
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

    def _stopped_state(self, active: ActiveRun) -> tuple[RunState, str | None]:
        assert active.stop is not None
        if active.stop.kind == "shutdown":
            return RunState.FAILED, active.stop.reason
        return RunState.CANCELED, active.stop.reason

    async def _end(self, active: ActiveRun, state: RunState, reason: str | None, change: Change) -> None:
        """The only place where a run ends; its last step's end is in the same change."""
        active.is_ending = True
        if active.acceptance is not None:
            await active.acceptance.settled()
            if active.acceptance.error is not None:
                # It was never on record, so it was never a run.
                self._leave(active)
                return
        elapsed = active.now() - (active.run.started_at or active.run.queued_at)
        by = f" by {active.stop.by}" if active.stop and state is RunState.CANCELED else ""
        self._say.line(active, f"run {state}{by} in {seconds_text(elapsed.total_seconds())}")
        final, end = active.finished(state, reason)
        change.add(end)
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
        self._on_end(state)
        self._leave(active)
