"""Steps that run on the engine's own loop: its housekeeping. A cancel ends them where they wait, and leaves nothing.

What they do to the store they do between two commits, a piece at a time, so runs go on meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nomaflow.definitions.steps.common import StepCommon
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.attempt import Outcome, stopped_outcome
from nomaflow.engine.cancel import Stop
from nomaflow.wire import Rung, StepError, StepState

Say = Callable[[str], None]
"""Writes a line into the run's log."""


@dataclass(frozen=True)
class Done:
    """What a step of the engine's own gave."""

    output: dict[str, Any]
    rows_affected: int | None = None


Work = Callable[[StepCommon, Say], Awaitable[Done]]

Works = Mapping[str, Work]
"""What the engine does itself, by step type."""


async def run_inside(works: Works, active: ActiveRun, step: StepCommon, type_name: str, say: Say) -> Outcome:
    """One try of such a step: how it ended, by itself, by its time limit or by a request to stop."""
    with active.undisturbed(step.timeout_seconds):
        try:
            done = await works[type_name](step, say)
        except Exception as error:
            return Outcome(StepState.FAILED, error=StepError(type=type(error).__qualname__, message=str(error)))
        return Outcome(StepState.SUCCEEDED, output=done.output, rows_affected=done.rows_affected)
    now = active.now()
    stop = active.stop or Stop("timeout", "timeout_seconds", now)
    stop.rungs.append(Rung(rung="soft cancel", started_at=now, ended_at=now, result="the step ended"))
    stop.proof = "the step ran in the engine, which has left it"
    return stopped_outcome(stop, step.timeout_seconds)
