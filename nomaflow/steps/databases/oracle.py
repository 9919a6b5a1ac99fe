"""Oracle, by oracledb in its thin mode. UNTESTED on a server; what can be tested without one is.

A copy reads from it and does not write to it. A statement has no semicolons inside, so a PL/SQL block is none: write
`CALL procedure(:a)`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import oracledb

from nomaflow.definitions.sql_text import Statement, one_statement
from nomaflow.steps.databases.dbapi import CONNECT_SECONDS, DbapiDatabase, log
from nomaflow.steps.databases.tables import Column, Relation, Table, quoted
from nomaflow.worker.connector import first_line
from nomaflow.worker.context import Row

MODULE, LONGEST_IDENTIFIER = "nomaflow", 64

_SESSION = (
    "ALTER SESSION SET TIME_ZONE = 'UTC'",
    "ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,'",
    "ALTER SESSION SET NLS_DATE_FORMAT = 'SYYYY-MM-DD HH24:MI:SS'",
    "ALTER SESSION SET NLS_TIMESTAMP_FORMAT = 'SYYYY-MM-DD HH24:MI:SS.FF'",
)

_COLUMNS = """
    SELECT column_name, data_type, data_precision, data_scale, char_length, nullable, data_default, virtual_column
    FROM all_tab_cols
    WHERE owner = nvl(:schema, sys_context('USERENV', 'CURRENT_SCHEMA')) AND table_name = :name
      AND hidden_column = 'NO'
    ORDER BY column_id"""

_PRIMARY_KEY = """
    SELECT c.column_name FROM all_constraints k
    JOIN all_cons_columns c ON c.owner = k.owner AND c.constraint_name = k.constraint_name
    WHERE k.constraint_type = 'P' AND k.table_name = :name
      AND k.owner = nvl(:schema, sys_context('USERENV', 'CURRENT_SCHEMA'))
    ORDER BY c.position"""


class OracleDatabase(DbapiDatabase):
    """One connection. A change of a table's definition commits by itself; the session's zone is UTC."""

    backend = "oracle"
    drivername = "oracle+oracledb"
    extra = "oracle"
    commits_ddl = True

    def only_read(self) -> None:
        """Let the transaction that comes change nothing, and see one moment."""
        self.execute("SET TRANSACTION READ ONLY")

    def columns(self, table: Table) -> tuple[Column, ...]:
        """The columns in their order; none where there is no such table."""
        return tuple(
            Column(
                name, _declared(kind, precision, scale, length), nullable == "Y", default is not None, virtual == "YES"
            )
            for name, kind, precision, scale, length, nullable, default, virtual in self.fetch(_COLUMNS, _key(table))
        )

    def columns_of(self, relation: Relation) -> tuple[Column, ...]:
        """The columns that a query gives."""
        statement = one_statement(f"SELECT * FROM {relation.sql} WHERE 1 = 0", **self.reading)
        with self._cursor() as cursor:
            self._run(cursor, statement, relation.params)
            return tuple(
                Column(name, _declared(kind.name.removeprefix("DB_TYPE_"), precision, scale, size))
                for name, kind, size, _, precision, scale, _ in cursor.description
            )

    def primary_key(self, table: Table) -> tuple[str, ...]:
        """The columns of the primary key, in its order."""
        return tuple(name for (name,) in self.fetch(_PRIMARY_KEY, _key(table)))

    def same(self, one: Table, other: Table) -> bool:
        """Whether both names mean the same table."""
        ((schema,),) = self.fetch("SELECT sys_context('USERENV', 'CURRENT_SCHEMA') FROM dual")
        first, second = ((table.schema or schema, table.name) for table in (one, other))
        return first == second

    def read(
        self, relation: Relation, names: Sequence[str], *, as_text: frozenset[str], size: int
    ) -> Generator[list[Row], None, None]:
        """The rows in batches; times as text."""
        columns = self.columns(relation.table) if relation.table is not None else self.columns_of(relation)
        declared = {column.name: column.declared for column in columns}
        wanted = (_exactly(name, declared.get(name, "")) for name in names)
        return self.stream(f"SELECT {', '.join(wanted)} FROM {relation.sql}", relation.params, size=size)

    def _connect_options(self, connector: Mapping[str, Any]) -> dict[str, Any]:
        # Numbers with all their digits, and texts and bytes of any length as they are.
        oracledb.defaults.fetch_decimals, oracledb.defaults.fetch_lobs = True, False
        return {"tcp_connect_timeout": CONNECT_SECONDS}

    def _begun(self) -> None:
        self._connection.module = MODULE
        self._connection.client_identifier = self._tag[:LONGEST_IDENTIFIER]
        with closing(self._connection.cursor()) as cursor:
            for setting in _SESSION:
                cursor.execute(setting)

    def _bound(self, statement: Statement, values: Mapping[str, Any]) -> tuple[Any, ...]:
        # The server takes no semicolon, and no parameter that has the name of a keyword.
        numbers = {name: f"p{number}" for number, name in enumerate(values, 1)}
        text = replace(statement, sql=statement.body).rendered(lambda name: f":{numbers[name]}")
        return text, {numbers[name]: value for name, value in values.items()}

    def _lost(self, error: Exception) -> bool:
        first = error.args[0] if error.args else None
        return isinstance(error, OSError) or bool(getattr(first, "isrecoverable", False)) or super()._lost(error)

    def _interrupt(self) -> None:
        try:
            self._connection.cancel()
        except (oracledb.Error, OSError) as error:
            log.warning("The server of %r did not take the request to cancel: %s", self.name, first_line(error))


def _key(table: Table) -> dict[str, str | None]:
    return {"schema": table.schema, "name": table.name}


def _declared(kind: str, precision: int | None, scale: int | None, length: int | None) -> str:
    """As a table declares it: `NUMBER(9,2)`, `VARCHAR2(20)`; the dictionary says a time's digits in its kind."""
    if kind == "NUMBER" and precision:
        return f"NUMBER({precision},{scale or 0})"
    if kind in ("VARCHAR2", "NVARCHAR2", "CHAR", "NCHAR", "VARCHAR", "NVARCHAR") and length:
        return f"{kind}({length})"
    return kind


def _exactly(name: str, declared: str) -> str:
    """What gives a value as text where the driver's Python value would hold less, or nothing that is known here.

    Digits beyond a microsecond stay where they are not zero, so that they are told and not dropped.
    """
    kind, column = declared.upper(), quoted(name)
    if kind.startswith("INTERVAL"):
        return f"TO_CHAR({column})"
    if kind == "JSON":
        return f"JSON_SERIALIZE({column} RETURNING CLOB)"
    if not kind.startswith("TIMESTAMP"):
        return column
    has_zone = "TIME ZONE" in kind or kind.endswith(("_TZ", "_LTZ"))
    moment = f"SYS_EXTRACT_UTC({column})" if has_zone else column
    text = f"REGEXP_REPLACE(TO_CHAR({moment}, 'YYYY-MM-DD HH24:MI:SS.FF9'), '000$')"
    return f"{text} || '+00:00'" if has_zone else text
