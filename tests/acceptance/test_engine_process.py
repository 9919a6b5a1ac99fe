"""A real engine as a child process: what it keeps when it is killed, and what it leaves behind when it cancels."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nomaflow.worker import process_group
from tests.servers.engine import Child, ChildFailedError
from tests.servers.postgresql import Server

PY = """
import asyncio, os, subprocess, time
from pathlib import Path

def _mark(ctx):
    Path(ctx.home, f"{ctx.job_id}.pid").write_text(str(os.getpid()))
    ctx.log.info("at work")

def ok(ctx):
    ctx.log.info("fine")
    return {"rows_affected": 3}

def blocks(ctx):
    _mark(ctx)
    time.sleep(600)

async def awaits(ctx):
    _mark(ctx)
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        ctx.log.info("saw CancelledError")
        raise

def stubborn(ctx):
    subprocess.Popen(["sleep", "600"])
    _mark(ctx)
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass

def short(ctx):
    _mark(ctx)
    time.sleep(1)

def shows_environment(ctx):
    ctx.log.info("environment %s", sorted(os.environ))
    return {"argv": Path("/proc/self/cmdline").read_text().split("\\0")}
"""

QUERY = "SELECT pg_sleep(600)"


def settings(connectors: str = "") -> str:
    return f"[engine]\ntimezone = 'UTC'\ndrain_seconds = 5\n[shell]\nenabled = true\n{connectors}"


def python_job(function: str) -> str:
    return f'[[steps]]\nname = "one"\ntype = "python"\ncallable = "code:{function}"\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "nomaflow.toml").write_text(settings())
    (tmp_path / "jobs" / "code.py").write_text(PY)
    for function in ("ok", "blocks", "awaits", "stubborn", "short", "shows_environment"):
        (tmp_path / "jobs" / f"{function}.toml").write_text(python_job(function))
    return tmp_path


@pytest.fixture
def engine(home: Path) -> Iterator[Child]:
    child = Child(home, "serve")
    yield child
    child.stop()


def wait_for[T](look: Callable[[], T | None]) -> T:
    """What `look` finds; a process outside has no event to wait for."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come about within 20 s")


def run_of(engine: Child, job: str) -> str:
    run_id: str = engine.request("POST", f"/jobs/{job}/runs", {})["id"]
    return run_id


