"""Runs and their logs: how they fail, stop, are listed and read."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from nomaflow.errors import NotFoundError, RunFinishedError
from nomaflow.wire import RunState
from tests.contract.sse import sent
from tests.contract.world import LINES, WITH_FORM, begun, ended, new_job, one_step

if TYPE_CHECKING:
    import httpx

    from nomaflow.client import AsyncClient


async def test_a_failed_run_says_what_was_raised(client: AsyncClient) -> None:
    """Type, message and traceback of the exception; later steps are CANCELED."""
    toml = WITH_FORM.replace("contract_steps:works", "contract_steps:fails", 1)
    run = await ended(client, (await client.launch(await new_job(client, toml))).id)
    assert (run.state, run.reason, run.step_summary) == (
        RunState.FAILED,
        "step extract failed",
        "0 / 3 — failed at extract",
    )
    failed, *rest = run.steps
    assert failed.error is not None
    assert (failed.error.type, failed.error.message) == ("ValueError", "the cupboard is bare")
    assert "Traceback" in failed.error.traceback
    assert failed.attempts[-1].error == failed.error
    assert [(step.state, step.reason) for step in rest] == [
        ("CANCELED", "an earlier step failed"),
        ("CANCELED", "skipped: disabled"),
    ]


async def test_a_failed_step_is_tried_again(client: AsyncClient) -> None:
    """As often as the job says; every try is on record with when the next one was due."""
    toml = "[retry]\nattempts = 3\nbase_seconds = 0\n" + one_step("fails")
    run = await ended(client, (await client.launch(await new_job(client, toml))).id)
    [step] = run.steps
    assert (run.state, step.attempt) == ("FAILED", 3)
    assert [attempt.n for attempt in step.attempts] == [1, 2, 3]
    assert [attempt.retry_at is None for attempt in step.attempts] == [False, False, True]


@pytest.mark.parametrize("callable_name", ["waits", "waits_plainly"])
async def test_a_canceled_run_has_a_receipt(client: AsyncClient, callable_name: str) -> None:
    """CANCELED is written only when nothing is left of the step; the receipt says who asked and how that is known."""
    run_id = await begun(client, await new_job(client, one_step(callable_name)))
    asked = await client.cancel(run_id, reason="wrong day")
    assert asked.state in (RunState.CANCELING, RunState.CANCELED)
    run = await ended(client, run_id)
    assert (run.state, run.reason) == ("CANCELED", "wrong day")
    receipt = run.receipt
    assert receipt is not None
    assert (receipt.requested_by, receipt.reason, receipt.force) == ("api:admin", "wrong day", False)
    assert receipt.survivors == []
    assert receipt.proof
    assert receipt.rungs[0].rung == "soft cancel"
    assert [(step.state, step.reason) for step in run.steps] == [("CANCELED", "canceled by api:admin")]


async def test_force_ends_a_stubborn_step(client: AsyncClient) -> None:
    """A step that swallows every exception is killed with its process group."""
    run_id = await begun(client, await new_job(client, one_step("is_stubborn")))
    await client.cancel(run_id, force=True)
    run = await ended(client, run_id)
    assert run.state == "CANCELED"
    assert run.receipt is not None
    assert run.receipt.force
    assert run.receipt.proof


async def test_canceling_twice_is_the_same_as_once(client: AsyncClient) -> None:
    """The second request only hurries the first, which stays on the receipt."""
    run_id = await begun(client, await new_job(client, one_step("is_stubborn")))
    await client.cancel(run_id, reason="first")
    await client.cancel(run_id, reason="second", force=True)
    run = await ended(client, run_id)
    assert run.receipt is not None
    assert (run.receipt.reason, run.receipt.force) == ("first", True)


async def test_a_run_that_is_over_cannot_be_canceled(client: AsyncClient) -> None:
    """Terminal is final."""
    run = await ended(client, (await client.launch(await new_job(client, one_step("works")))).id)
    with pytest.raises(RunFinishedError):
        await client.cancel(run.id)
    assert (await client.run(run.id)).receipt is None


async def test_steps_after_a_cancel_do_not_run(client: AsyncClient) -> None:
    """They are CANCELED, each with its reason."""
    toml = WITH_FORM.replace("contract_steps:works", "contract_steps:waits", 1)
    run_id = await begun(client, await new_job(client, toml))
    await client.cancel(run_id)
    run = await ended(client, run_id)
    assert [(step.state, step.reason) for step in run.steps] == [
        ("CANCELED", "canceled by api:admin"),
        ("CANCELED", "canceled by api:admin"),
        ("CANCELED", "skipped: disabled"),
    ]


async def test_runs_are_listed_newest_first(client: AsyncClient) -> None:
    """By job and state, page by page."""
    job_id = await new_job(client, one_step("works"))
    ids = [(await ended(client, (await client.launch(job_id)).id)).id for _ in range(3)]
    first = await client.runs_page(job=job_id, limit=2)
    assert [run.id for run in first.items] == ids[:0:-1]
    rest = await client.runs_page(job=job_id, limit=2, cursor=first.next_cursor)
    assert ([run.id for run in rest.items], rest.next_cursor) == ([ids[0]], None)
    assert [run.id async for run in client.runs(job=job_id, state="SUCCEEDED")] == ids[::-1]
    assert (await client.runs_page(job=job_id, state="FAILED")).items == []
    middle = (await client.run(ids[1])).queued_at
    assert [run.id for run in (await client.runs_page(job=job_id, since=middle)).items] == ids[:0:-1]
    assert [run.id for run in (await client.runs_page(job=job_id, until=middle)).items] == ids[:1]


async def test_a_card_shows_how_the_last_runs_went(client: AsyncClient) -> None:
    """The badge is the newest run's; the bars are the newest runs, oldest first."""
    job_id = await new_job(client, one_step("works"))
    ids = [(await ended(client, (await client.launch(job_id)).id)).id for _ in range(2)]
    [card] = [card for card in await client.jobs() if card.id == job_id]
    assert card.last_run is not None
    assert (card.last_run.id, card.last_run.state) == (ids[-1], "SUCCEEDED")
    assert [(bar.run_id, bar.state) for bar in card.recent] == [(run_id, "SUCCEEDED") for run_id in ids]
    assert [one.run_id for one in await client.durations(job_id)] == ids[::-1]


