"""Lists of runs: what is in flight and what the store has, once each and in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nomaflow.engine import rows
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.change import Change
from nomaflow.engine.finding import Finder
from nomaflow.engine.model import Actor, Run
from nomaflow.engine.query import RunQuery
from nomaflow.engine.store import Store, searching
from nomaflow.errors import InvalidError
from nomaflow.launch.plan import Plan, PlannedStep
from nomaflow.seams import Seams, run_id_of
from nomaflow.wire import LogLine, RunState, StepRun
from tests.engine.world import job

NOW = datetime(2026, 11, 24, 11, tzinfo=UTC)


def run_of(number: int, **fields: Any) -> Run:
    """A run of one step, the newer the greater its number."""
    return Run(
        id=run_id_of(number),
        job_id="job",
        plan=Plan(log_level="INFO", steps=[PlannedStep(name="load", type="python", runs=True)]),
        steps=[StepRun(name="load", type="python")],
        actor=Actor("ana", "web"),
        etag="e",
        queued_at=NOW - timedelta(minutes=60 - number),
        **fields,
    )


class Home:
    """A store with nine ended runs, and three runs in flight of which it knows less: 2, 6 and 12."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "runs.duckdb")
        ended = [run_of(number, state=RunState.SUCCEEDED, started_at=NOW, finished_at=NOW) for number in range(1, 12)]
        stored = [replace(run, state=RunState.QUEUED) if run.id in map(run_id_of, (2, 6)) else run for run in ended]
        inserted = [rows.run_insert(run, self.store.epoch) for run in stored]
        lines = [rows.log_row(run.id, LogLine(seq=1, ts=NOW, level="INFO", text="said")) for run in stored]
        self.store.commit([Change(inserted=inserted)], lines)
        self.active = [self._active(number) for number in (2, 6, 12)]
        finder: Any = Finder
        self.finder: Finder = finder(
            SimpleNamespace(catalogue=SimpleNamespace(entries=["job"]), tags=lambda job_id: ["etl"]),
            SimpleNamespace(timezone="UTC"),
            SimpleNamespace(all_active=lambda: self.active),
            self.store,
            Seams(now=lambda: NOW),
            self._at_once,
        )

    async def pages(self, limit: int, **query: Any) -> list[list[int]]:
        """The numbers of the runs, page by page."""
        pages, cursor = [], None
        while True:
            page = await self.finder.page(RunQuery(limit=limit, cursor=cursor, **query))
            pages.append([int(run.id.removeprefix("run_"), 32) for run in page.items])
            cursor = page.next_cursor
            if cursor is None:
                return pages

    def _active(self, number: int) -> ActiveRun:
        run = run_of(number, state=RunState.RUNNING, started_at=NOW - timedelta(minutes=10))
        active = ActiveRun(run, job("ok"), self.store.epoch, lambda: NOW)
        active.log.take(NOW.timestamp(), "INFO", "said so far")
        return active

    async def _at_once(self, read: Callable[..., Any], *args: Any) -> Any:
        return read(*args)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Closed by its test's end, as the folder is gone then."""
    return Home(tmp_path)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ({"q": "state:running"}, [12, 6, 2]),
        ({"state": RunState.RUNNING}, [12, 6, 2]),
        ({"q": "state:queued"}, []),
        ({"q": "state:succeeded"}, [11, 10, 9, 8, 7, 5, 4, 3, 1]),
        ({"q": 'text:"so far"'}, [12, 6, 2]),
        ({"q": "text:said"}, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ({"q": "dur>5m"}, [12, 6, 2]),
        ({"q": "-dur>5m since:52m"}, [11, 10, 9, 8]),
        ({"q": "tag:etl state:running", "jobs": frozenset(["job"])}, [12, 6, 2]),
        ({"q": "state:running", "jobs": frozenset(["other"])}, []),
        ({"q": "state:running", "job": "other"}, []),
        ({"until": NOW - timedelta(minutes=54)}, [5, 4, 3, 2, 1]),
    ],
)
async def test_a_run_in_flight_stands_in_its_place(home: Home, query: dict[str, Any], found: list[int]) -> None:
    """As it is now and not as the store has it, on one of the pages, newest first."""
    for limit in (1, 2, 5, 50):
        pages = await home.pages(limit, **query)
        assert [number for page in pages for number in page] == found
        assert all(len(page) == limit for page in pages[:-1])
    home.store.close()


async def test_a_page_that_reads_little_leads_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in flight comes on the page that has read as far back as it is."""
    monkeypatch.setattr(searching, "LINES_A_PAGE", 3)
    assert await home.pages(50, q='text:"so far"') == [[12], [], [6], [], [2], []]
    assert await home.pages(2, q="text:said") == [[12, 11], [10, 9], [8, 7], [6, 5], [4, 3], [2, 1]]
    home.store.close()


async def test_a_cursor_is_checked(home: Home) -> None:
    """Whatever else is sent as one is an error of the caller."""
    with pytest.raises(InvalidError, match="cursor is no cursor of this list"):
        await home.finder.page(RunQuery(cursor="run_1"))
    home.store.close()
