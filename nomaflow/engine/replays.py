"""The engine's verbs about replays: the form of one, what it would do, and its start."""

from __future__ import annotations

from collections.abc import Sequence

from nomaflow.definitions.catalogue import Entry
from nomaflow.engine.door import Door, Request
from nomaflow.engine.jobs import Jobs
from nomaflow.engine.model import Actor
from nomaflow.engine.query import Idempotency
from nomaflow.engine.runs import Runs
from nomaflow.errors import JobBusyError, NotFoundError
from nomaflow.launch import form as forms
from nomaflow.launch.form import Form
from nomaflow.launch.overrides import Replay
from nomaflow.launch.plan import Plan
from nomaflow.launch.replay import kept_from, provenance, replan
from nomaflow.wire import Run, StepRun, StepState


class Replays:
    """Ended runs again, under what their jobs are today."""

    def __init__(self, jobs: Jobs, runs: Runs, door: Door) -> None:
        self._jobs, self._runs, self._door = jobs, runs, door

    async def form(self, job_id: str, run_id: str) -> Form:
        """The job's form with the values of a run of it.

        Raises:
            NotFoundError: the job has no such run.
            JobBusyError: the run is not over.
        """
        old = await self._runs.run(run_id)
        if old.job_id != job_id:
            raise NotFoundError(f"there is no run {run_id!r} of {job_id}")
        saved = self._jobs.form(job_id)
        return forms.replay_form(
            self._jobs.runnable(self._jobs.catalogue.entry(job_id)),
            _over(old),
            today=self._door.today(),
            connectors=self._jobs.connector_names(),
            etag=saved.etag,
            busy_run_id=saved.busy_run_id,
        )

    async def plan(self, run_id: str, replay: Replay) -> Plan:
        """What a replay would do."""
        old = _over(await self._runs.run(run_id))
        return self._plan(self._jobs.fresh(old.job_id), old, replay)

    async def start(
        self, run_id: str, replay: Replay, actor: Actor, idempotency: Idempotency | None
    ) -> tuple[Run, bool]:
        """Run an ended run again; on disk when this returns. The flag says that the key had started it before.

        Raises:
            InvalidError: the request does not fit the job or the run.
            JobChangedError: the job can no longer take the old plan, or is not the version that the caller saw.
            JobBusyError: a run of the job is in flight, or the run itself is not over.
            NotAllowedError: the person may not run what it would run.
        """
        if earlier := await self._runs.earlier(idempotency):
            return earlier, True
        old = _over(await self._runs.run(run_id))
        entry = self._jobs.fresh(old.job_id)
        verdict = self._door.ask(entry)
        if verdict.error is not None:
            raise verdict.error
        job, plan = self._jobs.runnable(entry), self._plan(entry, old, replay)
        self._jobs.rights.check_launch(job, plan, actor)
        request = Request(
            entry,
            job,
            plan,
            actor,
            reason=replay.reason,
            replay_of=old.id,
            kept=kept_steps(plan, old.steps),
            note=provenance(old, replay),
        )
        return await self._runs.accept(request, verdict, idempotency), False

    def _plan(self, entry: Entry, old: Run, replay: Replay) -> Plan:
        job = self._jobs.runnable(entry)
        self._jobs.check_version(entry, replay)
        plan = replan(job, old, replay, today=self._door.today(), connectors=self._jobs.connector_names())
        self._jobs.check_connectors(job, plan)
        return plan


def kept_steps(plan: Plan, old_steps: Sequence[StepRun]) -> dict[str, StepRun]:
    """The records of the steps that a replay leaves out and whose output it keeps, by name.

    Args:
        plan: the replay's.
        old_steps: how they ended in the run that is replayed; one that it had kept itself has its output there too.
    """
    outputs = {step.name: step.output for step in old_steps}
    return {
        planned.name: StepRun(
            name=planned.name,
            type=planned.type,
            state=StepState.CANCELED,
            reason=planned.reason,
            output=outputs.get(planned.name),
        )
        for planned in plan.steps
        if kept_from(planned.reason) is not None
    }


def _over(run: Run) -> Run:
    """The run, if it is over.

    Raises:
        JobBusyError: it is not.
    """
    if not run.state.is_terminal:
        raise JobBusyError(
            f"{run.id} is {run.state}; it can be replayed when it is over",
            details=[{"message": "the run in flight", "run_id": run.id}],
        )
    return run
