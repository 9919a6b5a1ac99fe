"""Where the outside world comes in: the clock, randomness, identifiers, threads.

Whoever needs one of them is given it; nobody else in the engine asks the operating system. So a test can put in its
own, and a simulated year has a simulated clock.
"""

from __future__ import annotations

import os
import random
import secrets
import time
import zoneinfo
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

Draw = random.Random
"""Where randomness is drawn from; a test gives one with a seed."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RUN_DIGITS = 13


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


async def run_in_thread(call: Callable[..., Any], *values: Any, limiter: Any = None) -> Any:
    """What a call that blocks gives, made in a thread of trio's."""
    import trio  # the command line needs the seams, and no trio

    return await trio.to_thread.run_sync(call, *values, limiter=limiter)


def system_timezone() -> str:
    """The machine's zone by its IANA name: `TZ`, else where `/etc/localtime` points, else UTC."""
    name = os.environ.get("TZ", "").lstrip(":")
    if not name:
        _, _, name = os.path.realpath("/etc/localtime").rpartition("zoneinfo/")
    return name if name in zoneinfo.available_timezones() else "UTC"


def base32(number: int, digits: int) -> str:
    """A number in Crockford's base 32, as many digits as said; sorts as the number does."""
    text = ""
    for _ in range(digits):
        number, rest = divmod(number, 32)
        text = _CROCKFORD[rest] + text
    return text


@lru_cache(maxsize=4096)
def run_number(run_id: str) -> int:
    """The number behind a run id.

    Raises:
        ValueError: it is no run id.
    """
    digits = run_id.removeprefix("run_")
    if len(digits) != _RUN_DIGITS or digits == run_id or not set(digits) <= set(_CROCKFORD):
        raise ValueError(f"{run_id[:40]!r} is no run id")
    number = 0
    for digit in digits:
        number = number * 32 + _CROCKFORD.index(digit)
    if number >= 2**63:
        raise ValueError(f"{run_id!r} is no run id")
    return number


def run_id_of(number: int) -> str:
    """The run id of a number."""
    return "run_" + base32(number, _RUN_DIGITS)


class RunIds:
    """Run ids: `run_` and 13 digits of base 32; short, URL-safe, sorted by time.

    A 63-bit number: 43 bits of milliseconds (until the year 2248) and 20 random ones; each is greater than the one
    before, also when the clock steps back.
    """

    def __init__(self, now: Callable[[], datetime], draw: Draw) -> None:
        self._now, self._draw = now, draw
        self._last = 0

    def __call__(self) -> str:
        """The next id."""
        milliseconds = int(self._now().timestamp() * 1000)
        self._last = max(self._last + 1, milliseconds << 20 | self._draw.getrandbits(20))
        return run_id_of(self._last)

    def after(self, run_id: str) -> None:
        """Give only ids greater than this one from now on."""
        self._last = max(self._last, run_number(run_id))


@dataclass
class Seams:
    """All of them; production's by default."""

    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    draw: Draw = field(default_factory=random.SystemRandom)
    timezone: Callable[[], str] = system_timezone
    token: Callable[[], str] = lambda: secrets.token_urlsafe(32)
    in_thread: Callable[..., Awaitable[Any]] = run_in_thread
    run_id: RunIds = field(init=False)

    def __post_init__(self) -> None:
        self.run_id = RunIds(self.now, self.draw)
