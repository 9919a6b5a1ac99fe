"""One try of one step on one worker: what goes in, what comes back, and how it is stopped."""

from __future__ import annotations

from functools import partial
from typing import Any

import trio

from nomaflow.engine import cancel, server_side
from nomaflow.engine.cancel import Stop
from nomaflow.engine.outcome import Outcome, stopped_outcome
from nomaflow.engine.ports import Worker, Workers
from nomaflow.engine.server_side import Backend
from nomaflow.engine.step_try import StepTry
from nomaflow.launch.plan import PlannedStep
from nomaflow.wire import StepError, StepState
from nomaflow.worker.protocol import Message


class Attempt:
    """One try, from the spec to the outcome."""

    def __init__(self, one: StepTry, worker: Worker) -> None:
        self._try, self._active, self._step, self._worker = one, one.active, one.step, worker
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
            say = partial(self._try.say, "WARNING")
            nursery.start_soon(partial(cancel.climb, self._worker, stopped, grace_seconds=grace, now=now, say=say))
            end = await self._worker.step_end()
            nursery.cancel_scope.cancel()
        return {**end, "stopped": stopped}

    def spec(self, planned: PlannedStep) -> Message:
        """What the worker needs to run the step.

        Args:
            planned: the step with its merged kwargs.

        Raises:
            SubstitutionError: an option refers to something that is not there.
        """
        run, step, around = self._active.run, self._step, self._try.around
        given = self._try.inputs(planned)
        options = given.options
        if step.runs_code:
            types = {name: param.type for name, param in self._try.params().items()}
            own = sorted(getattr(step, "op_kwargs", {}))
            options = options | {"types": types, "own": own, "import_root": str(around.import_root)}
        return {
            "type": planned.type,
            "runs_code": step.runs_code,
            "starts_processes": step.starts_processes,
            "run_id": run.id,
            "job_id": run.job_id,
            "step": step.name,
            "attempt": self._try.number,
            "log_level": run.plan.log_level,
            "session_user": run.actor.triggered_by,
            "kwargs": given.kwargs,
            "options": options,
            "outputs": given.outputs,
            # Those that the options name go along; code asks for others when it opens them.
            "connectors": {name: self._try.connector(name) for name in given.connectors},
            "home": str(around.home),
            "import_root": str(around.import_root),
        }

    def outcome(self, end: Message) -> Outcome:
        """What the last message means, given why the step was stopped."""
        stopped: Stop | None = end.get("stopped")
        if "done" in end:
            return self._try.succeeded(end["done"]["output"], end["done"]["rows_affected"])
        if stopped is None:
            if "failed" in end:
                return self._try.failed(end["failed"])
            died = StepError(type="WorkerDied", message=end.get("died", "canceled itself"))
            return Outcome(StepState.FAILED, error=died)
        error = self._try.error(end["failed"]) if "failed" in end else None
        return stopped_outcome(stopped, self._step.timeout_seconds, error)

    async def settle(self, end: Message, stop: Stop, pool: Workers[Any]) -> None:
        """After the ladder: what is still at work on servers is ended too, and the receipt says what is undone."""
        stop.rolled_back = cancel.rolled_back(end)
        if left := server_side.left_at_work(end, self._opened):
            home, now = str(self._try.around.home), self._active.now
            await server_side.end_all(left, stop, pool, self._try.connector, home=home, now=now)
            self._try.say("WARNING" if stop.survivors else "INFO", stop.rungs[-1].result)
        is_lost = bool(left or "died" in end) and not stop.survivors
        if stop.rolled_back == "unknown" and is_lost and self._step.is_transactional and not self._may_have_committed:
            stop.rolled_back = True  # nobody is there to commit it

    def _take(self, message: Message) -> Message | None:
        if "log" in message:
            for at, level, stream, text in message["log"]:
                self._try.say(level, text, stream=stream, at=at)
        elif "progress" in message:
            self._try.progress(message["progress"])
        elif "server" in message:
            if backend := Backend.of(message["server"]):
                self._opened.add(backend)
        elif "commits" in message:
            self._may_have_committed = True
        elif "ask" in message:
            ask = message["ask"]
            return {"answer": {"ask": ask["ask"], **self._try.connector(ask["connector"])}}
        return None
