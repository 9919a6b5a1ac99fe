"""SQL Server, by pyodbc. UNTESTED on a server; what can be tested without one is.

A copy reads from it and does not write to it. SQL Server needs no semicolon between two statements, so there alone a
text may hold a second one that is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pyodbc

from nomaflow.definitions.sql_text import Statement, one_statement
from nomaflow.steps.databases.dbapi import CONNECT_SECONDS, DbapiDatabase, log
from nomaflow.steps.databases.tables import Column, Relation, Table, quoted, same_name
from nomaflow.worker.connector import first_line
from nomaflow.worker.context import Row

LONGEST_NAME = 128

_COLUMNS = """
    SELECT c.name, t.name, c.max_length, c.precision, c.scale, c.is_nullable,
           CASE WHEN c.default_object_id <> 0 OR c.is_identity = 1 THEN 1 ELSE 0 END, c.is_computed
    FROM sys.columns c JOIN sys.types t ON t.user_type_id = c.system_type_id
    WHERE c.object_id = object_id(:name) ORDER BY c.column_id"""

_PRIMARY_KEY = """
    SELECT c.name FROM sys.indexes i
    JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id
    JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id
    WHERE i.is_primary_key = 1 AND i.object_id = object_id(:name) ORDER BY k.key_ordinal"""

_OF_PYTHON = {
    "bool": "bit",
    "int": "bigint",
    "float": "float",
    "str": "nvarchar",
    "bytes": "varbinary",
    "bytearray": "varbinary",
    "date": "date",
    "time": "time",
    "datetime": "datetime2",
    "UUID": "uniqueidentifier",
}
"""What a query's column is, by the class that the driver gives its values."""

_LOST = frozenset({"08S01", "08003", "08007", "01000"})


class MssqlDatabase(DbapiDatabase):
    """One connection. A transaction begins with the first statement, DDL included."""

    backend = "mssql"
    drivername = "mssql+pyodbc"
    extra = "mssql"
    commits_ddl = True
    reading: ClassVar[Mapping[str, bool]] = {}
    _at_work: Any = None

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run one statement; the rows it affected, or gave back."""
        alone = self._commits(one_statement(sql, **self.reading))
        self._connection.autocommit = alone
        try:
            return super().execute(sql, params)
        finally:
            if alone and not self._is_lost:
                self._connection.autocommit = False

    def columns(self, table: Table) -> tuple[Column, ...]:
        """The columns in their order; none where there is no such table."""
        return tuple(
            Column(name, _declared(kind, length, precision, scale), bool(nullable), bool(filled), bool(computed))
            for name, kind, length, precision, scale, nullable, filled, computed in self.fetch(
                _COLUMNS, {"name": table.quoted}
            )
        )

    def columns_of(self, relation: Relation) -> tuple[Column, ...]:
        """The columns that a query gives."""
        statement = one_statement(f"SELECT TOP 0 * FROM {relation.sql}", **self.reading)
        with self._cursor() as cursor:
            self._run(cursor, statement, relation.params)
            return tuple(
                Column(name, f"decimal({precision},{scale})" if given == "Decimal" else _OF_PYTHON.get(given, given))
                for name, given, precision, scale in (
                    (name, kind.__name__, precision, scale)
                    for name, kind, _, _, precision, scale, _ in cursor.description
                )
            )

    def primary_key(self, table: Table) -> tuple[str, ...]:
        """The columns of the primary key, in its order."""
        return tuple(name for (name,) in self.fetch(_PRIMARY_KEY, {"name": table.quoted}))

    def same(self, one: Table, other: Table) -> bool:
        """Whether both names mean the same table."""
        return same_name(one, other)

    def read(
        self, relation: Relation, names: Sequence[str], *, as_text: frozenset[str], size: int
    ) -> Generator[list[Row], None, None]:
        """The rows in batches; a table's times as text."""
        columns = self.columns(relation.table) if relation.table is not None else ()
        declared = {column.name: column.declared for column in columns}
        wanted = (_exactly(name, declared.get(name, "")) for name in names)
        return self.stream(f"SELECT {', '.join(wanted)} FROM {relation.sql}", relation.params, size=size)

    def _connect_options(self, connector: Mapping[str, Any]) -> dict[str, Any]:
        # What stands in the driver's own text of keywords must not end its keyword.
        return {"timeout": CONNECT_SECONDS, "APP": re.sub(r"[^\w ./-]", "_", self._tag)[:LONGEST_NAME]}

    def _begun(self) -> None:
        # It knows how an instant with its zone looks on the wire.
        if (prepare := self._dialect.on_connect()) is not None:
            prepare(self._connection)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with super()._cursor() as cursor:
            self._at_work = cursor
            try:
                yield cursor
            finally:
                self._at_work = None

    def _bound(self, statement: Statement, values: Mapping[str, Any]) -> tuple[Any, ...]:
        text = statement.rendered(lambda name: "?")
        return text, [values[name] for _, _, name in statement.binds]

    def _commits(self, statement: Statement) -> bool:
        return statement.outside_transaction or statement.words[:2] == ("ALTER", "DATABASE")

    def _lost(self, error: Exception) -> bool:
        return not isinstance(error, pyodbc.Error) or (bool(error.args) and error.args[0] in _LOST)

    def _interrupt(self) -> None:
        cursor = self._at_work
        if cursor is None:
            return
        try:
            cursor.cancel()
        except pyodbc.Error as error:
            log.warning("The server of %r did not take the request to cancel: %s", self.name, first_line(error))


def _declared(kind: str, length: int, precision: int, scale: int) -> str:
    """As a table declares it: `decimal(9,2)`, `nvarchar(20)`, `datetime2(7)`."""
    if kind in ("decimal", "numeric"):
        return f"{kind}({precision},{scale})"
    if kind in ("datetime2", "datetimeoffset", "time"):
        return f"{kind}({scale})"
    if kind in ("char", "varchar", "nchar", "nvarchar") and length > 0:
        return f"{kind}({length // 2 if kind.startswith('n') else length})"
    return kind


def _exactly(name: str, declared: str) -> str:
    """A time as text, since the server keeps a digit more than the driver's values; where it is 0 it is left out."""
    kind, column = declared.partition("(")[0], quoted(name)
    if kind not in ("time", "datetime2", "datetimeoffset"):
        return column
    if kind == "datetimeoffset":
        column = f"CAST(SWITCHOFFSET({column}, '+00:00') AS datetime2)"
    text = f"CONVERT(varchar(33), {column}, 121)"
    if declared.endswith("(7)"):
        text = f"CASE WHEN {text} LIKE '%0' THEN LEFT({text}, LEN({text}) - 1) ELSE {text} END"
    return f"{text} + '+00:00'" if kind == "datetimeoffset" else text
