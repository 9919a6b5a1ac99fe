"""Whether and when a failed try is followed by another."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.definitions.steps.common import Retry, RetryOverride
from nomaflow.engine.retry import JITTER, delay_seconds, policy


class Draw(random.Random):
    """Always the same place between the ends."""

    def __init__(self, place: float) -> None:
        super().__init__(0)
        self._place = place

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self._place


MIDDLE = Draw(0.5)


def test_one_attempt_is_no_retry() -> None:
    """By default a step that fails has failed."""
    assert delay_seconds(Retry(), 1, MIDDLE) is None


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [("fixed", [60, 60, 60, 60, 60, None]), ("exponential", [60, 120, 240, 480, 480, None])],
)
def test_the_waits_grow_as_said(backoff: str, expected: list[float | None]) -> None:
    """Fixed ones stay; exponential ones double, and with the spread never pass `max_seconds`."""
    retry = Retry.model_validate({"attempts": 6, "backoff": backoff, "base_seconds": 60, "max_seconds": 600})
    assert [delay_seconds(retry, attempt, MIDDLE) for attempt in range(1, 7)] == expected


@given(
    base=st.floats(0, 86_400),
    most=st.floats(0, 86_400),
    backoff=st.sampled_from(["fixed", "exponential"]),
    attempt=st.integers(1, 9),
    draw=st.randoms(),
)
def test_a_wait_keeps_within_its_bounds(
    base: float, most: float, backoff: str, attempt: int, draw: random.Random
) -> None:
    """Never longer than `max_seconds`, never negative."""
    retry = Retry.model_validate({"attempts": 10, "backoff": backoff, "base_seconds": base, "max_seconds": most})
    wait = delay_seconds(retry, attempt, draw)
    assert wait is not None
    assert 0 <= wait <= most * (1 + 1e-9)


def test_waits_are_spread_at_the_cap_too() -> None:
    """Steps that failed together do not come back together, however long they have waited."""
    retry = Retry(attempts=10, backoff="exponential", base_seconds=60, max_seconds=100)
    low, high = delay_seconds(retry, 9, Draw(0)), delay_seconds(retry, 9, Draw(1))
    assert high == pytest.approx(100)
    assert low == pytest.approx(100 * (1 - JITTER) / (1 + JITTER))


def test_a_step_overrides_the_jobs_policy() -> None:
    """Field by field."""
    job = Retry(attempts=2, base_seconds=10)
    assert policy(job, None) is job
    assert policy(job, RetryOverride(attempts=5)) == Retry(attempts=5, base_seconds=10)
