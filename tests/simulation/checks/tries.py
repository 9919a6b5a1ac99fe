"""How often a failed step is tried again, and when: also over the death of the engine that was to do it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.simulation.checks.facts import Facts

JITTER, CAP = 0.25, 1.25
SLACK_SECONDS = 0.01


def as_often_as_they_may(facts: Facts) -> Iterator[str]:
    """17: tries are numbered, each once, and there are no more of them than the job says."""
    for run_id, effects in facts.effects.items():
        run = facts.runs.get(run_id)
        if run is None:
            continue
        most = facts.definition(run)["retry"]["attempts"]
        for name in {effect.step for effect in effects}:
            numbers = [effect.attempt for effect in effects if effect.step == name]
            # One for which no worker could be started left no effect.
            if numbers != sorted(set(numbers)):
                yield f"{name} of {run_id} had the tries {numbers}"
            if numbers[-1] > most:
                yield f"{name} of {run_id} had {numbers[-1]} tries, and may have {most}"


def when_they_are_due(facts: Facts) -> Iterator[str]:
    """17: each wait lies within a quarter of what the job's formula says, and no engine hurries it."""
    for run in facts.runs.values():
        policy = facts.definition(run)["retry"]
        for step in run.steps:
            for attempt in step.attempts:
                if attempt.retry_at is None or attempt.finished_at is None:
                    continue
                wait = (attempt.retry_at - attempt.finished_at).total_seconds()
                least, most = _bounds(policy, attempt.n)
                if not least - SLACK_SECONDS <= wait <= most + SLACK_SECONDS:
                    yield f"try {attempt.n} of {step.name} of {run.id} waits {wait:.2f} s, not {least} to {most}"
    for run_id, effects in facts.effects.items():
        if (found := facts.runs.get(run_id)) is None:
            continue
        policy = facts.definition(found)["retry"]
        for effect in effects:
            before = next((e for e in effects if e.step == effect.step and e.attempt == effect.attempt - 1), None)
            if before is None or before.ended is None:
                continue
            least, _ = _bounds(policy, before.attempt)
            jumped = sum(j.seconds for j in facts.evidence.jumps if before.ended <= j.moment <= effect.began)
            # A new engine counts by the wall clock, which may have been set; one that lives on counts by its own.
            counted = effect.began - before.ended
            counted += max(jumped, 0) if facts.life_changed(before.ended, effect.began) else 0
            if counted < least - SLACK_SECONDS:
                yield f"try {effect.attempt} of {effect.step} of {run_id} came after {counted:.2f} s, not {least:.2f}"


def _bounds(policy: dict[str, Any], attempt: int) -> tuple[float, float]:
    base = policy["base_seconds"] * (2 ** (attempt - 1) if policy["backoff"] == "exponential" else 1)
    base = min(base, policy["max_seconds"] / CAP)
    return base * (1 - JITTER), base * (1 + JITTER)
