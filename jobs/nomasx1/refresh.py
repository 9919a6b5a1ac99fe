"""How a table of nomasx1 is refreshed: all rows of one `apps_id` are replaced in one transaction.

`apps_id` is the JDE installation that the rows describe; several of them share the tables. Run twice, a refresh leaves
the same rows; stopped or failed half-way, it leaves those of the run before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from nomaflow import StepContext

SOURCE_CONNECTOR = "jde"
ROWS_PER_STATEMENT = 100

Output = dict[str, Any]
Row = Sequence[Any]
Statement = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Column:
    """A column of the target, and the SQL expression on JDE that fills it.

    For a DATE the expression gives JDE's CYYDDD number, 0 or NULL where there is no date.
    """

    name: str
    type: str
    expression: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the target; `source` is what follows FROM in its query on JDE, for those that come from there."""

    name: str
    columns: tuple[Column, ...]
    source: str = ""

    @property
    def definition(self) -> str:
        """The CREATE TABLE statement.

        Without a primary key: DuckDB does not let one transaction delete a key and insert it again.
        """
        columns = ", ".join(f"{column.name} {column.type}" for column in self.columns)
        return f"create table if not exists {self.name} (apps_id INTEGER not null, {columns})"

    @property
    def names(self) -> str:
        """The columns' names, as INSERT lists them."""
        return ", ".join(["apps_id", *(column.name for column in self.columns)])

    @property
    def query(self) -> str:
        """The query on JDE."""
        expressions = ", ".join(f"{column.expression} as {column.name}" for column in self.columns)
        return f"select {expressions} from {self.source}"


async def copy_from_jde(
    ctx: StepContext, table: Table, apps_id: int, target_connector: str, binds: Mapping[str, Any] | None = None
) -> Output:
    """Replace the rows of `apps_id` with what the table's query finds on JDE now; `binds` are the query's values."""
    source = await ctx.get_connector(SOURCE_CONNECTOR)
    rows = await source.fetch(table.query, binds)
    ctx.log.info("▶ %s: %d rows read from %s", table.name, len(rows), SOURCE_CONNECTOR)
    if not rows:
        ctx.log.warning("%s will be empty for apps_id %d: nothing found in %s", table.name, apps_id, table.source)
    # The whole transaction in one thread, so that the loop stays free to hear a cancel.
    return await asyncio.to_thread(replace, ctx, table, apps_id, target_connector, insertions(table, apps_id, rows))


def replace(
    ctx: StepContext, table: Table, apps_id: int, target_connector: str, statements: Iterable[Statement]
) -> Output:
    """Replace the rows of `apps_id` with what the statements insert; all of it, or nothing."""
    target = ctx.get_connector(target_connector).sync
    target.execute(table.definition)
    written = 0
    with target.transaction():
        removed = target.execute(f"delete from {table.name} where apps_id = :apps_id", {"apps_id": apps_id})
        for sql, params in statements:
            ctx.checkpoint()
            written += target.execute(sql, params)
            ctx.progress(written)
        # The last moment at which a cancel still leaves the old rows.
        ctx.checkpoint()
    ctx.log.info("▶ %s: %d rows for apps_id %d, instead of %d", table.name, written, apps_id, removed)
    return {"rows_affected": written, "rows_removed": removed}


def insertions(table: Table, apps_id: int, rows: Sequence[Row]) -> Iterator[Statement]:
    """INSERT statements of some rows each: DuckDB takes 100 rows in one ten times as fast as one by one."""
    are_dates = [False, *(column.type == "DATE" for column in table.columns)]
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        values: list[str] = []
        params: dict[str, Any] = {}
        for row in rows[start : start + ROWS_PER_STATEMENT]:
            names = [f"v{number}" for number in range(len(params), len(params) + len(are_dates))]
            cells = zip(are_dates, (apps_id, *row), strict=True)
            params.update(zip(names, (from_julian(cell) if is_date else cell for is_date, cell in cells), strict=True))
            values.append(f"({', '.join(f':{name}' for name in names)})")
        yield f"insert into {table.name} ({table.names}) values {', '.join(values)}", params


def from_julian(cyyddd: int | None) -> str | None:
    """The ISO date of JDE's CYYDDD: 124060 is 2024-02-29. JDE writes 0 where there is no date."""
    if not cyyddd:
        return None
    years, day_of_year = divmod(cyyddd, 1000)
    return (date(1900 + years, 1, 1) + timedelta(days=day_of_year - 1)).isoformat()


def to_julian(day: date) -> int:
    """The day as JDE's CYYDDD."""
    return (day.year - 1900) * 1000 + day.timetuple().tm_yday
