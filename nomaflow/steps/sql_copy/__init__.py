"""`sql_copy`: a table from one connector to another; rows in = rows out.

All changes of the target are one transaction. It is the stash: new rows are loaded beside the old ones, unseen, and
the commit is the swap. Every database here keeps the old rows for its readers until that moment, so the target is
never empty for anybody, and a copy that fails, is canceled or is killed leaves the old rows and nothing else: there is
no stash table that somebody would have to find and drop. The table itself stays, with its column types, indexes,
constraints, grants, views and triggers. A swap by renaming would lose those, and a reader whose transaction began
before it would see an empty table; TRUNCATE would show that too.

Between two PostgreSQL servers the bytes of COPY go through unread. Into DuckDB rows go as columns of Arrow:
PostgreSQL's come as the CSV of COPY, in its own exact notation; SQLite's by the standard library, since a second
SQLite in one process, as ADBC brings it, would drop the first one's locks on the file, and guesses a column's type by
its first rows. ADBC gives PostgreSQL's numbers as text anyway, and the addresses as bytes of its own. All else goes
by typed rows.

Every value of every type arrives as it was, but for these, which are told or equal:

- NaN and infinity: an error in SQLite for NaN, in DuckDB's DECIMAL for both;
- a numeric without limits of more than 18 decimals, or 20 digits before its point: an error in DuckDB, unless the
  target was made with another type; with fewer decimals it is filled up with zeros, which is equal;
- minus zero: SQLite keeps zero, which is equal;
- types that one database alone knows are text in the others, in the notation that it reads back.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any, cast

from nomaflow.steps.databases.tables import TableDatabase
from nomaflow.steps.sql_copy.copying import Copy, Place
from nomaflow.worker.context import StepContext


def run(ctx: StepContext, options: dict[str, Any]) -> dict[str, Any]:
    """Copy `source` into `target`; `mode` is overwrite, append or upsert.

    Raises:
        CopyError: the tables do not fit, a value does not, or the counts differ.
        StepCanceled: the step is asked to stop; the target is as it was.
    """
    begun = time.perf_counter()
    ctx.rolled_back = True  # there is nothing yet
    with ExitStack() as opened:
        with ctx.canceler.interrupting_main_thread():
            # A server that does not answer keeps the driver waiting.
            source, target = _places(ctx, options, opened)
        with (
            ctx.undoing(target.database, source.database),
            ctx.canceler.stopping(source.database),
            # A backend that waits for rows does not hear a cancel; when the source is cut, it is told to drop them.
            ctx.canceler.stopping(target.database, patience=1.2),
        ):
            loaded = Copy(ctx, source, target, options).run()
    return {
        "source_rows": loaded.read,
        "target_rows": loaded.written,
        "elapsed_ms": round((time.perf_counter() - begun) * 1000),
    }


def _places(ctx: StepContext, options: dict[str, Any], opened: ExitStack) -> tuple[Place, Place]:
    """Both ends, open; on one connection where they are one database."""

    def database_of(end: str) -> TableDatabase:
        database = cast("TableDatabase", ctx.open_connector(options[end]["connector"]))
        opened.callback(database.close)
        return database

    target = database_of("target")
    source = target if options["source"]["connector"] == options["target"]["connector"] else database_of("source")
    if source.location == target.location:
        # Two connections to one file would wait for each other's locks.
        source = target
    return Place.of(source, options["source"]), Place.of(target, options["target"])
