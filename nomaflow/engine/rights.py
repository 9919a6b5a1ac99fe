"""What a person may use in a job: connectors and shell steps, at a save and at a launch."""

from __future__ import annotations

from collections.abc import Callable

from nomaflow.definitions.job import Job
from nomaflow.engine.model import Actor
from nomaflow.engine.ports import Policy
from nomaflow.errors import NotAllowedError
from nomaflow.launch.plan import Plan, PlannedStep


class Rights:
    """Asks the policy, and refuses in a sentence."""

    def __init__(self, policy: Policy, tags_of: Callable[[str], list[str]] = lambda job_id: []) -> None:
        self._policy, self._tags_of = policy, tags_of

    def check_launch(self, job: Job, plan: Plan, actor: Actor) -> None:
        """Refuse a launch that would use what the person may not.

        Raises:
            NotAllowedError: names the connector, the job that a step calls, or the shell steps.
        """
        names = {name for step in job.steps for name in step.connectors() if not name.startswith("$")}
        for planned in plan.steps:
            names |= picked_connectors(job, planned)
        self._check_connectors(names, actor)
        self._check_calls(job, actor, {planned.name for planned in plan.steps if planned.runs})
        runs_shell = any(planned.type == "shell" and planned.runs for planned in plan.steps)
        if runs_shell and not self._policy.may_run_shell(actor, job.id, job.tags):
            raise _no_shell(job.id, actor)

    def check_save(self, job: Job, actor: Actor, held_tags: list[str]) -> None:
        """Refuse to save what the person may not use.

        Tags open grants and stand in the very text that is saved, so nobody may give himself a right by writing one:
        what the person may do counts by the tags that the job has before.

        Raises:
            NotAllowedError: names the connector, the step, the job that it calls or the tags.
        """
        self._check_connectors(job.connectors(), actor)
        self._check_calls(job, actor, {step.name for step in job.called()})
        self._check_own_steps(job, actor)
        if not self._policy.may_run_shell(actor, job.id, job.tags):
            if any(step.type == "shell" for step in job.steps):
                raise _no_shell(job.id, actor)
        elif not self._policy.may_run_shell(actor, job.id, held_tags):
            raise NotAllowedError(
                f"the tags of this text would let {actor.account} run shell steps of {job.id}; an admin can save them",
                details=[{"path": "tags", "message": "would open a grant for shell steps"}],
            )

    def check_replace(self, job: Job, actor: Actor) -> None:
        """Refuse to replace or delete a job with steps that the person could not put back.

        Raises:
            NotAllowedError: names the step.
        """
        self._check_own_steps(job, actor)

    def _check_own_steps(self, job: Job, actor: Actor) -> None:
        own = next((step for step in job.steps if step.is_housekeeping), None)
        if own is not None and not self._policy.is_admin(actor):
            raise NotAllowedError(
                f"{actor.account} may not change {own.type} steps: they touch the history of all jobs; an admin can",
                details=[{"path": f"steps.{own.name}", "message": "only an admin may change it"}],
            )

    def check_call(self, job_id: str, actor: Actor, step: str) -> None:
        """Refuse to have a job run by a step of another one.

        Raises:
            NotAllowedError: the person may not run it.
        """
        if not self._policy.may_run_job(actor, job_id, self._tags_of(job_id)):
            raise NotAllowedError(
                f"{actor.account} may not run {job_id}, which the step {step} calls; an admin can grant it",
                details=[{"path": f"steps.{step}.job", "message": "no grant to run this job"}],
            )

    def _check_calls(self, job: Job, actor: Actor, steps: set[str]) -> None:
        for step in job.called():
            if step.name in steps:
                self.check_call(step.job, actor, step.name)

    def _check_connectors(self, names: set[str], actor: Actor) -> None:
        refused = sorted(name for name in names if not self._policy.may_use_connector(actor, name))
        if refused:
            raise NotAllowedError(
                f"{actor.account} may not use the connector {refused[0]!r}; an admin can grant it in nomaflow.toml",
                details=[{"path": name, "message": "no grant for this connector"} for name in refused],
            )


def picked_connectors(job: Job, planned: PlannedStep) -> set[str]:
    """The connectors that a step's kwargs name."""
    step = job.step(planned.name)
    assert step is not None, "a plan is made from its job"
    params = {**job.params, **job.op_kwargs(step)}
    values = planned.values()
    return {str(values[name]) for name, param in params.items() if param.type == "connector" and values[name]}


def _no_shell(job_id: str, actor: Actor) -> NotAllowedError:
    return NotAllowedError(f"{actor.account} may not run shell steps of {job_id}; an admin can grant it")
