"""Jobs that call jobs, on a real engine: values in, outputs out, and what a killed engine leaves."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.engine import Child, engine

SETTINGS = """
[engine]
timezone = "UTC"
drain_seconds = 1
max_parallel_runs = 1
[connectors.db]
kind = "sql"
url = "sqlite:///db.db"
"""

CODE = """
import time
from pathlib import Path

def load(ctx, *, period, factor=1):
    ctx.log.info("loads %s", period)
    return {"rows_affected": 3 * factor, "period": period}

def waits(ctx):
    ctx.log.info("waits")
    while not Path(ctx.home, "go").exists():
        time.sleep(0.01)
    return {"waited": True}
"""

LOAD = """
locks = ["db"]
[params]
period = "none"
[[steps]]
name = "load"
type = "python"
callable = "code:load"
[steps.op_kwargs]
factor = 1
"""

NIGHT = """
locks = ["db"]
[[steps]]
name = "prepare"
type = "sql_query"
connector = "db"
query = "create table if not exists loads (run_id text, n integer, period text)"
[[steps]]
name = "call"
type = "call_job"
job = "load"
params = { period = "${out:prepare.rows_affected} of ${ctx:job_id}" }
steps = { load = { op_kwargs = { factor = 2 } } }
[[steps]]
name = "note"
type = "sql_query"
connector = "db"
query = "insert into loads values (:run_id, :n, :period)"
params = { run_id = "${out:call.run_id}", n = "${out:call.rows_affected}", period = "${out:call.period}" }
"""

WAITS = '[[steps]]\nname = "waits"\ntype = "python"\ncallable = "code:waits"\n'
CALLS = '[[steps]]\nname = "call"\ntype = "call_job"\njob = "waits"\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one place for runs."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "nomaflow.toml").write_text(SETTINGS)
    files = {"code.py": CODE, "load.toml": LOAD, "night.toml": NIGHT, "waits.toml": WAITS, "calls.toml": CALLS}
    for name, text in files.items():
        (tmp_path / "jobs" / name).write_text(text)
    return tmp_path


def wait_for[T](look: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come about within 20 s")


def ended(child: Child, run_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        run: dict[str, Any] = child.request("GET", f"/runs/{run_id}")
        return run if run["finished_at"] else None

    return wait_for(look)


def newest(child: Child, job_id: str) -> dict[str, Any] | None:
    items = child.request("GET", f"/runs?job={job_id}")["items"]
    return items[0] if items else None


def test_a_chain_needs_one_place(home: Path) -> None:
    """With its locks and its files lent, its values put in, and its outputs there for later steps."""
    with engine(home) as child:
        run = ended(child, child.request("POST", "/jobs/night/runs", {})["id"])
        assert run["state"] == "SUCCEEDED", run
        below = child.request("GET", f"/runs/{run['steps'][1]['output']['run_id']}")
        assert (below["parent_run"], below["triggered_by"]) == (run["id"], run["triggered_by"])
        assert run["steps"][1]["output"] == {
            "run_id": below["id"],
            "job_id": "load",
            "state": "SUCCEEDED",
            "rows_affected": 6,
            "period": "0 of night",
        }
        assert run["steps"][2]["rows_affected"] == 1


def test_a_killed_engine_leaves_nobody_waiting(home: Path) -> None:
    """Caller and called have failed, say why, and the caller's replay calls anew."""
    with engine(home) as child:
        caller = child.request("POST", "/jobs/calls/runs", {})["id"]
        called = wait_for(lambda: newest(child, "waits"))["id"]
        wait_for(lambda: child.request("GET", f"/runs/{called}")["state"] == "RUNNING")
        child.process.send_signal(signal.SIGKILL)
        child.process.wait(20)
    with engine(home) as child:
        runs = [child.request("GET", f"/runs/{run_id}") for run_id in (caller, called)]
        assert [(run["state"], run["reason"]) for run in runs] == [("FAILED", "interrupted: engine restarted")] * 2
        (home / "go").touch()
        again = ended(child, child.request("POST", f"/runs/{caller}/replay", {"only": "failed"})["id"])
        assert again["state"] == "SUCCEEDED"
        assert again["steps"][0]["output"]["waited"] is True
        assert again["steps"][0]["output"]["run_id"] != called
