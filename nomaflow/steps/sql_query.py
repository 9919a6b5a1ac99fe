"""`sql_query`: one SQL statement on one connector."""

from __future__ import annotations

import time
from typing import Any

from nomaflow.worker.context import Database, StepCanceled, StepContext


def run(ctx: StepContext, options: dict[str, Any]) -> dict[str, Any]:
    """Run the statement and commit. Rows that it gives are counted in batches and dropped.

    Raises:
        StepCanceled: the step is asked to stop; the statement is rolled back.
    """
    begun = time.perf_counter()
    database = ctx.open_connector(options["connector"])
    try:
        with ctx.canceler.armed(database.cancel):
            ctx.log.debug("%s", options["query"])
            rows = database.execute(options["query"], options["params"])
            ctx.checkpoint()
            database.commit()
    except BaseException as error:
        _rolled_back(ctx, database)
        if isinstance(error, Exception) and ctx.is_cancelled():
            raise StepCanceled from error
        raise
    finally:
        database.close()
    ctx.log.info("%d rows in %.0f ms", rows, (time.perf_counter() - begun) * 1000)
    return {"rows_affected": rows}


def _rolled_back(ctx: StepContext, database: Database) -> None:
    try:
        database.rollback()
    except Exception as error:  # the first error is the one to raise, and closing rolls back as well
        ctx.log.warning("rolling back failed: %s", error)
