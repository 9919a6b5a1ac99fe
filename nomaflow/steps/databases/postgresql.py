"""PostgreSQL, by psycopg 3."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import islice
from typing import Any, cast

import psycopg
import psycopg.sql

from nomaflow.definitions.sql_text import Statement, one_statement
from nomaflow.steps.databases.cancellation import Cancellation
from nomaflow.steps.databases.copy_out import CANCEL_SECONDS, CopyOut
from nomaflow.steps.databases.errors import OpenError, OutcomeUnknownError, RefusedValueError
from nomaflow.steps.databases.tables import Column, Relation, Table, listed, quoted
from nomaflow.worker.context import CUT_SECONDS, Row, unheard

_log = logging.getLogger("nomaflow.step")

CONNECT_SECONDS = 10
"""How long a server may take to answer, unless the connector's URL says otherwise (`connect_timeout`)."""

STREAM_ROWS = 1000 if psycopg.capabilities.has_stream_chunked() else 1
"""Rows that libpq hands over at once; older ones know only one."""

PUMP_BYTES = 256 * 1024
"""How much of one COPY is collected before it is handed to the other."""

PUMP_SECONDS = 1.0
"""How long rows of a slow source wait for more: a target that is lost shows at the next write."""

BATCH_BYTES = 16 * 1024 * 1024
"""How long the text of one batch of rows may become before it is handed over."""

