"""Runs and logs through the API."""

from __future__ import annotations

import pytest

from nomaflow.api.policy import V1
from nomaflow.api.port import Idempotency, LogQuery, RunQuery
from nomaflow.engine.model import Actor
from nomaflow.wire import Replay, RunState
from tests.api.scripted import NOON, line, run_id
from tests.api.stand import Stand

RUN = f"{V1}/runs/{run_id(1)}"


async def asked(stand: Stand, query: str, as_: str = "viewer") -> RunQuery:
    """What the engine was asked for."""
    assert (await stand.send("GET", f"{V1}/runs{query}", as_=as_)).status_code == 200
    (_, given), *_ = stand.engine.asked
    assert isinstance(given, RunQuery)
    return given


async def test_a_query_reaches_the_engine_whole(stand: Stand) -> None:
    """Every filter by its own name, instants with their zone."""
    given = await asked(
        stand,
        "?q=a%3Ab&job=hr-sync&state=FAILED&since=2026-03-01T13:00:00%2B01:00&until=2027-01-01T00:00:00Z&limit=7&cursor=c",
    )
    assert (given.job, given.state, given.since, given.limit, given.cursor) == (
        "hr-sync", RunState.FAILED, NOON, 7, "c"
    )  # fmt: skip
    assert (given.q, given.jobs) == ("a:b", None)


async def test_a_person_lists_the_runs_of_their_jobs(stand: Stand) -> None:
    """The filter goes into the query, so that pages are full."""
    assert (await asked(stand, "?q=tag:etl", as_="jde-viewer")).jobs == frozenset({"jde-nightly"})


async def test_a_person_without_jobs_lists_nothing(stand: Stand) -> None:
    """Nor does who asks for a hidden, a missing or an impossible job; the engine is not even asked."""
    for person, query in (("nobody", ""), ("jde-viewer", "?job=hr-sync"), ("jde-viewer", "?job=../x")):
        answer = await stand.send("GET", f"{V1}/runs{query}", as_=person)
        assert answer.json() == {"items": [], "next_cursor": None}
    assert not stand.engine.asked


@pytest.mark.parametrize("query", ["", "?job=jde-nightly"])
async def test_a_deleted_job_s_runs_are_listed_for_its_id(stand: Stand, query: str) -> None:
    """Who is granted the id finds them, in its own list and in the one of all runs."""
    del stand.engine.jobs["jde-nightly"]
    for person, found in (("jde-viewer", [run_id(1)]), ("etl-operator", [])):
        answer = await stand.send("GET", f"{V1}/runs{query}", as_=person)
        assert [item["id"] for item in answer.json()["items"]] == found


async def test_a_run_is_shown_whole(stand: Stand) -> None:
    """Plan, steps and receipt."""
    answer = await stand.send("GET", RUN, as_="viewer")
    assert {"plan", "steps", "receipt", "artifacts"} <= set(answer.json())


async def test_a_cancel_reaches_the_engine(stand: Stand) -> None:
    """202 at once; the receipt comes with the run."""
    answer = await stand.send("POST", f"{RUN}/cancel", as_="operator", json={"force": True, "reason": "wrong day"})
    assert answer.status_code == 202
    assert (await stand.send("POST", f"{RUN}/cancel", as_="operator")).status_code == 202
    actor = Actor("operator", "api")
    assert stand.engine.asked == [
        ("cancel", run_id(1), actor, True, "wrong day"),
        ("cancel", run_id(1), actor, False, None),
    ]


