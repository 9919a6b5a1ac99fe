"""The three ways in which rows get from one table into another."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from nomaflow.steps.databases.tables import Table, TableDatabase, listed
from nomaflow.steps.sql_copy.columns import Pair
from nomaflow.steps.sql_copy.errors import SourceChangedError
from nomaflow.steps.sql_copy.merge import overriding
from nomaflow.steps.sql_copy.types import Kind, parsed
from nomaflow.steps.sql_copy.values import conversion, converted
from nomaflow.worker.context import Row, StepContext

_AS_TEXT = frozenset({Kind.INTERVAL, Kind.JSON, Kind.JSONB, Kind.OTHER})
"""Kinds that no Python class holds exactly: an interval has months, JSON has numbers of any length."""

PUMP_ROWS = 100_000
"""Rows of one progress line where rows are not taken in batches."""


@dataclass(frozen=True)
class Loaded:
    """How many rows the source gave and the target took, each as its database counted them."""

    read: int
    written: int


class Meter:
    """Tells how far a load is: one line a batch, and the progress that the surfaces show."""

    def __init__(self, ctx: StepContext, expected: int | None) -> None:
        self._ctx, self._expected = ctx, expected
        self._batches = self.rows = 0

    def batch(self, rows: int) -> None:
        """One more batch is written."""
        self._batches += 1
        self.rows += rows
        # The expected number may be an estimate; one that has been passed says nothing any more.
        total = self._expected if self._expected is not None and self._expected >= self.rows else None
        self._ctx.log.info("batch %d: %d rows, %d so far", self._batches, rows, self.rows)
        self._ctx.progress(self.rows, total)


Load = Callable[[Table], Loaded]


def inside(database: TableDatabase, source: Table, pairs: Sequence[Pair]) -> Load:
    """Both tables are in one database: it copies by itself."""

    def load(into: Table) -> Loaded:
        names, taken = listed(pair.source.name for pair in pairs), listed(pair.target.name for pair in pairs)
        expected = database.row_count(source)
        count = database.execute(
            f"INSERT INTO {into.quoted} ({taken}){overriding(database)} SELECT {names} FROM {source.quoted}"
        )
        return Loaded(count if expected is None else expected, count)

    return load


def passthrough(
    ctx: StepContext,
    source_database: TableDatabase,
    target_database: TableDatabase,
    source: Table,
    pairs: Sequence[Pair],
    batch_rows: int,
) -> Load | None:
    """Between two PostgreSQL servers: the bytes of COPY, unread. None where a type differs, since nobody converts."""
    if source_database.backend != "postgresql" or target_database.backend != "postgresql":
        return None
    from nomaflow.steps.databases.postgresql import PostgresqlDatabase

    assert isinstance(source_database, PostgresqlDatabase)
    assert isinstance(target_database, PostgresqlDatabase)
    if not all(_same_bytes(pair) for pair in pairs):
        return None
    binary = all(pair.source.binary and pair.target.binary for pair in pairs)

    def load(into: Table) -> Loaded:
        meter = Meter(ctx, source_database.estimated_rows(source))
        waiting = 0

        def tell(rows: int) -> None:
            nonlocal waiting
            ctx.checkpoint()
            waiting += rows
            if waiting >= max(batch_rows, PUMP_ROWS):
                meter.batch(waiting)
                waiting = 0

        read, written = source_database.copy_to(
            source,
            [pair.source.name for pair in pairs],
            target_database,
            into,
            [pair.target.name for pair in pairs],
            binary=binary,
            tell=tell,
        )
        if written > meter.rows:
            meter.batch(written - meter.rows)
        return Loaded(read, written)

    return load


def by_rows(
    ctx: StepContext,
    source_database: TableDatabase,
    target_database: TableDatabase,
    source: Table,
    pairs: Sequence[Pair],
    batch_rows: int,
) -> Load:
    """Typed rows in batches, each value checked against the target's column."""
    kinds = [parsed(source_database.backend, pair.source.declared) for pair in pairs]
    conversions = [
        conversion(
            pair.source.name,
            source_database.backend,
            kind,
            target_database.backend,
            parsed(target_database.backend, pair.target.declared),
            pair.target.declared,
        )
        for pair, kind in zip(pairs, kinds, strict=True)
    ]
    names = [pair.source.name for pair in pairs]
    as_text = frozenset(name for name, kind in zip(names, kinds, strict=True) if kind.kind in _AS_TEXT)

    def load(into: Table) -> Loaded:
        expected = source_database.row_count(source)
        meter = Meter(ctx, source_database.estimated_rows(source) if expected is None else expected)
        read = 0

        def batches() -> Generator[list[Row], None, None]:
            nonlocal read
            with closing(source_database.read(source, names, as_text=as_text, size=batch_rows)) as reading:
                for rows in reading:
                    ctx.checkpoint()
                    yield converted(rows, conversions, read + 1)
                    read += len(rows)
                    meter.batch(len(rows))

        with closing(batches()) as rows:
            written = target_database.write(into, [pair.target.name for pair in pairs], rows)
        if expected is not None and expected != read:
            raise SourceChangedError(f"The source counted {expected} rows and gave {read}; run the step again")
        return Loaded(read, written)

    return load


def _same_bytes(pair: Pair) -> bool:
    """Whether what COPY writes for the one column is read as the same value by the other."""
    source, target = pair.source.declared, pair.target.declared
    texts = ("text", "character varying")
    if source.startswith(texts) and target.startswith(texts):
        # A text that is too long for the target is an error, never cut.
        return "[]" not in source + target
    return source == target or source.partition("(")[0] == target