async def test_a_log_is_read_page_by_page(client: AsyncClient) -> None:
    """Numbered from 1 without a gap, and `next` leads on until `end`."""
    run = await ended(client, (await client.launch(await new_job(client, one_step("says_much")))).id)
    page = await client.logs(run.id, limit=500)
    lines, pages = page.lines, 1
    while not page.end:
        page = await client.logs(run.id, after=page.next, limit=500)
        lines, pages = lines + page.lines, pages + 1
    assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
    said = [line.text for line in lines if line.stream == "log" and line.level == "INFO"]
    assert said == [f"line {number}" for number in range(LINES)]
    assert pages >= 3
    assert {(line.step, line.attempt) for line in lines if line.stream == "log"} == {("work", 1)}


async def test_a_log_is_narrowed(client: AsyncClient) -> None:
    """By its end, by level and worse, by step, by text."""
    run = await ended(client, (await client.launch(await new_job(client, one_step("says_much")))).id)
    tail = await client.logs(run.id, tail=5)
    assert (len(tail.lines), tail.lines[-1].seq) == (5, tail.next)
    assert [line.text for line in (await client.logs(run.id, level="WARNING")).lines] == ["that was all"]
    found = await client.logs(run.id, q="LINE 11", step="work")
    assert found.lines
    assert all("line 11" in line.text for line in found.lines)
    assert (await client.logs(run.id, step="nobody")).lines == []


async def test_a_live_log_ends_with_its_run(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """The stream's ids are the lines' numbers, its last event is `end`, and it goes on from `Last-Event-ID`."""
    run_id = await begun(client, await new_job(client, one_step("waits")))
    seen = (await client.logs(run_id, tail=1)).next
    path = f"/runs/{run_id}/logs/stream"
    async with http.stream("GET", path, headers={"Last-Event-ID": str(seen)}) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        await client.cancel(run_id)
        async with aclosing(sent(response)) as events:
            *lines, end = [event async for event in events]
    assert (end.event, end.data) == ("end", {"run_id": run_id, "state": "CANCELED"})
    assert [int(line.id) for line in lines] == list(range(seen + 1, seen + 1 + len(lines)))


async def test_a_log_can_be_downloaded(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """As text, all of it."""
    run = await ended(client, (await client.launch(await new_job(client, one_step("says_much")))).id)
    answer = await http.get(f"/runs/{run.id}/logs.txt")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert f"[work] line {LINES - 1}\n" in answer.text


@pytest.mark.parametrize("run_id", ["run_0000000000000", "run_", "nonsense", "run_00000000000000"])
async def test_an_unknown_run_is_not_found(client: AsyncClient, run_id: str) -> None:
    """Whatever is asked of it, and however its id is made."""
    for ask in (client.run, client.logs, client.cancel):
        with pytest.raises(NotFoundError):
            await ask(run_id)
