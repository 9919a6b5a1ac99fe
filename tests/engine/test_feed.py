"""The event feed: numbered, in order, continued after a break, and never a silent gap."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime

import pytest
import trio
import trio.testing

from nomaflow.engine import feed as feeds
from nomaflow.engine.change import Happened
from nomaflow.engine.feed import Feed
from nomaflow.wire import Progress

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def event(name: str) -> Happened:
    return Happened(NOW, "run", job_id=name)


def progress(done: int) -> Happened:
    return Happened(NOW, "step", job_id=f"progress {done}", record=Progress(done=done))


async def told(feed: Feed, after: int) -> list[str]:
    """All that a follower gets until the feed is closed; `reset` where something is missing."""
    got = [item async for item in feed.follow(after)]
    return ["reset" if item is None else f"{item.seq} {item.job_id}" for item in got]


def closed(feed: Feed) -> Feed:
    feed.close()
    return feed


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "KEPT", 3)


async def test_events_come_in_order_and_numbered() -> None:
    """From the number after the store's last one, without a gap."""
    feed = Feed(epoch=3, seq=41)
    feed.publish([event("a"), event("b")])
    feed.publish([])
    feed.publish([event("c")])
    assert await told(closed(feed), 41) == ["42 a", "43 b", "44 c"]
    assert feed.seq == 44


async def test_a_follower_continues_where_it_was() -> None:
    """It gets what came after its number, once."""
    feed = Feed(1, 0)
    feed.publish([event("a"), event("b"), event("c")])
    feed.close()
    assert [await told(feed, after) for after in (1, 2, 3)] == [["2 b", "3 c"], ["3 c"], []]


async def test_progress_is_told_and_not_counted() -> None:
    """It carries the number of the event before it, and who comes back does not get it again."""
    feed = Feed(1, 0)
    feed.publish([event("a")])
    feed.tell(progress(10))
    feed.publish([event("b")])
    feed.tell(progress(20))
    feed.close()
    assert await told(feed, 0) == ["1 a", "1 progress 10", "2 b", "2 progress 20"]
    assert await told(feed, 1) == ["2 b", "2 progress 20"]
    assert await told(feed, 2) == []


async def test_a_record_travels_as_its_route_gives_it() -> None:
    """As JSON."""
    feed = Feed(1, 0)
    feed.publish([progress(10)])
    feed.close()
    (record,) = [item.record async for item in feed.follow(0) if item]
    assert record == {"done": 10, "total": None, "unit": "rows", "text": ""}


@pytest.mark.usefixtures("_small")
async def test_a_cursor_that_is_too_old_is_reset() -> None:
    """One None, and then what is new: everything has to be read again."""
    feed = Feed(1, 0)
    feed.publish([event(name) for name in "abcde"])
    follower = feed.follow(1)
    assert await anext(follower) is None
    feed.publish([event("f")])
    feed.close()
    assert [item.seq async for item in follower if item] == [6]
    assert await told(feed, 3) == ["4 d", "5 e", "6 f"]


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(
    ("epoch", "seq", "held"),
    [(1, 2, True), (1, 5, True), (1, 1, False), (1, 0, False), (1, 6, False), (2, 5, False), (0, 2, False)],
)
def test_it_knows_what_it_holds(epoch: int, seq: int, held: bool) -> None:
    """Every event after the number, in this epoch; not the future and not another life of the engine."""
    feed = Feed(1, 0)
    feed.publish([event(name) for name in "abcde"])
    assert feed.holds(epoch, seq) is held


@pytest.mark.usefixtures("_small")
async def test_progress_does_not_stand_for_the_event_before_it() -> None:
    """With only the progress after event 1 left in memory, a follower of before event 1 has missed event 1."""
    feed = Feed(1, 0)
    feed.publish([event("a")])
    for done in range(3):
        feed.tell(progress(done))
    assert not feed.holds(1, 0)
    assert await told(closed(feed), 0) == ["reset"]
    new = Feed(1, 7)
    new.tell(progress(1))
    assert (new.holds(1, 6), new.holds(1, 7)) == (False, True)


@pytest.mark.usefixtures("_small")
async def test_a_slow_follower_is_told_that_it_missed_something() -> None:
    """The publisher never waits; who falls behind the ring reads everything again."""
    feed = Feed(1, 0)
    feed.publish([event("a")])
    async with aclosing(feed.follow(0)) as follower:
        got = [await anext(follower)]
        feed.publish([event(name) for name in "bcdef"])
        got.append(await anext(follower))
        feed.publish([event("g")])
        got.append(await anext(follower))
    assert [item and item.seq for item in got] == [1, None, 7]


async def test_a_follower_waits_for_news_and_ends_with_the_feed() -> None:
    """What is published while it waits arrives; after `close` it gets what there is and ends."""
    feed, got = Feed(1, 0), []
    async with trio.open_nursery() as nursery:

        async def follow() -> None:
            got.extend(await told(feed, 0))

        nursery.start_soon(follow)
        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        feed.publish([event("a")])
        await trio.testing.wait_all_tasks_blocked()
        feed.publish([event("b")])
        feed.close()
    assert got == ["1 a", "2 b"] * 2
    assert await told(feed, 2) == []
