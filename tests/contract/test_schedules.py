"""When jobs fire: the calendar, previews and what-ifs, fires that are left out, pauses that end by themselves."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from nomaflow.client import Reset
from nomaflow.errors import InvalidError, NotAllowedError, NotFoundError
from nomaflow.wire import Event, Slot
from tests.contract.world import new_id, new_job, one_step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from nomaflow.client import AsyncClient
    from nomaflow.wire import JobCard
    from tests.contract.world import World

PARIS = ZoneInfo("Europe/Paris")
DAY = timedelta(days=1)


def fires(cron: str, more: str = "", callable_name: str = "works") -> str:
    """A job with a schedule."""
    return f'[[schedules]]\ncron = "{cron}"\n{more}\n{one_step(callable_name)}'


NIGHTLY = fires("30 2 * * *")


async def slots(client: AsyncClient, job_id: str) -> list[Slot]:
    """The fires of a job on the three days after today."""
    since, until = tomorrow(), tomorrow(4)
    return [slot async for slot in client.schedule(job=job_id, since=since, until=until, limit=2)]


def tomorrow(days: int = 1) -> datetime:
    """When a day after today begins in Paris."""
    return datetime.combine(datetime.now(PARIS).date() + days * DAY, time(), PARIS).astimezone(UTC)


async def card(client: AsyncClient, job_id: str) -> JobCard:
    """A job's card."""
    return next(card for card in await client.jobs() if card.id == job_id)


async def test_the_calendar_shows_what_is_to_come(client: AsyncClient) -> None:
    """In order of time, in the home's zone, from page to page; the next one is the card's."""
    job_id = await new_job(client, fires("30 5,14 * * *"))
    found = await slots(client, job_id)
    walls = [slot.scheduled_at.astimezone(PARIS) for slot in found]
    first = tomorrow().astimezone(PARIS).date()
    assert [(wall.date() - first, wall.hour, wall.minute) for wall in walls] == [
        (timedelta(days=day), hour, 30) for day in range(3) for hour in (5, 14)
    ]
    assert {(slot.job_id, slot.schedule, slot.state, slot.run_id) for slot in found} == {
        (job_id, "default", "DUE", None)
    }
    page = await client.schedule_page(job=job_id)
    assert page.items[0].scheduled_at == (await card(client, job_id)).next_fire_at


async def test_a_day_with_very_many_fires_is_one_bar(client: AsyncClient) -> None:
    """From its first to its last, with their number; one that is left out stands beside it."""
    job_id = await new_job(client, fires("*/5 * * * *", 'timezone = "UTC"'))
    since = tomorrow().replace(hour=0) + DAY
    [bar] = (await client.schedule_page(job=job_id, since=since, until=since + DAY)).items
    assert (bar.scheduled_at, bar.last_at, bar.count) == (since, since + DAY - timedelta(minutes=5), 288)
    await client.skip(job_id, since)
    alone, rest = (await client.schedule_page(job=job_id, since=since, until=since + DAY)).items
    assert (alone.scheduled_at, alone.count, alone.reason) == (since, 1, "left out as api:admin asked")
    assert (rest.scheduled_at, rest.count, rest.reason) == (since + timedelta(minutes=5), 287, None)


async def test_a_job_that_is_off_has_nothing_to_come(client: AsyncClient) -> None:
    """Nor has a schedule that is."""
    job_id = await new_job(client, NIGHTLY)
    await client.disable(job_id)
    assert await slots(client, job_id) == []
    assert await slots(client, await new_job(client, fires("30 2 * * *", "enabled = false"))) == []


async def test_everybody_sees_the_fires_of_the_jobs_that_they_may_view(client: AsyncClient, joe: AsyncClient) -> None:
    """Those of a hidden job are as empty as those of a missing one."""
    his, hidden = await new_job(client, NIGHTLY, "joes"), await new_job(client, NIGHTLY)
    since = tomorrow()
    page = await joe.schedule_page(since=since, until=since + DAY, limit=500)
    seen = {slot.job_id for slot in page.items}
    assert his in seen
    assert {job_id for job_id in seen if not job_id.startswith("joes-")} == set()
    for job_id in (hidden, "joes-that-is-not"):
        assert await slots(joe, job_id) == []