async def test_a_replay_is_accepted(stand: Stand) -> None:
    """202 with the new run; its key is known by the old run and the body's meaning."""
    body = {"only": "failed", "params": {"a": 1}, "reason": "mended"}
    headers = {"Idempotency-Key": "k"}
    answer = await stand.send("POST", f"{RUN}/replay", as_="operator", json=body, headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (202, f"{V1}/runs/{run_id(9)}")
    [(verb, asked, replay, actor, idempotency)] = stand.engine.asked
    assert (verb, asked, replay, actor) == (
        "replay", run_id(1), Replay.model_validate(body), Actor("operator", "api")
    )  # fmt: skip
    assert idempotency == Idempotency("operator", f"POST /runs/{run_id(1)}/replay", "k", idempotency.body_hash)
    stand.engine.replayed = True
    answer = await stand.send("POST", f"{RUN}/replay", as_="operator", headers=headers)
    assert answer.headers["Idempotent-Replay"] == "true"


async def test_a_dry_replay_and_a_replay_s_form_reach_the_engine(stand: Stand) -> None:
    """The plan for who may replay, the form for who may look."""
    answer = await stand.send("POST", f"{RUN}/replay/plan", as_="operator", json={"from_step": "load"})
    assert answer.json() == {"log_level": "INFO", "steps": []}
    form = f"{V1}/jobs/jde-nightly/form?replay_of={run_id(1)}"
    assert (await stand.send("GET", form, as_="viewer")).json()["job_id"] == "jde-nightly"
    assert stand.engine.asked == [
        ("replay plan", run_id(1), Replay(from_step="load")),
        ("replay form", "jde-nightly", run_id(1)),
    ]


@pytest.mark.parametrize("body", [{"only": "all"}, {"from_step": ""}, {"step": "load"}, {"only": ["failed"]}])
async def test_a_replay_of_nonsense_does_not_reach_the_engine(stand: Stand, body: dict[str, object]) -> None:
    """422 before anything is looked at."""
    for under in ("replay", "replay/plan"):
        assert (await stand.send("POST", f"{RUN}/{under}", json=body)).status_code == 422
    assert not stand.engine.asked


async def test_a_log_query_reaches_the_engine_whole(stand: Stand) -> None:
    """Every filter by its own name."""
    await stand.send("GET", f"{RUN}/logs?tail=9&limit=8&level=ERROR&step=load&q=disk%20full")
    expected = LogQuery(after=0, limit=8, tail=9, level="ERROR", step="load", text="disk full")
    assert stand.engine.asked == [("log", run_id(1), expected)]


async def test_a_log_is_streamed_to_its_end(stand: Stand) -> None:
    """Each line has its number as id; the end is an event of its own."""
    answer = await stand.send("GET", f"{RUN}/logs/stream")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    frames = answer.text.strip().split("\n\n")
    assert frames[1].startswith("id: 1\ndata: {")
    assert frames[-1] == f'event: end\ndata: {{"run_id": "{run_id(1)}", "state": "SUCCEEDED"}}'


async def test_a_log_stream_goes_on_where_it_was_cut(stand: Stand) -> None:
    """By the browser's own header, or by `after`."""
    for options in ({"headers": {"Last-Event-ID": "1"}}, {"params": {"after": "1"}}):
        answer = await stand.send("GET", f"{RUN}/logs/stream", **options)  # type: ignore[arg-type]
        assert "id: 2\n" in answer.text
        assert "id: 1\n" not in answer.text
    for given in ("x", "-1", "٣", "9" * 40):
        answer = await stand.send("GET", f"{RUN}/logs/stream", headers={"Last-Event-ID": given.encode()})
        assert answer.status_code == 422


async def test_a_stopped_engine_s_log_stream_has_no_end_event(stand: Stand) -> None:
    """The client sees the difference and comes back."""
    answer = await stand.send("GET", f"{V1}/runs/{run_id(2)}/logs/stream")
    assert "event: end" not in answer.text


async def test_a_log_is_downloaded_as_text(stand: Stand) -> None:
    """Page by page, as a file; nothing in a line can pose as another line."""
    stand.engine.lines = [line(n, f"line {n} <b>\u00fc</b>") for n in range(1, 1203)]
    stand.engine.lines.append(line(1203, "a\nb\tend"))
    answer = await stand.send("GET", f"{RUN}/logs.txt")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{run_id(1)}.txt"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    lines = answer.text.split("\n")
    assert len(lines) == 1204
    assert lines[0] == "2026-03-01T12:00:01.000Z INFO    [load] line 1 <b>ü</b>"
    assert lines[1202].endswith("[load] a\\x0ab\tend")


@pytest.mark.parametrize("under", ["", "/logs", "/logs/stream", "/logs.txt"])
async def test_a_missing_run_is_not_found(stand: Stand, under: str) -> None:
    """Also before a stream begins."""
    answer = await stand.send("GET", f"{V1}/runs/{run_id(5)}{under}")
    assert answer.status_code == 404
