"""One try of one step, wherever it runs: what it is given, what it may open, and what is told of it.

A worker's steps and those on the engine's own loop are served by the same rules: `${…}` is put in here, connectors are
asked for here, and no output, error, progress or line leaves here with one of the run's secrets in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from nomaflow.definitions.param import Param
from nomaflow.definitions.steps import STEP_TYPES
from nomaflow.definitions.steps.common import StepCommon
from nomaflow.definitions.tokens import DATES
from nomaflow.engine import retry
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.feed import Feed
from nomaflow.engine.model import MAX_ROWS
from nomaflow.engine.outcome import Outcome
from nomaflow.engine.ports import Policy, Secrets
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.rows import log_row
from nomaflow.launch.plan import PlannedStep, PlannedValue
from nomaflow.launch.replay import kept_from
from nomaflow.launch.substitution import SubstitutionError, put_in_environment, substitute
from nomaflow.wire import Progress, StepError, StepState
from nomaflow.worker.protocol import Message

PROGRESS_SECONDS = 0.2
"""How often a step's progress is told at most; people see no more, and each telling costs every follower."""

MIN_SECRET = 4


@dataclass(frozen=True)
class Surroundings:
    """What every try is given."""

    home: Path
    import_root: Path
    secrets: Secrets
    policy: Policy
    recorder: Recorder
    feed: Feed


@dataclass(frozen=True)
class Inputs:
    """What a try begins with: secrets are revealed in it, so it is not to be shown.

    `kwargs` are the merged ones, without those that have no value; `options` those of the step's type with everything
    put in; `connectors` the names in them; `outputs` what the earlier steps gave, by name, as `{output, status}`.
    """

    kwargs: dict[str, Any] = field(repr=False)
    options: dict[str, Any] = field(repr=False)
    connectors: tuple[str, ...]
    outputs: dict[str, dict[str, Any]] = field(repr=False)


class StepTry:
    """One try: from the step's inputs to its outcome."""

    def __init__(self, around: Surroundings, active: ActiveRun, step: StepCommon, position: int) -> None:
        self.around, self.active, self.step = around, active, step
        self._position = position
        self._record = active.run.steps[position]
        self._told_at = float("-inf")

    @property
    def number(self) -> int:
        """Which try of the step it is, from 1 on."""
        return self._record.attempt

    def inputs(self, planned: PlannedStep) -> Inputs:
        """What the step is given.

        Args:
            planned: the step with its merged kwargs.

        Raises:
            SubstitutionError: an option refers to something that is not there.
        """
        run, params = self.active.run, self.params()
        kwargs = {
            name: self._revealed(name, value, params[name])
            for name, value in planned.kwargs.items()
            # One that has no value is not passed, so that the function's own default counts.
            if value.value is not None or params[name].nullable
        }
        earlier = self._earlier()
        put_in = partial(
            substitute,
            kwargs=kwargs,
            outputs={name: given["output"] for name, given in earlier.items() if given["output"]},
            context={
                "run_id": run.id,
                "job_id": run.job_id,
                "step": self.step.name,
                "triggered_by": run.actor.triggered_by,
                **{name: str(day(run.today or run.queued_at.date())) for name, day in DATES.items()},
            },
            environment=self._environment,
        )
        options = put_in(self.step.options(), literal=STEP_TYPES[planned.type].literal_options)
        names = put_in({"names": list(self.step.connectors())}, literal=frozenset())["names"]
        return Inputs(kwargs, options, tuple(names), earlier)

    def params(self) -> Mapping[str, Param]:
        """How the kwargs were declared."""
        return {**self.active.job.params, **getattr(self.step, "op_kwargs", {})}

    def connector(self, name: str) -> Message:
        """A connector with its secret, as `{"connector": {…}}`, or why there is none, as `{"error": sentence}`."""
        run = self.active.run
        if not self.around.policy.may_use_connector(run.actor, name):
            return {"error": f"{run.actor.triggered_by} may not use the connector {name!r}; an admin can grant it"}
        try:
            resolved = self.around.secrets.connector(name)
        except LookupError as error:
            return {"error": str(error.args[0])}
        self.active.log.hide(resolved.secrets)
        return {"connector": {**resolved.spec, "application_name": f"nomaflow {run.id}/{self.step.name}"}}

    def say(self, level: str, text: str, *, stream: str = "engine", at: float | None = None) -> None:
        """A line of the run's log."""
        moment = at if at is not None else self.active.now().timestamp()
        lines = self.active.log.take(moment, level, text, step=self.step.name, attempt=self.number, stream=stream)
        self.around.recorder.take_lines([log_row(self.active.run.id, line) for line in lines])

    def progress(self, told: Mapping[str, Any]) -> None:
        """How far the step is; followers are told now and then."""
        self._record.progress = Progress(**self.masked(told))
        if trio.current_time() - self._told_at >= PROGRESS_SECONDS:
            self._told_at = trio.current_time()
            self.around.feed.tell(self.active.progress(self._position))

    def succeeded(self, output: Mapping[str, Any], rows_affected: Any) -> Outcome:
        """The outcome of a step that came to its end."""
        return Outcome(StepState.SUCCEEDED, output=self.masked(output), rows_affected=_countable(rows_affected))

    def failed(self, told: Message) -> Outcome:
        """The outcome of a step that failed by itself; `told` is what `protocol` calls `failed`."""
        return Outcome(StepState.FAILED, error=self.error(told), **retry.said(told))

    def error(self, told: Message) -> StepError:
        """The error of a `failed` message."""
        shown = self.masked(told)
        return StepError(type=shown["type"], message=shown["message"], traceback=shown.get("traceback", ""))

    def masked(self, value: Any) -> Any:
        """JSON without the run's secrets in its texts."""
        if isinstance(value, str):
            return self.active.log.masked(value)
        if isinstance(value, Mapping):
            return {key: self.masked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.masked(item) for item in value]
        return value

    def _earlier(self) -> dict[str, dict[str, Any]]:
        """What the steps before this one gave, or had given in the run that this one is a replay of."""
        given = {}
        for step in self.active.run.steps[: self._position]:
            state = StepState.SUCCEEDED if kept_from(step.reason) else step.state
            given[step.name] = {"output": step.output or {}, "status": state.value}
        return given

    def _revealed(self, name: str, planned: PlannedValue, param: Param) -> Any:
        """A kwarg as the step gets it: a secret's value for its name, and `${env:X}` put in.

        Only in what is saved: a launch that could name variables could read the engine's environment.
        """
        value = planned.value
        if not isinstance(value, str) or planned.origin not in ("saved", "schedule"):
            return value
        if param.type != "secret":
            return put_in_environment(value, self._environment)
        try:
            secret = self.around.secrets.secret(value)
        except LookupError as error:
            raise SubstitutionError(f"the parameter {name!r}: {error.args[0]}") from None
        self.active.log.hide([secret])
        return secret

    def _environment(self, name: str) -> str | None:
        value = self.around.secrets.environment(name)
        # A variable may be no secret: masking a value like 1 or yes would blot out ordinary text.
        if value is not None and len(value) >= MIN_SECRET:
            self.active.log.hide([value])
        return value


def _countable(rows: Any) -> int | None:
    """A step's count of rows, if it is one that the store can hold: what a step says is foreign input."""
    return rows if isinstance(rows, int) and 0 <= rows <= MAX_ROWS else None