async def test_a_window_of_more_than_a_year_is_refused(client: AsyncClient) -> None:
    """As is one that ends before it begins, or a cursor of another list."""
    since = tomorrow()
    assert (await client.schedule_page(since=since, until=since + 366 * DAY, limit=1)).items
    with pytest.raises(InvalidError, match="until lies more than 366 days after since"):
        await client.schedule_page(since=since, until=since + 367 * DAY)
    with pytest.raises(InvalidError, match="until lies before since"):
        await client.schedule_page(since=since, until=since - DAY)
    for cursor in ("run_0000000000000", "due 5", "due 5 99999999999999 a b", "5 99999999999999999999", "due 5 -1 a b"):
        with pytest.raises(InvalidError, match="cursor is no cursor of this list"):
            await client.schedule_page(cursor=cursor)


async def test_a_rule_is_previewed(client: AsyncClient) -> None:
    """Its next fires, its words, and what a change of the clocks does to it; in the home's zone unless another is
    named."""
    after = datetime(2027, 3, 27, 12, tzinfo=UTC)
    found = await client.preview("30 2 * * *", count=2, after=after)
    assert [fire.isoformat() for fire in found.fires] == ["2027-03-28T01:00:00+00:00", "2027-03-29T00:30:00+00:00"]
    assert (found.words, found.timezone) == ("At 02:30", "Europe/Paris")
    assert found.notes[0] == "On 28 Mar 2027 02:30 does not exist: it fires at 03:00."
    found = await client.preview("30 2 * * *", timezone="Asia/Tokyo", count=1, after=after)
    assert [fire.isoformat() for fire in found.fires] == ["2027-03-27T17:30:00+00:00"]
    assert found.notes == []


@pytest.mark.parametrize(
    ("cron", "timezone", "path", "message"),
    [
        ("30 25 * * *", None, "cron", "cron is not valid"),
        ("30 2 * *", None, "cron", "cron must have five fields"),
        ("H 2 * * *", None, "cron", "cron has `R` or `H` in its minute"),
        ("30 2 30 2 *", None, "cron", "cron never fires: no such day exists"),
        ("x" * 200, None, "cron", "cron is longer than 128 characters"),
        (
            "30 2 * * *",
            "Europe/Pari",
            "timezone",
            "timezone names an unknown time zone 'Europe/Pari'; did you mean \"E",
        ),
    ],
)
async def test_a_rule_that_is_refused_says_why(
    client: AsyncClient, cron: str, timezone: str | None, path: str, message: str
) -> None:
    """In the words that a job's file is refused with, and where: for a preview and a what-if."""
    job_id = await new_job(client, NIGHTLY)
    for ask in (client.preview(cron, timezone=timezone), client.what_if(job_id, cron, timezone=timezone)):
        with pytest.raises(InvalidError) as raised:
            await ask
        assert raised.value.message.startswith(message)
        assert raised.value.details[0]["path"] == path


async def test_a_changed_rule_is_held_against_the_past(client: AsyncClient, joe: AsyncClient) -> None:
    """How often it would have fired beside how often the one in force did; a hidden job answers as a missing one."""
    job_id = await new_job(client, fires("30 2 * * *", 'timezone = "UTC"'))
    found = await client.what_if(job_id, "0 */6 * * *", days=10)
    assert found.until - found.since == 10 * DAY
    assert (found.fires_before, found.fires_after, found.overlaps) == (10, 40, 0)
    assert found.timezone == "UTC"
    assert found.words == (await client.preview("0 */6 * * *")).words
    assert found.notes[0].startswith("No run of the job has ended yet")
    messages = []
    for hidden in (job_id, "job-that-is-not"):
        with pytest.raises(NotFoundError) as raised:
            await joe.what_if(hidden, "@daily")
        messages.append(raised.value.message.replace(hidden, ""))
    assert messages == ["there is no job ''"] * 2


