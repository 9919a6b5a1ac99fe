"""What databases behind a DB-API driver have in common; SQLAlchemy makes the driver's arguments out of an address."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, ClassVar

from nomaflow.definitions.sql_text import Statement, one_statement
from nomaflow.steps.databases.cancellation import Cancellation
from nomaflow.steps.databases.errors import DriverMissingError, OpenError, OutcomeUnknownError
from nomaflow.steps.databases.tables import Column, Relation, Table, listed
from nomaflow.worker.context import CUT_SECONDS, Row, unheard

CONNECT_SECONDS = 10
"""How long a server may take to answer, unless the connector's URL says otherwise."""

log = logging.getLogger("nomaflow.step")

_COMMITTING = frozenset(["ALTER", "CREATE", "DROP", "RENAME", "TRUNCATE", "GRANT", "REVOKE", "ANALYZE", "COMMENT"])


class DbapiDatabase(ABC):
    """One connection. A transaction begins with the first statement; what else holds is the subclass's."""

    backend: str
    drivername: ClassVar[str]
    extra: ClassVar[str]
    """The optional dependencies of this package that bring the driver and SQLAlchemy."""

    commits_ddl: ClassVar[bool]
    """Whether there are statements with which the server commits, whatever transaction they are a part of."""

    reading: ClassVar[Mapping[str, bool]] = {"comments_nest": False}
    """How the text of a statement is read, as `one_statement` takes it."""

    temporary_schema: str | None = None
    takes_columns = False
    server_process: int | None = None

    def __init__(self, connector: Mapping[str, Any]) -> None:
        self.name: str = connector["name"]
        self._tag = str(connector.get("application_name") or "nomaflow")
        self._connect = self._connector(connector)
        try:
            self._connection = self._connect()
        except self._errors as error:
            raise OpenError(self.name, error) from error
        try:
            self._begun()
        except self._errors as error:
            with suppress(*self._errors):
                self._connection.close()
            raise OpenError(self.name, error) from error
        self.location = self._location(connector)
        self.about_to_commit: Callable[[], None] = unheard
        self._cancellation = Cancellation(self._interrupt, self._means_to_cut())
        self._ran_alone = self._is_at_work = self._is_closed = self._may_go_on = self._is_lost = False

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run one statement; the rows it affected, or gave back."""
        statement = one_statement(sql, **self.reading)
        if self.commits_ddl and self._commits(statement):
            self.about_to_commit()
            self._ran_alone = True
        with self._cursor() as cursor:
            self._run(cursor, statement, params)
            if cursor.description is None:
                return max(int(cursor.rowcount), 0)
            return sum(map(len, self._batches(cursor, 1000)))

    def fetch(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """All rows of one statement; none where it gives none."""
        with self._cursor() as cursor:
            self._run(cursor, one_statement(sql, **self.reading), params)
            return [row for rows in self._batches(cursor, 1000) for row in rows] if cursor.description else []

    def stream(
        self, sql: str, params: Mapping[str, Any] | None = None, *, size: int = 1000
    ) -> Generator[list[Row], None, None]:
        """The rows of a query in batches; no other statement may run meanwhile."""
        with self._cursor() as cursor:
            self._run(cursor, one_statement(sql, **self.reading), params)
            yield from self._batches(cursor, size)

    def commit(self) -> None:
        """Make the changes last.

        Raises:
            OutcomeUnknownError: the connection was lost before the server's answer.
        """
        self.about_to_commit()
        self._end(self._connection.commit)

    def rollback(self) -> bool | None:
        """Drop the changes; whether all of them are gone, None where the server is lost or in mid-statement."""
        if self._is_at_work or self._is_lost:
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
            self._may_go_on = self._is_at_work and self.server_process is not None
            with suppress(*self._errors):  # a connection that is lost is closed already
                self._connection.close()

    @property
    def may_go_on(self) -> bool:
        """Whether the server was at work when the connection was closed, or lost."""
        return self._may_go_on

    def only_read(self) -> None:  # noqa: B027  # few databases have one
        """Let this transaction change nothing, where the database has a way to say so."""

    def row_count(self, relation: Relation) -> int | None:
        """None: counting would read the whole table, and the driver knows the end of the rows from a lost server."""
        return None

    def estimated_rows(self, relation: Relation) -> int | None:
        """None, unless a database keeps such a number."""
        return None

    def read(
        self, relation: Relation, names: Sequence[str], *, as_text: frozenset[str], size: int
    ) -> Generator[list[Row], None, None]:
        """The rows in batches."""
        return self.stream(f"SELECT {listed(names)} FROM {relation.sql}", relation.params, size=size)

    @abstractmethod
    def columns(self, table: Table) -> tuple[Column, ...]:
        """The columns in their order; none where there is no such table."""

    # What a driver does in its own way.

    @abstractmethod
    def _connect_options(self, connector: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the driver's `connect` that the URL may say otherwise."""

    def _begun(self) -> None:  # noqa: B027  # most need nothing
        """Prepare the new connection."""

    def _location(self, connector: Mapping[str, Any]) -> str:
        user, host, port, database = (connector.get(key) or "" for key in ("username", "host", "port", "database"))
        return f"{self.backend}://{user}@{host}:{port}/{database}"

    @abstractmethod
    def _interrupt(self) -> None:
        """Ask for the end of the statement that runs; called by another thread."""

    def _means_to_cut(self) -> Callable[[], object] | None:
        """What ends the connection under the driver; None where the driver lets nobody."""
        return None

    def _new_cursor(self) -> Any:
        return self._connection.cursor()

    @abstractmethod
    def _bound(self, statement: Statement, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The arguments of the cursor's `execute`."""

    def _lost(self, error: Exception) -> bool:
        """Whether the error says that the connection is gone."""
        return bool(self._dialect.is_disconnect(error, self._connection, None))

    def _commits(self, statement: Statement) -> bool:
        """Whether the server commits with this statement, of whatever transaction it is a part."""
        return statement.verb in _COMMITTING

    # What all of them do alike.

    def _connector(self, connector: Mapping[str, Any]) -> Callable[[], Any]:
        """What opens a connection, a second one too."""
        try:
            import sqlalchemy

            parts = {key: connector.get(key) for key in ("username", "password", "host", "port", "database")}
            url = sqlalchemy.URL.create(self.drivername, query=connector.get("query") or {}, **parts)
            made: Any = url.get_dialect()
            dialect = made(dbapi=made.import_dbapi())
        except ImportError as error:
            raise DriverMissingError(self.name, self.extra, error) from error
        self._dialect, self._errors = dialect, (dialect.dbapi.Error, OSError)
        arguments, options = dialect.create_connect_args(url)
        options = self._connect_options(connector) | options

        def connect() -> Any:
            return dialect.connect(*arguments, **options)

        return connect

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with closing(self._new_cursor()) as cursor:
            yield cursor

    def _run(self, cursor: Any, statement: Statement, params: Mapping[str, Any] | None) -> None:
        values = {name: storable(value) for name, value in statement.values(params).items()}
        with self._working():
            cursor.execute(*self._bound(statement, values))

    def _batches(self, cursor: Any, size: int) -> Generator[list[Row], None, None]:
        while True:
            with self._working():
                rows = cursor.fetchmany(size)
            if not rows:
                return
            yield [tuple(row) for row in rows] if type(rows[0]) is not tuple else list(rows)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """The time in which the server has something to do; remembers what became of the connection."""
        with self._cancellation.statement():
            self._is_at_work = True
            try:
                yield
            except self._errors as error:
                self._is_lost = self._is_lost or self._lost(error)
                # A server that answered with an error has left the statement; one that is silent may go on.
                self._is_at_work = self._is_lost
                raise
            self._is_at_work = False

    def _end(self, call: Callable[[], object]) -> None:
        try:
            with self._cancellation.ending():
                call()
        except self._errors as error:
            if not self._lost(error):
                raise
            self._is_lost = True
            raise OutcomeUnknownError(
                f"The connection to {self.name!r} was lost while it committed: the outcome of the commit is unknown; "
                "look at the data before the step is run again"
            ) from error


def storable(value: Any) -> Any:
    """A value as the drivers take it: an instant in UTC, which is the session's zone, and a UUID as text."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    return str(value) if isinstance(value, uuid.UUID) else value
