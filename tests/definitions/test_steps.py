"""What is known of a step by its type: what it may change, and what its worker must expect."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from nomaflow.definitions.steps import STEP_TYPES, Step
from nomaflow.definitions.steps.common import StepCommon

COPY = {
    "type": "sql_copy",
    "source": {"connector": "a", "table": "t"},
    "target": {"connector": "${kw:b}", "table": "t"},
}

SYNC = {
    "type": "ldap_sync",
    "connector": "directory",
    "search_base": "",
    "target_connector": "hr",
    "target_table": "people",
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
        (SYNC, {"hr"}),
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
        ("ldap_sync", {"is_transactional"}),
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


SOURCE = {"connector": "a", "table": "t"}
QUERY = {"connector": "a", "query": "SELECT * FROM t WHERE a > :low AND b = '${kw:x}';", "params": {"low": 1}}


def copy(source: dict[str, Any], **fields: Any) -> StepCommon:
    return step(**COPY | {"source": source} | fields)


@pytest.mark.parametrize(
    ("source", "fields", "problem"),
    [
        ({"connector": "a"}, {}, "needs a `table` or a `query`"),
        (QUERY | {"table": "t"}, {}, "needs a `table` or a `query`"),
        (QUERY | {"where": "a > 1"}, {}, "take `schema` and `where` out"),
        (QUERY | {"params": {}}, {}, "asks for :low, which `params` does not have"),
        (SOURCE | {"where": "a = :x"}, {}, "asks for :x, which `params` does not have"),
        (SOURCE | {"where": "a = 1; DELETE FROM t"}, {}, "more than one statement"),
        (SOURCE | {"where": "a = 1) OR (b = 2"}, {}, "closes a bracket that it has not opened"),
        (SOURCE | {"where": "-- nothing"}, {}, "condition is empty"),
        (QUERY | {"query": "DELETE FROM t RETURNING *", "params": {}}, {}, "is none, or that changes something"),
        (QUERY | {"query": "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", "params": {}}, {}, "changes"),
        (QUERY | {"query": "SELECT 'open", "params": {}}, {}, "has no end"),
        (SOURCE, {"julian_columns": ["a"]}, 'needs type_coercion = "jde"'),
        (SOURCE, {"decimal_mode": "truncate"}, 'needs type_coercion = "jde"'),
        (SOURCE, {"decimal_scales": {"a": 39}, "type_coercion": "jde"}, "less than or equal to 38"),
    ],
)
def test_a_copy_that_cannot_be_meant_so_is_refused(
    source: dict[str, Any], fields: dict[str, Any], problem: str
) -> None:
    """Before it runs, in words."""
    with pytest.raises(ValidationError, match=problem):
        copy(source, **fields)


def test_a_copy_takes_a_query_or_a_part_of_a_table() -> None:
    """What it does is told in a line."""
    assert copy(QUERY).detail == "a.(query) → ${kw:b}.t (overwrite)"
    assert copy(SOURCE | {"where": "a IN (1, :x)", "params": {"x": 2}}).detail == "a.t → ${kw:b}.t (overwrite)"
    assert copy(SOURCE, columns={"A": "b"}).options()["columns"] == {"A": "b"}
    assert copy(SOURCE, columns=["A"]).options()["columns"] == ["A"]
