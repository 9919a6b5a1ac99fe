"""A time limit for every test, as a pytest plugin: 30 s, or what `@pytest.mark.limit(seconds)` says.

pytest-timeout alone does not do. Its signal, raised inside trio's loop, makes the *next* trio test fail, and its thread
ends the whole session. So an async test runs inside a cancel scope that a timer of the operating system cancels: real
seconds, also where the test's own clock is virtual. Plain tests get the signal, which is safe outside a loop. A test
that neither of them can stop (it blocks the loop, or shields itself) meets pytest-timeout's thread `GRACE_SECONDS`
later.
"""

from __future__ import annotations

import functools
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMIT_SECONDS = 30.0
GRACE_SECONDS = 90.0


class OverTimeLimitError(Exception):
    """The test took longer than it may; the error before this one shows where it stood."""


@pytest.hookimpl(trylast=True)  # pytest-trio has to have marked the async tests
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its limit."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        marker = item.get_closest_marker("limit")
        seconds = float(marker.args[0]) if marker else LIMIT_SECONDS
        if item.get_closest_marker("trio"):
            _limit_async(item, seconds)
            item.add_marker(pytest.mark.timeout(seconds + GRACE_SECONDS, method="thread"))
        else:
            item.add_marker(pytest.mark.timeout(seconds, method="signal"))


def _limit_async(item: pytest.Function, seconds: float) -> None:
    hypothesis = getattr(item.obj, "hypothesis", None)
    if hypothesis is None:
        # The run takes the async fixtures in, which the test's function would leave out.
        run = functools.partial(_run_within, seconds)
        item.add_marker(pytest.mark.trio(run=run), append=False)
    elif not hasattr(hypothesis.inner_test, "limited"):
        # pytest-trio lets nobody choose the run of these. The parametrized items of one test share the function.
        hypothesis.inner_test = _within(seconds, hypothesis.inner_test)
        hypothesis.inner_test.limited = True


def _run_within[T](seconds: float, main: Callable[[], Awaitable[T]], **options: Any) -> T:
    return trio.run(_within(seconds, main), **options)


def _within[**P, T](seconds: float, test: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    @functools.wraps(test)
    async def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        token = trio.lowlevel.current_trio_token()
        scope = trio.CancelScope()

        def cancel() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(scope.cancel)

        timer = threading.Timer(seconds, cancel)
        timer.daemon = True
        timer.start()
        with scope:
            try:
                return await test(*args, **kwargs)
            finally:
                timer.cancel()
                if scope.cancel_called:
                    raise OverTimeLimitError(f"the test ran longer than its limit of {seconds:g} s")
        raise AssertionError("unreachable: a canceled scope has raised above")

    return limited
