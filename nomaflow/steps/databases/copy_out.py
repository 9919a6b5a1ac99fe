"""The rows of PostgreSQL's COPY as libpq hands them over; psycopg's own loop takes three times as long for each."""

from __future__ import annotations

import select
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import pq

type Connection = psycopg.Connection[tuple[Any, ...]]

CANCEL_SECONDS = 2
"""How long a server may take to accept a request to cancel."""


class CopyOut:
    """One COPY TO STDOUT on a connection that is idle otherwise.

    `row_count` is how many rows the server says it sent, known when all of them are read.
    """

    def __init__(self, connection: Connection, copy: bytes) -> None:
        self._connection, self._copy = connection, copy
        self.row_count = -1

    def rows(self) -> Generator[list[bytes | memoryview], None, None]:
        """The rows that have arrived, and what stands before and behind them in the binary form, as one piece each.

        Where it is closed early, the server is asked to stop and the connection is ready for the next statement.

        Raises:
            psycopg.Error: as for any statement.
        """
        pgconn = self._connection.pgconn
        pgconn.send_query(self._copy)
        while pgconn.flush():
            select.select([], [pgconn.socket], [])
        _checked(self._connection, _result(pgconn), pq.ExecStatus.COPY_OUT)
        get, arrived = pgconn.get_copy_data, list[bytes | memoryview]()
        try:
            while (found := get(1))[0] >= 0:
                if found[0] > 0:
                    arrived.append(found[1])
                    continue
                if arrived:
                    yield arrived
                    arrived = []
                _receive(pgconn)
            if arrived:
                yield arrived
        except BaseException:
            if pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
                with suppress(psycopg.Error):
                    self._connection.cancel_safe(timeout=CANCEL_SECONDS)
                _drain(pgconn)
            raise
        last = _result(pgconn)
        while (more := _result(pgconn)) is not None:
            last = more
        self.row_count = _checked(self._connection, last, pq.ExecStatus.COMMAND_OK).command_tuples or 0


def _result(pgconn: pq.abc.PGconn) -> pq.abc.PGresult | None:
    while pgconn.is_busy():
        _receive(pgconn)
    return pgconn.get_result()


def _receive(pgconn: pq.abc.PGconn) -> None:
    select.select([pgconn.socket], [], [])
    pgconn.consume_input()


def _drain(pgconn: pq.abc.PGconn) -> None:
    """Throw away what is still under way, up to the error that says that the statement is canceled."""
    with suppress(psycopg.Error):
        while (size := pgconn.get_copy_data(1)[0]) >= 0:
            if size == 0:
                _receive(pgconn)
        while _result(pgconn) is not None:
            pass


def _checked(connection: Connection, result: pq.abc.PGresult | None, status: pq.ExecStatus) -> pq.abc.PGresult:
    if result is None:
        raise psycopg.OperationalError("the server gave no result of a COPY")
    if result.status != status:
        raise psycopg.errors.error_from_result(result, encoding=connection.info.encoding)
    return result
