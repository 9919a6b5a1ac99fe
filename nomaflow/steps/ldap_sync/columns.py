"""The columns of the target: how they are found, and how they take the values of attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nomaflow.steps.databases.tables import Column, Table, TableDatabase, quoted
from nomaflow.steps.ldap_sync.errors import SyncError
from nomaflow.steps.sql_copy.errors import Misfit
from nomaflow.steps.sql_copy.types import INT_BITS, ColumnType, Kind, parsed
from nomaflow.steps.sql_copy.values import Ends, conversion
from nomaflow.worker.context import Row

_WITHOUT_EQUALITY = frozenset({Kind.JSON, Kind.OTHER})
"""Kinds that some database cannot compare; their texts are."""


@dataclass(frozen=True)
class Columns:
    """The columns of one table; `place` is what people call it."""

    place: str
    backend: str
    all: tuple[Column, ...]
    primary_key: tuple[str, ...]

    @classmethod
    def of(cls, database: TableDatabase, table: Table, place: str) -> Columns:
        """As the database describes the table.

        Raises:
            SyncError: there is none.
        """
        columns = database.columns(table)
        if not columns:
            raise SyncError(f"There is no table {place}; make it, or check target_schema and target_table")
        return cls(place, database.backend, tuple(columns), tuple(database.primary_key(table)))

    def find(self, name: str, attribute: str | None = None) -> Column:
        """The column; one that differs in upper and lower case only is taken where there is no other.

        Raises:
            SyncError: there is none.
        """
        exact = [column for column in self.all if column.name == name]
        alike = exact or [column for column in self.all if column.name.casefold() == name.casefold()]
        if len(alike) != 1:
            wanted = f" for the attribute {attribute}" if attribute else ""
            raise SyncError(f"{self.place} has no column {name!r}{wanted}; add it there, or change the step")
        return alike[0]

    def key(self, wanted: Iterable[str], written: Sequence[str]) -> list[str]:
        """The columns that tell rows apart: those of the option, else the primary key.

        Raises:
            SyncError: there is no key, or no attribute goes into one of its columns.
        """
        names = [self.find(name).name for name in wanted] or list(self.primary_key)
        if not names:
            raise SyncError(f"{self.place} has no primary key; name the columns that identify a row with key")
        for name in names:
            if name not in written:
                raise SyncError(
                    f"No attribute goes into {name!r}, which is in the key of {self.place}; add it to mapping"
                )
        return names

    def kind(self, name: str) -> Kind:
        """What the column holds."""
        return parsed(self.backend, self.find(name).declared).kind

    def holds_json(self, name: str) -> bool:
        """Whether the column is one for JSON."""
        return self.kind(name) in (Kind.JSON, Kind.JSONB)

    def comparable(self, alias: str, name: str) -> str:
        """The column in a form of which every database can say whether two are the same."""
        column = f"{alias}.{quoted(name)}"
        return f"CAST({column} AS TEXT)" if self.kind(name) in _WITHOUT_EQUALITY else column

    def flag(self, name: str) -> tuple[str, str]:
        """How SQL writes that the column, which marks rows, is set and is not set.

        Raises:
            SyncError: it is no column for that.
        """
        column = self.find(name)
        kind = self.kind(name)
        if kind in INT_BITS or (kind is Kind.BOOL and self.backend == "sqlite"):
            return "1", "0"
        if kind is Kind.BOOL:
            return "TRUE", "FALSE"
        raise SyncError(f"flag_column {name!r} of {self.place} is {column.declared}; it must be boolean or integer")

    def _ends(self, name: str) -> Ends:
        declared = self.find(name).declared
        return Ends(name, "ldap", ColumnType(Kind.OTHER), self.backend, parsed(self.backend, declared), declared)

    def batches(self, names: Sequence[str], rows: Iterable[list[Row]]) -> Iterator[Any]:
        """The rows as the database takes them, where it takes columns."""
        from nomaflow.steps.sql_copy import columnar

        plans, first_row = [columnar.planned(self._ends(name)) for name in names], 1
        for some in rows:
            yield columnar.from_rows(some, plans, first_row)
            first_row += len(some)

    def writer(self, name: str) -> Callable[[Any], Any]:
        """What makes a value of the column of one that the directory gave; raises `Misfit` where it cannot."""
        declared = self.find(name).declared
        convert = conversion(self._ends(name)).convert

        def write(value: Any) -> Any:
            try:
                return None if value is None else convert(value)
            except Misfit:
                raise
            except (ValueError, ArithmeticError):
                raise Misfit(f"holds a value that does not fit {declared}") from None

        return write


as_text: Callable[[Any], Any] = conversion(
    Ends("", "ldap", ColumnType(Kind.OTHER), "postgresql", ColumnType(Kind.TEXT), "text")
).convert
"""A value as text, in the notation that it has in a column of texts."""
