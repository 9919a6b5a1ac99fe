"""The python steps of the job `flights-cleanup`."""

from __future__ import annotations

from datetime import date
from typing import Any

from nomaflow import StepContext

Output = dict[str, Any]


def decide(ctx: StepContext, *, connector: str, before: date, threshold: int, **_: Any) -> Output:
    """Count the rows that are old, and say whether they are worth a clean-up."""
    flights = ctx.get_connector(connector).sync
    query = "select count(*) from daily_delays where flight_date < cast(:day as date)"
    found = flights.scalar(query, {"day": before.isoformat()})
    ctx.log.info("▶ %d rows are from before %s; %d are enough for a clean-up", found, before, threshold)
    return {"rows_found": found, "go": found >= threshold}


async def act(
    ctx: StepContext, *, connector: str, before: date, batch_size: int = 50, dry_run: bool = True, **_: Any
) -> Output:
    """Remove the rows, some at a time; with `dry_run`, say how many they would be.

    Each batch is a transaction of its own. A cancel ends the step between two: what is removed stays removed.
    """
    decided = ctx.previous_step("decide").output
    found = decided["rows_found"]
    if not decided["go"]:
        ctx.log.info("▶ nothing is done: too few rows are old")
        return {"rows_affected": 0}
    if dry_run:
        ctx.log.info("▶ %d rows before %s would be removed; run again without dry_run to remove them", found, before)
        return {"rows_affected": 0}
    flights = await ctx.get_connector(connector)
    values = {"day": before.isoformat(), "batch_size": batch_size}
    removed = 0
    while batch := await flights.execute(_REMOVE, values):
        removed += batch
        ctx.progress(removed, max(found, removed))
        ctx.checkpoint()
    ctx.log.info("▶ %d rows before %s removed", removed, before)
    return {"rows_affected": removed}


_REMOVE = """
delete from daily_delays
where rowid in (select rowid from daily_delays where flight_date < cast(:day as date) limit :batch_size)
"""
