"""The step of the job `flights-cleanup`."""

from __future__ import annotations

from datetime import date
from typing import Any

from nomaflow.worker.context import StepContext


def remove_old_days(
    ctx: StepContext, *, connector: str, before: date, dry_run: bool = True, **_: Any
) -> dict[str, Any]:
    """Remove the days before `before` from the summary; with `dry_run`, only count their rows."""
    flights = ctx.get_connector(connector).sync
    day = {"day": before.isoformat()}
    if dry_run:
        rows = flights.scalar("select count(*) from daily_delays where flight_date < cast(:day as date)", day)
        ctx.log.info("▶ %d rows before %s would be removed; run again without dry_run to remove them", rows, before)
        return {"rows_affected": 0, "rows_found": rows}
    rows = flights.execute("delete from daily_delays where flight_date < cast(:day as date)", day)
    ctx.log.info("▶ %d rows before %s removed", rows, before)
    return {"rows_affected": rows, "rows_found": rows}
