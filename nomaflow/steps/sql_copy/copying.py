"""One copy, from the look at both tables to the commit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nomaflow.steps.databases.tables import Table, TableDatabase
from nomaflow.steps.sql_copy import merge
from nomaflow.steps.sql_copy.columns import Pair, created, paired
from nomaflow.steps.sql_copy.errors import CopyError
from nomaflow.steps.sql_copy.load import Load, Loaded, by_rows, inside, passthrough
from nomaflow.worker.context import StepContext


@dataclass(frozen=True)
class Place:
    """One end: the table, the open connection and the connector's name."""

    connector: str
    database: TableDatabase
    table: Table

    @classmethod
    def of(cls, database: TableDatabase, option: dict[str, Any]) -> Place:
        """The end that a `source` or `target` option names."""
        return cls(option["connector"], database, Table(option.get("schema"), option["table"]))

    def __str__(self) -> str:
        return f"{self.connector}.{self.table}"


@dataclass(frozen=True)
class Copy:
    """What is copied where, and how; `key` is for upsert and may be empty."""

    ctx: StepContext
    source: Place
    target: Place
    mode: str
    key: tuple[str, ...]
    batch_rows: int

    def run(self) -> Loaded:
        """Load, verify and commit."""
        pairs = self._pairs()
        load, way = self._way(pairs)
        self.ctx.log.info("%s → %s (%s), %s", self.source, self.target, self.mode, way)
        database, table = self.target.database, self.target.table
        database.hold(table)
        loaded = {"overwrite": self._overwrite, "append": self._append, "upsert": self._upsert}[self.mode](load, pairs)
        if loaded.read != loaded.written:
            raise CopyError(
                f"{self.source} gave {loaded.read} rows and {self.target} took {loaded.written}; "
                "look for triggers and rules of the target that drop rows"
            )
        if self.source.database is not database:
            # A reader's lock on a file would be in the way of the commit.
            self.source.database.rollback()
        self.ctx.checkpoint()
        begun = time.perf_counter()
        database.commit()
        self.ctx.log.info("committed in %.0f ms: %d rows", (time.perf_counter() - begun) * 1000, loaded.written)
        return loaded

    def _pairs(self) -> list[Pair]:
        source, target = self.source, self.target
        columns = source.database.columns(source.table)
        if not columns:
            raise CopyError(f"There is no table {source}; check its schema and its name")
        if source.database is target.database and source.database.same(source.table, target.table):
            raise CopyError(f"Source and target are the same table, {source}; name another one for one of them")
        if not target.database.columns(target.table):
            key = source.database.primary_key(source.table)
            lines = created(columns, key, source.database.backend, target.database.backend)
            target.database.execute(f"CREATE TABLE {target.table.quoted} ({lines})")
            self.ctx.log.info("%s does not exist and is made like %s", target, source)
        return paired(columns, target.database.columns(target.table), str(source), str(target))

    def _way(self, pairs: Sequence[Pair]) -> tuple[Load, str]:
        """How rows get there, and the same in words for the log."""
        source, target = self.source.database, self.target.database
        if source is target:
            return inside(source, self.source.table, pairs), f"inside {source.backend}"
        load = passthrough(self.ctx, source, target, self.source.table, pairs, self.batch_rows)
        if load is not None:
            return load, "postgresql to postgresql by COPY"
        load = by_rows(self.ctx, source, target, self.source.table, pairs, self.batch_rows)
        return load, f"{source.backend} to {target.backend} by rows"

    def _append(self, load: Load, pairs: Sequence[Pair]) -> Loaded:
        return load(self.target.table)

    def _overwrite(self, load: Load, pairs: Sequence[Pair]) -> Loaded:
        database, table = self.target.database, self.target.table
        if tables := database.cascades(table):
            raise CopyError(
                f"Overwriting {self.target} would change rows of {', '.join(tables)}, whose foreign keys cascade; "
                "use mode upsert"
            )
        if database is self.source.database:
            # The source may be a view that reads the target, so it is read before the old rows go.
            names = [pair.target.name for pair in pairs]
            waiting = merge.stash(database, table, names)
            loaded = load(waiting)
            removed = database.execute(f"DELETE FROM {table.quoted}")
            loaded = Loaded(loaded.read, merge.moved(database, waiting, table, names))
        else:
            removed = database.execute(f"DELETE FROM {table.quoted}")
            loaded = load(table)
        self.ctx.log.info("swap: %d new rows take the place of %d old ones", loaded.written, removed)
        return loaded

    def _upsert(self, load: Load, pairs: Sequence[Pair]) -> Loaded:
        database, table = self.target.database, self.target.table
        names = [pair.target.name for pair in pairs]
        key = self._resolved_key(names)
        waiting = merge.stash(database, table, names)
        loaded = load(waiting)
        if loaded.read != loaded.written:
            return loaded
        self.ctx.log.info("swap: %d rows are merged by %s", loaded.written, ", ".join(key))
        return Loaded(loaded.read, merge.merged(database, waiting, table, names, key))

    def _resolved_key(self, names: Sequence[str]) -> list[str]:
        """The key in the target's own spelling."""
        key = self.key or self.target.database.primary_key(self.target.table)
        if not key:
            raise CopyError(f"{self.target} has no primary key; name the columns that identify a row with `key`")
        found = []
        for wanted in key:
            alike = [name for name in names if name == wanted] or [
                name for name in names if name.casefold() == wanted.casefold()
            ]
            if len(alike) != 1:
                raise CopyError(f"Column {wanted!r} of the key is not copied from {self.source} to {self.target}")
            found.append(alike[0])
        return found
