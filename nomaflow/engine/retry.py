"""Whether and when a failed try of a step is followed by another."""

from __future__ import annotations

from nomaflow.definitions.steps.common import Retry, RetryOverride
from nomaflow.seams import Draw

JITTER = 0.25
"""So that steps which failed together do not come back together."""


def policy(job: Retry, step: RetryOverride | None) -> Retry:
    """The job's retry with the step's changes."""
    return step.over(job) if step else job


def delay_seconds(retry: Retry, attempt: int, draw: Draw) -> float | None:
    """How long to wait after a failed try, counted from 1; None when it was the last one."""
    if attempt >= retry.attempts:
        return None
    base = retry.base_seconds * 2 ** (attempt - 1) if retry.backoff == "exponential" else retry.base_seconds
    # Capped before it is spread: many steps at the cap would otherwise all wait exactly `max_seconds`.
    return min(base, retry.max_seconds / (1 + JITTER)) * (1 + draw.uniform(-JITTER, JITTER))
