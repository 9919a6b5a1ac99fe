"""Searches for runs and jobs: the store of the real engine and the fake find the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nomaflow.errors import InvalidError
from tests.contract.world import WITH_FORM, begun, ended, new_job, one_step

if TYPE_CHECKING:
    import httpx

    from nomaflow.client import AsyncClient


async def found(client: AsyncClient, q: str) -> list[str]:
    """The ids of all runs that a search finds, from pages of two."""
    return [run.id async for run in client.runs(q=q, limit=2)]


async def test_ended_runs_are_found(client: AsyncClient) -> None:
    """By job, state, parameter, step, error, log, who and when; all terms hold, a comma is or, a minus leaves out."""
    good_job = await new_job(client, WITH_FORM, "searched")
    bad_job = await new_job(client, WITH_FORM.replace("contract_steps:works", "contract_steps:fails", 1), "searched")
    good = (await ended(client, (await client.launch(good_job)).id)).id
    other = (await ended(client, (await client.launch(good_job, params={"apps_id": 20}, reason="Odd day")).id)).id
    bad = (await ended(client, (await client.launch(bad_job)).id)).id
    jobs = f"job:{good_job},{bad_job}"
    for q, runs in {
        "": [bad, other, good],
        "state:succeeded": [other, good],
        "state:failed,canceled": [bad],
        "-state:failed": [other, good],
        "state:active": [],
        "apps_id=10": [bad, good],
        "apps_id=20 full_refresh=False": [other],
        "apps_id=20,30": [other],
        "apps_id!=10": [other],
        "target_connector=ware*": [bad, other, good],
        "step:clean": [other, good],
        "step:old": [],
        "failed:extract": [bad],
        "failed:*": [bad],
        "skipped:old": [bad, other, good],
        "cupboard": [bad],
        '"ValueError: the cupboard"': [bad],
        "odd": [other],
        "began": [],
        "text:began": [bad, other, good],
        "text:cupboard,odd": [bad, other],
        "-text:cupboard": [other, good],
        "by:admin by:api": [bad, other, good],
        "by:ana": [],
        "tag:ETL": [bad, other, good],
        "tag:hr": [],
        "since:1h": [bad, other, good],
        "until:1h": [],
        "since:yesterday until:today": [bad, other, good],
        "dur<1h": [bad, other, good],
        "dur>1h": [],
        "rows>=6": [other, good],
        "late<1h": [],
        "schedule:*": [],
        "replay:*": [],
        f"run:{good[-6:]}": [good],
        f"{bad[-8:].lower()}": [bad],
        "state:succeeded apps_id=10 since:7d -by:cron": [good],
    }.items():
        assert (q, await found(client, f"{jobs} {q}")) == (q, runs)


async def test_a_run_in_flight_is_found_as_it_is_now(client: AsyncClient) -> None:
    """Its state, its steps and its log, which the store has not yet; when it has ended it is found as that."""
    toml = WITH_FORM.replace("contract_steps:works", "contract_steps:waits", 1)
    job_id = await new_job(client, toml, "in-flight")
    run_id = await begun(client, job_id)
    finds = (
        "state:running",
        "state:active apps_id=10",
        "step:extract",
        "text:began",
        "dur<1h",
        "skipped:old",
        "tag:etl",
    )
    for q in finds:
        assert (q, await found(client, f"job:{job_id} {q}")) == (q, [run_id])
    for q in ("state:queued,canceling", "state:ended", "step:clean", "failed:*", "apps_id=11"):
        assert (q, await found(client, f"job:{job_id} {q}")) == (q, [])
    await client.cancel(run_id)
    await ended(client, run_id)
    assert await found(client, f"job:{job_id} state:canceled step:extract text:began") == [run_id]
    assert await found(client, f"job:{job_id} state:active") == []


async def test_a_search_narrows_what_else_is_asked(client: AsyncClient) -> None:
    """Job, state and time of the other parameters hold as well; ended runs and those in flight share the pages."""
    job_id = await new_job(client, one_step("waits") + "\n", "narrowed")
    first = await begun(client, job_id)
    await client.cancel(first)
    await ended(client, first)
    second = await begun(client, job_id)
    assert [run.id async for run in client.runs(q="text:began", job=job_id, limit=1)] == [second, first]
    assert [run.id async for run in client.runs(q="-state:failed", job=job_id, state="CANCELED")] == [first]
    assert [run.id async for run in client.runs(q="state:canceled", job=job_id, state="RUNNING")] == []
    since = (await client.run(second)).queued_at
    assert [run.id async for run in client.runs(q=f"job:{job_id}", since=since)] == [second]
    await client.cancel(second)
    await ended(client, second)


async def test_jobs_are_found(client: AsyncClient) -> None:
    """By words of their card, and by keys; the state is the newest run's."""
    toml = WITH_FORM.replace('"nightly"', '"sought"')
    job_id = await new_job(client, toml, "sought")
    never = await new_job(client, toml, "sought")
    await ended(client, (await client.launch(job_id)).id)
    await client.disable(never)
    for q, ids in {
        "tag:sought": [job_id, never],
        "sought day": [job_id, never],
        "tag:sought state:succeeded": [job_id],
        "tag:sought state:never": [never],
        "tag:sought enabled:no": [never],
        "tag:sought -enabled:no": [job_id],
        f"job:{job_id},x*": [job_id],
        "tag:sought problem:yes": [],
    }.items():
        assert (q, sorted(card.id for card in await client.jobs(q=q))) == (q, sorted(ids))


@pytest.mark.parametrize(
    ("path", "q", "position", "message"),
    [
        ("/runs", "apps_id=10 state:faild", 18, 'unknown state "faild" at character 18; did you mean "failed"?'),
        ("/runs", "since:tomorow", 7, '"tomorow" is no time at character 7; write 7d'),
        ("/runs", 'text:"no end', 6, "a quote is opened and not closed at character 6"),
        ("/jobs", "a apps_id=10", 3, "jobs are not searched by apps_id= at character 3"),
    ],
)
async def test_a_wrong_search_is_pointed_at(
    client: AsyncClient, http: httpx.AsyncClient, path: str, q: str, position: int, message: str
) -> None:
    """422 with one sentence and the place of the character; the client raises the same."""
    answer = await http.get(path, params={"q": q})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "invalid")
    assert error["message"].startswith(message)
    [detail] = error["details"]
    assert (detail["path"], detail["position"]) == ("q", position)
    with pytest.raises(InvalidError) as raised:
        await (client.runs_page(q=q) if path == "/runs" else client.jobs(q=q))
    assert raised.value.details[0]["position"] == position
