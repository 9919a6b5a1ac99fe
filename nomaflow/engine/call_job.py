"""`call_job`: a step that has another job run, and waits for its end.

It does nothing itself, so it runs on the engine's loop, and its run holds no worker and no place among
`max_parallel_runs` while it waits. The run that it starts comes in through the door like every other one. A cancel of
the caller goes down to it first, and is over when it is.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

import trio

from nomaflow.definitions.catalogue import Catalogue
from nomaflow.definitions.job import Job
from nomaflow.definitions.steps.call_job import CallJob
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.cancel import Stop
from nomaflow.engine.door import Door, Request
from nomaflow.engine.inside import LEFT, Done, OwnStep
from nomaflow.engine.jobs import Jobs
from nomaflow.engine.model import Run
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.runner import Runner
from nomaflow.engine.runs import Runs
from nomaflow.errors import InvalidError, NomaflowError, NotAllowedError, NotFoundError, NotReadyError
from nomaflow.launch.overrides import Overrides
from nomaflow.launch.plan import Plan, resolve
from nomaflow.seams import Seams
from nomaflow.wire import RunState, StepState

MAX_CHAIN = 16
"""Runs that were called one by the other: more is a mistake, and a cancel has to go down all of them."""

log = logging.getLogger(__name__)


class CallError(Exception):
    """The job that was called did not do its work; `lasting` says why it is not called again."""

    def __init__(self, message: str, lasting: str | None = None) -> None:
        super().__init__(message)
        self.lasting = lasting


class Calls:
    """The step `call_job`."""

    def __init__(self, jobs: Jobs, runs: Runs, runner: Runner, door: Door, recorder: Recorder, seams: Seams) -> None:
        self._jobs, self._runs, self._runner = jobs, runs, runner
        self._door, self._recorder, self._seams = door, recorder, seams

    async def run(self, own: OwnStep) -> Done:
        """Start a run of the job; where the step waits, return when that has SUCCEEDED.

        Raises:
            CallError: it ended otherwise, or the call would come back to a job that waits for this one.
            NomaflowError: it was not let in: why is what a person would be told.
        """
        step = own.step
        assert isinstance(step, CallJob)
        self._refuse_circle([job_id async for job_id in self._callers(own.active.run)], step.job)
        child = self._start(own, step)
        assert child.acceptance is not None
        # So short that no cancel has to come in between, after which nobody would know of the run.
        with trio.CancelScope(shield=True):
            try:
                await child.acceptance.wait_durable()
            except NotReadyError:
                self._door.was_not_recorded(child)
                raise
        own.say(f"started {child.run.id} of {step.job}")
        if not step.wait:
            return Done({"run_id": child.run.id, "job_id": step.job, "state": child.run.state.value})
        await self._wait(own, child)
        run = child.run
        if run.state is not RunState.SUCCEEDED:
            raise CallError(*_what_failed(child))
        given = {"run_id": run.id, "job_id": run.job_id, "state": run.state.value}
        return Done(_last_output(run) | given, rows_affected=run.rows_affected)

    def _start(self, own: OwnStep, step: CallJob) -> ActiveRun:
        """Let the run in. There is no await in here: what was looked at still holds when it is in."""
        parent = own.active
        caller = parent.run
        try:
            entry = self._jobs.fresh(step.job)
            verdict = self._door.ask(entry)
            if verdict.error is not None:
                raise verdict.error
            job, today = self._jobs.runnable(entry), caller.today or self._door.today()
            plan = self._jobs.planned(job, _overrides(own.options), today=today)
            self._jobs.rights.check_call(job.id, caller.actor, step.name)
            self._jobs.rights.check_launch(job, plan, caller.actor)
        except (InvalidError, NotAllowedError, NotFoundError) as error:
            error.__dict__["lasting"] = "the jobs and the rights stay as they are"
            raise
        request = Request(
            entry,
            job,
            plan,
            caller.actor,
            today=today,
            note=f"called by the step {step.name} of {caller.id} ({caller.job_id})",
            parent_run=caller.id,
            parent=parent if step.wait else None,
        )
        child, change = self._door.let_in(request, verdict)
        self._door.begin(child, self._recorder.submit(change))
        return child

    async def _callers(self, run: Run) -> AsyncIterator[str]:
        """The job of the run, of the one that called it, and so on."""
        yield run.job_id
        parent_id = run.parent_run
        while parent_id is not None:
            try:
                parent = await self._runs.run(parent_id)
            except NotFoundError:
                return  # it ended so long ago that it is deleted
            yield parent.job_id
            parent_id = parent.parent_run

    def _refuse_circle(self, callers: list[str], job_id: str) -> None:
        if len(callers) >= MAX_CHAIN:
            raise CallError(f"{' ← '.join(callers[:3])} … is a chain of {len(callers)} calls, the longest there may be")
        for path in _paths(self._jobs.catalogue, job_id):
            if path[-1] in callers:
                chain = " → ".join([*reversed(callers[: callers.index(path[-1]) + 1]), *path])
                message = f"{job_id} cannot be called here: {chain} would be a circle of calls"
                raise CallError(message, "the jobs stay as they are")

    async def _wait(self, own: OwnStep, child: ActiveRun) -> None:
        """Return when the run is over; a cancel or the step's time limit ends it first."""
        parent = own.active
        parent.child, parent.holds_on = child, True
        parent.run.wait_reason = f"waits for {child.run.id} of {child.run.job_id}"
        try:
            await parent.tell_waiting()
            await child.ended.wait()
        except trio.Cancelled:
            if not parent.is_disturbed:
                raise  # the engine itself is gone
            with trio.CancelScope(shield=True):
                await self._bring_down(own, child)
            if child.run.state is not RunState.SUCCEEDED:
                raise
        finally:
            parent.child = parent.run.wait_reason = None
            parent.holds_on = False

    async def _bring_down(self, own: OwnStep, child: ActiveRun) -> None:
        """Stop the run that was called, and put into the caller's receipt what came of that."""
        down = self._stop_from(own)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pass_on_force, own.active, child, down)
            try:
                await self._runner.stop(child, down)
            except NotReadyError as error:  # it is stopped all the same
                log.error("that %s is stopped could not be recorded: %s", child.run.id, error)
            await child.ended.wait()
            nursery.cancel_scope.cancel()
        name = f"{child.run.id} of {child.run.job_id}"
        own.on_stop = f"{name} is {child.run.state}"
        if (ended := child.stop) is None:
            return
        own.rolled_back, own.survivors = ended.rolled_back, list(ended.survivors)
        own.proof = f"{LEFT}; {name}: {ended.proof}"
        if own.active.stop is not None:
            own.active.stop.rungs += [
                rung.model_copy(update={"result": f"{name}: {rung.result}"}) for rung in ended.rungs
            ]

    def _stop_from(self, own: OwnStep) -> Stop:
        stop, caller = own.active.stop, own.active.run.id
        if stop is None:
            return Stop(
                "cancel", "timeout_seconds", self._seams.now(), f"the step {own.step.name} of {caller} timed out"
            )
        if stop.kind == "shutdown":
            return Stop("shutdown", stop.by, stop.requested_at, stop.reason, stop.force)
        why = f": {stop.reason}" if stop.reason else ""
        return Stop("cancel", stop.by, stop.requested_at, f"{caller}, which called it, was canceled{why}", stop.force)


