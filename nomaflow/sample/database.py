"""SQLite files, whole or not at all."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

Value = str | int | float | None


@dataclass(frozen=True)
class Column:
    """A column. `value` is the SQL that stores one bound value, for data that has to be cleaned on its way in."""

    name: str
    type: str
    value: str = "?"


@dataclass(frozen=True)
class Table:
    """A table and its rows, which are read once, as they are written."""

    name: str
    columns: Sequence[Column]
    primary_key: Sequence[str]
    rows: Iterable[Sequence[Value]]

    @property
    def definition(self) -> str:
        """The CREATE TABLE statement."""
        columns = ", ".join(f'"{column.name}" {column.type}' for column in self.columns)
        key = f", primary key ({', '.join(self.primary_key)})" if self.primary_key else ""
        return f'create table "{self.name}" ({columns}{key})'

    @property
    def insertion(self) -> str:
        """The INSERT statement of one row."""
        return f'insert into "{self.name}" values ({", ".join(column.value for column in self.columns)})'


def columns(text: str) -> tuple[Column, ...]:
    """Columns from `"NAME TYPE, NAME TYPE"`."""
    return tuple(Column(*column.split()) for column in text.split(","))


def write_database(path: Path, tables: Iterable[Table]) -> None:
    """Write the tables into a new file that appears under its name only when it is complete.

    Folders that are missing are made for the owner alone, as `.nomaflow` is. What a killed process left under the
    temporary name is overwritten.
    """
    for folder in reversed([folder for folder in path.parents if not folder.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        _fill(partial, tables)
        _sync(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync(path.parent)


def _fill(path: Path, tables: Iterable[Table]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        # A file that is thrown away unless it is complete needs no way back.
        database.execute("pragma journal_mode = off")
        database.execute("pragma synchronous = off")
        database.execute("begin")
        for table in tables:
            database.execute(table.definition)
            database.executemany(table.insertion, table.rows)
        database.execute("commit")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
