"""What is asked about when: pages of the calendar, what-ifs, and how many fires may be left out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import trio.testing

from nomaflow.engine.query import SlotQuery
from nomaflow.errors import InvalidError
from nomaflow.wire import Slot, SlotChoice, Toggle, WhatIfAsk
from tests.engine.clockwork import ANA, START, Clockwork, clockwork, step

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


async def test_a_hundred_fires_of_a_schedule_may_be_left_out(autojump_clock: Clock, tmp_path: Path) -> None:
    """One more is refused until one of them is past or let in again; the same one may be asked for again."""
    second = timedelta(seconds=1)
    async with clockwork(tmp_path, {"a": scheduled("* * * * * *", "0 * * * *")}) as here:
        first = START + timedelta(minutes=1)
        chosen = [SlotChoice(schedule="s0", scheduled_at=first + number * second) for number in range(101)]
        for each in [*chosen[:100], chosen[99]]:
            await here.schedules.skip("a", each, ANA)
        with pytest.raises(InvalidError, match="100 fires to come of a's schedule 's0' are left out") as raised:
            await here.schedules.skip("a", chosen[100], ANA)
        assert raised.value.details[0]["path"] == "schedule"
        await here.schedules.skip("a", SlotChoice(schedule="s1", scheduled_at=START + timedelta(hours=1)), ANA)
        await here.schedules.unskip("a", chosen[7], ANA)
        await here.schedules.skip("a", chosen[100], ANA)


async def test_skips_that_are_past_make_room(autojump_clock: Clock, tmp_path: Path) -> None:
    """Those of a schedule that was off when they came are forgotten with the next one."""
    async with clockwork(tmp_path, {"a": scheduled("0 * * * *")}) as here:
        chosen = [SlotChoice(schedule="s0", scheduled_at=START + timedelta(hours=hour)) for hour in range(1, 102)]
        for each in chosen[:100]:
            await here.schedules.skip("a", each, ANA)
        await here.jobs.set_enabled("a", Toggle(enabled=False), ANA)
        await here.until(chosen[1].scheduled_at)
        await here.jobs.set_enabled("a", Toggle(enabled=True), ANA)
        await here.schedules.skip("a", chosen[100], ANA)
        left = {choice.scheduled_at for choice in chosen[2:]}
        assert set(here.timetable.skips_of(("a", "s0"))) == left
        assert {row.scheduled_at for row in here.store.skips()} == left


async def test_a_fire_of_the_year_after_next_cannot_be_left_out(autojump_clock: Clock, tmp_path: Path) -> None:
    """366 days ahead are the most."""
    async with clockwork(tmp_path, {"a": scheduled("0 2 * * *")}) as here:
        await here.schedules.skip("a", SlotChoice(schedule="s0", scheduled_at=START + timedelta(days=366)), ANA)
        with pytest.raises(InvalidError, match="at most 366 days ahead") as raised:
            await here.schedules.skip("a", SlotChoice(schedule="s0", scheduled_at=START + timedelta(days=367)), ANA)
        assert raised.value.details[0]["path"] == "scheduled_at"


@pytest.mark.parametrize(("name", "hint"), [("s00", '; did you mean "s0"'), ("default", ".*its schedules are s0, s1")])
async def test_a_what_if_of_no_schedule_of_the_job_is_refused(
    autojump_clock: Clock, tmp_path: Path, name: str, hint: str
) -> None:
    """The sentence says which was meant, or which there are; a job that has none may try its first rule."""
    async with clockwork(tmp_path, {"a": scheduled("0 2 * * *", "0 3 * * *"), "b": scheduled()}) as here:
        with pytest.raises(InvalidError, match=f"a has no schedule '{name}'{hint}") as raised:
            await here.schedules.what_if(WhatIfAsk(job="a", schedule=name, cron="@daily"))
        assert raised.value.details[0]["path"] == "schedule"
        assert (await here.schedules.what_if(WhatIfAsk(job="a", schedule="s1", cron="@daily"))).fires_before == 90
        assert (await here.schedules.what_if(WhatIfAsk(job="b", cron="@daily"))).fires_after == 90
