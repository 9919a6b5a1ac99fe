"""SQLite, by the standard library's driver."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import sqlite3
import time
import urllib.parse
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

from nomaflow.definitions.sql_text import Statement, one_statement
from nomaflow.steps.databases.cancellation import Cancellation
from nomaflow.steps.databases.errors import OpenError
from nomaflow.steps.databases.tables import Column, Relation, Table, listed, quoted, same_name
from nomaflow.worker.context import CUT_SECONDS, Row, unheard

BUSY_SECONDS = 5.0
"""How long a lock that another connection holds is waited for."""

BUSY_SLICE_SECONDS = 0.05
"""SQLite does not look at an interrupt while it waits for a lock, so it waits a short time and we ask again."""


_LOOK = "_nomaflow_look"


class SqliteDatabase:
    """One connection. A transaction begins with the first statement, DDL included."""

    backend: str = "sqlite"
    temporary_schema = "temp"
    takes_columns = False
    server_process: int | None = None
    may_go_on = False

    def __init__(self, connector: dict[str, Any]) -> None:
        self.name: str = connector["name"]
        path = connector.get("database") or ":memory:"
        self.location = path if path == ":memory:" else f"sqlite:{os.path.realpath(path)}"
        query = urllib.parse.urlencode(connector.get("query") or {}, doseq=True)
        uri = f"file:{urllib.parse.quote(path)}?{query}" if query and path != ":memory:" else path
        try:
            self._connection = sqlite3.connect(
                uri, uri=uri != path, timeout=BUSY_SLICE_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.set_authorizer(_allow)
            # A query may not write the schema's own table, nor give up the journal that a rollback needs.
            self._connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
            self._connection.setconfig(sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA, False)
        except sqlite3.Error as error:
            raise OpenError(self.name, error) from error
        self._cancellation = Cancellation(self._connection.interrupt)
        self.about_to_commit: Callable[[], None] = unheard
        self._has_written = self._ran_alone = False

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run one statement; the rows it affected, or gave back."""
        statement = one_statement(sql, comments_nest=False)
        with closing(self._started(statement, params)) as cursor:
            if cursor.description is None:
                return max(cursor.rowcount, 0)
            count = 0
            while rows := self._some(cursor, 1000):
                count += len(rows)
            return count

    def fetch(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """All rows of one statement."""
        return [row for rows in self.stream(sql, params) for row in rows]

    def stream(
        self, sql: str, params: Mapping[str, Any] | None = None, *, size: int = 1000
    ) -> Generator[list[Row], None, None]:
        """The rows in batches."""
        with closing(self._started(one_statement(sql, comments_nest=False), params)) as cursor:
            while rows := self._some(cursor, size):
                yield rows

    def commit(self) -> None:
        """Make the changes last."""
        if self._connection.in_transaction:
            if self._has_written:
                self.about_to_commit()
            self._patient(self._connection.commit)
            self._has_written = False

    def rollback(self) -> bool | None:
        """Drop the changes; whether all of them are gone."""
        self._connection.rollback()
        self._has_written = False
        return not self._ran_alone

    def cancel(self, cut_seconds: float = CUT_SECONDS) -> None:
        """Stop the statement that runs now; safe from another thread."""
        self._cancellation.cancel(cut_seconds)

    def close(self) -> None:
        """Close the connection; what is not committed is dropped."""
        self._connection.close()

    def columns(self, table: Table) -> tuple[Column, ...]:
        """The columns in their order; none where there is no such table."""
        described = self._described(table)
        only_key = sum(key > 0 for *_, key, _ in described) == 1
        return tuple(
            Column(
                name=name,
                declared=declared,
                nullable=not not_null,
                # An INTEGER PRIMARY KEY is the row's number, which SQLite gives.
                filled=default is not None or (only_key and key > 0 and declared.upper() == "INTEGER"),
                generated=hidden in (2, 3),
            )
            for _, name, declared, not_null, default, key, hidden in described
            if hidden != 1
        )

    def primary_key(self, table: Table) -> tuple[str, ...]:
        """The columns of the primary key, in its order."""
        return tuple(name for key, name in sorted((row[5], row[1]) for row in self._described(table)) if key)

    def columns_of(self, relation: Relation) -> tuple[Column, ...]:
        """The columns that a query gives; SQLite knows the types of those that are taken from a table as they are."""
        # A view cannot have parameters, and its types do not depend on their values. It is not made by `execute`, which
        # would take the write lock of a file that is only read.
        query = one_statement(f"SELECT * FROM {relation.sql}", comments_nest=False).rendered(lambda name: "NULL")
        self._patient(lambda: self._connection.execute(f"CREATE TEMPORARY VIEW {_LOOK} AS {query}"))
        described = self._described(Table("temp", _LOOK))
        self._patient(lambda: self._connection.execute(f"DROP VIEW temp.{_LOOK}"))
        return tuple(Column(name, declared) for _, name, declared, *_ in described)

    def only_read(self) -> None:
        """Nothing to do: a query cannot change anything here."""

    def row_count(self, relation: Relation) -> int | None:
        """How many rows a read in this transaction will give; None for a query, which would be run twice."""
        if relation.table is None:
            return None
        count: int = self.fetch(f"SELECT count(*) FROM {relation.sql}", relation.params)[0][0]
        return count

    def estimated_rows(self, relation: Relation) -> int | None:
        """None: `row_count` knows."""
        return None

    def same(self, one: Table, other: Table) -> bool:
        """Whether both names mean the same table."""
        return same_name(one, other)

    def hold(self, table: Table) -> None:
        """Take the file's write lock, which is for the whole database."""
        if not self._connection.in_transaction:
            self._patient(lambda: self._connection.execute("BEGIN IMMEDIATE"))

    def cascades(self, table: Table) -> tuple[str, ...]:
        """None: SQLite enforces no foreign keys unless a connection asks for it."""
        return ()

    def read(
        self, relation: Relation, names: Sequence[str], *, as_text: frozenset[str], size: int
    ) -> Generator[list[Row], None, None]:
        """The rows in batches, in SQLite's storage classes."""
        return self.stream(f"SELECT {listed(names)} FROM {relation.sql}", relation.params, size=size)

    def write(self, table: Table, names: Sequence[str], batches: Iterable[Sequence[Row]]) -> int:
        """Add rows by `executemany`; how many SQLite took."""
        marks = ", ".join("?" * len(names))
        insert = f"INSERT INTO {table.quoted} ({listed(names)}) VALUES ({marks})"
        self.hold(table)
        self._has_written = True
        before = self._connection.total_changes
        for batch in batches:
            with self._cancellation.statement():
                self._connection.executemany(insert, batch)
        return self._connection.total_changes - before

    def _described(self, table: Table) -> list[Row]:
        # By itself, not in a transaction: a read lock that a later write would have to raise can be refused for good.
        schema = f"{quoted(table.schema)}." if table.schema else ""
        query = f"PRAGMA {schema}table_xinfo({quoted(table.name)})"
        return self._patient(lambda: self._connection.execute(query).fetchall())

    def _started(self, statement: Statement, params: Mapping[str, Any] | None) -> sqlite3.Cursor:
        values = {name: _storable(value) for name, value in statement.values(params).items()}
        self._has_written = self._has_written or statement.writes
        if statement.outside_transaction:
            self.about_to_commit()
            self._ran_alone = True
        elif not self._connection.in_transaction:
            # A read lock that becomes a write lock can be refused for good, so a write asks for it at once.
            begin = "BEGIN IMMEDIATE" if statement.writes else "BEGIN"
            self._patient(lambda: self._connection.execute(begin))
        return self._patient(lambda: self._connection.execute(statement.sql, values))

    def _some(self, cursor: sqlite3.Cursor, size: int) -> list[Row]:
        with self._cancellation.statement():
            return cursor.fetchmany(size)

    def _patient[T](self, call: Callable[[], T]) -> T:
        """The call's result, asked for again while another connection holds the lock."""
        ends = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                with self._cancellation.statement():
                    return call()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                    raise
            self._cancellation.requested.wait(BUSY_SLICE_SECONDS / 5)


def _allow(action: int, filename: str | None, *_: object) -> int:
    """A query may not open other files: a connector is one database. VACUUM attaches a nameless one."""
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH and filename != "" else sqlite3.SQLITE_OK


def _storable(value: Any) -> Any:
    """A value in a form that SQLite keeps: dates, decimals and UUIDs are text."""
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    return value
