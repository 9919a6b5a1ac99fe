"""What the recorder does when the store breaks: nothing is lost, nothing is written twice, and it heals by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from nomaflow.engine.change import Change, Row, SessionRow
from nomaflow.engine.recorder import BROKEN_AGAIN_SECONDS
from nomaflow.engine.store import Store
from nomaflow.errors import NotReadyError
from tests.engine.stores import event, reasons
from tests.engine.test_recorder import inline, recording
from tests.engine.world import START
from tests.fakes.broken_store import Moment, break_commits

Clock = trio.testing.MockClock


def line(number: int) -> Row:
    return 1, number, START.replace(tzinfo=None), "INFO", None, 0, "log", "a line"


def session(name: str) -> Change:
    return Change(sessions=[SessionRow(name, "ana", "web", "password", START, START)])


def counts(store: Store) -> tuple[int, int, int]:
    """Events, log lines, sessions."""
    sql = "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM log_line), (SELECT count(*) FROM session)"
    return store._one(sql)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_commit_in_doubt_is_there_once(tmp_path: Path, moment: Moment) -> None:
    """Known again by its event, its last log line, or the count that it wrote; followers hear of it once."""
    async with recording(tmp_path) as here:
        break_commits(here.store, moment)
        await here.recorder.record(event("one"))
        assert counts(here.store) == (1, 0, 0)
        assert (here.feed.seq, here.store.seq) == (1, 1)
        break_commits(here.store, moment)
        await here.recorder.record(session("s"))
        assert counts(here.store) == (1, 0, 1)
        break_commits(here.store, moment)
        here.recorder.take_lines([line(1), line(2)])
        await here.recorder.ask(counts)
        assert await here.recorder.ask(counts) == (1, 2, 1)
        assert here.recorder.failed is None


async def test_a_group_in_doubt_is_there_once(tmp_path: Path) -> None:
    """All its tickets are told."""
    async with recording(tmp_path) as here:
        break_commits(here.store, "after")
        here.recorder.take_lines([line(1)])
        tickets = [here.recorder.submit(event(str(number))) for number in range(5)]
        for ticket in tickets:
            await ticket.wait_durable()
        assert counts(here.store) == (5, 1, 0)
        await here.recorder.record(event("next"))
        assert [row[0] for row in here.store._all("SELECT seq FROM event ORDER BY seq")] == [1, 2, 3, 4, 5, 6]


async def test_a_store_that_broke_is_checkpointed(tmp_path: Path) -> None:
    """A failed fsync may have kept the log from the disk for ever; a checkpoint writes everything once more."""
    async with recording(tmp_path) as here:
        break_commits(here.store, "after")
        await here.recorder.record(event("one"))
        await trio.testing.wait_all_tasks_blocked()
        async with here.recorder.copying:
            pass
        assert here.store.files.before_checkpoint.exists()
        assert here.store.checkpoints.commits == 0


async def test_one_that_breaks_again_soon_is_given_time(autojump_clock: Clock, tmp_path: Path) -> None:
    """The second time within a minute there is a pause, and who hands something in meanwhile is refused at once."""
    async with recording(tmp_path, inline) as here:
        break_commits(here.store, "before")
        await here.recorder.record(event("one"))
        assert trio.current_time() < 1
        break_commits(here.store, "before")
        ticket = here.recorder.submit(event("two"))
        await trio.sleep(0.5)
        assert here.recorder.failed is not None
        with pytest.raises(NotReadyError, match="opened anew"):
            await here.recorder.record(event("refused"))
        with pytest.raises(NotReadyError, match="opened anew"):
            await here.recorder.ask(counts)
        await ticket.wait_durable()
        assert trio.current_time() >= 1
        assert here.recorder.failed is None
        await trio.sleep(BROKEN_AGAIN_SECONDS)
        break_commits(here.store, "before")
        begun = trio.current_time()
        await here.recorder.record(event("three"))
        assert trio.current_time() - begun < 1
        assert reasons(here.store) == ["one", "two", "three"]


async def test_a_store_that_does_not_open_is_tried_again_and_again(autojump_clock: Clock, tmp_path: Path) -> None:
    """Its folder is away for a while; the commit in doubt waits for the answer, what came behind it is refused."""
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    async with recording(home, inline) as here:
        await here.recorder.record(event("one"))
        break_commits(here.store, "after")
        home.rename(away)
        in_doubt = here.recorder.submit(event("two"))
        await trio.sleep(100)
        assert here.recorder.failed is not None
        with pytest.raises(NotReadyError):
            here.store.newest_run()
        away.rename(home)
        await in_doubt.wait_durable()
        assert trio.current_time() <= 111
        assert reasons(here.store) == ["one", "two"]


async def test_an_engine_that_stops_does_not_wait_for_a_broken_store(autojump_clock: Clock, tmp_path: Path) -> None:
    """The one who handed in the change in doubt is told that it may be lost."""
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    async with recording(home, inline) as here:
        break_commits(here.store, "before")
        home.rename(away)
        ticket = here.recorder.submit(event("one"))
        await trio.sleep(5)
    with pytest.raises(NotReadyError):
        await ticket.wait_durable()
    away.rename(home)


async def test_a_change_that_always_breaks_the_store_hurts_no_other(autojump_clock: Clock, tmp_path: Path) -> None:
    """It is tried some times, then refused; its neighbours of the same commit are written."""

    class Poison(str):
        """Breaks the store of a test when it is written."""

    async with recording(tmp_path, inline) as here:
        real = here.store.commit

        def commit(changes: list[Change], rows: list[Row]) -> None:
            if any(isinstance(event.reason, Poison) for change in changes for event in change.events):
                break_commits(here.store, "before")
            real(changes, rows)

        here.store.commit = commit  # type: ignore[method-assign, assignment]
        good, bad, more = (here.recorder.submit(event(reason)) for reason in ("good", Poison("bad"), "more"))
        await good.wait_durable()
        await more.wait_durable()
        with pytest.raises(NotReadyError, match="fsync failed"):
            await bad.wait_durable()
        assert reasons(here.store) == ["good", "more"]
        await trio.sleep(2)
        assert here.recorder.failed is None


async def test_a_loss_that_a_reopening_finds_stops_all_changes(tmp_path: Path) -> None:
    """Only sign-ins and sign-outs go on; reading does too."""
    async with recording(tmp_path) as here:
        await here.recorder.record(event("one"))
        break_commits(here.store, "before")
        here.store.files.wal.unlink()
        await here.recorder.submit(event("two")).settled()
        assert here.store.lost is not None
        with pytest.raises(NotReadyError, match="event 1 was committed"):
            await here.recorder.record(event("three"))
        await here.recorder.record(session("s"))
        assert counts(here.store)[2] == 1


async def test_log_lines_wait_for_a_full_disk(autojump_clock: Clock, tmp_path: Path) -> None:
    """An ended step has its whole log, also where the disk was full meanwhile."""
    full = [True]

    async def offload(call: object) -> None:
        if full[0]:
            raise OSError(28, "No space left on device")
        await inline(call)  # type: ignore[arg-type]

    async with recording(tmp_path, offload) as here:
        here.recorder.take_lines([line(1)])
        await trio.sleep(5)
        here.recorder.take_lines([line(2)])
        await trio.sleep(5)
        assert counts(here.store) == (0, 0, 0)
        full[0] = False
        await trio.sleep(5)
        assert counts(here.store) == (0, 2, 0)
        assert here.recorder.failed is None