def saved_plan(catalogue: Catalogue, job_id: str, today: date) -> tuple[Job, Plan] | None:
    """A job and what it does with its saved values; None where it could not run with them."""
    entry = catalogue.entries.get(job_id)
    if entry is None or entry.job is None or _calls_back(catalogue, job_id):
        return None
    try:
        return entry.job, resolve(entry.job, Overrides(), today=today)
    except NomaflowError:
        return None


def _paths(catalogue: Catalogue, job_id: str) -> Iterator[list[str]]:
    """The job, and every job that may be called from there on, each with one way that leads to it."""
    seen, waiting = {job_id}, [[job_id]]
    while waiting:
        path = waiting.pop(0)
        yield path
        entry = catalogue.entries.get(path[-1])
        job = (entry.job or entry.last_good) if entry is not None else None
        for step in job.called() if job is not None else ():
            if step.job not in seen:
                seen.add(step.job)
                waiting.append([*path, step.job])


def _calls_back(catalogue: Catalogue, job_id: str) -> bool:
    """Whether a circle of calls can be reached from the job."""
    reached = [path[-1] for path in _paths(catalogue, job_id)]
    return any(
        step.job == one or one in (path[-1] for path in _paths(catalogue, step.job))
        for one in reached
        if (entry := catalogue.entries.get(one)) is not None and entry.job is not None
        for step in entry.job.called()
    )


async def _pass_on_force(parent: ActiveRun, child: ActiveRun, down: Stop) -> None:
    """Who forces the caller's end means all of it; that may come later, and during a time limit's own stop."""
    await parent.stop_asked.wait()
    if parent.stop is not None:
        await parent.stop.forced.wait()
        (child.stop or down).hurry()


def _overrides(options: Any) -> Overrides:
    """What the step changes, with everything put in."""
    values = {key: options[key] for key in ("log_level", "params", "steps")}
    return Overrides.model_validate(values)


def _last_output(run: Run) -> dict[str, Any]:
    """What the last step that came to its end gave."""
    for step in reversed(run.steps):
        if step.state is StepState.SUCCEEDED:
            return step.output or {}
    return {}


def _what_failed(child: ActiveRun) -> tuple[str, str | None]:
    """Why a run that was called did not succeed, and why another one makes no sense, where it makes none."""
    run = child.run
    by = f" by {child.stop.by}" if child.stop is not None and run.state is RunState.CANCELED else ""
    why = f": {run.reason}" if run.reason else ""
    failed = next((step for step in run.steps if step.state is StepState.FAILED and step.error is not None), None)
    if failed is not None and failed.error is not None:
        why += f" ({failed.error.type}: {failed.error.message})"
    lasting = "somebody canceled it" if run.state is RunState.CANCELED else None
    return f"{run.id} of {run.job_id} is {run.state}{by}{why}", lasting
