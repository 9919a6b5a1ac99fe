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

    def __init__(self, interrupt: Callable[[], object], cut: Callable[[], object] | None = None) -> None:
        """Take the driver's own means.

        Args:
            interrupt: asks for the end of the statement. With `cut` it asks a server, and may take a while.
            cut: ends the connection under the driver; None where there is no server that could be silent.
        """
        self._interrupt, self._cut = interrupt, cut
        self._changed = threading.Condition()
        self._runs = self._ends = False
        self.requested = threading.Event()

    @contextmanager
    def statement(self) -> Iterator[None]:
        """The time in which the driver works on a statement.

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

    @contextmanager
    def ending(self) -> Iterator[None]:
        """The time in which the driver ends the transaction: neither refused nor interrupted, but cut."""
        with self._changed:
            self._ends = True
        try:
            yield
        finally:
            with self._changed:
                self._ends = False

    def cancel(self, cut_seconds: float) -> None:
        """Stop what runs and refuse what comes; returns at once, so that several connections stop together."""
        self.requested.set()
        threading.Thread(target=self._insist, daemon=True, name="cancel a statement").start()
        if self._cut is not None:
            cutting = threading.Timer(cut_seconds, self._cut_if_silent)
            cutting.daemon = True
            cutting.start()

    def _insist(self) -> None:
        """Interrupt until the statement has ended; gives up when harder means take over."""
        for seconds in WAITS_SECONDS:
            with self._changed:
                if not self._runs:
                    return
                if self._cut is None:
                    # Under the lock, so that the statement cannot end and its connection close meanwhile.
                    self._interrupt()
            if self._cut is not None:
                # Not under the lock: the statement may end while the server takes its time.
                self._interrupt()
            with self._changed:
                self._changed.wait_for(lambda: not self._runs, seconds)

    def _cut_if_silent(self) -> None:
        with self._changed:
            if self._cut is not None and (self._runs or self._ends):
                self._cut()
