"""Tables and columns, and what a database has to offer so that a table can be copied."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from nomaflow.worker.context import Database, Row


@dataclass(frozen=True)
class Table:
    """A table by its name; without a schema it is found where the database looks by default."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name

    @property
    def quoted(self) -> str:
        """The name as SQL takes it, whatever characters are in it."""
        return ".".join(quoted(part) for part in (self.schema, self.name) if part)


@dataclass(frozen=True)
class Relation:
    """What rows are read from: `sql` stands behind FROM, `params` are the values of its `:name` parameters.

    `table` is the table it is, or a part of; None for a query. `is_whole` says that no row is left out.
    """

    sql: str
    params: Mapping[str, Any] = field(default_factory=dict)
    table: Table | None = None
    is_whole: bool = True

    @classmethod
    def of_table(cls, table: Table, where: str | None = None, params: Mapping[str, Any] | None = None) -> Relation:
        """A table, or those of its rows for which the condition holds."""
        if where is None:
            return cls(table.quoted, table=table)
        return cls(f"{table.quoted} WHERE ({where})", params or {}, table, is_whole=False)

    @classmethod
    def of_query(cls, query: str, params: Mapping[str, Any] | None = None) -> Relation:
        """The rows of a query."""
        return cls(f"({query}) q", params or {}, is_whole=False)


@dataclass(frozen=True)
class Column:
    """A column as its database describes it.

    `filled` says that the database has a value for it where none is given. `binary` says that the bytes that a binary
    COPY sends mean the same in every database of this kind: types made by users carry numbers that differ.
    """

    name: str
    declared: str
    nullable: bool = True
    filled: bool = False
    generated: bool = False
    binary: bool = False


def same_name(one: Table, other: Table) -> bool:
    """Whether two names mean the same table where case does not count and the default schema is `main`."""
    first, second = (((table.schema or "main").lower(), table.name.lower()) for table in (one, other))
    return first == second


def quoted(name: str) -> str:
    """An identifier as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str]) -> str:
    """Identifiers with commas between them."""
    return ", ".join(map(quoted, names))


class TableDatabase(Database, Protocol):
    """A connection that also knows its tables. Everything happens in the transaction that the next commit ends."""

    name: str
    location: str
    """The database that is connected to, and as whom; equal where two connectors mean the same."""
    temporary_schema: str | None

    takes_columns: bool
    """Whether `write` takes Arrow tables; else it takes lists of rows."""

    def columns(self, table: Table) -> tuple[Column, ...]:
        """The columns in their order; none where there is no such table."""

    def columns_of(self, relation: Relation) -> tuple[Column, ...]:
        """The columns that a query gives, as far as the database knows their types."""

    def primary_key(self, table: Table) -> tuple[str, ...]:
        """The columns of the primary key, in its order."""

    def only_read(self) -> None:
        """Let this transaction change nothing, where the database has a way to say so."""

    def row_count(self, relation: Relation) -> int | None:
        """How many rows a read in this transaction will give; None where counting would cost as much as reading."""

    def estimated_rows(self, relation: Relation) -> int | None:
        """How many rows there are, roughly, where the database keeps such a number."""

    def same(self, one: Table, other: Table) -> bool:
        """Whether both names mean the same table."""

    def hold(self, table: Table) -> None:
        """Keep other writers out of the table until the transaction ends; readers go on."""

    def cascades(self, table: Table) -> tuple[str, ...]:
        """Tables whose rows would be changed by deleting rows of this one."""

    def read(
        self, relation: Relation, names: Sequence[str], *, as_text: frozenset[str], size: int
    ) -> Generator[list[Row], None, None]:
        """The rows in batches, the columns of `as_text` in the database's own notation."""

    def write(self, table: Table, names: Sequence[str], batches: Iterable[Any]) -> int:
        """Add rows by the fastest way that there is; how many the database took."""


@runtime_checkable
class MakesApart(Protocol):
    """A database that commits when a table is made, and so fills a new one under another name first."""

    def made(self, table: Table, lines: str) -> Table:
        """Make a table with these columns; the name that it has for now. A rollback drops it."""

    def show(self, waiting: Table, table: Table) -> None:
        """Give the table, whose rows are committed, its own name, in one step for everybody."""
