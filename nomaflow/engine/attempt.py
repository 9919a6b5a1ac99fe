"""One try of one step on one worker: what goes in, what comes back, and how it is stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from nomaflow.definitions.param import Param
from nomaflow.definitions.steps import STEP_TYPES
from nomaflow.definitions.steps.common import StepCommon
from nomaflow.definitions.tokens import DATES
from nomaflow.engine import cancel, retry, server_side
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.cancel import Stop
from nomaflow.engine.feed import Feed
from nomaflow.engine.model import MAX_ROWS
from nomaflow.engine.ports import Policy, Secrets, Worker, Workers
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.rows import log_row
from nomaflow.engine.server_side import Backend
from nomaflow.launch.plan import PlannedStep, PlannedValue
from nomaflow.launch.replay import kept_from
from nomaflow.launch.substitution import SubstitutionError, put_in_environment, substitute
from nomaflow.wire import Progress, StepError, StepState
from nomaflow.worker.protocol import Message

PROGRESS_SECONDS = 0.2
"""How often a step's progress is told at most; people see no more, and each telling costs every follower."""

MIN_SECRET = 4


@dataclass(frozen=True)
class Outcome:
    """How a try ended.

    `may_retry` is False where another try would be wrong, and `lasting` then says why; `retry_after` is how many
    seconds the other side asks to wait.
    """

    state: StepState
    reason: str | None = None
    error: StepError | None = None
    output: dict[str, Any] | None = None
    rows_affected: int | None = None
    may_retry: bool = True
    retry_after: float | None = None
    lasting: str | None = None


@dataclass(frozen=True)
class Surroundings:
    """What every attempt is given."""

    home: Path
    import_root: Path
    secrets: Secrets
    policy: Policy
    recorder: Recorder
    feed: Feed