_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull, atthasdef OR attidentity <> '',
           attgenerated <> '', (pg_type.oid < 16384 AND typname !~ '^reg') OR typtype = 'e'
    FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
    WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum"""

_PRIMARY_KEY = """
    SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
    WHERE indisprimary AND indrelid = to_regclass(:name)
    ORDER BY array_position(indkey::int2[], attnum)"""

_CASCADES = """
    SELECT DISTINCT conrelid::regclass::text FROM pg_constraint
    WHERE contype = 'f' AND confrelid = to_regclass(:name) AND confdeltype NOT IN ('a', 'r')"""

_TYPE = """
    SELECT format_type(pg_type.oid, :mod), true, false, false,
           (pg_type.oid < 16384 AND typname !~ '^reg') OR typtype = 'e'
    FROM pg_type WHERE pg_type.oid = :oid"""

_NOTATION = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
}

_AT_WORK = (psycopg.pq.TransactionStatus.ACTIVE, psycopg.pq.TransactionStatus.UNKNOWN)

# A worker that is killed cannot cancel its query; the server then looks for itself whether its client is there.
_WATCH_CLIENT = """
    SELECT set_config(name, '5000', false) FROM pg_settings
    WHERE name = 'client_connection_check_interval' AND version() LIKE '%linux%'"""


class PostgresqlDatabase:
    """One connection. A transaction begins with the first statement."""

    backend: str = "postgresql"
    temporary_schema = "pg_temp"
    takes_columns = False

    def __init__(self, connector: dict[str, Any]) -> None:
        self.name: str = connector["name"]
        given = {
            "host": connector.get("host"),
            "port": connector.get("port"),
            "user": connector.get("username"),
            "password": connector.get("password"),
            "dbname": connector.get("database"),
            "application_name": connector.get("application_name") or "nomaflow",
            "connect_timeout": CONNECT_SECONDS,
            **(connector.get("query") or {}),
            "client_encoding": "utf8",
        }
        try:
            self._connection = psycopg.connect(**given, cursor_factory=psycopg.RawCursor)
            self._connection.add_notice_handler(_tell)
            self._connection.execute(_WATCH_CLIENT)
            self._connection.commit()
        except psycopg.Error as error:
            raise OpenError(self.name, error) from error
        info = self._connection.info
        self.location = f"postgresql://{info.user}@{info.host}:{info.port}/{info.dbname}"
        self.server_process: int | None = info.backend_pid
        self.about_to_commit: Callable[[], None] = unheard
        self._cancellation = Cancellation(self._interrupt, self._cut)
        self._ran_alone = self._is_closed = self._may_go_on = False

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run one statement; the rows it affected, or gave back."""
        statement = one_statement(sql)
        if statement.returns_rows:
            with closing(self._streamed(statement, params, 1000)) as batches:
                return sum(map(len, batches))
        with self._cancellation.statement(), self._connection.cursor() as cursor:
            self._run(cursor, statement, params)
            return max(cursor.rowcount, 0)

    def fetch(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """All rows of one statement; none where it gives none."""
        with self._cancellation.statement(), self._connection.cursor() as cursor:
            self._run(cursor, one_statement(sql), params)
            return cursor.fetchall() if cursor.description else []

    def stream(
        self, sql: str, params: Mapping[str, Any] | None = None, *, size: int = 1000
    ) -> Generator[list[Row], None, None]:
        """The rows of a query in batches; no other statement may run meanwhile."""
        return self._streamed(one_statement(sql), params, size)

    def commit(self) -> None:
        """Make the changes last.

        Raises:
            OutcomeUnknownError: the connection was lost before the server's answer.
        """
        self.about_to_commit()
        try:
            with self._cancellation.ending():
                self._connection.commit()
        except psycopg.OperationalError as error:
            if not self._connection.broken:
                raise
            raise OutcomeUnknownError(
                f"The connection to {self.name!r} was lost while it committed: the outcome of the commit is unknown; "
                "look at the data before the step is run again"
            ) from error

    def rollback(self) -> bool | None:
        """Drop the changes; whether all of them are gone, None where the server is lost or in mid-statement."""
        if self._connection.info.transaction_status in _AT_WORK:
            return None
        with self._cancellation.ending():
            self._connection.rollback()
        return not self._ran_alone

    def cancel(self, cut_seconds: float = CUT_SECONDS) -> None:
        """Stop the statement that runs now; safe from another thread."""
        self._cancellation.cancel(cut_seconds)

    def close(self) -> None:
        """Close the connection; what is not committed is dropped."""
        if not self._is_closed:
            self._is_closed = True
            # A backend in mid-statement does not look whether its client is still there.
            self._may_go_on = self._connection.info.transaction_status in _AT_WORK
            self._connection.close()

    @property
    def may_go_on(self) -> bool:
        """Whether the server was at work when the connection was closed, or lost."""
        return self._may_go_on

    def columns(self, table: Table) -> tuple[Column, ...]:
        """The columns in their order; none where there is no such table."""
        return tuple(Column(*row) for row in self.fetch(_COLUMNS, {"name": table.quoted}))

    def primary_key(self, table: Table) -> tuple[str, ...]:
        """The columns of the primary key, in its order."""
        return tuple(name for (name,) in self.fetch(_PRIMARY_KEY, {"name": table.quoted}))

    def columns_of(self, relation: Relation) -> tuple[Column, ...]:
        """The columns that a query gives."""
        sql = one_statement(f"SELECT * FROM {relation.sql} LIMIT 0")
        with self._cancellation.statement(), self._connection.cursor() as cursor:
            self._run(cursor, sql, relation.params)
            given, result = cursor.description, cursor.pgresult
            assert given is not None
            assert result is not None
            types = [(column.name, result.ftype(n), result.fmod(n)) for n, column in enumerate(given)]
        return tuple(Column(name, *self.fetch(_TYPE, {"oid": oid, "mod": mod})[0]) for name, oid, mod in types)

    def only_read(self) -> None:
        """Let this transaction change nothing: a query may call functions that do."""
        self.execute("SET TRANSACTION READ ONLY")

    def row_count(self, relation: Relation) -> int | None:
        """None: counting would read the whole table. A COPY tells how many rows it gave."""
        return None

    def estimated_rows(self, relation: Relation) -> int | None:
        """The planner's estimate, where there is one."""
        if relation.table is None or not relation.is_whole:
            return None
        query = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:name)"
        found = self.fetch(query, {"name": relation.table.quoted})
        return found[0][0] if found and found[0][0] > 0 else None

    def same(self, one: Table, other: Table) -> bool:
        """Whether both names mean the same table."""
        query = "SELECT to_regclass(:one) = to_regclass(:other)"
        return bool(self.fetch(query, {"one": one.quoted, "other": other.quoted})[0][0])

    def hold(self, table: Table) -> None:
        """Keep other writers out of the table until the transaction ends; readers go on."""
        self.execute(f"LOCK TABLE {table.quoted} IN SHARE ROW EXCLUSIVE MODE")

    def cascades(self, table: Table) -> tuple[str, ...]:
        """Tables whose rows would be changed by deleting rows of this one."""
        return tuple(name for (name,) in self.fetch(_CASCADES, {"name": table.quoted}))

    def read(
        self, relation: Relation, names: Sequence[str], *, as_text: frozenset[str], size: int
    ) -> Generator[list[Row], None, None]:
        """The rows in batches, the columns of `as_text` in PostgreSQL's notation."""
        self._set_notation()
        wanted = (f"{quoted(name)}::text" if name in as_text else quoted(name) for name in names)
        return self.stream(f"SELECT {', '.join(wanted)} FROM {relation.sql}", relation.params, size=size)

    def read_csv(
        self, relation: Relation, names: Sequence[str], *, size: int
    ) -> Generator[tuple[bytes, int], None, None]:
        """The rows as the CSV of COPY, in batches of `size` or some more, or of some megabytes, each with its number.

        NULL is an empty field, an empty text is one in quotes. What the server counted in the end has to be the sum.
        """
        self._set_notation()
        out = CopyOut(self._connection, self._copy_out(relation, names, "csv"))
        with self._cancellation.statement(), closing(out.rows()) as copying:
            # The server sends each row by itself.
            rows: list[bytes | memoryview] = []
            total = length = 0
            for arrived in copying:
                rows += arrived
                length += sum(map(len, arrived))
                if len(rows) >= size or length >= BATCH_BYTES:
                    yield b"".join(rows), len(rows)
                    total += len(rows)
                    rows, length = [], 0
            if rows:
                yield b"".join(rows), len(rows)
                total += len(rows)
        if total != out.row_count:
            raise psycopg.OperationalError(f"the server sent {out.row_count} rows, of which {total} arrived")

    def write(self, table: Table, names: Sequence[str], batches: Iterable[Sequence[Row]]) -> int:
        """Add rows by COPY; how many the server took.

        COPY's text form is exact for every type, and the server reads it by the column's own type; its binary form
        would need a Python class for each of them.
        """
        copy = f"COPY {table.quoted} ({listed(names)}) FROM STDIN"
        with self._cancellation.statement(), self._connection.cursor() as cursor:
            try:
                with cursor.copy(copy.encode()) as copying:
                    for batch in batches:
                        for row in batch:
                            copying.write_row(row)
            except psycopg.DataError as error:
                place = re.search(r"line (\d+), column (.+?)(: |$)", error.diag.context or "")
                if place is None:
                    raise
                raise RefusedValueError(int(place[1]), place[2], type(error).__name__) from None
            return cursor.rowcount

    def copy_to(
        self,
        source: Relation,
        source_names: Sequence[str],
        target_database: PostgresqlDatabase,
        target: Table,
        target_names: Sequence[str],
        *,
        binary: bool,
        tell: Callable[[int], None],
    ) -> tuple[int, int]:
        """Send the bytes of one COPY into another; the rows that each server counted.

        `tell` is called with the number of rows since its last call, about once for each `PUMP_BYTES`.
        """
        form = "binary" if binary else "text"
        out = CopyOut(self._connection, self._copy_out(source, source_names, form))
        into = f"COPY {target.quoted} ({listed(target_names)}) FROM STDIN (FORMAT {form})"
        for database in (self, target_database):
            # The text form follows these settings, and the two servers may have others.
            database._set_notation()
        with (
            self._cancellation.statement(),
            target_database._cancellation.statement(),
            target_database._connection.cursor() as writing,
        ):
            with closing(out.rows()) as rows, writing.copy(into.encode()) as copying:
                # Handed on as they come, they would cost twice the time.
                waiting, count, due = bytearray(), 0, time.monotonic() + PUMP_SECONDS
                for arrived in rows:
                    waiting += b"".join(arrived)
                    count += len(arrived)
                    if len(waiting) >= PUMP_BYTES or time.monotonic() >= due:
                        copying.write(waiting)
                        tell(count)
                        waiting, count, due = bytearray(), 0, time.monotonic() + PUMP_SECONDS
                copying.write(waiting)
            return out.row_count, writing.rowcount

    def _set_notation(self) -> None:
        """For this transaction: one notation for every server, in which no digit is missing."""
        for setting, value in _NOTATION.items():
            self.execute(f"SET LOCAL {setting} = '{value}'")

    def _copy_out(self, relation: Relation, names: Sequence[str], form: str) -> bytes:
        """The text of a COPY, which takes no parameters: their values stand in it as the driver quotes them."""
        statement = one_statement(f"SELECT {listed(names)} FROM {relation.sql}")
        values = statement.values(relation.params)
        query = statement.rendered(lambda name: psycopg.sql.Literal(values[name]).as_string(self._connection))
        return f"COPY ({query}) TO STDOUT (FORMAT {form})".encode()

    def _run(self, cursor: psycopg.Cursor[Row], statement: Statement, params: Mapping[str, Any] | None) -> None:
        values = list(statement.values(params).values())
        idle = self._connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if statement.outside_transaction and idle:
            self.about_to_commit()
            self._connection.autocommit = self._ran_alone = True
        try:
            cursor.execute(statement.numbered().encode(), values or None)
        finally:
            if self._connection.autocommit and not self._connection.broken:
                self._connection.autocommit = False

    def _streamed(
        self, statement: Statement, params: Mapping[str, Any] | None, size: int
    ) -> Generator[list[Row], None, None]:
        values = list(statement.values(params).values())
        with self._connection.cursor(binary=True) as cursor:
            rows = cursor.stream(statement.numbered().encode(), values or None, size=min(size, STREAM_ROWS))
            # The driver holds the connection's lock until its generator is closed: a rollback would wait for ever.
            with closing(cast("Generator[Row, None, None]", rows)):
                while batch := self._some(rows, size):
                    yield batch

    def _some(self, rows: Iterator[Row], size: int) -> list[Row]:
        with self._cancellation.statement():
            return list(islice(rows, size))

    def _interrupt(self) -> None:
        if self._connection.closed:
            return
        try:
            self._connection.cancel_safe(timeout=CANCEL_SECONDS)
        except psycopg.Error as error:
            _log.warning("The server of %r did not take the request to cancel: %s", self.name, error)

    def _cut(self) -> None:
        """End the connection under the driver, which would wait for its server for ever."""
        _log.warning("The server of %r does not answer, so its connection is cut", self.name)
        with (
            suppress(psycopg.Error, OSError),  # it is lost already
            socket.socket(fileno=os.dup(self._connection.fileno())) as connected,
        ):
            connected.shutdown(socket.SHUT_RDWR)


def _tell(notice: psycopg.errors.Diagnostic) -> None:
    _log.info("%s: %s", notice.severity, notice.message_primary)
