"""Stopping the statement of a connection, whichever moment the request falls in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nomaflow.steps.databases.errors import StatementCanceledError

WAITS_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""How long each interrupt is given before the next one."""


class Cancellation:
    """Runs statements one at a time and stops them at a request from another thread.

    A driver's interrupt does nothing to a connection that is idle. A request that falls between the look at `requested`
    and the driver's first byte would be lost, so it stays valid for every later statement and is repeated until the
    statement has ended.
    """

    def __init__(self, interrupt: Callable[[], object]) -> None:
        self._interrupt = interrupt
        self._changed = threading.Condition()
        self._runs = False
        self.requested = threading.Event()

    @contextmanager
    def statement(self) -> Iterator[None]:
        """The time in which the driver works.

        Raises:
            StatementCanceledError: the connection is asked to stop.
        """
        with self._changed:
            if self.requested.is_set():
                raise StatementCanceledError("the connection is asked to stop")
            self._runs = True
        try:
            yield
        finally:
            with self._changed:
                self._runs = False
                self._changed.notify_all()

    def cancel(self) -> None:
        """Stop what runs and refuse what comes; returns at once, so that several connections stop together."""
        self.requested.set()
        threading.Thread(target=self._insist, daemon=True, name="cancel a statement").start()

    def _insist(self) -> None:
        """Interrupt until the statement has ended; gives up after about 1.5 s, when harder means take over."""
        for seconds in WAITS_SECONDS:
            with self._changed:
                if not self._runs:
                    return
                # Under the lock, so that the statement cannot end and its connection close meanwhile.
                self._interrupt()
                self._changed.wait_for(lambda: not self._runs, seconds)
