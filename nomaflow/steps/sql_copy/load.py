"""The ways in which rows get from one table into another."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from nomaflow.steps.databases.tables import Relation, Table, TableDatabase, listed
from nomaflow.steps.sql_copy.columns import Pair
from nomaflow.steps.sql_copy.errors import SourceChangedError
from nomaflow.steps.sql_copy.merge import overriding
from nomaflow.steps.sql_copy.types import Kind
from nomaflow.steps.sql_copy.values import conversion, converted
from nomaflow.worker.context import StepContext

_AS_TEXT = frozenset(
    {Kind.INTERVAL, Kind.JSON, Kind.JSONB, Kind.OTHER, Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ}
)
"""Kinds that no Python class holds exactly: an interval has months, JSON has numbers of any length, a date infinity."""

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

Batches = Callable[[], Generator[tuple[Any, int], None, None]]
"""Gives batches, each with its number of rows."""


@dataclass(frozen=True)
class Reading:
    """What is read and how: the open source, its rows, the columns and where each goes, the rows of a batch."""

    ctx: StepContext
    database: TableDatabase
    relation: Relation
    pairs: Sequence[Pair]
    batch_rows: int

    @property
    def names(self) -> list[str]:
        """The columns of the source."""
        return [pair.source.name for pair in self.pairs]

    @property
    def target_names(self) -> list[str]:
        """The columns of the target, in the same order."""
        return [pair.target.name for pair in self.pairs]

    def written(
        self, target: TableDatabase, into: Table, batch_of: Callable[[Any, int], Any], batches: Batches
    ) -> Loaded:
        """Write what `batch_of` makes of each batch and the number of its first row."""
        expected = self.database.row_count(self.relation)
        meter = Meter(self.ctx, self.database.estimated_rows(self.relation) if expected is None else expected)

        def made() -> Generator[Any, None, None]:
            with closing(batches()) as reading:
                for batch, rows in reading:
                    self.ctx.checkpoint()
                    yield batch_of(batch, meter.rows + 1)
                    meter.batch(rows)

        with closing(made()) as ready:
            written = target.write(into, self.target_names, ready)
        if expected is not None and expected != meter.rows:
            raise SourceChangedError(f"The source counted {expected} rows and gave {meter.rows}; run the step again")
        return Loaded(meter.rows, written)

    def batches(self) -> Generator[tuple[Any, int], None, None]:
        """Rows as the driver gives them, and how many."""
        as_text = frozenset(pair.source.name for pair in self.pairs if pair.ends.source.kind in _AS_TEXT)
        with closing(self.database.read(self.relation, self.names, as_text=as_text, size=self.batch_rows)) as reading:
            for rows in reading:
                yield rows, len(rows)


def inside(reading: Reading) -> Load:
    """Both tables are in one database: it copies by itself."""
    database, relation = reading.database, reading.relation

    def load(into: Table) -> Loaded:
        expected = database.row_count(relation)
        count = database.execute(
            f"INSERT INTO {into.quoted} ({listed(reading.target_names)}){overriding(database)} "
            f"SELECT {listed(reading.names)} FROM {relation.sql}",
            relation.params,
        )
        return Loaded(count if expected is None else expected, count)

    return load


def passthrough(reading: Reading, target_database: TableDatabase) -> Load | None:
    """Between two PostgreSQL servers: the bytes of COPY, unread. None where a type differs, since nobody converts."""
    if reading.database.backend != "postgresql" or target_database.backend != "postgresql":
        return None
    from nomaflow.steps.databases.postgresql import PostgresqlDatabase

    source_database = reading.database
    assert isinstance(source_database, PostgresqlDatabase)
    assert isinstance(target_database, PostgresqlDatabase)
    if not all(pair.same_bytes for pair in reading.pairs):
        return None
    binary = all(pair.source.binary and pair.target.binary for pair in reading.pairs)

    def load(into: Table) -> Loaded:
        meter = Meter(reading.ctx, source_database.estimated_rows(reading.relation))
        waiting = 0

        def tell(rows: int) -> None:
            nonlocal waiting
            reading.ctx.checkpoint()
            waiting += rows
            if waiting >= max(reading.batch_rows, PUMP_ROWS):
                meter.batch(waiting)
                waiting = 0

        read, written = source_database.copy_to(
            reading.relation,
            reading.names,
            target_database,
            into,
            reading.target_names,
            binary=binary,
            tell=tell,
        )
        if written > meter.rows:
            meter.batch(written - meter.rows)
        return Loaded(read, written)

    return load


def by_columns(reading: Reading, target_database: TableDatabase) -> Load | None:
    """Into DuckDB by columns; None into anything else."""
    if not target_database.takes_columns:
        return None
    from nomaflow.steps.databases.postgresql import PostgresqlDatabase
    from nomaflow.steps.sql_copy import columnar

    source = reading.database
    plans = [columnar.planned(pair.ends) for pair in reading.pairs]

    def from_rows(rows: Any, first_row: int) -> Any:
        return columnar.from_rows(rows, plans, first_row)

    def from_csv(batch: Any, first_row: int) -> Any:
        data, count = batch
        return columnar.from_csv(data, count, plans, first_row)

    def csv_batches() -> Generator[tuple[Any, int], None, None]:
        assert isinstance(source, PostgresqlDatabase)
        with closing(source.read_csv(reading.relation, reading.names, size=reading.batch_rows)) as batches:
            for batch in batches:
                yield batch, batch[1]

    if source.backend == "postgresql":
        return lambda into: reading.written(target_database, into, from_csv, csv_batches)
    return lambda into: reading.written(target_database, into, from_rows, reading.batches)


def by_rows(reading: Reading, target_database: TableDatabase) -> Load:
    """Typed rows in batches, each value checked against the target's column."""
    conversions = [conversion(pair.ends) for pair in reading.pairs]

    def checked(rows: Any, first_row: int) -> Any:
        return converted(rows, conversions, first_row)

    return lambda into: reading.written(target_database, into, checked, reading.batches)
