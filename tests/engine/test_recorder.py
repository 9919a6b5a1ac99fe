"""The store's one writer: what it writes, in which order, and what it does between two commits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
import trio
import trio.testing

from nomaflow.engine.feed import Feed
from nomaflow.engine.recorder import BUSY_GROUP, LINGER_SECONDS, Offload, Recorder
from nomaflow.engine.store import Store
from nomaflow.engine.store.checkpoint import Limits
from nomaflow.errors import NotReadyError
from tests.engine.stores import event, reasons

NOON = datetime(2026, 3, 1, 12)  # noqa: DTZ001  # as rows have it


@dataclass
class Bench:
    """A recorder on a real store."""

    store: Store
    recorder: Recorder
    feed: Feed


async def inline(call: Callable[[], None]) -> None:
    """On the loop itself, since virtual time jumps past threads."""
    await trio.lowlevel.checkpoint()
    call()


@asynccontextmanager
async def recording(path: Path, offload: Offload | None = None, limits: Limits | None = None) -> AsyncIterator[Bench]:
    """A recorder until the block ends; closed then, with all that was handed in on disk."""
    store = Store(path / "runs.duckdb", limits=limits)
    feed = Feed(store.epoch, store.seq)
    recorder = Recorder(store, feed, offload)
    async with trio.open_nursery() as nursery:
        await nursery.start(recorder.run)
        try:
            yield Bench(store, recorder, feed)
        finally:
            recorder.close()
    store.close()


async def test_what_begins_in_the_same_turn_shares_the_commit(tmp_path: Path) -> None:
    """A run's first changes go with the one that made it: its beginning costs no second commit."""
    commits = 0

    async def counted(call: Callable[[], None]) -> None:
        nonlocal commits
        commits += 1
        await inline(call)

    async with recording(tmp_path, counted) as here, trio.open_nursery() as nursery:

        async def begin(number: int) -> None:
            await here.recorder.record(event(f"begun {number}"))

        here.recorder.submit(event("made"))
        for number in range(3):
            nursery.start_soon(begin, number)
        await trio.testing.wait_all_tasks_blocked()
        assert reasons(here.store)[0] == "made"
        assert (len(reasons(here.store)), commits) == (4, 1)


@pytest.mark.parametrize(("pause_seconds", "waits_seconds"), [(1, 0), (0, LINGER_SECONDS)])
async def test_only_what_follows_a_large_commit_at_once_waits_for_company(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, pause_seconds: float, waits_seconds: float
) -> None:
    """A quiet engine never waits, however much it had to do before."""
    async with recording(tmp_path, inline) as here:
        for ticket in [here.recorder.submit(event(str(number))) for number in range(BUSY_GROUP)]:
            await ticket.wait_durable()
        await trio.sleep(pause_seconds)
        begun = trio.current_time()
        await here.recorder.record(event("next"))
        assert trio.current_time() - begun == pytest.approx(waits_seconds)


async def test_a_call_comes_after_what_was_handed_in_before_it(tmp_path: Path) -> None:
    """It sees those changes on disk, and what it gives back is the answer."""
    async with recording(tmp_path) as here:
        for number in range(3):
            here.recorder.submit(event(str(number)))
        assert await here.recorder.ask(reasons) == ["0", "1", "2"]


async def test_no_commit_runs_during_a_call(tmp_path: Path) -> None:
    """What is handed in meanwhile waits for its end."""
    async with recording(tmp_path) as here, trio.open_nursery() as nursery:
        begun, go_on = trio.Event(), trio.Event()

        def slow(store: Store) -> list[str]:
            trio.from_thread.run_sync(begun.set)
            trio.from_thread.run(go_on.wait)
            return reasons(store)

        async def ask() -> None:
            assert await here.recorder.ask(slow) == []

        nursery.start_soon(ask)
        await begun.wait()
        ticket = here.recorder.submit(event("later"))
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
        await ticket.wait_durable()
        assert reasons(here.store) == ["later"]


async def test_what_a_call_raises_is_raised_to_who_asked(tmp_path: Path) -> None:
    """The recorder goes on."""

    def fails(store: Store) -> None:
        raise LookupError("not there")

    async with recording(tmp_path) as here:
        with pytest.raises(LookupError, match="not there"):
            await here.recorder.ask(fails)
        assert here.recorder.failed is None
        await here.recorder.record(event("next"))
        assert reasons(here.store) == ["next"]


async def test_a_call_that_nobody_awaits_is_made_all_the_same(tmp_path: Path) -> None:
    """Who asked may be canceled, and the recorder be closed, before its turn comes."""
    made = []
    async with recording(tmp_path) as here:
        with trio.CancelScope() as scope:
            scope.cancel()
            await here.recorder.ask(lambda store: made.append(store.seq))
    assert made == [0]


async def test_a_closed_recorder_takes_no_call(tmp_path: Path) -> None:
    """The engine is stopping."""
    async with recording(tmp_path) as here:
        pass
    with pytest.raises(NotReadyError, match="stopping"):
        await here.recorder.ask(reasons)


@pytest.mark.parametrize("failures", [1, 2, 3])
async def test_what_needs_a_change_is_not_written_without_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, failures: int
) -> None:
    """However soon the store is well again: neither a later change nor a line of something that is not on record."""
    left = failures

    async def fails_at_first(call: Callable[[], None]) -> None:
        nonlocal left
        await inline(lambda: None)
        if left:
            left -= 1
            raise OSError(28, "No space left on device")
        call()

    async with recording(tmp_path, fails_at_first) as here:
        made = here.recorder.submit(event("made"))
        here.recorder.take_lines([(7, 1, NOON, "INFO", None, 0, "engine", "accepted")], made)
        begun = here.recorder.submit(event("begun"), made)
        await begun.settled()
        here.recorder.take_lines([(7, 2, NOON, "INFO", None, 0, "engine", "ended")], made)
        ended = here.recorder.submit(event("ended"), made)
        await ended.settled()
        await trio.sleep(1)
        is_there = made.error is None
        assert reasons(here.store) == (["made", "begun", "ended"] if is_there else [])
        assert here.store.last_line(7) == (2 if is_there else 0)
