"""From one version of the schema to the next, forward only. `opening.py` runs them on a copy."""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from nomaflow.engine.store.file import SCHEMA_VERSION, tables
from nomaflow.history.params import search_text
from nomaflow.launch.plan import Plan

_BATCH = 10_000


def migrate(db: duckdb.DuckDBPyConnection, version: int) -> None:
    """Bring the tables from a version to today's."""
    for number in range(version, SCHEMA_VERSION):
        db.begin()
        _STEPS[number](db)
        db.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", [str(number + 1)]).fetchall()
        db.commit()


def _slots_and_params(db: duckdb.DuckDBPyConnection) -> None:
    """1 → 2: runs can be found by their parameters; schedules, slots, pauses and more have tables."""
    db.execute("ALTER TABLE run ADD COLUMN params VARCHAR").fetchall()
    appender = db.appender("run", columns=["id", "params"], action="update", key=["id"])
    after = -1
    while rows := db.execute(f"SELECT id, plan FROM run WHERE id > ? ORDER BY id LIMIT {_BATCH}", [after]).fetchall():
        after = rows[-1][0]
        appender.append_rows([(number, search_text(Plan.model_validate_json(plan))) for number, plan in rows])
        appender.flush()
    statements = tables()
    for name in ("retry_wait", "schedule", "slot", "skip", "pause", "definition"):
        db.execute(statements[name]).fetchall()
    db.execute(
        "INSERT INTO pause SELECT job_id, reason, coalesce(who, 'engine'), NULL, happened_at FROM ("
        "SELECT * FROM event WHERE kind = 'job' AND state IN ('enabled', 'disabled') "
        "QUALIFY row_number() OVER (PARTITION BY job_id ORDER BY seq DESC) = 1) WHERE state = 'disabled'"
    ).fetchall()


_STEPS: dict[int, Callable[[duckdb.DuckDBPyConnection], None]] = {1: _slots_and_params}
