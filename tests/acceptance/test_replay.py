"""A real engine replays a run whose file was mended, and keeps what it kept when it is killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.engine import Child

SETTINGS = "[engine]\ntimezone = 'UTC'\ndrain_seconds = 1\nmax_parallel_runs = 1\n[shell]\nenabled = true\n"

CODE = """
import time
from pathlib import Path

def extract(ctx):
    ctx.log.info("reads")
    return {"rows_affected": 3, "batch": "b7"}

def waits(ctx):
    while not Path(ctx.home, "go").exists():
        time.sleep(0.01)
"""

JOB = """
[[steps]]
name = "extract"
type = "python"
callable = "code:extract"
[[steps]]
name = "load"
type = "shell"
argv = {argv}
[[steps]]
name = "mail"
type = "shell"
argv = ["echo", "loaded with ${{out:load.last_line}}"]
"""

BLOCKER = '[[steps]]\nname = "waits"\ntype = "python"\ncallable = "code:waits"\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a job whose second step fails, and one that holds the only worker until a file is there."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "nomaflow.toml").write_text(SETTINGS)
    (tmp_path / "jobs" / "code.py").write_text(CODE)
    (tmp_path / "jobs" / "load.toml").write_text(JOB.format(argv='["false"]'))
    (tmp_path / "jobs" / "blocker.toml").write_text(BLOCKER)
    return tmp_path


def mend(home: Path) -> None:
    (home / "jobs" / "load.toml").write_text(JOB.format(argv='["echo", "batch ${out:extract.batch}"]'))


def wait_for(engine: Child, run_id: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The run when it is so; a process outside has no event to wait for."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        run: dict[str, Any] = engine.request("GET", f"/runs/{run_id}")
        if is_so(run):
            return run
        time.sleep(0.01)
    raise AssertionError(f"{run_id} did not get there within 20 s")


def is_over(run: dict[str, Any]) -> bool:
    return run["state"] in ("SUCCEEDED", "FAILED", "CANCELED")


def failed_run(engine: Child) -> str:
    run = wait_for(engine, engine.request("POST", "/jobs/load/runs", {})["id"], is_over)
    assert (run["state"], run["reason"]) == ("FAILED", "step load failed")
    return str(run["id"])


def assert_made_from_what_was_kept(engine: Child, run_id: str, old: str) -> None:
    """`extract` did not run again, and the steps behind it had what it gave."""
    run = wait_for(engine, run_id, is_over)
    assert [(step["state"], step["reason"]) for step in run["steps"]] == [
        ("CANCELED", f"skipped: kept from {old}"),
        ("SUCCEEDED", None),
        ("SUCCEEDED", None),
    ]
    assert run["steps"][0]["output"] == {"rows_affected": 3, "batch": "b7"}
    texts = [line["text"] for line in engine.request("GET", f"/runs/{run_id}/logs")["lines"]]
    assert texts[0].startswith(f"replay of {old}")
    assert {"batch b7", "loaded with batch b7"} <= set(texts)
    assert "reads" not in texts


def test_what_failed_is_replayed_when_its_file_is_mended(home: Path) -> None:
    """The failed step and the ones behind it run as the file says now, on the output of the step that is kept."""
    engine = Child(home, "serve")
    try:
        old = failed_run(engine)
        mend(home)
        replay = engine.request("POST", f"/runs/{old}/replay", {"only": "failed"})
        assert replay["replay_of"] == old
        assert_made_from_what_was_kept(engine, replay["id"], old)
    finally:
        engine.stop()


def test_a_replay_that_waited_keeps_its_outputs_through_a_crash(home: Path) -> None:
    """A replay that was QUEUED when the engine was killed goes on in the next one with what it had kept."""
    engine = Child(home, "serve")
    try:
        old = failed_run(engine)
        mend(home)
        blocker = engine.request("POST", "/jobs/blocker/runs", {})["id"]
        wait_for(engine, blocker, lambda run: run["state"] == "RUNNING")
        replay = engine.request("POST", f"/runs/{old}/replay", {"only": "failed"})["id"]
        wait_for(engine, replay, lambda run: run["state"] == "QUEUED" and run["wait_reason"] is not None)
    finally:
        engine.process.kill()
        engine.stop()
    (home / "go").touch()  # a worker that outlives its engine ends too
    engine = Child(home, "serve")
    try:
        assert_made_from_what_was_kept(engine, replay, old)
    finally:
        engine.stop()
