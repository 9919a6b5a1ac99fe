"""A DB-API connection whose statements take until they are canceled, for drivers whose servers are not to be had."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any


class FakeConnection:
    """Remembers what it was given; `cancel` of it or its cursors ends the statement that waits with `error`."""

    def __init__(self, error: Exception, answers: Sequence[tuple[Any, ...]] = ()) -> None:
        self.given: list[tuple[Any, ...]] = []
        self.ended: list[str] = []
        self.autocommit = False
        self.working, self.canceled = threading.Event(), threading.Event()
        self._error, self._answers = error, answers

    def cursor(self) -> FakeCursor:
        """One of any number."""
        return FakeCursor(self)

    def cancel(self) -> None:
        """End the statement that waits."""
        self.canceled.set()

    def commit(self) -> None:
        """Remember it."""
        self.ended.append("commit")

    def rollback(self) -> None:
        """Remember it."""
        self.ended.append("rollback")

    def close(self) -> None:
        """Remember it."""
        self.ended.append("close")


class FakeCursor:
    """Gives the connection's answers once; a statement that says `wait` lasts until it is canceled."""

    rowcount = 7

    def __init__(self, connection: FakeConnection) -> None:
        self._connection = connection
        self._rows = list(connection._answers)
        self.description = [("a",)] if self._rows else None

    def execute(self, sql: str, args: Any = ()) -> None:
        """Remember the statement and its arguments."""
        self._connection.given.append((sql, args))
        if "wait" in sql:
            self._connection.working.set()
            assert self._connection.canceled.wait(10)
            raise self._connection._error

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        """The next rows."""
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    def cancel(self) -> None:
        """As of the connection."""
        self._connection.cancel()

    def close(self) -> None:
        """Nothing to do."""