async def test_a_fire_is_left_out_and_let_in_again(client: AsyncClient, ana: AsyncClient) -> None:
    """The calendar says who asked for it, the card and the sentence speak of the one after it."""
    job_id = await new_job(client, NIGHTLY)
    first, second, *_ = [slot.scheduled_at for slot in (await client.schedule_page(job=job_id)).items]
    for _ in range(2):
        slot = await ana.skip(job_id, first)
        assert (slot.scheduled_at, slot.state, slot.reason) == (first, "DUE", "left out as api:ana asked")
    shown = (await client.schedule_page(job=job_id)).items
    assert [slot.reason for slot in shown[:2]] == ["left out as api:ana asked", None]
    assert (await card(client, job_id)).next_fire_at == second
    assert "its next fire is left out as api:ana asked" in (await client.why(job_id)).why
    await ana.unskip(job_id, first)
    assert (await card(client, job_id)).next_fire_at == first
    with pytest.raises(NotFoundError, match="is not to be left out, so there is nothing to undo"):
        await ana.unskip(job_id, first)


async def test_only_a_fire_that_is_to_come_is_left_out(client: AsyncClient, vic: AsyncClient) -> None:
    """The sentence says which is the next, or which schedule was meant; a viewer may not."""
    job_id = await new_job(client, fires("30 2 * * *", 'name = "nightly"'))
    first = (await client.schedule_page(job=job_id)).items[0].scheduled_at
    wall = f"{first.astimezone(PARIS):%Y-%m-%d %H:%M}"
    for wrong in (first + timedelta(minutes=1), first - DAY, first + timedelta(milliseconds=1)):
        with pytest.raises(InvalidError, match=f"has no fire to come at .*; the next is {wall} Europe/Paris"):
            await client.skip(job_id, wrong, schedule="nightly")
    with pytest.raises(InvalidError, match="has no schedule 'nightli'; did you mean \"nightly\"") as raised:
        await client.skip(job_id, first, schedule="nightli")
    assert raised.value.details[0]["path"] == "schedule"
    with pytest.raises(NotAllowedError, match="operator"):
        await vic.skip(job_id, first, schedule="nightly")


async def test_a_fire_that_is_left_out_is_told(client: AsyncClient) -> None:
    """Whoever has the calendar open sees it, and sees it come back."""
    job_id = await new_job(client, NIGHTLY)
    first = (await client.schedule_page(job=job_id)).items[0].scheduled_at

    async def change_our_mind() -> None:
        await client.skip(job_id, first)
        await client.unskip(job_id, first)

    events = await told(client, job_id, change_our_mind, lambda seen: len(seen) == 2)
    assert [(event.kind, event.record["state"]) for event in events] == [("slot", "DUE")] * 2
    assert [event.record["reason"] for event in events] == ["left out as api:admin asked", None]


async def test_a_pause_says_until_when(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """On the card and in the sentence; it must lie ahead, and belongs to a switch-off."""
    job_id = await new_job(client, NIGHTLY)
    until = tomorrow() + timedelta(hours=6)
    shown = await client.disable(job_id, reason="disk is full", until=until)
    assert shown.pause is not None
    assert (shown.pause.until, shown.pause.reason, shown.pause.by) == (until, "disk is full", "api:admin")
    wall = f"{until.astimezone(PARIS):%Y-%m-%d %H:%M} Europe/Paris"
    assert f"it is disabled by api:admin until {wall}: disk is full" in (await client.why(job_id)).why
    with pytest.raises(InvalidError, match="until lies in the past"):
        await client.disable(job_id, until=datetime.now(UTC) - DAY)
    answer = await http.patch(f"/jobs/{job_id}", json={"enabled": True, "until": until.isoformat()})
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "until belongs to a switch-off")


async def test_a_text_that_is_checked_says_when_it_would_fire(client: AsyncClient) -> None:
    """The next five fires of all its schedules, in order."""
    checked = await client.check_job(fires("30 2 * * *") + '[[schedules]]\nname = "noon"\ncron = "0 12 * * *"\n')
    assert checked.problems == []
    assert len(checked.next_fires) == 5
    assert checked.next_fires == sorted(checked.next_fires)
    assert {fire.astimezone(PARIS).hour for fire in checked.next_fires} == {2, 12}


async def told(
    client: AsyncClient, job_id: str, do: Callable[[], Awaitable[object]], is_enough: Callable[[list[Event]], bool]
) -> list[Event]:
    """Do something, and see what happens to a job until it is enough."""
    seen: list[Event] = []
    async with aclosing(client.events()) as events:
        async for event in events:
            if isinstance(event, Reset):
                await do()
            elif event.job_id == job_id:
                seen.append(event)
                if is_enough(seen):
                    break
    return seen


