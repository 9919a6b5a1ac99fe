"""What earlier runs let one expect of the next."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def expected_seconds(good: Sequence[float]) -> float | None:
    """How long a run will take: the median of the newest good ones; None before there is one."""
    return statistics.median(good) if good else None
