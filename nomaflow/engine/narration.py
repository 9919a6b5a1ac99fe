"""What the engine itself writes into a run's log."""

from __future__ import annotations

import logging

from nomaflow.engine.active import ActiveRun
from nomaflow.engine.cancel import Stop
from nomaflow.engine.outcome import Outcome
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.rows import log_row
from nomaflow.wire import StepState, iso

log = logging.getLogger(__name__)


class Narrator:
    """Tells a run's story in its log."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def line(self, active: ActiveRun, text: str, position: int | None = None, level: str = "INFO") -> None:
        """One line, of a step or of the run."""
        record = active.run.steps[position] if position is not None else None
        lines = active.log.take(
            active.now().timestamp(),
            level,
            text,
            step=record.name if record else None,
            attempt=record.attempt if record else 0,
            stream="engine",
        )
        self._recorder.take_lines([log_row(active.run.id, line) for line in lines], active.acceptance)

    def accepted(self, active: ActiveRun) -> None:
        """Where the run comes from."""
        run = active.run
        if active.log.seq:
            self.line(active, "a new engine goes on with the run")
            return
        if active.note is not None:
            self.line(active, active.note)
        due = f", due at {iso(run.scheduled_at)}" if run.scheduled_at is not None else ""
        self.line(active, f"run accepted, started by {run.actor.triggered_by}{due}")

    def outcome(self, active: ActiveRun, position: int, outcome: Outcome) -> None:
        """How a try of a step ended."""
        record = active.run.steps[position]
        rows = f", {outcome.rows_affected:,} rows" if outcome.rows_affected is not None else ""
        why = f": {outcome.error.type}: {outcome.error.message}" if outcome.error else ""
        level = "ERROR" if outcome.state is StepState.FAILED else "INFO"
        started = record.started_at or active.now()
        seconds = (active.now() - started).total_seconds()
        self.line(active, f"{record.name} {outcome.state} in {seconds_text(seconds)}{rows}{why}", position, level)
        if outcome.error and outcome.error.traceback:
            for text in outcome.error.traceback.rstrip().split("\n"):
                self.line(active, text, position, level)

    def stuck(self, active: ActiveRun, stop: Stop) -> None:
        """What was to be stopped cannot be killed; said once."""
        message = f"stuck: {', '.join(stop.survivors)} of the step cannot be killed"
        if active.run.wait_reason != message:
            active.run.wait_reason = message
            self.line(active, message, level="ERROR")
            log.error("%s is %s", active.run.id, message)


def seconds_text(seconds: float) -> str:
    """A duration as a log shows it."""
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
