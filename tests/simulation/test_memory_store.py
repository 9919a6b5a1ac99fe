"""The store in memory answers as the real one does, after whatever was written to both."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nomaflow.engine.change import Change, Happened, PauseRow, ScheduleRow, SkipRow, WaitRow
from nomaflow.engine.model import Slot
from nomaflow.engine.rows import RUN_CHANGES, RUN_COLUMNS
from nomaflow.engine.store import Store
from nomaflow.history.search import Search
from nomaflow.seams import run_id_of
from nomaflow.wire import SlotState
from tests.fakes.store import MemoryStore
from tests.fakes.tables import Tables
from tests.simulation.disk import Taped
from tests.simulation.simulate import simulate

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAR = timedelta(days=4000)
MISSING = {"switches", "accept_loss", "begin_anew", "finish_checkpoint", "path", "reopen", "telling"}
"""What nobody asks of a store in memory, or only simulated disks do."""

AnyStore = Store | MemoryStore


def reads(store: AnyStore, draw: random.Random) -> dict[str, Any]:
    """What every read gives, where it may say so in an order of its own sorted."""
    runs = [row[0] for row in store.recent(10**6)]
    some = draw.sample(runs, min(8, len(runs)))
    slots = store.slots(since=NOON - FAR, until=NOON + FAR, jobs=None, after=None, limit=10**6)
    middle = slots[len(slots) // 2] if slots else None
    since = middle.scheduled_at if middle is not None else NOON
    return {
        "orphans": sorted(store.orphans()),
        "recent": [store.recent(1), store.recent(3)],
        "newest": [store.newest_run(), store.last_number(), store.newest_at(), store.epoch, store.seq],
        "runs": [store.run(run_id_of(number)) for number in [*some, 5]],
        "pages": list(_pages(store, runs)),
        "steps": [store.steps_of(number) for number in some],
        "starts": [store.step_starts(number) for number in some],
        "lines": [store.last_line(number) for number in [*some, 5]],
        "logs": [list(_logs(store, number)) for number in some],
        "schedules": sorted(store.schedules(), key=lambda row: row.number),
        "skips": sorted(store.skips(), key=lambda row: dataclasses.astuple(row)),
        "pauses": sorted(store.pauses(), key=lambda row: row.job_id),
        "waits": store.waits(),
        "definitions": [(place, store.definition(*place)) for place in sorted(store.known_definitions())],
        "slots": slots,
        "newest slots": sorted(store.newest_slots(since), key=lambda slot: slot.job_id),
        "some slots": list(_some_slots(store, slots, since)),
        "keys": sorted(store.keys_since(NOON - FAR), key=lambda row: row.key),
        "later keys": sorted(store.keys_since(since), key=lambda row: row.key),
        "sessions": store.sessions(),
        "restored": store.was_restored(),
    }


def _pages(store: AnyStore, runs: list[int]) -> Iterator[object]:
    around: Any = None
    before = runs[len(runs) // 2] if runs else None
    yield store.search(Search(), around, jobs=None, without=[], before=None, limit=3)
    yield store.search(Search(), around, jobs=["job0", "job2"], without=runs[:2], before=before, limit=50)


def _logs(store: AnyStore, number: int) -> Iterator[object]:
    nothing: dict[str, Any] = {"after": 0, "limit": 1000, "tail": None, "levels": [], "step": None, "text": None}
    for more in (
        {},
        {"after": 2, "limit": 3},
        {"tail": 2},
        {"levels": ["WARNING", "ERROR"]},
        {"step": "s0", "text": "TRIES"},
        {"tail": 1, "text": "run"},
    ):
        yield store.log(run_id_of(number), **(nothing | more))


def _some_slots(store: AnyStore, slots: list[Slot], since: datetime) -> Iterator[object]:
    until = since + timedelta(hours=1)
    yield store.slots(since=since, until=until, jobs=["job1", "job2"], after=None, limit=5)
    if slots:
        after = slots[0].scheduled_at, slots[0].slot_id
        yield store.slots(since=NOON - FAR, until=NOON + FAR, jobs=None, after=after, limit=4)


class Both:
    """Both stores, each of which is given the same."""

    def __init__(self, folder: Path) -> None:
        self._path, self._tables = folder / "runs.duckdb", Tables()
        self._draw = random.Random(3)
        self.real, self.memory = Store(self._path), MemoryStore(self._tables)

    def open(self) -> None:
        """As an engine does that starts."""
        self.real.close()
        self.real, self.memory = Store(self._path), MemoryStore(self._tables)
        self.compare()

    def commit(self, changes: list[Change], rows: list[Any]) -> bool:
        """Whether it was taken, by both or by none."""
        taken = [_is_taken(partial(store.commit, changes, rows)) for store in (self.real, self.memory)]
        assert taken[0] is taken[1], changes
        return taken[0]

    def compare(self) -> None:
        """Every read, of the same things."""
        seed = self._draw.random()
        real, memory = (reads(store, random.Random(seed)) for store in (self.real, self.memory))
        for name, value in real.items():
            assert memory[name] == value, name

    def close(self) -> None:
        """Compare once more."""
        self.compare()
        self.real.close()


def _is_taken(commit: Callable[[], None]) -> bool:
    try:
        commit()
    except Exception:
        return False
    return True


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    """Two empty stores; what they answer is compared at the end, too."""
    stores = Both(tmp_path)
    yield stores
    stores.close()


@pytest.mark.parametrize("seed", [3, 5])
def test_what_a_world_wrote_is_read_alike(both: Both, seed: int) -> None:
    """Commit by commit, over all its lives; in between every read is compared."""
    tape: list[Taped] = []
    simulate(seed, tape)
    assert sum(each is not None for each in tape) > 50
    for number, each in enumerate(tape):
        if each is None:
            both.open()
        else:
            both.commit(*each)
        if number % 40 == 0:
            both.compare()


def slot(second: int, number: int = 1, **more: Any) -> Slot:
    instant = NOON + timedelta(seconds=second)
    return Slot(number, "job0", "default", instant, SlotState.MISSED, instant, **more)


def run_row(number: int, state: str = "QUEUED") -> tuple[Any, ...]:
    values = dict.fromkeys(RUN_COLUMNS, None) | {
        "id": number,
        "job_id": "job0",
        "state": state,
        "queued_at": NOON.replace(tzinfo=None),
        "finished_at": NOON.replace(tzinfo=None) if state != "QUEUED" else None,
        "account": "ana",
        "via": "web",
        "log_level": "INFO",
        "etag": "etag",
        "step_index": 0,
        "step_count": 1,
        "plan": '{"log_level": "INFO", "steps": []}',
        "epoch": 1,
    }
    return tuple(values.values())


def update_row(number: int, state: str) -> tuple[Any, ...]:
    values = dict.fromkeys(RUN_CHANGES, None) | {"id": number, "state": state, "step_index": 0}
    return tuple(values.values())


def test_a_key_that_is_taken_takes_nothing_of_the_commit(both: Both) -> None:
    """A run's or a slot's; also one that is twice in the same commit."""
    told = [Happened(NOON, "job", "job0")]
    assert both.commit([Change(slots=[slot(1)], inserted=[run_row(9)], events=told)], [])
    assert not both.commit([Change(events=told), Change(slots=[slot(2), slot(1)])], [])
    both.compare()
    assert not both.commit([Change(inserted=[run_row(8), run_row(9)])], [])
    assert not both.commit([Change(slots=[slot(3)]), Change(slots=[slot(3)])], [])
    assert both.commit([Change(slots=[slot(1, number=2), slot(2, count=5, last_at=NOON)])], [])


def test_what_is_changed_and_is_not_there_stays_away(both: Both) -> None:
    """A run that was never made, a schedule, a skip; and a schedule that goes and comes in one commit is there once."""
    here, gone = (ScheduleRow(number, "job0", "default", "rule", NOON) for number in (3, 4))
    later = dataclasses.replace(here, cursor=NOON + timedelta(hours=1))
    skip = SkipRow("job0", "default", NOON, "user:ana", NOON)
    pause = PauseRow("job0", None, "user:ana", None, NOON)
    assert both.commit([Change(schedules=[here], cursors=[gone], used_skips=[skip], gone_pauses=["job1"])], [])
    assert both.commit([Change(updated=[update_row(77, "FAILED")])], [])
    assert both.commit([Change(gone_schedules=[3, 4], schedules=[later], skips=[skip], pauses=[pause, pause])], [])
    both.compare()
    assert both.commit([Change(cursors=[dataclasses.replace(here, rule="another")], used_skips=[skip])], [])
    assert both.commit([Change(pauses=[dataclasses.replace(pause, reason="again")], gone_schedules=[9])], [])


def test_the_newest_wait_of_a_run_that_is_running_counts(both: Both) -> None:
    """Also where an earlier one came later."""
    waits = [WaitRow(run_id_of(9), 0, (), NOON + timedelta(minutes=minutes)) for minutes in (1, 3, 2)]
    assert both.commit([Change(inserted=[run_row(9), run_row(10)], waits=waits)], [])
    both.compare()
    assert both.commit([Change(updated=[update_row(9, "RUNNING")])], [])


@pytest.mark.parametrize("limit", [1, 100])
def test_old_history_goes_alike(both: Both, limit: int) -> None:
    """Ended runs with what is theirs, but for the newest of each job."""
    both.commit([Change(inserted=[run_row(n, state) for n, state in enumerate(["FAILED", "CANCELED"] * 3, 20)])], [])
    both.commit([Change(events=[Happened(NOON, "run", "job0", run_id_of(21)), Happened(NOON, "job", "job0")])], [])
    both.commit([Change(slots=[slot(n) for n in range(5)])], [])
    both.commit([], [(21, 1, NOON.replace(tzinfo=None), "INFO", None, 0, "log", "text")])
    later = NOON + timedelta(days=1)
    assert both.real.prune(later, NOON, limit) == both.memory.prune(later, NOON, limit)
    both.compare()
    assert both.real.prune(later, later, limit) == both.memory.prune(later, later, limit)


def test_it_has_every_verb_of_the_real_one() -> None:
    """A new one has to be added here, or to those that nobody asks of memory."""
    verbs = {name for name in dir(Store) if not name.startswith("_")}
    assert verbs - set(dir(MemoryStore)) == MISSING
