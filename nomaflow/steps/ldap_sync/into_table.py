"""A table that is kept like a directory: new rows, changed rows, and rows whose entry is gone.

The entries wait in a temporary table of the target's database until the answer is whole. Then the differences are
written, in the same transaction: rows that are like their entry already are not touched, so triggers, histories and
replicas of the target see changes and nothing else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from nomaflow.definitions.ldap_text import normalized_dn
from nomaflow.steps.databases.tables import Table, TableDatabase, listed, quoted
from nomaflow.steps.ldap_sync.columns import Columns
from nomaflow.steps.ldap_sync.errors import SyncError
from nomaflow.steps.ldap_sync.guard import Guard
from nomaflow.steps.ldap_sync.mapping import DN, Entry, Field
from nomaflow.steps.ldap_sync.reading import Reading, some
from nomaflow.steps.sql_copy.errors import Misfit
from nomaflow.steps.sql_copy.merge import overriding, stash
from nomaflow.worker.context import Row


@dataclass(frozen=True)
class Deletion:
    """What becomes of rows without an entry: `mode` is none, soft or hard."""

    mode: str
    flag_column: str | None
    flagged_at_column: str | None
    guard: Guard


@dataclass(frozen=True)
class Written:
    """What a synchronization did, in entries of the directory and rows of the target."""

    fetched: int
    inserted: int
    updated: int
    unchanged: int
    pruned: int


class IntoTable:
    """One synchronization."""

    def __init__(
        self,
        reading: Reading,
        database: TableDatabase,
        table: Table,
        columns: Columns,
        wanted_key: Sequence[str],
        deletion: Deletion,
        now: dt.datetime,
    ) -> None:
        """Look at the table.

        Raises:
            SyncError: the step's columns and the table's do not fit.
        """
        self._database, self._table, self._columns = database, table, columns
        self._deletion, self._place = deletion, columns.place
        fields = [self._placed(field) for field in reading.fields]
        self._reading = reading.of(fields)
        marks = [name for name in (deletion.flag_column, deletion.flagged_at_column) if name]
        marks = [columns.find(name).name for name in marks]
        self._names = [field.column for field in fields] + marks
        if twice := [name for name in self._names if self._names.count(name) > 1]:
            raise SyncError(f"Two attributes go into {twice[0]!r} of {self._place}; take one out of the step")
        self._marked = [False, None][: len(marks)]
        self._key = columns.key(wanted_key, self._names)
        self._flag = columns.flag(marks[0]) if marks else ("", "")
        self._flagged_at = self._moment(marks[1], now) if len(marks) > 1 else None
        if deletion.mode == "hard" and (tables := database.cascades(table)):
            raise SyncError(
                f"Deleting rows of {self._place} would change rows of {', '.join(tables)}, whose foreign keys cascade; "
                'use deletion = "soft"'
            )

    def run(self) -> Written:
        """Read, compare, write; nothing is committed.

        Raises:
            DirectoryError: the answer is not whole.
            SyncError: entries and table do not fit, or too many rows would be deleted.
        """
        waiting = stash(self._database, self._table, self._names)
        fetched = self._load(waiting)
        self._make_findable(waiting)
        self._database.hold(self._table)
        gone = self._may_go(waiting, fetched)
        inserted, updated = self._merged(waiting)
        pruned = self._pruned(waiting) if gone else 0
        if pruned != gone:
            raise SyncError(f"{gone} rows of {self._place} were to be deleted and {pruned} were; look for its triggers")
        self._check_rows(waiting, fetched)
        return Written(fetched, inserted, updated, fetched - inserted - updated, pruned)

    def _placed(self, field: Field) -> Field:
        """The field with its column in the table's own spelling."""
        column = self._columns.find(field.column, field.attribute)
        if column.generated:
            raise SyncError(f"{column.name!r} of {self._place} is computed by the database; take it out of mapping")
        return Field(
            field.attribute, column.name, field.as_json or self._columns.holds_json(column.name), field.is_asked
        )

    def _moment(self, name: str, moment: dt.datetime) -> Any:
        """The moment in the form of the column."""
        try:
            return self._columns.writer(name)(moment)
        except Misfit:
            declared = self._columns.find(name).declared
            told = f"flagged_at_column {name!r} of {self._place} is {declared}; it must be for a date and time"
            raise SyncError(told) from None

    def _load(self, waiting: Table) -> int:
        """Put the rows where they wait; how many there are."""
        keys = _Keys(self._key)
        at_key = [self._names.index(name) for name in self._key]
        row_of = self._row_maker()
        fetched = 0

        def finished(entry: Entry, values: list[Any]) -> Row:
            nonlocal fetched
            fetched += 1
            row = row_of(entry, values)
            keys.add(tuple(row[index] for index in at_key), entry.dn)
            return row

        with closing(self._reading.rows(finished)) as rows:
            batches = self._columns.batches(self._names, rows) if self._database.takes_columns else rows
            written = self._database.write(waiting, self._names, batches)
        keys.check()
        if fetched != written:
            raise SyncError(f"The directory gave {fetched} entries and {self._place} took {written} of them")
        return fetched

    def _make_findable(self, waiting: Table) -> None:
        """SQLite would look through all waiting rows for each row of the target; PostgreSQL does not know them yet."""
        if self._database.backend == "sqlite":
            index = Table(waiting.schema, f"{waiting.name}_key")
            self._database.execute(f"CREATE INDEX {index.quoted} ON {quoted(waiting.name)} ({listed(self._key)})")
        elif self._database.backend == "postgresql":
            self._database.execute(f"ANALYZE {waiting.quoted}")

    def _row_maker(self) -> Callable[[Entry, list[Any]], Row]:
        """What makes the row of an entry's values, each in the form of its column."""
        names, marked = self._names, self._marked
        writers = [self._columns.writer(name) for name in names]
        attributes = [field.attribute for field in self._reading.fields]
        spelled = self._names_there()

        def row_of(entry: Entry, values: list[Any]) -> Row:
            row = []
            for index, value in enumerate([*values, *marked]):
                try:
                    row.append(writers[index](value))
                except Misfit as error:
                    raise SyncError(
                        f"{attributes[index]} of the entry {entry.dn!r} {error}; see {names[index]!r}"
                    ) from None
            if spelled is not None:
                index, there = spelled
                row[index] = there.get(normalized_dn(entry.dn), row[index])
            return tuple(row)

        return row_of

    def _names_there(self) -> tuple[int, dict[str, str]] | None:
        """Where the key has the entry's name: how the table spells the names that it has.

        Names are compared in one spelling; a row keeps the one that it has, so that what refers to it goes on.
        """
        for index, field in enumerate(self._reading.fields):
            if field.attribute.lower() == DN and field.column in self._key:
                rows = self._database.fetch(f"SELECT {quoted(field.column)} FROM {self._table.quoted}")
                return index, {normalized_dn(name): name for (name,) in rows if isinstance(name, str)}
        return None

    def _may_go(self, waiting: Table, fetched: int) -> int:
        """How many rows have no entry any more, if they may be deleted."""
        if self._deletion.mode == "none":
            return 0
        rows = self._count(f"{self._table.quoted} AS t WHERE {self._kept()}")
        gone = self._count(f"{self._table.quoted} AS t WHERE {self._kept()} AND {self._without_entry(waiting)}")
        self._deletion.guard.check(entries=fetched, rows=rows, gone=gone, table=self._place)
        return gone

    def _kept(self) -> str:
        """The rows that are kept like the directory and are not marked; one without a key is somebody else's."""
        conditions = [f"t.{quoted(name)} IS NOT NULL" for name in self._key]
        if self._deletion.flag_column:
            flag = f"t.{quoted(self._columns.find(self._deletion.flag_column).name)}"
            conditions.append(f"({flag} IS NULL OR {flag} = {self._flag[1]})")
        return " AND ".join(conditions)

    def _merged(self, waiting: Table) -> tuple[int, int]:
        """Write new and changed rows; how many each."""
        database, target, columns = self._database, self._table.quoted, self._columns
        others = [name for name in self._names if name not in self._key]
        updated = 0
        if others:
            changes = ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in others)
            differs = " OR ".join(
                f"{columns.comparable('t', name)} IS DISTINCT FROM {columns.comparable('s', name)}" for name in others
            )
            updated = database.execute(
                f"UPDATE {target} AS t SET {changes} FROM {waiting.quoted} AS s "
                f"WHERE {self._same_key()} AND ({differs})"
            )
        values = ", ".join(f"s.{quoted(name)}" for name in self._names)
        inserted = database.execute(
            f"INSERT INTO {target} ({listed(self._names)}){overriding(database)} SELECT {values} FROM {waiting.quoted} "
            f"AS s LEFT JOIN {target} AS t ON {self._same_key()} WHERE t.{quoted(self._key[0])} IS NULL"
        )
        return inserted, updated

    def _pruned(self, waiting: Table) -> int:
        where = f"WHERE {self._kept()} AND {self._without_entry(waiting)}"
        if self._deletion.mode == "hard":
            return self._database.execute(f"DELETE FROM {self._table.quoted} AS t {where}")
        assert self._deletion.flag_column is not None
        changes = [f"{quoted(self._columns.find(self._deletion.flag_column).name)} = {self._flag[0]}"]
        params: dict[str, Any] = {}
        if self._deletion.flagged_at_column:
            name = self._columns.find(self._deletion.flagged_at_column).name
            changes.append(f"{quoted(name)} = :flagged_at")
            params["flagged_at"] = self._flagged_at
        return self._database.execute(f"UPDATE {self._table.quoted} AS t SET {', '.join(changes)} {where}", params)

    def _check_rows(self, waiting: Table, fetched: int) -> None:
        """Every entry has its one row now."""
        found = self._count(f"{self._table.quoted} AS t JOIN {waiting.quoted} AS s ON {self._same_key()}")
        if found != fetched:
            raise SyncError(
                f"{fetched} entries have {found} rows in {self._place} now; look for triggers that drop rows, and for "
                f"rows with the same key ({', '.join(self._key)})"
            )

    def _same_key(self) -> str:
        return " AND ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in self._key)

    def _without_entry(self, waiting: Table) -> str:
        return f"NOT EXISTS (SELECT 1 FROM {waiting.quoted} AS s WHERE {self._same_key()})"

    def _count(self, of: str) -> int:
        count: int = self._database.fetch(f"SELECT count(*) FROM {of}")[0][0]
        return count


class _Keys:
    """The keys of one answer: each entry has one, and no other entry has it."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = ", ".join(names)
        self._dn_of: dict[Row, str] = {}
        self._without: list[str] = []
        self._twice: list[str] = []

    def add(self, key: Row, dn: str) -> None:
        if None in key:
            self._without.append(dn)
        elif key in self._dn_of:
            self._twice.append(f"{', '.join(map(str, key))} of {self._dn_of[key]!r} and of {dn!r}")
        else:
            self._dn_of[key] = dn

    def check(self) -> None:
        advice = "narrow search_filter, or name another key"
        if self._without:
            count = len(self._without)
            raise SyncError(
                f"{count} entries have no value for the key ({self._names}): {some(self._without)}; {advice}"
            )
        if self._twice:
            count = len(self._twice)
            raise SyncError(f"{count} entries have the key ({self._names}) of another: {some(self._twice)}; {advice}")
