"""One copy, from the look at both tables to the commit."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nomaflow.definitions.sql_text import condition, one_statement
from nomaflow.steps.databases.tables import Column, MakesApart, Relation, Table, TableDatabase
from nomaflow.steps.sql_copy import merge
from nomaflow.steps.sql_copy.columns import Pair, checked, chosen, created, paired
from nomaflow.steps.sql_copy.errors import CopyError
from nomaflow.steps.sql_copy.jde import coercions
from nomaflow.steps.sql_copy.load import Load, Loaded, Reading, by_columns, by_rows, inside, passthrough
from nomaflow.steps.sql_copy.types import parsed
from nomaflow.steps.sql_copy.values import Ends
from nomaflow.worker.context import StepContext

ONLY_READ = frozenset({"oracle", "mssql"})
"""Databases that no copy writes to: nobody has seen yet that a failed one leaves the old rows there."""


@dataclass(frozen=True)
class Place:
    """One end: what is read or the table that is written, the open connection and the connector's name.

    `waiting` is what the table is called until its rows are committed, where it is made in a database that commits it.
    """

    connector: str
    database: TableDatabase
    relation: Relation
    waiting: Table | None = None

    @classmethod
    def of(cls, database: TableDatabase, option: Mapping[str, Any]) -> Place:
        """The end that a `source` or `target` option names."""
        nest, backslashes = database.backend not in ("sqlite", "mysql"), database.backend == "mysql"
        params = option.get("params") or {}
        if (query := option.get("query")) is not None:
            statement = one_statement(query, comments_nest=nest, backslashes=backslashes)
            if not statement.only_reads:
                raise CopyError("`source.query` is no query, or changes something; give it one SELECT")
            relation = Relation.of_query(statement.body, params)
        else:
            where = option.get("where")
            table = Table(option.get("schema"), option["table"])
            if where is not None:
                where = condition(where, comments_nest=nest, backslashes=backslashes)
            relation = Relation.of_table(table, where, params)
        return cls(option["connector"], database, relation)

    @property
    def table(self) -> Table:
        """The table, where it is one."""
        table = self.waiting or self.relation.table
        assert table is not None
        return table

    def columns(self) -> tuple[Column, ...]:
        """The columns of the table or the query."""
        if self.relation.table is not None:
            return self.database.columns(self.table)
        return self.database.columns_of(self.relation)

    def __str__(self) -> str:
        return f"{self.connector}.{self.relation.table or '(query)'}"


@dataclass(frozen=True)
class Copy:
    """What is copied where, and how: `options` are those of the step."""

    ctx: StepContext
    source: Place
    target: Place
    options: Mapping[str, Any]

    def run(self) -> Loaded:
        """Load, verify and commit."""
        target, pairs = self._pairs()
        return replace(self, target=target)._loaded(pairs)

    def _loaded(self, pairs: Sequence[Pair]) -> Loaded:
        load, way = self._way(pairs)
        mode = self.options["mode"]
        self.ctx.log.info("%s → %s (%s), %s", self.source, self.target, mode, way)
        database, table = self.target.database, self.target.table
        database.hold(table)
        loaded = {"overwrite": self._overwrite, "append": self._append, "upsert": self._upsert}[mode](load, pairs)
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
        if self.target.waiting is not None and isinstance(database, MakesApart):
            assert self.target.relation.table is not None
            database.show(self.target.waiting, self.target.relation.table)
        self.ctx.log.info("committed in %.0f ms: %d rows", (time.perf_counter() - begun) * 1000, loaded.written)
        return loaded

    def _pairs(self) -> tuple[Place, list[Pair]]:
        """The target and the columns on both sides; makes the target where there is none."""
        source, target = self.source, self.target
        if target.database.backend in ONLY_READ:
            raise CopyError(
                f"{target} is in a database that a copy only reads from: writing to {target.database.backend} has been "
                "tested on no server; write to it with sql_query steps"
            )
        is_query = source.relation.table is None
        if is_query and source.database is not target.database:
            source.database.only_read()
        columns = source.columns()
        if not columns:
            raise CopyError(f"There is no table {source}; check its schema and its name")
        if not is_query and source.database is target.database and source.database.same(source.table, target.table):
            raise CopyError(f"Source and target are the same table, {source}; name another one for one of them")
        from_backend, to_backend = source.database.backend, target.database.backend
        picked = chosen(columns, self.options.get("columns"), str(source))
        declared = {one.column.name: parsed(from_backend, one.column.declared) for one in picked}
        coerced = coercions(self.options, declared, str(source))
        if not target.columns():
            key = () if is_query else source.database.primary_key(source.table)
            kinds = {name: coercion.type for name, coercion in coerced.items()}
            lines = created(picked, kinds, key, from_backend, to_backend)
            if isinstance(target.database, MakesApart):
                target = replace(target, waiting=target.database.made(target.table, lines))
            else:
                target.database.execute(f"CREATE TABLE {target.table.quoted} ({lines})")
            self.ctx.log.info("%s does not exist and is made like %s", target, source)
        pairs = []
        for column, partner in paired(picked, target.columns(), str(source), str(target)):
            ends = Ends(
                column.name,
                from_backend,
                declared[column.name],
                to_backend,
                parsed(to_backend, partner.declared),
                partner.declared,
                coerced.get(column.name),
                self.options.get("decimal_mode") == "truncate",
            )
            pairs.append(checked(Pair(column, partner, ends), str(source), str(target)))
        return target, pairs

    def _way(self, pairs: Sequence[Pair]) -> tuple[Load, str]:
        """How rows get there, and the same in words for the log."""
        source, target = self.source.database, self.target.database
        reading = Reading(self.ctx, source, self.source.relation, pairs, self.options["batch_size"])
        if source is target:
            for pair in pairs:
                self._check_inside(pair)
            return inside(reading), f"inside {source.backend}"
        if (load := passthrough(reading, target)) is not None:
            return load, "postgresql to postgresql by COPY"
        if (load := by_columns(reading, target)) is not None:
            return load, f"{source.backend} to {target.backend} by columns"
        return by_rows(reading, target), f"{source.backend} to {target.backend} by rows"

    def _check_inside(self, pair: Pair) -> None:
        """One database copies by itself, and nobody sees what it converts."""
        if pair.ends.coercion is not None:
            raise CopyError(
                f"Column {pair.source.name!r} of {self.source} would be coerced on its way between two databases; "
                "inside one, say it in `source.query`"
            )
        if not pair.is_converted_well:
            raise CopyError(
                f"Column {pair.source.name!r} is {pair.source.declared} in {self.source} and {pair.target.declared} "
                f"in {self.target}; inside one database nobody checks what is converted: cast it in `source.query`"
            )

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
        key = self.options["key"] or self.target.database.primary_key(self.target.table)
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
