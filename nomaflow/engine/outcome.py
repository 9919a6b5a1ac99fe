"""How a try of a step ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nomaflow.engine.cancel import Stop
from nomaflow.wire import StepError, StepState


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
