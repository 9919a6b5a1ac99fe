"""The life of one run of the fake engine: the real engine's transitions, made by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from nomaflow.wire import Attempt, LogLine, Rung, RunState, StepRun, StepState
from tests.fakes.scripts import Does, Script, nth_try

if TYPE_CHECKING:
    from nomaflow.definitions.steps.common import Retry
    from nomaflow.engine.active import ActiveRun
    from nomaflow.engine.cancel import Stop
    from nomaflow.engine.rows import Change, Happened
    from nomaflow.wire import RunSummary


class ScriptedRun:
    """A run, its log, and what its steps are going to do; `tell` is given the events of each change,
    `ended` the run when it is over."""

    def __init__(
        self,
        active: ActiveRun,
        *,
        scripts: Mapping[str, Script],
        retries: Mapping[str, Retry],
        tell: Callable[[Sequence[Happened]], None],
        ended: Callable[[RunSummary], None],
    ) -> None:
        self.active, self.lines = active, list[LogLine]()
        self._scripts, self._retries, self._tell, self._ended = scripts, retries, tell, ended
        self._released: set[str] = set()
        self._change(active.accepted())
        if active.note is not None:
            self.say(active.note, stream="engine")
        self.say(f"run accepted, started by {active.run.actor.triggered_by}", stream="engine")

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.active.run.state.is_terminal

    @property
    def step(self) -> StepRun | None:
        """The step that runs."""
        return next((step for step in self.active.run.steps if step.state is StepState.RUNNING), None)

    @property
    def can_move(self) -> bool:
        """Whether `advance` would change anything."""
        step = self.step
        return not self.is_over and (step is None or step.name in self._released or not self._holds(self._does(step)))

    def release(self, step_name: str) -> None:
        """Let a hanging step go on to its end."""
        self._released.add(step_name)

    def settle(self) -> None:
        """Advance until it is over, or hangs."""
        while self.can_move:
            self.advance()

    def advance(self) -> None:
        """One change, as the real engine commits them: the start, a step's end with the next one's start, the end."""
        step = self.step
        if not self.can_move:
            return
        if step is None:
            self._change(self.active.began())
            self._go_on(0)
        elif self.active.stop and not (self._does(step).stubborn and step.name in self._released):
            self._stopped(step, self.active.stop)
        elif self._does(step).end == "fail":
            self._failed(step)
        else:
            self._succeeded(step)

    def stop(self, stop: Stop) -> None:
        """Ask it to stop; a second request only hurries the first. A run that is still queued is over at once."""
        active = self.active
        if active.stop is not None:
            if stop.force:
                active.stop.hurry()
            return
        active.stop = stop
        if active.run.state is RunState.QUEUED:
            stop.proof = "no step had begun"
            self._end(RunState.CANCELED, stop.reason, leave_out=f"canceled by {stop.by}")
            return
        self._change(active.canceling(stop))
        self.say(f"cancel requested by {stop.by}", stream="engine")

    def say(self, text: str, *, level: str = "INFO", step: StepRun | None = None, stream: str = "log") -> None:
        """One more line of the log."""
        name, attempt = (step.name, step.attempt) if step else (None, 0)
        at = self.active.now().timestamp()
        self.lines += self.active.log.take(at, level, text, step=name, attempt=attempt, stream=stream)

    def _does(self, step: StepRun) -> Does:
        return nth_try(self._scripts[step.name], step.attempt)

    def _holds(self, does: Does) -> bool:
        """Whether the step stays as it is until it is released."""
        stop = self.active.stop
        return does.stubborn and not stop.force if stop else does.end == "hang"

    def _go_on(self, position: int) -> None:
        """Start the next step that runs; without one the run is over."""
        run = self.active.run
        for number, planned in enumerate(run.plan.steps[position:], start=position):
            if planned.runs:
                self._try(number)
                return
            if run.steps[number].state is StepState.PENDING:
                self._change(self.active.step_ended(number, StepState.CANCELED, reason=planned.reason))
        self._end(RunState.SUCCEEDED)

    def _try(self, position: int) -> None:
        step = self.active.run.steps[position]
        self._change(self.active.step_began(position))
        self.say(f"▶ {step.name} ({step.type})", step=step, stream="engine")
        does = self._does(step)
        for text in does.log:
            self.say(text, step=step)
        if does.warning:
            self.say(does.warning, level="WARNING", step=step)
        if does.progress:
            step.progress = does.progress
            self._tell([self.active.progress(position)])

    def _succeeded(self, step: StepRun) -> None:
        does, position = self._does(step), self._position(step)
        self._attempted(step)
        self._change(
            self.active.step_ended(position, StepState.SUCCEEDED, output=dict(does.output), rows_affected=does.rows)
        )
        self.say(f"{step.name} {step.state}", step=step, stream="engine")
        if self.active.stop:
            self._end(RunState.CANCELED, self.active.stop.reason, leave_out=f"canceled by {self.active.stop.by}")
        else:
            self._go_on(position + 1)

    def _failed(self, step: StepRun) -> None:
        """A try that raised; the next `advance` makes the next try, if the job asks for one."""
        retry, position = self._retries[step.name], self._position(step)
        if len(step.attempts) == step.attempt:
            self._try(position)
            return
        last = self._attempted(step)
        assert last.error
        self.say(f"{last.error.type}: {last.error.message}", level="ERROR", step=step, stream="engine")
        if step.attempt < retry.attempts:
            last.retry_at = self.active.now() + timedelta(seconds=retry.base_seconds)
            self._change(self.active.step_waits(position, last.retry_at))
            return
        self._change(self.active.step_ended(position, StepState.FAILED, error=last.error))
        self._end(RunState.FAILED, f"step {step.name} failed", leave_out="an earlier step failed")

    def _stopped(self, step: StepRun, stop: Stop) -> None:
        now, why = self.active.now(), f"canceled by {stop.by}"
        rung = "SIGKILL" if self._does(step).stubborn else "soft cancel"
        stop.rungs.append(Rung(rung=rung, started_at=stop.requested_at, ended_at=now, result="the step ended"))
        stop.proof = "the process is reaped and its group is empty"
        self._attempted(step)
        self._change(self.active.step_ended(self._position(step), StepState.CANCELED, reason=why))
        self._end(RunState.CANCELED, stop.reason, leave_out=why)

    def _attempted(self, step: StepRun) -> Attempt:
        """Put the try that is over on record, unless it was before: a step that waits for its next try."""
        if len(step.attempts) < step.attempt:
            error = self._does(step).error if not self.active.stop else None
            self.active.try_ended(self._position(step), error)
        return step.attempts[-1]

    def _end(self, state: RunState, reason: str | None = None, *, leave_out: str = "") -> None:
        run = self.active.run
        for position, (planned, step) in enumerate(zip(run.plan.steps, run.steps, strict=True)):
            if step.state is StepState.PENDING:
                why = leave_out if planned.runs else planned.reason
                self._change(self.active.step_ended(position, StepState.CANCELED, reason=why))
        self.say(f"run {state}", stream="engine")
        self.lines += self.active.log.rest()
        self.active.run, change = self.active.finished(state, reason)
        self.active.log.end()
        self._ended(self.active.summary())
        self._change(change)
        self.active.ended.set()

    def _position(self, step: StepRun) -> int:
        return self.active.run.steps.index(step)

    def _change(self, change: Change) -> None:
        self._tell(change.events)
