"""The log of a run in flight, from memory and from the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing

from nomaflow.engine import run_log
from nomaflow.engine.query import LogQuery
from nomaflow.engine.rows import log_row
from nomaflow.engine.runs import Runs
from tests.engine.world import job, world

HEAD = 100


async def test_a_log_past_its_stored_head_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored only at the run's end is read from memory until then: the tail, and what a follower asks for."""
    monkeypatch.setattr(run_log, "HEAD_LINES", HEAD)
    async with world(tmp_path) as here:
        active = await here.launch(job("stone"))
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery():
            nothing = cast("Any", None)
            runs = Runs(nothing, here.runner, here.recorder, here.store, here.seams, nothing)
            for number in range(run_log.KEPT_FOR_FOLLOWERS * 2):
                lines = active.log.take(0, "INFO", f"line {number}")
                here.recorder.take_lines([log_row(active.run.id, line) for line in lines])
            newest = active.log.seq
            page = await runs.log(active.run.id, LogQuery(tail=3))
            assert [line.seq for line in page.lines] == [newest - 2, newest - 1, newest]
            page = await runs.log(active.run.id, LogQuery(after=HEAD))
            assert page.lines[0].seq == newest - run_log.KEPT_FOR_FOLLOWERS + 1
            assert not page.end
            page = await runs.log(active.run.id, LogQuery(after=newest))
            assert (page.lines, page.next, page.end) == ([], newest, False)
        await here.runner.stop(active, here.stop(force=True))
        await active.ended.wait()