def ended(engine: Child, run_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        run: dict[str, Any] = engine.request("GET", f"/runs/{run_id}")
        return run if run["state"] in ("SUCCEEDED", "FAILED", "CANCELED") else None

    return wait_for(look)


def worker_pid(home: Path, job: str) -> int:
    def look() -> int | None:
        try:
            return int((home / f"{job}.pid").read_text())
        except (OSError, ValueError):
            return None

    return wait_for(look)


def log_of(engine: Child, run_id: str) -> list[str]:
    return [line["text"] for line in engine.request("GET", f"/runs/{run_id}/logs")["lines"]]


@pytest.mark.parametrize("job", ["blocks", "awaits"])
def test_a_canceled_python_step_leaves_no_process(engine: Child, home: Path, job: str) -> None:
    """A step that sleeps, blocking or awaiting, is CANCELED, and nothing of its process group lives then."""
    run_id = run_of(engine, job)
    group = worker_pid(home, job)
    assert process_group.members(group)
    engine.request("POST", f"/runs/{run_id}/cancel", {"reason": "test"})
    run = ended(engine, run_id)
    assert (run["state"], run["steps"][0]["state"]) == ("CANCELED", "CANCELED")
    assert process_group.members(group) == []
    assert run["receipt"]["proof"] == f"process {group} is reaped and its group is empty"
    assert run["receipt"]["requested_by"] == "api:admin"
    if job == "awaits":
        assert "saw CancelledError" in log_of(engine, run_id)


def test_force_ends_a_stubborn_step_and_its_children(engine: Child, home: Path) -> None:
    """A step that swallows everything is killed with all that it started."""
    run_id = run_of(engine, "stubborn")
    group = worker_pid(home, "stubborn")
    assert len(process_group.members(group)) == 2
    engine.request("POST", f"/runs/{run_id}/cancel", {"force": True})
    run = ended(engine, run_id)
    assert run["state"] == "CANCELED"
    assert process_group.members(group) == []
    assert [rung["rung"] for rung in run["receipt"]["rungs"]][0:2] == ["soft cancel", "SIGTERM"]


def test_a_canceled_query_is_gone_from_the_server(home: Path, postgresql: Server) -> None:
    """A SQL step is canceled by its driver: no backend runs the statement when the run is CANCELED."""
    (home / "secrets").mkdir()
    password = home / "secrets" / "pg"
    password.touch(mode=0o600)
    password.write_text(postgresql.password)
    connector = f'[connectors.pg]\nkind = "sql"\nurl = "{postgresql.url}"\npassword_file = "secrets/pg"\n'
    (home / "nomaflow.toml").write_text(settings(connector))
    step = f'[[steps]]\nname = "one"\ntype = "sql_query"\nconnector = "pg"\nquery = "{QUERY}"\n'
    (home / "jobs" / "asks.toml").write_text(step)
    child = Child(home, "serve")
    try:
        with postgresql.connect() as look:

            def backends() -> list[Any]:
                sql = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'nomaflow run_%'"
                return look.execute(sql).fetchall()

            run_id = run_of(child, "asks")
            wait_for(backends)
            child.request("POST", f"/runs/{run_id}/cancel", {})
            run = ended(child, run_id)
            assert (run["state"], run["receipt"]["rolled_back"]) == ("CANCELED", True)
            assert backends() == []
    finally:
        child.stop()


def test_a_killed_engine_loses_nothing_that_it_acknowledged(home: Path) -> None:
    """After kill -9 in mid-run: the run is FAILED `interrupted: engine restarted`, ended runs are as they were."""
    child = Child(home, "serve")
    try:
        done = [ended(child, run_of(child, "ok")) for _ in range(3)]
        lost = run_of(child, "blocks")
        group = worker_pid(home, "blocks")
        os.kill(child.process.pid, signal.SIGKILL)
        child.process.wait()
        wait_for(lambda: not process_group.members(group))
    finally:
        child.stop()
    child = Child(home, "serve")
    try:
        assert [child.request("GET", f"/runs/{run['id']}") for run in done] == done
        run = child.request("GET", f"/runs/{lost}")
        assert (run["state"], run["reason"]) == ("FAILED", "interrupted: engine restarted")
        assert [(step["state"], step["reason"]) for step in run["steps"]] == [
            ("FAILED", "interrupted: engine restarted")
        ]
        assert log_of(child, lost)[-1] == "run FAILED: interrupted: engine restarted"
        assert ended(child, run_of(child, "ok"))["state"] == "SUCCEEDED"
    finally:
        child.stop()


def test_sigterm_lets_a_run_end(home: Path) -> None:
    """SIGTERM drains: a run that ends within `drain_seconds` is SUCCEEDED, and the exit code is 0."""
    child = Child(home, "serve")
    try:
        run_id = run_of(child, "short")
        worker_pid(home, "short")
        child.process.send_signal(signal.SIGTERM)
        assert child.process.wait(20) == 0
    finally:
        child.stop()
    child = Child(home, "serve")
    try:
        assert child.request("GET", f"/runs/{run_id}")["state"] == "SUCCEEDED"
    finally:
        child.stop()


def test_a_stopping_engine_can_be_looked_at(engine: Child, home: Path) -> None:
    """While it drains, nothing new begins, and what still runs can be canceled; then it ends at once."""
    run_id = run_of(engine, "awaits")
    worker_pid(home, "awaits")
    engine.process.send_signal(signal.SIGTERM)
    wait_for(lambda: _refused(engine, "awaits"))
    engine.request("POST", f"/runs/{run_id}/cancel", {})
    assert engine.process.wait(20) == 0


def _refused(engine: Child, job: str) -> bool:
    """Whether a launch is refused because the engine stops."""
    with pytest.raises(ChildFailedError) as refused:
        run_of(engine, job)
    return "the engine is stopping" in str(refused.value)


def test_a_second_engine_is_refused(engine: Child, home: Path) -> None:
    """One engine holds a home; another one ends with 75 and says who does."""
    second = subprocess.run(
        [sys.executable, "-m", "nomaflow", "serve", "--home", home, "--api-port", "0"], capture_output=True, text=True
    )
    assert second.returncode == 75
    assert second.stderr.startswith(f"Error: another engine (process {engine.process.pid}) holds the home")


def test_a_taken_port_is_refused(engine: Child, home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A port that something listens on ends the start with 2 and a sentence."""
    other = tmp_path_factory.mktemp("other")
    (other / "nomaflow.toml").write_text(settings())
    port = engine.url.rpartition(":")[2]
    second = subprocess.run(
        [sys.executable, "-m", "nomaflow", "serve", "--home", other, "--api-port", port], capture_output=True, text=True
    )
    assert second.returncode == 2
    assert port in second.stderr
    assert "Traceback" not in second.stderr


def test_a_worker_sees_no_secret(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of the engine's environment is in no worker's environment, and masked where a step shows it."""
    monkeypatch.setenv("CANARY", "c4n4ry-s3cret")
    shell = '[[steps]]\nname = "one"\ntype = "shell"\nargv = ["echo", "it is ${env:CANARY}"]\n'
    (home / "jobs" / "tells.toml").write_text(shell)
    child = Child(home, "serve")
    try:
        seen = ended(child, run_of(child, "shows_environment"))
        told = ended(child, run_of(child, "tells"))
        texts = log_of(child, seen["id"]) + log_of(child, told["id"])
        assert not any("CANARY" in text for text in texts if text.startswith("environment"))
        assert "it is ••••" in texts
        assert "c4n4ry" not in str((seen, told, texts))
    finally:
        child.stop()
    for file in (home / ".nomaflow").rglob("*"):
        if file.is_file():
            assert b"c4n4ry" not in file.read_bytes(), file
