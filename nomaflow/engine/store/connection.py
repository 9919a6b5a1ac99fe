"""An open store file: cursors for its readers, one connection for its writer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import duckdb

from nomaflow.engine.change import Row
from nomaflow.engine.store.file import StoreBrokenError
from nomaflow.errors import NotReadyError

CLOSE_WITHIN_SECONDS = 5.0

_FATAL = (duckdb.FatalException, duckdb.IOException, duckdb.InternalException, duckdb.ConnectionException)


class Connection:
    """One DuckDB file that is open. `db` is the writer's; readers in other threads take cursors of it."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self.db = db
        self._idle: list[duckdb.DuckDBPyConnection] = []
        self._in_use: set[duckdb.DuckDBPyConnection] = set()
        self._is_open = True
        self._changed = threading.Condition()

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one reader alone, for as long as it reads.

        Raises:
            NotReadyError: the file is being closed or opened anew.
        """
        with self._changed:
            if not self._is_open:
                raise NotReadyError("the run store is being opened anew; try again in a moment")
            cursor = self._idle.pop() if self._idle else self.db.cursor()
            self._in_use.add(cursor)
        try:
            yield cursor
        except duckdb.Error as error:
            if is_fatal(error) or isinstance(error, duckdb.InterruptException):
                raise NotReadyError(f"the run store cannot be read: {_first_line(error)}") from error
            raise
        finally:
            with self._changed:
                self._in_use.discard(cursor)
                if self._is_open:
                    self._idle.append(cursor)
                else:
                    cursor.close()
                self._changed.notify_all()

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """What a query finds."""
        with self.cursor() as cursor:
            rows: list[Row] = cursor.execute(sql, values).fetchall()
            return rows

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The writer's connection, within a transaction that is rolled back where the block fails.

        Raises:
            StoreBrokenError: the file must be opened anew; whether the transaction is in it is not known.
        """
        try:
            self.db.begin()
            try:
                yield self.db
                self.db.commit()
            except BaseException:
                # A commit that fails ends its transaction by itself, and a broken file has none.
                with suppress(duckdb.Error):
                    self.db.rollback()
                raise
        except duckdb.Error as error:
            if is_fatal(error):
                raise StoreBrokenError(_first_line(error)) from error
            raise

    def checkpoint(self) -> None:
        """Write everything into the file itself and begin a new write-ahead log.

        Raises:
            StoreBrokenError: the file must be opened anew; what was committed is in it.
        """
        try:
            self.db.execute("CHECKPOINT").fetchall()
        except duckdb.Error as error:
            if is_fatal(error):
                raise StoreBrokenError(_first_line(error)) from error
            raise

    def close(self) -> None:
        """Close the file; what was committed is in it. Readers are interrupted."""
        with self._changed:
            self._is_open = False
            for cursor in self._in_use:
                cursor.interrupt()
            self._changed.wait_for(lambda: not self._in_use, CLOSE_WITHIN_SECONDS)
            for cursor in [*self._idle, *self._in_use]:
                cursor.close()
            self._idle.clear()
        self.db.close()


class Reader:
    """What has an open store to read from."""

    _connection: Connection

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return self._connection.all(sql, values)

    def _one(self, sql: str, values: Sequence[Any] = ()) -> Row:
        return self._all(sql, values)[0]


def is_fatal(error: duckdb.Error) -> bool:
    """Whether nothing more can be done with the file until it is opened anew."""
    # A damaged block is told by an error of no class of its own.
    return isinstance(error, _FATAL) or type(error) is duckdb.Error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
