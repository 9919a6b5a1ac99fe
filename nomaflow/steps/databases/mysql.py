"""MySQL and MariaDB, by pymysql."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, ClassVar

import pymysql
import pymysql.cursors
from pymysql.constants import FIELD_TYPE

from nomaflow.definitions.sql_text import Statement, one_statement
from nomaflow.steps.databases.dbapi import CONNECT_SECONDS, DbapiDatabase, log, storable
from nomaflow.steps.databases.errors import NoTransactionsError
from nomaflow.steps.databases.tables import Column, Relation, Table, listed, quoted
from nomaflow.worker.connector import first_line
from nomaflow.worker.context import Row

WAITING = "_nomaflow_new_"
"""How the name of a table begins that is being filled and has still to get its own name."""

LONGEST_NAME = 64

_TABLE_MODE = "STRICT_ALL_TABLES,ANSI_QUOTES,NO_AUTO_VALUE_ON_ZERO,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
"""For copies: names stand in double quotes as everywhere else, no value is cut to fit, and 0 is not the next number."""

_LOST = frozenset({0, 2006, 2013, 2014, 4031})
"""The driver's own numbers, and the server's word before it closes a connection that was idle for too long."""

_ROLLBACK_INCOMPLETE = 1196

_COLUMNS = """
    SELECT column_name, column_type, is_nullable = 'YES',
           (column_default IS NOT NULL AND column_default <> 'NULL') OR extra LIKE '%auto_increment%',
           extra REGEXP 'VIRTUAL|STORED|PERSISTENT'
    FROM information_schema.columns
    WHERE table_schema = coalesce(:schema, database()) AND table_name = :name
    ORDER BY ordinal_position"""

_PRIMARY_KEY = """
    SELECT column_name FROM information_schema.key_column_usage
    WHERE constraint_name = 'PRIMARY' AND table_schema = coalesce(:schema, database()) AND table_name = :name
    ORDER BY ordinal_position"""

_CASCADES = """
    SELECT DISTINCT concat(constraint_schema, '.', table_name) FROM information_schema.referential_constraints
    WHERE unique_constraint_schema = coalesce(:schema, database()) AND referenced_table_name = :name
      AND delete_rule NOT IN ('RESTRICT', 'NO ACTION')"""

_ENGINE = """
    SELECT t.engine, e.transactions FROM information_schema.tables t
    LEFT JOIN information_schema.engines e ON e.engine = t.engine
    WHERE table_schema = coalesce(:schema, database()) AND table_name = :name"""

_EXACT_COLLATIONS = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin", "utf8mb4_bin")
"""MariaDB's and MySQL's rule by which only equal texts are equal; the last one takes `a` and `a ` for the same."""

_COLLATIONS = "SELECT collation_name FROM information_schema.collations WHERE collation_name LIKE 'utf8mb4%bin'"

_ROWS = """
    SELECT table_rows FROM information_schema.tables
    WHERE table_schema = coalesce(:schema, database()) AND table_name = :name"""


class MysqlDatabase(DbapiDatabase):
    """One connection. A change of a table's definition commits by itself; the session's zone is UTC."""

    backend = "mysql"
    drivername = "mysql+pymysql"
    extra = "mysql"
    commits_ddl = True
    reading: ClassVar[Mapping[str, bool]] = {"comments_nest": False, "backslashes": True}
    _waiting: Table | None = None
    _speaks_of_tables = False

    def rollback(self) -> bool | None:
        """Drop the changes; whether all of them are gone: a table without transactions keeps its own."""
        is_gone = super().rollback()
        if is_gone is None:
            return None
        # The server warns of tables that cannot roll back; a table that was made for a copy is no change of theirs.
        warned = any(number == _ROLLBACK_INCOMPLETE for _, number, _ in self._connection.show_warnings())
        if self._waiting is not None:
            self._plain(f"DROP TABLE IF EXISTS {self._waiting.quoted}")
            self._waiting = None
        return is_gone and not warned

    def columns(self, table: Table) -> tuple[Column, ...]:
        """The columns in their order; none where there is no such table."""
        self._speak_of_tables()
        return tuple(
            Column(name, declared, bool(nullable), bool(filled), bool(generated))
            for name, declared, nullable, filled, generated in self.fetch(_COLUMNS, _key(table))
        )

    def columns_of(self, relation: Relation) -> tuple[Column, ...]:
        """The columns that a query gives."""
        self._speak_of_tables()
        statement = one_statement(f"SELECT * FROM {relation.sql} LIMIT 0", **self.reading)
        with self._cursor() as cursor:
            self._run(cursor, statement, relation.params)
            return tuple(Column(field.name, _declared(field)) for field in cursor._result.fields)

    def primary_key(self, table: Table) -> tuple[str, ...]:
        """The columns of the primary key, in its order."""
        return tuple(name for (name,) in self.fetch(_PRIMARY_KEY, _key(table)))

    def only_read(self) -> None:
        """Let the transaction that comes change nothing: a query may call functions that do."""
        self.execute("SET TRANSACTION READ ONLY")

    def estimated_rows(self, relation: Relation) -> int | None:
        """The storage engine's estimate."""
        if relation.table is None or not relation.is_whole:
            return None
        found = self.fetch(_ROWS, _key(relation.table))
        return found[0][0] or None if found else None

    def same(self, one: Table, other: Table) -> bool:
        """Whether both names mean the same table."""
        ((database, folds),) = self.fetch("SELECT database(), @@lower_case_table_names")
        first, second = ((table.schema or database, table.name) for table in (one, other))
        return first == second or bool(folds and str(first).casefold() == str(second).casefold())

    def hold(self, table: Table) -> None:
        """Look whether the table keeps its old rows until a commit. Who deletes or merges its rows locks them.

        Raises:
            NoTransactionsError: it does not.
        """
        for engine, transactions in self.fetch(_ENGINE, _key(table)):
            if transactions != "YES":
                raise NoTransactionsError(
                    f"The table {table} of {self.name!r} is of the engine {engine}, which has no transactions: a copy "
                    "that fails would leave it half full; run ALTER TABLE … ENGINE=InnoDB on it"
                )

    def cascades(self, table: Table) -> tuple[str, ...]:
        """Tables whose rows would be changed by deleting rows of this one."""
        return tuple(name for (name,) in self.fetch(_CASCADES, _key(table)))

    def made(self, table: Table, lines: str) -> Table:
        """Make a table of another name, which `show` gives its own: the server commits it, empty as it is."""
        waiting = Table(table.schema, (WAITING + table.name)[:LONGEST_NAME])
        # What a copy left that was killed. One that is at work holds it until its end.
        self._plain(f"DROP TABLE IF EXISTS {waiting.quoted}")
        collations = {name for (name,) in self.fetch(_COLLATIONS)}
        collation = next(name for name in _EXACT_COLLATIONS if name in collations)
        self._waiting = waiting
        self._plain(f"CREATE TABLE {waiting.quoted} ({lines}) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE {collation}")
        return waiting

    def show(self, waiting: Table, table: Table) -> None:
        """Give the table its name, in one step for everybody, after the commit of its rows."""
        self._end(lambda: self._plain(f"RENAME TABLE {waiting.quoted} TO {table.quoted}"))
        self._waiting = None

    def read(
        self, relation: Relation, names: Sequence[str], *, as_text: frozenset[str], size: int
    ) -> Generator[list[Row], None, None]:
        """The rows in batches, the columns of `as_text` in the server's notation."""
        columns = self.columns(relation.table) if relation.table is not None else self.columns_of(relation)
        declared = {column.name: column.declared for column in columns}
        wanted = (_exactly(name, declared.get(name, ""), name in as_text) for name in names)
        return self.stream(f"SELECT {', '.join(wanted)} FROM {relation.sql}", relation.params, size=size)

    def write(self, table: Table, names: Sequence[str], batches: Iterable[Sequence[Row]]) -> int:
        """Add rows by INSERTs of about a megabyte; how many the server took."""
        marks = ", ".join(["%s"] * len(names))
        into = f"{table.quoted} ({listed(names)})".replace("%", "%%")
        insert = f"INSERT {self._comment} INTO {into} VALUES ({marks})"
        written = 0
        with closing(self._connection.cursor()) as cursor:
            for batch in batches:
                rows = [tuple(map(storable, row)) for row in batch]
                with self._working():
                    written += cursor.executemany(insert, rows) or 0
        return written

    def _connector(self, connector: Mapping[str, Any]) -> Callable[[], Any]:
        connect = super()._connector(connector)

        def opened() -> Any:
            connection = connect()
            # A statement may take as long as it likes; only the server's greeting may not.
            connection._read_timeout = None
            return connection

        return opened

    def _connect_options(self, connector: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "read_timeout": int((connector.get("query") or {}).get("connect_timeout", CONNECT_SECONDS)),
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_SECONDS,
            "program_name": self._tag,
            "init_command": "SET time_zone = '+00:00'",
        }

    def _begun(self) -> None:
        self.server_process = self._connection.thread_id()
        # A comment cannot be ended by what stands in it.
        self._comment = f"/* {self._tag.replace('*/', '')} */"

    def _location(self, connector: Mapping[str, Any]) -> str:
        with closing(self._connection.cursor()) as cursor:
            cursor.execute("SELECT current_user(), @@hostname, @@port, database()")
            user, host, port, database = cursor.fetchone()
        return f"mysql://{user}@{host}:{port}/{database}"

    def _new_cursor(self) -> Any:
        return self._connection.cursor(pymysql.cursors.SSCursor)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        cursor = self._new_cursor()
        try:
            yield cursor
        except BaseException:
            # The rest of the rows would have to be read before anything else can be asked, however many they are.
            if cursor._result is not None and cursor._result.unbuffered_active:
                self._interrupt()
            with suppress(pymysql.Error, OSError), self._cancellation.ending():
                cursor.close()
            raise
        cursor.close()

    def _bound(self, statement: Statement, values: Mapping[str, Any]) -> tuple[Any, ...]:
        # The driver has no other way than to paste values as it quotes them.
        text = statement.rendered(lambda name: self._connection.escape(values[name])) if values else statement.sql
        return (f"{self._comment} {text}",)

    def _lost(self, error: Exception) -> bool:
        return not isinstance(error, pymysql.Error) or (bool(error.args) and error.args[0] in _LOST)

    def _commits(self, statement: Statement) -> bool:
        return super()._commits(statement) and "TEMPORARY" not in statement.words

    def _speak_of_tables(self) -> None:
        """From now on this connection serves a copy, whose two looks at one table have to see the same."""
        if not self._speaks_of_tables:
            self._speaks_of_tables = True
            self._plain(f"SET SESSION sql_mode = '{_TABLE_MODE}'")
            self._plain("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    def _plain(self, sql: str) -> None:
        """A statement of our own."""
        with self._cursor() as cursor, self._cancellation.ending():
            cursor.execute(f"{self._comment} {sql}")

    def _interrupt(self) -> None:
        try:
            with closing(self._connect()) as second, closing(second.cursor()) as cursor:
                cursor.execute(f"KILL QUERY {self.server_process}")
        except (pymysql.Error, OSError) as error:
            log.warning("The server of %r did not take the request to cancel: %s", self.name, first_line(error))

    def _means_to_cut(self) -> Callable[[], object]:
        return self._cut

    def _cut(self) -> None:
        """End the connection under the driver, which would wait for its server for ever."""
        log.warning("The server of %r does not answer, so its connection is cut", self.name)
        with suppress(AttributeError, OSError):  # it is lost already
            self._connection._sock.shutdown(socket.SHUT_RDWR)


def _key(table: Table) -> dict[str, str | None]:
    return {"schema": table.schema, "name": table.name}


def _exactly(name: str, declared: str, as_text: bool) -> str:
    """What gives a column's value with all its digits: a FLOAT is shown with six of them."""
    if as_text:
        return f"CAST({quoted(name)} AS CHAR)"
    return f"({quoted(name)} + 0e0)" if declared.lower().startswith("float") else quoted(name)


_FIELDS = {
    FIELD_TYPE.SHORT: "smallint",
    FIELD_TYPE.LONG: "int",
    FIELD_TYPE.LONGLONG: "bigint",
    FIELD_TYPE.INT24: "mediumint",
    FIELD_TYPE.FLOAT: "float",
    FIELD_TYPE.DOUBLE: "double",
    FIELD_TYPE.TIMESTAMP: "timestamp",
    FIELD_TYPE.DATETIME: "datetime",
    FIELD_TYPE.DATE: "date",
    FIELD_TYPE.NEWDATE: "date",
    FIELD_TYPE.TIME: "time",
    FIELD_TYPE.YEAR: "year",
    FIELD_TYPE.JSON: "json",
    FIELD_TYPE.BIT: "bit",
    FIELD_TYPE.GEOMETRY: "geometry",
}
_BINARY_CHARSET = 63
_UNSIGNED_FLAG = 32


def _declared(field: Any) -> str:
    """A result's column as a table would declare it."""
    unsigned = " unsigned" if field.flags & _UNSIGNED_FLAG else ""
    if field.type_code == FIELD_TYPE.TINY:
        return f"tinyint({field.length}){unsigned}"
    if field.type_code in (FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL):
        digits = field.length - (not unsigned) - (field.scale > 0)
        return f"decimal({digits},{field.scale}){unsigned}"
    if field.type_code in _FIELDS:
        return _FIELDS[field.type_code] + (unsigned if "int" in _FIELDS[field.type_code] else "")
    return "longblob" if field.charsetnr == _BINARY_CHARSET else "longtext"
