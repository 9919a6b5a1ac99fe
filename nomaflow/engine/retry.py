"""Whether and when a failed try of a step is followed by another."""

from __future__ import annotations

import math
from typing import Any

from nomaflow.definitions.steps.common import Retry, RetryOverride
from nomaflow.seams import Draw
from nomaflow.worker.protocol import Message

JITTER = 0.25
"""So that steps which failed together do not come back together."""

MAX_LASTING = 200
"""Characters of the words that say why a step is not tried again."""


def policy(job: Retry, step: RetryOverride | None) -> Retry:
    """The job's retry with the step's changes."""
    return step.over(job) if step else job


def said(failed: Message) -> dict[str, Any]:
    """What a worker's `failed` message says about another try, as the fields of an outcome.

    It says nothing where an error is not known, and what it says is foreign input.
    """
    after, lasting = failed.get("retry_after"), failed.get("lasting")
    is_wait = isinstance(after, int | float) and not isinstance(after, bool) and 0 <= after < math.inf
    return {
        "may_retry": failed.get("retry") is not False,
        "retry_after": after if is_wait else None,
        "lasting": lasting[:MAX_LASTING] if isinstance(lasting, str) else None,
    }


def why_last(retry: Retry, attempt: int, lasting: str | None) -> str | None:
    """The line of the log for a failed try that is not followed by another although there are some left."""
    return None if lasting is None or attempt >= retry.attempts else f"not tried again: {lasting}"


def delay_seconds(retry: Retry, attempt: int, draw: Draw, retry_after: float | None = None) -> float | None:
    """How long to wait after a failed try; None when it was the last one.

    Args:
        retry: how often, and how long.
        attempt: the try that failed, counted from 1.
        draw: where the spread comes from.
        retry_after: what the other side asks for in seconds; it wins where it is longer, up to `max_seconds`.
    """
    if attempt >= retry.attempts:
        return None
    base = retry.base_seconds * 2 ** (attempt - 1) if retry.backoff == "exponential" else retry.base_seconds
    # Capped before it is spread: many steps at the cap would otherwise all wait exactly `max_seconds`.
    delay = min(base, retry.max_seconds / (1 + JITTER)) * (1 + draw.uniform(-JITTER, JITTER))
    return delay if retry_after is None else max(delay, min(retry_after, retry.max_seconds))
