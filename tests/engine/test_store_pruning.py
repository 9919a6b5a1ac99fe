"""What retention deletes, and what it never does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from nomaflow.engine.change import Change, Happened
from nomaflow.engine.model import Actor, Run, Slot
from nomaflow.engine.rows import log_row, run_insert, step_row
from nomaflow.engine.store import Store
from nomaflow.launch.plan import Plan
from nomaflow.seams import run_id_of
from nomaflow.wire import LogLine, RunState, SlotState, StepRun
from tests.engine.world import START

DAY = timedelta(days=1)
SUCCEEDED, FAILED, RUNNING = RunState.SUCCEEDED, RunState.FAILED, RunState.RUNNING


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty one."""
    store = Store(tmp_path / "runs.duckdb")
    yield store
    store.close()


def add(store: Store, number: int, days: int, state: RunState = SUCCEEDED, job_id: str = "job") -> None:
    """A run with a step, a line, a slot and an event, queued on that day and, unless it runs, ended on it."""
    queued_at = START + days * DAY
    run = Run(
        id=run_id_of(number),
        job_id=job_id,
        plan=Plan(log_level="INFO", steps=[]),
        steps=[],
        actor=Actor("ana", "web"),
        etag="etag",
        queued_at=queued_at,
        state=state,
        finished_at=None if state is RUNNING else queued_at,
    )
    change = Change(
        events=[Happened(queued_at, "run", job_id, run.id, state=state)],
        inserted=[run_insert(run, store.epoch)],
        steps=[step_row(run.id, 0, StepRun(name="one", type="shell"))],
        slots=[Slot(number, job_id, "nightly", queued_at, SlotState.FIRED, queued_at, run_id=run.id)],
    )
    line = LogLine(seq=1, ts=queued_at, level="INFO", stream="log", text="hello")
    store.commit([change], [log_row(run.id, line)])


def left(store: Store, table: str) -> list[int]:
    """The numbers of the runs that a table still speaks of."""
    column = "id" if table == "run" else "run_id"
    return [row[0] for row in store._all(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY {column}")]


def test_an_old_run_goes_with_all_that_is_its_own(store: Store) -> None:
    """Its steps, lines, events and slots; a failed run has a time limit of its own."""
    add(store, 1, 0)
    add(store, 2, 0, FAILED)
    add(store, 3, 20)
    assert store.prune(START + 10 * DAY, START - DAY, 100) == 1
    for table in ("run", "step_run", "event", "log_line", "slot"):
        assert left(store, table) == [2, 3], table
    assert store.prune(START + 10 * DAY, START + DAY, 100) == 1
    assert left(store, "run") == [3]


def test_what_runs_and_the_newest_run_of_each_job_stay(store: Store) -> None:
    """However old they are."""
    add(store, 1, 0, RUNNING)
    add(store, 2, 0)
    add(store, 3, 1)
    add(store, 4, 0, job_id="other")
    assert store.prune(START + 100 * DAY, START + 100 * DAY, 100) == 1
    assert left(store, "run") == [1, 3, 4]


def test_the_newest_event_stays(store: Store) -> None:
    """Else the numbers of events would begin anew, and the store would look as if it had lost them."""
    add(store, 2, 0)
    add(store, 1, 0)
    assert store.prune(START + DAY, START + DAY, 100) == 1
    assert store._all("SELECT seq, run_id FROM event ORDER BY seq") == [(1, 2), (2, 1)]
    add(store, 3, 0)
    store.prune(START + DAY, START + DAY, 100)
    assert [row[0] for row in store._all("SELECT seq FROM event")] == [2, 3]


def test_a_piece_is_bounded_and_the_oldest_go_first(store: Store) -> None:
    """So that the writer is free again soon; call it until nothing is left to delete."""
    for number in range(1, 8):
        add(store, number, 0)
    assert [store.prune(START + DAY, START + DAY, 3) for _ in range(3)] == [3, 3, 0]
    assert left(store, "run") == [7]


def test_events_and_slots_without_a_run_go_by_their_own_age(store: Store) -> None:
    """An event as late as the last run that could go with it."""
    for days in (0, 20):
        happened_at = START + days * DAY
        slot = Slot(1, "job", "nightly", happened_at, SlotState.SKIPPED, happened_at)
        store.commit([Change(events=[Happened(happened_at, "job", "job")], slots=[slot])], [])
    store.prune(START + 10 * DAY, START - DAY, 100)
    assert store._all("SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM slot)") == [(2, 1)]
    store.prune(START + 10 * DAY, START + 10 * DAY, 100)
    assert store._all("SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM slot)") == [(1, 1)]


def test_a_piece_that_fails_leaves_all_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one transaction."""
    add(store, 1, 0)
    add(store, 2, 0)
    monkeypatch.setattr("nomaflow.engine.store.pruning._WITHOUT_A_RUN", {"nowhere": "id"})
    with pytest.raises(Exception, match="nowhere"):
        store.prune(START + DAY, START + DAY, 100)
    assert left(store, "run") == left(store, "step_run") == [1, 2]
    add(store, 3, 0)
