"""What `up` says when it stops."""

from __future__ import annotations

import pytest
import trio

from nomaflow.cli.welcome import welcome
from nomaflow.serve import Serving, Stopping


def serving(active: list[tuple[str, str]]) -> Serving:
    """An engine of a home that has had runs."""
    return Serving(
        url="http://127.0.0.1:9",
        admin_token="x",
        is_new=False,
        first_run=None,
        bad_jobs=["a", "b"],
        drain_seconds=30,
        active=lambda: active,
    )


async def test_the_end_says_what_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Once, with the runs, how long, and what a second Ctrl-C does; then what that one did."""
    stopping = Stopping()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(welcome, [], serving([("run_1", "hello")]), stopping)
        await trio.testing.wait_all_tasks_blocked()
        assert "2 job files have problems; `nomaflow check` lists them" in capsys.readouterr().out
        stopping.asked.set()
        await trio.testing.wait_all_tasks_blocked()
        said = capsys.readouterr().out
        assert said == "stopping: waiting up to 30 s for run_1 of hello; Ctrl-C again stops it now\n"
        stopping.hurry.set()
    assert capsys.readouterr().out == "stopping now: run_1 of hello will be canceled\n"


async def test_an_idle_engine_stops_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to wait for."""
    stopping = Stopping()
    stopping.asked.set()
    await welcome([], serving([]), stopping)
    assert capsys.readouterr().out.endswith("stopping\n")