def told_slots(events: list[Event]) -> list[Slot]:
    """What became of fires, as it was told."""
    slots = [Slot.model_validate(event.record) for event in events if event.kind == "slot"]
    return [slot for slot in slots if slot.state != "DUE"]


@pytest.fixture
def real(world: World) -> World:
    """The real engine: the fake has no clock that fires."""
    if world.name == "fake":
        pytest.skip("the fake engine fires nothing")
    return world


@pytest.mark.usefixtures("real")
async def test_a_schedule_fires(client: AsyncClient) -> None:
    """Its slot is told with the run, and stays in the calendar as what became of it."""
    job_id = new_id("each-second")
    events = await told(
        client,
        job_id,
        lambda: client.create_job(job_id, toml=fires("* * * * * *")),
        lambda seen: seen[-1].kind == "run" and seen[-1].record["state"] == "SUCCEEDED",
    )
    await client.disable(job_id)
    slot, run = told_slots(events)[0], await client.run(events[-1].run_id or "")
    assert (slot.state, slot.reason, slot.run_id, slot.scheduled_at) == ("FIRED", None, run.id, run.scheduled_at)
    assert (run.schedule, run.triggered_by, run.via) == ("default", "cron", "cron")
    listed = [each async for each in client.schedule(job=job_id)]
    assert (listed[0].state, listed[0].run_id) == ("FIRED", run.id)
    assert listed[0].late_seconds is not None
    assert {each.state for each in listed} <= {"FIRED", "SKIPPED"}


@pytest.mark.usefixtures("real")
async def test_a_fire_that_meets_a_run_says_so(client: AsyncClient) -> None:
    """One run of a job at a time, unless the job says otherwise."""
    job_id = new_id("too-often")
    toml = fires("* * * * * *", callable_name="waits")
    events = await told(
        client, job_id, lambda: client.create_job(job_id, toml=toml), lambda seen: len(told_slots(seen)) == 2
    )
    await client.disable(job_id)
    fired, skipped = told_slots(events)
    await client.cancel(fired.run_id or "", force=True)
    assert (fired.state, skipped.state) == ("FIRED", "SKIPPED")
    assert skipped.reason == f"{fired.run_id} is in flight"
    assert skipped.scheduled_at > fired.scheduled_at


@pytest.mark.usefixtures("real")
async def test_a_fire_that_was_to_be_left_out_is(client: AsyncClient) -> None:
    """Its slot says who asked for it; the one after it fires."""
    job_id = new_id("left-out")
    toml = fires("* * * * * */2", 'name = "pairs"')

    async def begin() -> None:
        await client.create_job(job_id, toml=toml)
        coming = (await card(client, job_id)).next_fire_at
        assert coming is not None
        await client.skip(job_id, coming + timedelta(seconds=2), schedule="pairs")

    events = await told(
        client, job_id, begin, lambda seen: [slot.state for slot in told_slots(seen)][-2:] == ["SKIPPED", "FIRED"]
    )
    await client.disable(job_id)
    skipped, fired = told_slots(events)[-2:]
    assert (skipped.schedule, skipped.reason, skipped.run_id) == ("pairs", "skipped by api:admin", None)
    assert fired.scheduled_at - skipped.scheduled_at == timedelta(seconds=2)


@pytest.mark.usefixtures("real")
async def test_a_pause_ends_by_itself(client: AsyncClient, real: World) -> None:
    """At its instant the file says enabled again, and it is told; nothing is caught up."""
    job_id = await new_job(client, fires("* * * * * *"))
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    events = await told(
        client,
        job_id,
        lambda: client.disable(job_id, reason="a break", until=until),
        lambda seen: seen[-1].kind == "slot" and seen[-1].happened_at > until,
    )
    assert "enabled = true" in real.file(job_id).read_text()
    await client.disable(job_id)
    off, on = [event for event in events if event.kind == "job"]
    assert (off.record["enabled"], on.record["enabled"], on.record["pause"]) == (False, True, None)
    assert on.happened_at >= until
    assert all(slot.scheduled_at > until for slot in told_slots(events[events.index(off) :]))
