"""`sql_query`: one SQL statement on one connector."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

from nomaflow.worker.context import StepContext


def run(ctx: StepContext, options: dict[str, Any]) -> dict[str, Any]:
    """Run the statement and commit. Rows that it gives are counted in batches and dropped.

    Raises:
        StepCanceled: the step is asked to stop; the statement is rolled back.
    """
    begun = time.perf_counter()
    ctx.rolled_back = True  # there is nothing yet
    with ctx.canceler.interrupting_main_thread():
        # A server that does not answer keeps the driver waiting.
        database = ctx.open_connector(options["connector"])
    with closing(database), ctx.undoing(database), ctx.canceler.stopping(database):
        ctx.log.debug("%s", options["query"])
        rows = database.execute(options["query"], options["params"])
        ctx.checkpoint()
        database.commit()
    ctx.log.info("%d rows in %.0f ms", rows, (time.perf_counter() - begun) * 1000)
    return {"rows_affected": rows}
