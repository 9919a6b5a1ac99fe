"""Tables and columns, and what a database has to offer so that a table can be copied."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

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
    temporary_schema: str

    def columns(self, table: Table) -> tuple[Column, ...]:
        """The columns in their order; none where there is no such table."""

    def primary_key(self, table: Table) -> tuple[str, ...]:
        """The columns of the primary key, in its order."""

    def row_count(self, table: Table) -> int | None:
        """How many rows a read in this transaction will give; None where the database would have to read them."""

    def estimated_rows(self, table: Table) -> int | None:
        """How many rows there are, roughly, where the database keeps such a number."""

    def same(self, one: Table, other: Table) -> bool:
        """Whether both names mean the same table."""

    def hold(self, table: Table) -> None:
        """Keep other writers out of the table until the transaction ends; readers go on."""

    def cascades(self, table: Table) -> tuple[str, ...]:
        """Tables whose rows would be changed by deleting rows of this one."""

    def read(
        self, table: Table, names: Sequence[str], *, as_text: frozenset[str], size: int
    ) -> Generator[list[Row], None, None]:
        """The rows in batches, the columns of `as_text` in the database's own notation."""

    def write(self, table: Table, names: Sequence[str], batches: Iterable[Sequence[Row]]) -> int:
        """Add rows by the fastest way that there is; how many the database took."""
