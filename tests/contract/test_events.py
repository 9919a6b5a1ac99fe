"""The event stream: everything that changes, in order, and whole after a lost connection."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from tests.contract.sse import Sent, sent
from tests.contract.world import begun, ended, new_job, one_step

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from nomaflow.client import AsyncClient


async def events_until(http: httpx.AsyncClient, is_last: Callable[[Sent], bool], after: str) -> list[Sent]:
    """The events after a cursor, up to the one that is meant."""
    found: list[Sent] = []
    async with http.stream("GET", "/events", headers={"Last-Event-ID": after}) as response:
        assert response.status_code == 200
        async with aclosing(sent(response)) as events:
            async for event in events:
                found.append(event)
                if is_last(event):
                    break
    return found


async def newest(http: httpx.AsyncClient) -> str:
    """The cursor of now; the stream says it before the first event."""
    async with http.stream("GET", "/events") as response:
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                return line.removeprefix("id: ")
    raise AssertionError("the stream ended before it said where it is")


def ends(run_id: str) -> Callable[[Sent], bool]:
    """Whether an event is the end of a run."""
    return lambda event: (
        event.event == "run" and event.data["run_id"] == run_id and event.data["record"]["finished_at"] is not None
    )


async def test_a_run_is_told_change_by_change(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """In the order in which it happened, numbered without a gap, with the record of each."""
    job_id = await new_job(client, one_step("works"))
    begin = await newest(http)
    run = await ended(client, (await client.launch(job_id)).id)
    events = await events_until(http, ends(run.id), begin)
    epoch, seq = map(int, begin.split("."))
    assert [event.id for event in events] == [f"{epoch}.{seq + n}" for n in range(1, len(events) + 1)]
    assert [event.data["seq"] for event in events] == [seq + n for n in range(1, len(events) + 1)]
    mine = [event for event in events if event.data["run_id"] == run.id]
    assert [(event.event, event.data["record"]["state"]) for event in mine] == [
        ("run", "QUEUED"),
        ("run", "RUNNING"),
        ("step", "RUNNING"),
        ("step", "SUCCEEDED"),
        ("run", "SUCCEEDED"),
    ]
    assert {event.data["job_id"] for event in mine} == {job_id}


async def test_a_cancel_is_told(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """CANCELING is told when it is asked, CANCELED when it is proved."""
    job_id = await new_job(client, one_step("waits"))
    begin = await newest(http)
    run_id = await begun(client, job_id)
    await client.cancel(run_id)
    events = await events_until(http, ends(run_id), begin)
    assert [event.data["record"]["state"] for event in events if event.event == "run"] == [
        "QUEUED",
        "RUNNING",
        "CANCELING",
        "CANCELED",
    ]


async def test_a_lost_connection_misses_nothing(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """`Last-Event-ID` goes on exactly where the connection ended."""
    job_id = await new_job(client, one_step("works"))
    begin = await newest(http)
    run = await ended(client, (await client.launch(job_id)).id)
    whole = await events_until(http, ends(run.id), begin)
    for cut in range(1, len(whole)):
        assert await events_until(http, ends(run.id), whole[cut - 1].id) == whole[cut:]


async def test_a_cursor_of_another_engine_is_reset(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """Who cannot be given all that he missed is told once to read everything again, and goes on from there."""
    await new_job(client, one_step("works"))
    [reset] = await events_until(http, lambda _: True, "0.1")
    assert (reset.event, reset.id) == ("reset", await newest(http))


async def test_a_switch_is_told_with_the_card(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """Whoever has the Jobs page open sees the toggle move, with what the person may do."""
    job_id = await new_job(client, one_step("works"))
    begin = await newest(http)
    await client.disable(job_id, reason="disk is full")
    [event] = await events_until(http, lambda _: True, begin)
    record = event.data["record"]
    assert (event.event, record["id"], record["enabled"]) == ("job", job_id, False)
    assert record["pause"]["reason"] == "disk is full"
    assert record["can"]["toggle"]


async def test_the_client_begins_with_a_reset(client: AsyncClient) -> None:
    """Reading the lists at each reset and applying the events after it is never out of date."""
    job_id = await new_job(client, one_step("works"))
    kinds = []
    async with aclosing(client.events()) as events:
        async for event in events:
            kinds.append(getattr(event, "kind", "reset"))
            if kinds == ["reset"]:
                await client.launch(job_id)
            if len(kinds) == 6:
                break
    assert kinds == ["reset", "run", "run", "step", "step", "run"]
