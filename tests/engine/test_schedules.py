"""What is asked about when: pages of the calendar, what-ifs, and how many fires may be left out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import trio.testing

from nomaflow.engine.query import SlotQuery
from nomaflow.wire import Slot
from tests.engine.clockwork import START, Clockwork, clockwork, step

Clock = trio.testing.MockClock

YEAR = timedelta(days=366)


def scheduled(*rules: str, timezone: str = "UTC") -> str:
    """A job with so many schedules, s0, s1 and so on."""
    schedules = [
        f'[[schedules]]\nname = "s{number}"\ncron = "{rule}"\ntimezone = "{timezone}"\nenabled = true\n'
        for number, rule in enumerate(rules)
    ]
    return "".join(schedules) + step("ok")


async def pages(here: Clockwork, length: timedelta, limit: int, *, pause_seconds: float = 0) -> list[list[Slot]]:
    """The calendar from now on, page by page, at most 50 of them; time passes between them."""
    since, cursor, found = here.clock(), None, list[list[Slot]]()
    for _ in range(50):
        page = await here.schedules.calendar(SlotQuery(since, since + length, limit=limit, cursor=cursor))
        found.append(page.items)
        if (cursor := page.next_cursor) is None:
            break
        await trio.sleep(pause_seconds)
    return found


@pytest.mark.limit(10)
async def test_a_page_of_very_many_fires_costs_no_more_than_what_it_shows(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """Each of 500 schedules fires each second, and a year is asked for slot by slot."""
    async with clockwork(tmp_path, {f"j{number}": scheduled(*["* * * * * *"] * 50) for number in range(10)}) as here:
        found = await pages(here, YEAR, 1)
        shown = [(slot.job_id, slot.schedule) for (slot,) in found]
        assert len(set(shown)) == len(shown) == 50


async def test_pages_together_are_the_calendar(autojump_clock: Clock, tmp_path: Path) -> None:
    """Whatever their size: each slot comes once, also bars of days that begin and end inside those of the home."""
    jobs = {
        "a": scheduled("*/7 * * * * *", "0 9 * * *", timezone="Asia/Tokyo"),
        "b": scheduled("*/30 * * * *", "0 * * * *", timezone="America/New_York"),
    }
    async with clockwork(tmp_path, jobs) as here:
        [whole] = await pages(here, timedelta(days=3), 500)
        assert {slot.count for slot in whole if slot.count > 1} >= {12960, 48}
        for limit in (3, 7, 40):
            assert [slot for page in await pages(here, timedelta(days=3), limit) for slot in page] == whole


async def test_time_that_passes_between_pages_shows_nothing_twice(autojump_clock: Clock, tmp_path: Path) -> None:
    """What is left of a day that is one bar begins later on each page, and is left behind all the same."""
    async with clockwork(tmp_path, {"a": scheduled("* * * * * *", "*/2 * * * * *")}) as here:
        await here.until(START + timedelta(seconds=3))
        found = await pages(here, timedelta(hours=1), 1, pause_seconds=1)
        due = [slot.schedule for page in found for slot in page if slot.state == "DUE"]
        assert due == ["s0", "s1"]
