"""The cancel table: every type of step, and every way in which it takes a cancel, on a real engine and real servers.

Whatever a step does, its run is CANCELED, is never tried again, and leaves nothing at work but what the receipt names.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomaflow.worker import process_group
from tests.acceptance.cancel_cases import CASES, LDAP, Case
from tests.acceptance.cancel_stage import Stage, is_alive, stage, wait_for
from tests.servers.engine import engine
from tests.servers.postgresql import Server


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, postgresql: Server) -> Iterator[Stage]:
    """One engine for all rows."""
    with postgresql.new_database() as database, stage(tmp_path_factory.mktemp("home"), database) as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.job_id)
def test_a_cancel_leaves_nothing_and_says_what_it_did(table: Stage, case: Case) -> None:
    """CANCELED after one try, with the rungs that were needed; no process, no backend, no lock is left."""
    canceled = table.cancel(case)
    run, step = canceled.run, canceled.run["steps"][0]
    receipt = run["receipt"]
    assert run["state"] == "CANCELED", (run["reason"], canceled.log)
    assert step["state"] == ("SUCCEEDED" if case.behaviour == "ends well" else "CANCELED")
    assert step["attempt"] == 1
    assert not any("tries again" in line for line in canceled.log)
    rungs = tuple(rung["rung"] for rung in receipt["rungs"])
    if case.force:  # there is so little time that a busy machine climbs higher than an idle one
        rungs = tuple(rung for rung in rungs if rung in case.rungs)
    assert rungs == case.rungs, (receipt, canceled.log)
    assert all(rung["ended_at"] for rung in receipt["rungs"])
    assert receipt["rolled_back"] == case.rolled_back, (receipt, canceled.log)
    assert receipt["force"] is case.force
    if case.is_in_engine:
        assert receipt["proof"] == "the step ran in the engine, which has left it"
        table.web.wait_closed()
    else:
        group = re.fullmatch(r"process (\d+) is reaped and its group is empty", receipt["proof"])
        assert group is not None
        assert process_group.members(int(group[1])) == []
    for child in (line.split()[1] for line in canceled.log if line.startswith("child ")):
        assert not is_alive(int(child))
    # A backend that stood still could not be ended, and that is said; awake again, it goes.
    assert bool(receipt["survivors"]) is bool(case.frozen or case.silent)
    wait_for(lambda: not table.backends())
    if case.is_on_server:
        with table.server.connect() as look:
            assert look.execute("SELECT count(*) FROM t").fetchone() == (0,)
    if case.step_type == LDAP:
        assert table.people() == [0, 0, 0]


TIMED = {
    "request": ("http-asks-a-silent-service", 2),
    "statement": ("sql-query-on-postgresql-sleeps", 2),
    "deaf": ("python-asyncio-blocks-in-sleep", 1),
}


@pytest.mark.parametrize(("like", "attempts"), TIMED.values(), ids=TIMED.keys())
def test_a_timeout_climbs_the_same_ladder(table: Stage, like: str, attempts: int) -> None:
    """The step is FAILED `timed out after N s` and tried again; each try's process and backend are gone."""
    step = next(case.step for case in CASES if case.job_id == like)
    retry = f"timeout_seconds = 0.5\nretry = {{ attempts = {attempts}, base_seconds = 0 }}\n"
    (table.home / "jobs" / "timed.toml").write_text(f'[[steps]]\nname = "one"\n{retry}{step}')
    table.engine.request("POST", "/reload")
    run = table.ended(table.engine.request("POST", "/jobs/timed/runs", {})["id"])
    (one,) = run["steps"]
    assert (run["state"], one["state"], one["reason"]) == ("FAILED", "FAILED", "timed out after 0.5 s")
    assert (one["error"]["type"], one["attempt"]) == ("TimeoutError", attempts)
    assert run["receipt"] is None
    mark = process_group.mark_of(table.home)
    for worker in process_group.marked(process_group.HOME_MARK, mark):
        assert process_group.descendants(worker) == []
    wait_for(lambda: not table.backends())
    table.web.wait_closed()


CALLED = ("sql-query-on-postgresql-sleeps", "python-sleeps", "python-deaf--with-a-child-force", "shell-sleeps")


@pytest.mark.parametrize("like", CALLED)
def test_a_cancel_goes_down_to_what_was_called(table: Stage, like: str) -> None:
    """Both are CANCELED, what was called first; the caller's receipt has the other's rungs, proof and roll-back."""
    case = next(case for case in CASES if case.job_id == like)
    text = f'[retry]\nattempts = 3\n[[steps]]\nname = "call"\ntype = "call_job"\njob = "{case.job_id}"\n'
    (table.home / "jobs" / "caller.toml").write_text(text)
    table.engine.request("POST", "/reload")
    caller = table.engine.request("POST", "/jobs/caller/runs", {"log_level": "DEBUG"})["id"]
    called = wait_for(lambda: _called(table, caller))
    table.wait_at_work(case, called)
    table.engine.request("POST", f"/runs/{caller}/cancel", {"force": case.force})
    run, below = table.ended(caller), table.ended(called)
    assert (run["state"], below["state"], run["steps"][0]["attempt"]) == ("CANCELED", "CANCELED", 1)
    assert below["finished_at"] <= run["finished_at"]
    assert (below["parent_run"], below["triggered_by"]) == (caller, run["triggered_by"])
    name, receipt = f"{called} of {case.job_id}", run["receipt"]
    assert [(rung["rung"], rung["result"]) for rung in receipt["rungs"]] == [
        *((rung["rung"], f"{name}: {rung['result']}") for rung in below["receipt"]["rungs"]),
        ("soft cancel", f"{name} is CANCELED"),
    ]
    assert receipt["proof"].endswith(f"{name}: {below['receipt']['proof']}")
    assert (receipt["rolled_back"], receipt["force"]) == (case.rolled_back, case.force)
    group = re.search(r"process (\d+) is reaped and its group is empty", receipt["proof"])
    assert group is not None
    assert process_group.members(int(group[1])) == []
    wait_for(lambda: not table.backends())


def _called(table: Stage, caller: str) -> str | None:
    lines = table.engine.request("GET", f"/runs/{caller}/logs")["lines"]
    return next((line["text"].split()[1] for line in lines if line["text"].startswith("started run_")), None)


def test_a_stopping_engine_climbs_the_same_ladder(tmp_path: Path, postgresql: Server) -> None:
    """What is not over after the drain is ended and FAILED; the engine leaves no process and no backend behind."""
    chosen = ("sql-query-on-postgresql-sleeps", "python-asyncio-blocks-in-sleep")
    cases = [case for case in CASES if case.job_id in chosen]
    with postgresql.new_database() as database, stage(tmp_path, database) as made:
        run_ids = [made.launch(case) for case in cases]
        mark = process_group.mark_of(tmp_path)
        assert len(process_group.marked(process_group.HOME_MARK, mark)) >= len(run_ids)
        made.engine.process.send_signal(signal.SIGTERM)
        assert made.engine.process.wait(20) == 0
        assert process_group.marked(process_group.HOME_MARK, mark) == []
        wait_for(lambda: not made.backends())
        with engine(tmp_path) as restarted:
            runs = [restarted.request("GET", f"/runs/{run_id}") for run_id in run_ids]
    assert [(run["state"], run["reason"]) for run in runs] == [("FAILED", "interrupted: engine stopped")] * 2
    assert [(run["steps"][0]["state"], run["steps"][0]["attempt"]) for run in runs] == [("FAILED", 1)] * 2
