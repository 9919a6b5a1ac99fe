"""What a run needs for itself, read off its plan."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from nomaflow.definitions.job import Job
from nomaflow.definitions.settings import Settings
from nomaflow.engine.claims import Claims, claims
from nomaflow.launch import plan as plans
from nomaflow.launch.overrides import Overrides

HOME = Path("/home/of/it")
CONNECTORS = Settings.model_validate(
    {
        "connectors": {
            "lite": {"kind": "sql", "url": "sqlite:///lite.db"},
            "duck": {"kind": "sql", "url": "duckdb:////data/duck.db"},
            "memory": {"kind": "sql", "url": "duckdb:///:memory:"},
            "server": {"kind": "sql", "url": "postgresql+psycopg://a@127.0.0.1/b"},
        }
    }
).connectors


def claimed(
    *steps: dict[str, Any], takes_turns: bool = False, changes: dict[str, Any] | None = None, **more: Any
) -> Claims:
    named = [{"name": f"s{number}", **step} for number, step in enumerate(steps)]
    job = Job.model_validate({"id": "a", "steps": named, **more})
    plan = plans.resolve(job, Overrides.model_validate(changes or {}), today=date(2026, 3, 1))
    return claims(job, plan, CONNECTORS, HOME, takes_turns=takes_turns)


def query(connector: str, text: str = "delete from t", **more: Any) -> dict[str, Any]:
    return {"type": "sql_query", "connector": connector, "query": text, **more}


def test_locks_and_turn() -> None:
    """The job's locks by their names; its turn where its runs go one after another."""
    assert claimed(query("server"), locks=["jde"], takes_turns=True).locks == {"lock jde", "turn of a"}


def test_a_file_that_is_written_is_a_lock() -> None:
    """By its path in the home; a server's database and one in memory are none, and neither is one that is read."""
    files = {f"file {HOME / 'lite.db'}", "file /data/duck.db"}
    assert claimed(query("lite"), query("duck"), query("memory"), query("server")).locks == files
    assert claimed(query("lite", "select 1")).locks == set()


def test_a_copy_writes_its_target() -> None:
    """And reads its source, which others may read too."""
    copy = {
        "type": "sql_copy",
        "source": {"connector": "lite", "table": "t"},
        "target": {"connector": "${kw:target_connector}", "table": "t"},
    }
    params = {"target_connector": "duck"}
    assert claimed(copy, params=params) == Claims(frozenset({"file /data/duck.db"}), frozenset({"lite", "duck"}))
    changed = claimed(copy, params=params, changes={"params": {"target_connector": "server"}})
    assert changed == Claims(frozenset(), frozenset({"lite", "server"}))


def test_code_may_write_what_its_parameters_name() -> None:
    """What else it opens is not known before it does."""
    code = {"type": "python", "callable": "a:b", "op_kwargs": {"source_connector": "lite"}}
    assert claimed(code) == Claims(frozenset({f"file {HOME / 'lite.db'}"}), frozenset({"lite"}))


def test_a_step_that_does_not_run_claims_nothing() -> None:
    """Its file is free for others."""
    steps = query("lite"), query("server")
    assert claimed(*steps, changes={"steps": {"s0": {"enabled": False}}}) == Claims(frozenset(), frozenset({"server"}))
