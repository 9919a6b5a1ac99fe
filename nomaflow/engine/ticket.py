"""A change on its way to the disk: who hands one in waits for its own."""

from __future__ import annotations

from collections.abc import Callable

import trio

from nomaflow.engine.change import Change, Row
from nomaflow.errors import NotReadyError


class Ticket:
    """A change that was handed in, or a call that is to be made between two commits.

    `needs` must be on disk before. `lines` are log lines that are written with the change or not at all.
    """

    def __init__(self, change: Change, call: Callable[[], None] | None = None, needs: Ticket | None = None) -> None:
        self.change, self.call, self.needs = change, call, needs
        self.lines: list[Row] = []
        self.error: Exception | None = None
        self._done = trio.Event()

    @property
    def is_settled(self) -> bool:
        """Whether it is known how it went."""
        return self._done.is_set()

    async def settled(self) -> None:
        """Return when it is known how it went; `error` says it."""
        await self._done.wait()

    async def wait_durable(self) -> None:
        """Return when the change is on disk.

        Raises:
            NotReadyError: it could not be written.
        """
        await self._done.wait()
        if self.error is not None:
            raise NotReadyError(f"the run store did not take the change: {self.error}") from self.error

    def taken_lines(self) -> list[Row]:
        """The lines so far, which it then has no more."""
        lines, self.lines = self.lines, []
        return lines

    def settle(self, error: Exception | None = None) -> None:
        """Wake who waits."""
        self.error = error
        self._done.set()
