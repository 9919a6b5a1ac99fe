"""The log of a run that is over: numbered without a gap or a repeat, with the end of each step and of the run."""

from __future__ import annotations

from collections.abc import Iterator

from nomaflow.wire import StepState
from tests.simulation.checks.facts import Facts


def without_gap_or_repeat(facts: Facts) -> Iterator[str]:
    """8: lines are numbered 1, 2, 3 …, an ended step has its end line, and the last line tells the run's end."""
    for run_id, lines in facts.dump.logs.items():
        numbers = [line.seq for line in lines]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"the lines of {run_id} are numbered {numbers}"
        run = facts.runs[run_id]
        if not lines or not lines[-1].text.startswith(f"run {run.state}"):
            yield f"the log of {run_id}, {run.state}, ends with {lines[-1].text if lines else 'nothing'!r}"
        for step in run.steps:
            if step.state is StepState.SUCCEEDED and step.started_at is not None:
                mine = [line.text for line in lines if line.step == step.name]
                if not any(text.startswith(f"{step.name} SUCCEEDED in") for text in mine):
                    yield f"{step.name} of {run_id} SUCCEEDED, and its log does not say so"
