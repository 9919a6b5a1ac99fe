"""Steps that run on the engine's own loop. A cancel or a time limit ends them where they wait.

A step of a type that says `runs_in_engine` is a coroutine function. It is given an `OwnStep`: what a worker's step is
given, by the same rules (`engine.step_try`). It keeps to two things: it never blocks, since every run of the engine
would stand still, and what it does after `trio.Cancelled` is short, since its run is not over before that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from nomaflow.definitions.steps.common import StepCommon
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.cancel import Stop
from nomaflow.engine.outcome import Outcome, stopped_outcome
from nomaflow.engine.step_try import Inputs, StepTry
from nomaflow.launch.plan import PlannedStep
from nomaflow.wire import Rung, StepError
from nomaflow.worker import failures, lasting
from nomaflow.worker.context import ConnectorError

ENDED = "the step ended"
LEFT = "the step ran in the engine, which has left it"


@dataclass(frozen=True)
class Done:
    """What a step of the engine's own gave."""

    output: dict[str, Any]
    rows_affected: int | None = None


class OwnStep:
    """What such a step may see and say.

    `step` is its definition as saved, `options` and `kwargs` what it runs with: everything is put in, secrets are
    revealed. `outputs` is what the earlier steps gave, as `{output, status}`, and `active` the run with its job.
    `rolled_back`, `on_stop`, `survivors` and `proof` are for the receipt of a cancel: a step that knows what it leaves
    behind keeps them true while it works. `lasting` says why it is not to be tried again if its time is over now.
    """

    def __init__(self, one: StepTry, planned: PlannedStep, given: Inputs) -> None:
        self._try = one
        self.step: StepCommon = one.step
        self.active: ActiveRun = one.active
        self.planned = planned
        self.kwargs: Mapping[str, Any] = given.kwargs
        self.options: Mapping[str, Any] = given.options
        self.outputs = given.outputs
        self.rolled_back: bool | Literal["unknown"] = "unknown"
        self.on_stop = ENDED
        self.lasting: str | None = None
        self.survivors: list[str] = []
        self.proof = LEFT

    @property
    def attempt(self) -> int:
        """Which try it is, from 1 on."""
        return self._try.number

    def now(self) -> datetime:
        """The wall clock."""
        return self.active.now()

    def say(self, text: str, level: str = "INFO") -> None:
        """A line of the run's log; one of DEBUG only where the run's level is DEBUG."""
        if level != "DEBUG" or self.active.run.plan.log_level == "DEBUG":
            self._try.say(level, text)

    def progress(self, done: float, total: float | None = None, *, unit: str = "", text: str = "") -> None:
        """How far it is; followers see it now and then."""
        self._try.progress({"done": done, "total": total, "unit": unit, "text": text})

    def connector(self, name: str) -> Mapping[str, Any]:
        """A connector with its secret, which is masked from now on.

        Raises:
            ConnectorError: there is none, its secret cannot be read, or whoever started the run may not use it.
        """
        answer = self._try.connector(name)
        if "error" in answer:
            raise ConnectorError(answer["error"])
        found: Mapping[str, Any] = answer["connector"]
        return found

    def hide(self, secrets: Iterable[str]) -> None:
        """Mask these values too, from now on, such as a secret in another spelling."""
        self.active.log.hide(secrets)


Work = Callable[[OwnStep], Awaitable[Done]]
"""What such a step does. What it raises fails it, as in a worker: `NoRetry`, `RetryAfter` and an error with a text in
`lasting` say whether it is tried again."""

Works = Mapping[str, Work]
"""What the engine does itself, by step type."""


async def run_inside(works: Works, one: StepTry, planned: PlannedStep) -> Outcome:
    """One try of such a step: how it ended, by itself, by its time limit or by a request to stop.

    Raises:
        SubstitutionError: an option refers to something that is not there.
    """
    own, active, seconds = OwnStep(one, planned, one.inputs(planned)), one.active, one.step.timeout_seconds
    began_at = active.now()
    error: StepError | None = None
    outcome: Outcome | None = None
    try:
        with active.undisturbed(seconds) as scope:
            done = await works[planned.type](own)
            # One that was asked to stop and came to its end all the same keeps its real end.
            outcome, own.rolled_back = one.succeeded(done.output, done.rows_affected), False
    except Exception as raised:
        told = failures.described(raised, None) | lasting.verdict(raised).fields()
        if not scope.cancel_called:
            return one.failed(told)
        # It was being stopped, and what it raised meanwhile comes of that.
        error = one.error(told)
    if outcome is not None and active.stop is None:
        return outcome
    now = active.now()
    stop = active.stop or Stop("timeout", "timeout_seconds", began_at + timedelta(seconds=seconds))
    asked_at = min(max(stop.requested_at, began_at), now)
    stop.rungs.append(Rung(rung="soft cancel", started_at=asked_at, ended_at=now, result=one.masked(own.on_stop)))
    stop.rolled_back, stop.survivors, stop.proof = own.rolled_back, one.masked(own.survivors), own.proof
    if outcome is not None:
        return outcome
    if own.on_stop != ENDED:
        own.say(own.on_stop, "WARNING")
    ended = stopped_outcome(stop, seconds, error)
    return ended if own.lasting is None else replace(ended, may_retry=False, lasting=own.lasting)
