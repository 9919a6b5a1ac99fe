"""An open store file: cursors for its readers, one connection for its writer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import duckdb

from nomaflow.engine.change import Row


class Connection:
    """One DuckDB connection. `db` is the writer's; readers in other threads take cursors of it."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self.db = db
        self._idle_cursors: list[duckdb.DuckDBPyConnection] = []

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """What a query finds."""
        # Each reader has a cursor to itself for as long as it reads.
        try:
            cursor = self._idle_cursors.pop()
        except IndexError:
            cursor = self.db.cursor()
        rows: list[Row] = cursor.execute(sql, values).fetchall()
        self._idle_cursors.append(cursor)
        return rows

    def write(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Run a statement on the writer's connection."""
        self.db.execute(sql, values).fetchall()

    def roll_back(self) -> None:
        """Take back the transaction, if there still is one: a commit that fails ends it by itself."""
        with suppress(duckdb.TransactionException):
            self.db.rollback()

    def close(self) -> None:
        """Close the file; what was committed is in it."""
        while self._idle_cursors:
            self._idle_cursors.pop().close()
        self.db.close()


class Reader:
    """What has an open store to read from."""

    _connection: Connection

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return self._connection.all(sql, values)

    def _one(self, sql: str, values: Sequence[Any] = ()) -> Row:
        return self._all(sql, values)[0]
