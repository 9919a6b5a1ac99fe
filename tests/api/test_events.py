"""The live streams."""

from __future__ import annotations

import json

import pytest
import trio
import trio.testing

from nomaflow.api.event_stream import COMMENT_AFTER_SECONDS
from nomaflow.api.policy import V1
from nomaflow.api.port import Cursor, Reset
from nomaflow.definitions.settings import Settings
from tests.api.scripted import event, run_id
from tests.api.stand import Stand

EVENTS = f"{V1}/events"


def frames(text: str) -> list[dict[str, str]]:
    """The stream's events, comments left out."""
    parsed = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            parsed.append(fields)
    return parsed


async def test_an_event_has_its_cursor_as_id_and_its_kind_as_name(stand: Stand) -> None:
    """The first frame sets the cursor before anything has happened."""
    stand.engine.events = [event(8, "jde-nightly", "run", state="RUNNING"), event(9, "hr-sync", "step")]
    answer = await stand.send("GET", EVENTS)
    first, one, two = frames(answer.text)
    assert first == {"retry": "1000", "id": "3.7"}
    assert (one["id"], one["event"], two["id"], two["event"]) == ("3.8", "run", "3.9", "step")
    data = json.loads(one["data"])
    assert set(data) == {"seq", "happened_at", "kind", "job_id", "run_id", "record"}
    assert data["record"] == {"state": "RUNNING"}
    assert answer.headers["X-Accel-Buffering"] == "no"


async def test_a_person_gets_the_events_of_their_jobs(stand: Stand) -> None:
    """And those that belong to no job only who sees all."""
    stand.engine.events = [event(8, "hr-sync"), event(9, "jde-nightly"), event(10, None, "connector")]
    for person, ids in (("jde-viewer", ["3.9"]), ("viewer", ["3.8", "3.9", "3.10"]), ("nobody", [])):
        answer = await stand.send("GET", EVENTS, as_=person)
        assert [frame["id"] for frame in frames(answer.text)[1:]] == ids
        assert ("hr-sync" in answer.text) == (person == "viewer")


async def test_a_card_in_an_event_says_what_the_person_may_do(stand: Stand) -> None:
    """As it does in the list."""
    card = stand.engine.jobs["jde-nightly"].model_dump(mode="json")
    stand.engine.events = [event(8, "jde-nightly", "job", **card)]
    for person, run in (("viewer", False), ("jde-operator", True)):
        answer = await stand.send("GET", EVENTS, as_=person)
        assert json.loads(frames(answer.text)[1]["data"])["record"]["can"]["run"] is run


@pytest.mark.parametrize(
    ("path", "headers", "cursor"),
    [
        (EVENTS, {}, Cursor(3, 7)),
        (f"{EVENTS}?after=3.5", {}, Cursor(3, 5)),
        (EVENTS, {"Last-Event-ID": "3.6"}, Cursor(3, 6)),
        (f"{EVENTS}?after=3.5", {"Last-Event-ID": "3.6"}, Cursor(3, 6)),
    ],
)
async def test_a_stream_goes_on_where_it_was_cut(
    stand: Stand, path: str, headers: dict[str, str], cursor: Cursor
) -> None:
    """The browser's own header is the newer of the two; without either the stream begins now."""
    await stand.send("GET", path, headers=headers)
    assert stand.engine.asked == [("events", cursor)]


@pytest.mark.parametrize("given", ["x", "3", "3.", "-1.2", "3.5.6", "3." + "9" * 30, "\u0663.\u0661"])
async def test_a_cursor_that_is_none_is_refused(stand: Stand, given: str) -> None:
    """Before the stream begins."""
    answer = await stand.send("GET", EVENTS, params={"after": given})
    assert answer.status_code == 400
    assert not stand.engine.asked


async def test_a_cursor_that_is_too_old_gets_a_reset(stand: Stand) -> None:
    """With the cursor from which the stream goes on."""
    stand.engine.cursor = Cursor(4, 20)
    stand.engine.events = [Reset(Cursor(4, 20)), event(21, "jde-nightly")]
    answer = await stand.send("GET", f"{EVENTS}?after=3.1")
    _, reset, after = frames(answer.text)
    assert (reset["event"], reset["id"], after["id"]) == ("reset", "4.20", "4.21")


@pytest.mark.parametrize("path", [EVENTS, f"{V1}/runs/{run_id(2)}/logs/stream"])
async def test_a_stream_ends_when_the_engine_stops(
    stand: Stand, path: str, autojump_clock: trio.testing.MockClock
) -> None:
    """By itself, so that a shutdown need not wait for it; until then a comment shows that it lives."""
    stand.engine.endless = True
    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await trio.sleep(4 * COMMENT_AFTER_SECONDS + 5)
            stand.stopping.set()

        nursery.start_soon(stop)
        answer = await stand.send("GET", path)
    assert answer.text.count(": nothing new\n\n") == 4


async def test_a_log_stream_ends_with_the_grant(stand: Stand, autojump_clock: trio.testing.MockClock) -> None:
    """Whoever may not view the job any more sees no more of its run, though the session lives on."""
    stand.engine.endless = True
    accounts = stand.settings.accounts | {"hr-admin": stand.settings.accounts["nobody"]}
    async with trio.open_nursery() as nursery:

        async def take_away() -> None:
            await trio.sleep(60)
            await stand.access.replace_settings(Settings(accounts=accounts))

        nursery.start_soon(take_away)
        answer = await stand.send("GET", f"{V1}/runs/{run_id(2)}/logs/stream", as_="hr-admin")
        assert answer.status_code == 200
    assert trio.current_time() <= 65


async def test_a_job_that_is_gone_is_told_to_who_saw_it_by_its_tag(stand: Stand) -> None:
    """The tag is gone with the job; nobody else hears of it, and nobody is sent the tag."""
    del stand.engine.jobs["jde-nightly"]
    stand.engine.events = [event(8, "jde-nightly", "job").model_copy(update={"gone_tags": ("etl",)})]
    for person, count in (("etl-operator", 1), ("jde-viewer", 1), ("viewer", 1), ("hr-admin", 0), ("nobody", 0)):
        answer = await stand.send("GET", EVENTS, as_=person)
        assert len(frames(answer.text)[1:]) == count, person
        assert "etl" not in answer.text


@pytest.mark.parametrize("path", [EVENTS, f"{V1}/runs/{run_id(2)}/logs/stream"])
async def test_a_stream_ends_with_its_token(stand: Stand, path: str, autojump_clock: trio.testing.MockClock) -> None:
    """Whoever is removed sees nothing more, also on a stream that was open: within five seconds."""
    stand.engine.endless = True
    token = await stand.token("viewer")
    async with trio.open_nursery() as nursery:

        async def remove() -> None:
            await trio.sleep(60)
            await stand.access.replace_settings(Settings())

        nursery.start_soon(remove)
        assert (await stand.send("GET", path, token=token)).status_code == 200
    assert trio.current_time() <= 65


async def test_a_person_who_lost_a_job_gets_no_more_of_its_events(stand: Stand) -> None:
    """The rights are looked up at each event."""
    accounts = stand.settings.accounts | {"jde-viewer": stand.settings.accounts["nobody"]}
    token = await stand.token("jde-viewer")
    await stand.access.replace_settings(Settings(accounts=accounts))
    stand.engine.events = [event(8, "jde-nightly")]
    answer = await stand.send("GET", EVENTS, token=token)
    assert len(frames(answer.text)) == 1
