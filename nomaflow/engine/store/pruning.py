"""Deleting history that is old enough, a bounded piece at a time."""

from __future__ import annotations

from datetime import datetime

import duckdb

from nomaflow.engine.rows import naive

_OLD_RUNS = """
SELECT id FROM run
WHERE state IN ('SUCCEEDED', 'CANCELED', 'FAILED')
  AND finished_at < CASE state WHEN 'FAILED' THEN ? ELSE ? END
  AND id NOT IN (SELECT max(id) FROM run GROUP BY job_id)
ORDER BY id LIMIT ?
"""

_OF_A_RUN = ("step_run", "retry_wait", "event", "log_line", "slot")

_WITHOUT_A_RUN = {"event": "seq", "slot": "id"}
"""Tables whose rows may belong to no run, each with its key."""


def prune(db: duckdb.DuckDBPyConnection, before: datetime, failed_before: datetime, limit: int) -> int:
    """Delete the oldest runs that ended before an instant with all that is theirs, in a transaction that was begun.

    What never goes: a run that has not ended, the newest run of each job, the newest event.

    Args:
        db: the writer's connection.
        before: runs that ended before it go; so do slots and events of no run.
        failed_before: the same for runs that FAILED.
        limit: delete at most so many runs, and so many of the other rows.

    Returns:
        How many runs were deleted.
    """
    oldest = min(before, failed_before)
    runs = [row[0] for row in db.execute(_OLD_RUNS, [naive(failed_before), naive(before), limit]).fetchall()]
    if runs:
        for table in _OF_A_RUN:
            db.execute(
                f"DELETE FROM {table} WHERE run_id BETWEEN ? AND ? AND run_id IN (SELECT unnest(?::BIGINT[])) "
                + _but_the_newest(table),
                [runs[0], runs[-1], runs],
            ).fetchall()
        db.execute("DELETE FROM run WHERE id IN (SELECT unnest(?::BIGINT[]))", [runs]).fetchall()
    for table, key in _WITHOUT_A_RUN.items():
        instant = "happened_at" if table == "event" else "decided_at"
        db.execute(
            f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE run_id IS NULL "
            f"AND {instant} < ? {_but_the_newest(table)} ORDER BY {key} LIMIT ?)",
            [naive(oldest if table == "event" else before), limit],
        ).fetchall()
    return len(runs)


def _but_the_newest(table: str) -> str:
    # Where numbering goes on, and what the high-water mark is compared with.
    return "AND seq < (SELECT max(seq) FROM event)" if table == "event" else ""
