"""Whether and when a failed try is followed by another."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.definitions.steps.common import Retry, RetryOverride
from nomaflow.engine.retry import JITTER, delay_seconds, policy, said, why_last


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


@pytest.mark.parametrize(("asked", "expected"), [(None, 60), (10, 60), (90, 90), (900, 600), (0, 60)])
def test_the_longer_wait_wins(asked: float | None, expected: float) -> None:
    """What the other side asks for counts where it is longer than the formula, up to `max_seconds`."""
    assert delay_seconds(Retry(attempts=2, base_seconds=60), 1, MIDDLE, asked) == expected


def test_a_wait_that_is_asked_for_makes_no_more_tries() -> None:
    """`attempts` counts all of them."""
    assert delay_seconds(Retry(attempts=2), 2, MIDDLE, 90) is None


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ({}, (True, None, None)),
        ({"retry": True, "retry_after": 5}, (True, 5.0, None)),
        ({"retry": False, "lasting": "a syntax error stays one"}, (False, None, "a syntax error stays one")),
        ({"retry": "no", "retry_after": "soon", "lasting": 5}, (True, None, None)),
        ({"retry_after": float("nan")}, (True, None, None)),
        ({"retry_after": float("inf")}, (True, None, None)),
        ({"retry_after": -1}, (True, None, None)),
        ({"retry_after": True}, (True, None, None)),
        ({"retry": False, "lasting": "x" * 1000}, (False, None, "x" * 200)),
    ],
)
def test_what_a_worker_says_is_foreign_input(
    failed: dict[str, Any], expected: tuple[bool, float | None, str | None]
) -> None:
    """An error that nobody knows may be tried again; nonsense is no wait and no reason."""
    told = said(failed)
    assert (told["may_retry"], told["retry_after"], told["lasting"]) == expected


def test_the_log_says_why_there_is_no_other_try() -> None:
    """Where there are some left and the error would stay; otherwise it goes without saying."""
    assert why_last(Retry(attempts=3), 1, "a syntax error stays one") == "not tried again: a syntax error stays one"
    assert why_last(Retry(attempts=3), 3, "a syntax error stays one") is None
    assert why_last(Retry(attempts=3), 1, None) is None
