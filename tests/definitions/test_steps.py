"""What is known of a step by its type: what it may change, and what its worker must expect."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from nomaflow.definitions.steps import STEP_TYPES, Step
from nomaflow.definitions.steps.common import StepCommon

COPY = {
    "type": "sql_copy",
    "source": {"connector": "a", "table": "t"},
    "target": {"connector": "${kw:b}", "table": "t"},
}


def step(**fields: Any) -> StepCommon:
    made: StepCommon = TypeAdapter(Step).validate_python({"name": "one", **fields})
    return made


@pytest.mark.parametrize(
    ("fields", "writes"),
    [
        (COPY, {"${kw:b}"}),
        ({"type": "sql_query", "connector": "a", "query": "DELETE FROM t"}, {"a"}),
        ({"type": "sql_query", "connector": "a", "query": "PRAGMA optimize"}, {"a"}),
        ({"type": "sql_query", "connector": "a", "query": "WITH d AS (DELETE FROM t RETURNING *) FROM d"}, {"a"}),
        ({"type": "sql_query", "connector": "a", "query": "SELECT 'no end"}, {"a"}),
        ({"type": "sql_query", "connector": "a", "query": "-- now\nSELECT ';'"}, set()),
        ({"type": "sql_query", "connector": "a", "query": "EXPLAIN SELECT 1"}, set()),
        ({"type": "python", "callable": "code:main"}, set()),
        ({"type": "shell", "argv": ["true"]}, set()),
    ],
)
def test_a_step_names_the_connectors_that_it_may_change(fields: dict[str, Any], writes: set[str]) -> None:
    """A copy its target, a query its connector unless its text surely only reads."""
    assert step(**fields).writes() == writes


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("sql_query", {"is_transactional"}),
        ("sql_copy", {"is_transactional"}),
        ("python", {"runs_code", "starts_processes"}),
        ("shell", {"starts_processes"}),
        ("retention", {"runs_in_engine", "is_housekeeping"}),
        ("backup", {"runs_in_engine", "is_housekeeping"}),
        ("http", {"runs_in_engine"}),
    ],
)
def test_each_type_says_what_it_does(kind: str, facts: set[str]) -> None:
    """What engine and workers have to expect of a step stands with its type."""
    names = ("runs_code", "starts_processes", "is_transactional", "runs_in_engine", "is_housekeeping")
    assert {name for name in names if getattr(STEP_TYPES[kind], name)} == facts