class Attempt:
    """One try, from the spec to the outcome."""

    def __init__(
        self, around: Surroundings, active: ActiveRun, step: StepCommon, position: int, worker: Worker
    ) -> None:
        self._around, self._active, self._step, self._worker = around, active, step, worker
        self._position = position
        self._record = active.run.steps[position]
        self._told_at = float("-inf")
        self._opened: set[Backend] = set()
        self._may_have_committed = False

    async def run(self, spec: Message, *, grace_seconds: float) -> Message:
        """Send the step and serve it until it ends; stop it when the run is asked to stop or its time is over.

        Returns:
            The worker's last message; with `stopped`, a `cancel.Stop`, where the ladder was begun.
        """
        is_sent = False
        if self._active.stop is not None:
            # It came while the step's beginning was put on record: nothing is begun, and nothing is to be asked.
            return {"canceled": "before it began", "rolled_back": True, "stopped": self._active.stop}
        with self._active.undisturbed(self._step.timeout_seconds) as scope:
            # Sending is a part of it: a worker that does not read would hold up a large spec.
            await self._worker.start_step(spec, self._take)
            is_sent = True
            return await self._worker.step_end()
        assert scope.cancelled_caught
        now = self._active.now
        stopped = self._active.stop or Stop("timeout", "timeout_seconds", now())
        self._active.stop_of_step = stopped
        async with trio.open_nursery() as nursery:
            grace = grace_seconds if is_sent else None
            say = partial(self.say, "WARNING")
            nursery.start_soon(partial(cancel.climb, self._worker, stopped, grace_seconds=grace, now=now, say=say))
            end = await self._worker.step_end()
            nursery.cancel_scope.cancel()
        return {**end, "stopped": stopped}

    def spec(self, planned: PlannedStep, params: Mapping[str, Param]) -> Message:
        """What the worker needs to run the step.

        Args:
            planned: the step with its merged kwargs.
            params: how each of them was declared.

        Raises:
            SubstitutionError: an option refers to something that is not there.
        """
        run, step = self._active.run, self._step
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
                "step": step.name,
                "triggered_by": run.actor.triggered_by,
                **{name: str(day(run.today or run.queued_at.date())) for name, day in DATES.items()},
            },
            environment=self._environment,
        )
        options = put_in(step.options(), literal=STEP_TYPES[planned.type].literal_options)
        names = put_in({"names": list(step.connectors())}, literal=frozenset())["names"]
        if step.runs_code:
            types = {name: param.type for name, param in params.items()}
            options |= {"types": types, "import_root": str(self._around.import_root)}
        return {
            "type": planned.type,
            "runs_code": step.runs_code,
            "starts_processes": step.starts_processes,
            "run_id": run.id,
            "job_id": run.job_id,
            "step": step.name,
            "attempt": self._record.attempt,
            "log_level": run.plan.log_level,
            "session_user": run.actor.triggered_by,
            "kwargs": kwargs,
            "options": options,
            "outputs": earlier,
            # Those that the options name go along; code asks for others when it opens them.
            "connectors": {name: self._answer(name) for name in names},
            "home": str(self._around.home),
            "import_root": str(self._around.import_root),
        }

    def _earlier(self) -> dict[str, dict[str, Any]]:
        """What the steps before this one gave, or had given in the run that this one is a replay of."""
        given = {}
        for step in self._active.run.steps[: self._position]:
            state = StepState.SUCCEEDED if kept_from(step.reason) else step.state
            given[step.name] = {"output": step.output or {}, "status": state.value}
        return given

    def outcome(self, end: Message) -> Outcome:
        """What the last message means, given why the step was stopped."""
        stopped: Stop | None = end.get("stopped")
        if "done" in end:
            done = end["done"]
            rows = _countable(done["rows_affected"])
            return Outcome(StepState.SUCCEEDED, output=self._masked(done["output"]), rows_affected=rows)
        error = self._error(end["failed"]) if "failed" in end else None
        if stopped is None:
            if error is not None:
                return Outcome(StepState.FAILED, error=error, **retry.said(end["failed"]))
            died = StepError(type="WorkerDied", message=end.get("died", "canceled itself"))
            return Outcome(StepState.FAILED, error=died)
        return stopped_outcome(stopped, self._step.timeout_seconds, error)

    async def settle(self, end: Message, stop: Stop, pool: Workers[Any]) -> None:
        """After the ladder: what is still at work on servers is ended too, and the receipt says what is undone."""
        stop.rolled_back = cancel.rolled_back(end)
        if left := server_side.left_at_work(end, self._opened):
            home, now = str(self._around.home), self._active.now
            await server_side.end_all(left, stop, pool, self._answer, home=home, now=now)
            self.say("WARNING" if stop.survivors else "INFO", stop.rungs[-1].result)
        is_lost = bool(left or "died" in end) and not stop.survivors
        if stop.rolled_back == "unknown" and is_lost and self._step.is_transactional and not self._may_have_committed:
            stop.rolled_back = True  # nobody is there to commit it

    def _error(self, failed: Message) -> StepError:
        told = self._masked(failed)
        return StepError(type=told["type"], message=told["message"], traceback=told.get("traceback", ""))

    def say(self, level: str, text: str, *, stream: str = "engine", at: float | None = None) -> None:
        """A line of the run's log."""
        moment = at if at is not None else self._active.now().timestamp()
        lines = self._active.log.take(
            moment, level, text, step=self._step.name, attempt=self._record.attempt, stream=stream
        )
        self._around.recorder.take_lines([log_row(self._active.run.id, line) for line in lines])

    def _take(self, message: Message) -> Message | None:
        if "log" in message:
            for at, level, stream, text in message["log"]:
                self.say(level, text, stream=stream, at=at)
        elif "progress" in message:
            self._record.progress = Progress(**self._masked(message["progress"]))
            if trio.current_time() - self._told_at >= PROGRESS_SECONDS:
                self._told_at = trio.current_time()
                self._around.feed.tell(self._active.progress(self._position))
        elif "server" in message:
            if backend := Backend.of(message["server"]):
                self._opened.add(backend)
        elif "commits" in message:
            self._may_have_committed = True
        elif "ask" in message:
            ask = message["ask"]
            return {"answer": {"ask": ask["ask"], **self._answer(ask["connector"])}}
        return None

    def _answer(self, name: str) -> dict[str, Any]:
        run = self._active.run
        if not self._around.policy.may_use_connector(run.actor, name):
            return {"error": f"{run.actor.triggered_by} may not use the connector {name!r}; an admin can grant it"}
        try:
            resolved = self._around.secrets.connector(name)
        except LookupError as error:
            return {"error": str(error.args[0])}
        self._active.log.hide(resolved.secrets)
        return {"connector": {**resolved.spec, "application_name": f"nomaflow {run.id}/{self._step.name}"}}

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
            secret = self._around.secrets.secret(value)
        except LookupError as error:
            raise SubstitutionError(f"the parameter {name!r}: {error.args[0]}") from None
        self._active.log.hide([secret])
        return secret

    def _environment(self, name: str) -> str | None:
        value = self._around.secrets.environment(name)
        # A variable may be no secret: masking a value like 1 or yes would blot out ordinary text.
        if value is not None and len(value) >= MIN_SECRET:
            self._active.log.hide([value])
        return value

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._active.log.masked(value)
        if isinstance(value, dict):
            return {key: self._masked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._masked(item) for item in value]
        return value


def stopped_outcome(stopped: Stop, timeout_seconds: float, error: StepError | None = None) -> Outcome:
    """How a step ends that was stopped; `error` is what it raised then."""
    if stopped.kind == "timeout":
        message = f"timed out after {timeout_seconds:g} s"
        trace = "" if error is None else error.traceback or f"{error.type}: {error.message}"
        timed_out = StepError(type="TimeoutError", message=message, traceback=trace)
        return Outcome(StepState.FAILED, reason=message, error=timed_out)
    if stopped.kind == "shutdown":
        return Outcome(StepState.FAILED, reason=stopped.reason, error=error, may_retry=False)
    # What a step raises when it is asked to stop comes of that, and is no failure.
    return Outcome(StepState.CANCELED, reason=f"canceled by {stopped.by}", error=error, may_retry=False)


def _countable(rows: Any) -> int | None:
    """A step's count of rows, if it is one that the store can hold: what a worker sends is foreign input."""
    return rows if isinstance(rows, int) and 0 <= rows <= MAX_ROWS else None
