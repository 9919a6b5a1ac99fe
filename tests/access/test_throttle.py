"""The token buckets."""

from __future__ import annotations

import pytest

from nomaflow.access.throttle import MAX_KEYS, Throttle, ThrottledError


class Seconds:
    """A clock that the test sets on."""

    value = 0.0

    def __call__(self) -> float:
        return self.value


def test_tries_run_out_and_come_back_evenly() -> None:
    """Five a minute: five at once, then one every twelve seconds."""
    clock = Seconds()
    throttle = Throttle(tries=5, period_seconds=60, monotonic=clock)
    for _ in range(5):
        throttle.take("ana")
    with pytest.raises(ThrottledError) as refused:
        throttle.take("ana")
    assert refused.value.retry_after_seconds == 12
    clock.value = 11.9
    with pytest.raises(ThrottledError):
        throttle.take("ana")
    clock.value = 12
    throttle.take("ana")
    with pytest.raises(ThrottledError):
        throttle.take("ana")


def test_a_refused_try_costs_nothing_more() -> None:
    """Whoever keeps knocking does not lock the door for longer, and one empty bucket spares the others."""
    clock = Seconds()
    throttle = Throttle(tries=1, period_seconds=10, monotonic=clock)
    throttle.take("ana")
    for _ in range(10):
        with pytest.raises(ThrottledError):
            throttle.take("ana", "address")
    throttle.take("address")
    clock.value = 10
    throttle.take("ana")


def test_a_good_try_is_given_back() -> None:
    """Signing in well again and again is not throttled."""
    throttle = Throttle(tries=2, period_seconds=60, monotonic=Seconds())
    for _ in range(10):
        throttle.take("ana")
        throttle.give_back("ana")


def test_memory_is_bounded_whatever_is_tried() -> None:
    """A flood of keys does not grow the table, and does not free the ones that are empty."""
    clock = Seconds()
    throttle = Throttle(tries=5, period_seconds=60, monotonic=clock)
    for _ in range(5):
        throttle.take("ana")
    for number in range(2 * MAX_KEYS):
        throttle.take(f"key {number}")
    with pytest.raises(ThrottledError):
        throttle.take("ana")
    assert len(throttle._full_at) <= MAX_KEYS
