"""From one version of the schema to the next, forward only. `opening.py` runs them on a copy."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable

import duckdb

from nomaflow.engine.change import Row
from nomaflow.engine.store.file import SCHEMA_VERSION, tables
from nomaflow.history.search_texts import StepFacts, error_lines, joined, param_items, step_items
from nomaflow.launch.plan import Plan
from nomaflow.wire import RunState, StepState

_BATCH = 10_000


def migrate(db: duckdb.DuckDBPyConnection, version: int) -> None:
    """Bring the tables from a version to today's."""
    for number in range(version, SCHEMA_VERSION):
        db.begin()
        _STEPS[number](db)
        db.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", [str(number + 1)]).fetchall()
        db.commit()


def _slots_and_search_texts(db: duckdb.DuckDBPyConnection) -> None:
    """1 → 2: runs have texts for searches; schedules, slots, pauses and more have tables."""
    for name in ("params", "step_ends", "problem"):
        db.execute(f"ALTER TABLE run ADD COLUMN {name} VARCHAR").fetchall()
    appender = db.appender("run", columns=["id", "params", "step_ends", "problem"], action="update", key=["id"])
    after = -1
    while runs := db.execute(
        f"SELECT id, state, plan FROM run WHERE id > ? ORDER BY id LIMIT {_BATCH}", [after]
    ).fetchall():
        steps: dict[int, dict[str, Row]] = defaultdict(dict)
        for step in db.execute(
            "SELECT run_id, name, state, reason, started_at, error FROM step_run WHERE run_id BETWEEN ? AND ?",
            [runs[0][0], runs[-1][0]],
        ).fetchall():
            steps[step[0]][step[1]] = step[2:]
        appender.append_rows([_search_texts(number, state, plan, steps[number]) for number, state, plan in runs])
        appender.flush()
        after = runs[-1][0]
    statements = tables()
    for name in ("retry_wait", "schedule", "slot", "skip", "pause", "definition"):
        db.execute(statements[name]).fetchall()
    db.execute(
        "INSERT INTO pause SELECT job_id, reason, coalesce(who, 'engine'), NULL, happened_at FROM ("
        "SELECT * FROM event WHERE kind = 'job' AND state IN ('enabled', 'disabled') "
        "QUALIFY row_number() OVER (PARTITION BY job_id ORDER BY seq DESC) = 1) WHERE state = 'disabled'"
    ).fetchall()


def _search_texts(number: int, state: str, plan_json: str, ended: dict[str, Row]) -> Row:
    plan = Plan.model_validate_json(plan_json)
    params = joined(param_items(plan))
    if not RunState(state).is_terminal:
        return number, params, None, None
    steps = []
    for planned in plan.steps:
        step_state, reason, started_at, error = ended.get(planned.name, (None, None, None, None))
        found = json.loads(error) if error else None
        steps.append(
            StepFacts(
                planned.name,
                has_begun=started_at is not None,
                has_failed=step_state == StepState.FAILED,
                is_skipped=not planned.runs or (reason or "").startswith("skipped"),
                error=f"{found['type']}: {found['message']}" if found else None,
            )
        )
    return number, params, joined(step_items(steps)), joined(error_lines(step.error for step in steps)) or None


def _smaller_runs(db: duckdb.DuckDBPyConnection) -> None:
    """2 → 3: no index of runs, compressed plans; steps may go without attempts, and have their instants in
    milliseconds."""
    statements = tables()
    for name in ("run", "step_run"):
        db.execute(f"ALTER TABLE {name} RENAME TO earlier").fetchall()
        db.execute(statements[name]).fetchall()
        db.execute(f"INSERT INTO {name} BY NAME SELECT {_AS_IN_3[name]} FROM earlier").fetchall()
        db.execute("DROP TABLE earlier").fetchall()


_CUT = "date_trunc('milliseconds', {0}) AS {0}"
"""A cast would round up, and a step end later than its run."""

_AS_IN_3 = {"run": "*", "step_run": f"* REPLACE ({_CUT.format('started_at')}, {_CUT.format('finished_at')})"}


_STEPS: dict[int, Callable[[duckdb.DuckDBPyConnection], None]] = {1: _slots_and_search_texts, 2: _smaller_runs}
