"""DuckDB, hardened: SQL reaches the one file of the connector and nothing else on the machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import duckdb

from nomaflow.definitions.sql_text import Statement, StatementError, one_statement
from nomaflow.steps.databases.cancellation import Cancellation
from nomaflow.steps.databases.errors import OpenError, RefusedValueError
from nomaflow.steps.databases.tables import Column, Relation, Table, listed, quoted, same_name
from nomaflow.worker.context import CUT_SECONDS, Row, unheard

_HARDENED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
}

_DEFAULTS = {"memory_limit": "2GB"}
"""What a connector's URL may say otherwise. DuckDB's own limit is most of the machine's memory, which workers share."""


_BATCH = "_nomaflow_batch"


class DuckDbDatabase:
    """One connection. A transaction begins with the first statement, DDL included."""

    backend: str = "duckdb"
    temporary_schema = "temp"
    takes_columns = True
    server_process: int | None = None
    may_go_on = False

    def __init__(self, connector: dict[str, Any]) -> None:
        self.name: str = connector["name"]
        path = connector.get("database") or ":memory:"
        self.location = path if path == ":memory:" else f"duckdb:{os.path.realpath(path)}"
        try:
            config = _DEFAULTS | (connector.get("query") or {}) | _HARDENED
            self._connection = duckdb.connect(path, config=config)
            # A second connection to the same file shares the first one's settings, which are locked.
            if not self._connection.execute("SELECT current_setting('lock_configuration')").fetchall()[0][0]:
                self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
                self._connection.execute("SET lock_configuration = true")
        except duckdb.Error as error:
            raise OpenError(self.name, error) from error
        self._cancellation = Cancellation(self._connection.interrupt)
        self.about_to_commit: Callable[[], None] = unheard
        self._in_transaction = self._has_written = self._ran_alone = False

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run one statement; the rows it affected, or gave back."""
        self._start(one_statement(sql), params)
        # Where a statement only tells how many rows it changed, that number is `rowcount`.
        affected = self._connection.rowcount
        given = 0
        while rows := self._some(1000):
            given += len(rows)
        return affected if affected >= 0 else given

    def fetch(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """All rows of one statement."""
        return [row for rows in self.stream(sql, params) for row in rows]

    def stream(
        self, sql: str, params: Mapping[str, Any] | None = None, *, size: int = 1000
    ) -> Generator[list[Row], None, None]:
        """The rows in batches; no other statement may run meanwhile."""
        self._start(one_statement(sql), params)
        while rows := self._some(size):
            yield rows

    def commit(self) -> None:
        """Make the changes last."""
        if self._in_transaction:
            if self._has_written:
                self.about_to_commit()
            self._connection.commit()
            self._in_transaction = self._has_written = False

    def rollback(self) -> bool | None:
        """Drop the changes; whether all of them are gone."""
        if self._in_transaction:
            self._connection.rollback()
            self._in_transaction = self._has_written = False
        return not self._ran_alone

    def cancel(self, cut_seconds: float = CUT_SECONDS) -> None:
        """Stop the statement that runs now; safe from another thread."""
        self._cancellation.cancel(cut_seconds)

    def close(self) -> None:
        """Close the connection; what is not committed is dropped."""
        self._connection.close()

    def columns(self, table: Table) -> tuple[Column, ...]:
        """The columns in their order; none where there is no such table."""
        return tuple(
            Column(name, declared, nullable == "YES", default is not None, generated == "ALWAYS")
            for name, declared, nullable, default, generated in self.fetch(
                """SELECT column_name, data_type, is_nullable, column_default, is_generated
                   FROM information_schema.columns
                   WHERE table_catalog IN (current_database(), 'temp') AND table_schema = :schema AND table_name = :name
                   ORDER BY ordinal_position""",
                _key(table),
            )
        )

    def primary_key(self, table: Table) -> tuple[str, ...]:
        """The columns of the primary key, in its order."""
        found = self.fetch(
            """SELECT constraint_column_names FROM duckdb_constraints()
               WHERE constraint_type = 'PRIMARY KEY' AND database_name = current_database()
                 AND schema_name = :schema AND table_name = :name""",
            _key(table),
        )
        return tuple(found[0][0]) if found else ()

    def columns_of(self, relation: Relation) -> tuple[Column, ...]:
        """The columns that a query gives."""
        described = self.fetch(f"DESCRIBE SELECT * FROM {relation.sql}", relation.params)
        return tuple(Column(name, declared) for name, declared, *_ in described)

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
        """Nothing to do: one process has the file, and a conflict inside it is an error."""

    def cascades(self, table: Table) -> tuple[str, ...]:
        """None: DuckDB's foreign keys refuse, they do not cascade."""
        return ()

    def read(
        self, relation: Relation, names: Sequence[str], *, as_text: frozenset[str], size: int
    ) -> Generator[list[Row], None, None]:
        """The rows in batches."""
        wanted = (f"CAST({quoted(name)} AS VARCHAR)" if name in as_text else quoted(name) for name in names)
        return self.stream(f"SELECT {', '.join(wanted)} FROM {relation.sql}", relation.params, size=size)

    def write(self, table: Table, names: Sequence[str], batches: Iterable[Any]) -> int:
        """Add the rows of Arrow tables; how many DuckDB took. One is added while the next one is read."""
        declared = {column.name: column.declared for column in self.columns_of(Relation.of_table(table))}
        adding = [(name, declared[name]) for name in names]
        insert = f"INSERT INTO {table.quoted} ({listed(names)}) SELECT * FROM {_BATCH}"
        self._has_written = True
        written = 0
        with ThreadPoolExecutor(1, "add rows") as at_work:
            before: Future[int] | None = None
            for batch in batches:
                if before is not None:
                    written += before.result()
                before = at_work.submit(self._add, insert, batch, adding, written)
            if before is not None:
                written += before.result()
        return written

    def _add(self, insert: str, batch: Any, adding: Sequence[tuple[str, str]], rows_before: int) -> int:
        with self._cancellation.statement():
            self._connection.register(_BATCH, batch)
            try:
                self._connection.execute(insert)
            except duckdb.ConversionException as error:
                place = re.search(r"from source column c(\d+)$", str(error))
                if place is None:
                    raise
                number = int(place[1])
            else:
                affected = self._connection.rowcount
                # Not after an error: the transaction takes no statement then, and this is one.
                self._connection.unregister(_BATCH)
                return affected
        column, declared = adding[number]
        row = _refused_row(batch, number, declared)
        raise RefusedValueError(row and rows_before + row, column, declared)

    def _start(self, statement: Statement, params: Mapping[str, Any] | None) -> None:
        values = list(statement.values(params).values())
        with self._cancellation.statement():
            self._has_written = self._has_written or statement.writes
            if statement.outside_transaction:
                self.about_to_commit()
                self._ran_alone = True
            elif not self._in_transaction:
                self._connection.begin()
                self._in_transaction = True
            try:
                self._connection.execute(statement.numbered(), values)
            except duckdb.ParserException as error:
                raise StatementError(str(error)) from error

    def _some(self, size: int) -> list[Row]:
        with self._cancellation.statement():
            return self._connection.fetchmany(size)


def _refused_row(batch: Any, number: int, declared: str) -> int | None:
    """The first row of a batch whose value is none of the column's; None where that cannot be found out."""
    wanted = f"SELECT row_number() OVER () AS n, c{number} AS c FROM {_BATCH}"
    try:
        with duckdb.connect(config=dict[str, Any](_HARDENED)) as look:
            look.register(_BATCH, batch)
            (row,) = look.execute(
                f"SELECT min(n) FROM ({wanted}) WHERE c IS NOT NULL AND TRY_CAST(c AS {declared}) IS NULL"
            ).fetchall()[0]
    except duckdb.Error:  # a type of the database's own
        return None
    return row if row is None else int(row)


def _key(table: Table) -> dict[str, str]:
    return {"schema": table.schema or "main", "name": table.name}
