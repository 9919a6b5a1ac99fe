"""How often somebody may try: one token bucket a key."""

from __future__ import annotations

import math
from collections.abc import Callable

from nomaflow.errors import TooManyRequestsError

MAX_KEYS = 10_000


class ThrottledError(TooManyRequestsError):
    """Too many tries; `retry_after_seconds` says when the next one is taken."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Throttle:
    """So many tries a period for each key, which come back evenly; memory is bounded whatever keys are tried.

    Args:
        tries: how many a full bucket holds.
        period_seconds: how long an empty one takes to fill.
        monotonic: the clock, in seconds.
    """

    def __init__(self, *, tries: int, period_seconds: float, monotonic: Callable[[], float]) -> None:
        self._tries, self._seconds_each = tries, period_seconds / tries
        self._monotonic = monotonic
        self._full_at: dict[str, float] = {}

    def take(self, *keys: str) -> None:
        """Count one try for each of the keys, or none at all.

        Raises:
            ThrottledError: one of the buckets is empty.
        """
        now = self._monotonic()
        wait = max(self._full_at.get(key, now) - now for key in keys) - self._seconds_each * (self._tries - 1)
        if wait > 0:
            seconds = math.ceil(wait)
            raise ThrottledError(f"too many tries; wait {seconds} s before the next one", retry_after_seconds=seconds)
        if len(self._full_at) >= MAX_KEYS:
            self._forget(now)
        for key in keys:
            self._full_at[key] = max(self._full_at.get(key, now), now) + self._seconds_each

    def give_back(self, *keys: str) -> None:
        """Take one counted try back: it was a good one."""
        for key in keys:
            if key in self._full_at:
                self._full_at[key] -= self._seconds_each

    def _forget(self, now: float) -> None:
        """Drop the full buckets; if that is not half of them, those that are full soonest."""
        soonest_last = sorted(self._full_at.items(), key=lambda item: item[1], reverse=True)
        self._full_at = {key: full_at for key, full_at in soonest_last[: MAX_KEYS // 2] if full_at > now}
