"""Jobs through the API."""

from __future__ import annotations

from typing import Any

import pytest

from nomaflow.api.policy import V1
from nomaflow.api.port import Idempotency
from nomaflow.engine.model import Actor
from nomaflow.errors import JobBusyError
from nomaflow.wire import JobChange, Launch, Toggle
from tests.api.scripted import NOON, card, run_id
from tests.api.stand import Stand, sentence_of

JOB = f"{V1}/jobs/jde-nightly"


async def ids(stand: Stand, query: str = "", as_: str = "boss") -> list[str]:
    """The ids of the cards."""
    answer = await stand.send("GET", f"{V1}/jobs{query}", as_=as_)
    assert answer.json()["next_cursor"] is None
    return [item["id"] for item in answer.json()["items"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["hr-sync", "jde-nightly"]),
        ("?q=JDE%20TAB", ["jde-nightly"]),
        ("?q=hr-", ["hr-sync"]),
        ("?q=etl", ["jde-nightly"]),
        ("?q=nothing", []),
        ("?q=job:jde-*%20tag:etl", ["jde-nightly"]),
        ("?q=state:succeeded", ["jde-nightly"]),
        ("?q=state:running", ["hr-sync"]),
        ("?q=-state:never%20enabled:yes", ["hr-sync", "jde-nightly"]),
        ("?q=problem:yes", []),
        ("?tag=etl", ["jde-nightly"]),
        ("?tag=et", []),
        ("?sort=last_run", ["jde-nightly", "hr-sync"]),
        ("?sort=next_fire", ["hr-sync", "jde-nightly"]),
    ],
)
async def test_the_list_is_searched_and_sorted(stand: Stand, query: str, found: list[str]) -> None:
    """A text is looked for in id, description and tags; what has no such time comes last."""
    assert await ids(stand, query) == found


async def test_a_person_sees_the_jobs_that_they_are_granted(stand: Stand) -> None:
    """By id or by tag; without a grant none."""
    assert await ids(stand, as_="jde-viewer") == ["jde-nightly"]
    assert await ids(stand, as_="etl-operator") == ["jde-nightly"]
    assert await ids(stand, as_="nobody") == []


@pytest.mark.parametrize(
    ("person", "can"),
    [
        ("viewer", {"run": False, "toggle": False, "edit": False}),
        ("jde-operator", {"run": True, "toggle": True, "edit": False}),
        ("editor", {"run": True, "toggle": True, "edit": True}),
        ("admin", {"run": True, "toggle": True, "edit": True}),
    ],
)
async def test_a_card_says_what_the_person_may_do(stand: Stand, person: str, can: dict[str, bool]) -> None:
    """So that no surface has to know the roles."""
    answer = await stand.send("GET", f"{V1}/jobs?tag=etl", as_=person)
    assert answer.json()["items"][0]["can"] == can


async def test_a_job_is_read_with_its_tag(stand: Stand) -> None:
    """The ETag header is what a change needs."""
    answer = await stand.send("GET", JOB, as_="viewer")
    assert answer.json()["toml"] == "# text\n"
    assert answer.headers["ETag"] == '"etag-jde-nightly"'
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_new_job_is_made(stand: Stand) -> None:
    """201, where it is, and its tag."""
    answer = await stand.send("POST", f"{V1}/jobs", as_="editor", json={"id": "new", "toml": "x"})
    assert (answer.status_code, answer.headers["Location"], answer.headers["ETag"]) == (201, f"{V1}/jobs/new", '"new"')
    assert stand.engine.asked == [("create", JobChange(id="new", toml="x"), Actor("editor", "api"))]


async def test_a_new_job_needs_a_grant_for_its_id(stand: Stand) -> None:
    """Tags do not count: they are the maker's own word."""
    path, body = f"{V1}/jobs", {"toml": "tags = ['etl']"}
    assert (await stand.send("POST", path, as_="jde-editor", json=body | {"id": "jde-new"})).status_code == 201
    assert (await stand.send("POST", path, as_="jde-editor", json=body | {"id": "hr-new"})).status_code == 403
    assert (await stand.send("POST", path, as_="etl-operator", json=body | {"id": "jde-new"})).status_code == 403


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"toml": "x"}, "id must be a job id"),
        ({"id": "../x", "toml": "x"}, "id must be a job id"),
        ({"id": "x", "toml": 1}, "toml must be text"),
    ],
)
async def test_a_new_job_has_an_id(stand: Stand, body: dict[str, Any], says: str) -> None:
    """By which its maker's grant is looked up."""
    answer = await stand.send("POST", f"{V1}/jobs", json=body)
    assert answer.status_code == 422
    assert says in sentence_of(answer)


@pytest.mark.parametrize("given", ['"v1"', "v1", ' "v1" '])
async def test_a_change_says_what_it_changes(stand: Stand, given: str) -> None:
    """The tag, with or without its quotes."""
    answer = await stand.send("PUT", JOB, json={"toml": "y"}, headers={"If-Match": given})
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"saved"')
    answer = await stand.send("DELETE", JOB, headers={"If-Match": given})
    assert (answer.status_code, answer.content) == (204, b"")
    assert stand.engine.asked == [
        ("save", "jde-nightly", JobChange(toml="y"), "v1", Actor("boss", "api")),
        ("delete", "jde-nightly", "v1", Actor("boss", "api")),
    ]


@pytest.mark.parametrize(
    ("given", "status"), [(None, 428), ("*", 428), ('"a", "b"', 400), ('W/"v1"', 400), ("", 400), ('"v1', 400)]
)
async def test_a_change_of_what_was_never_seen_is_refused(stand: Stand, given: str | None, status: int) -> None:
    """`*` too: it would overwrite another person's change."""
    headers = {} if given is None else {"If-Match": given}
    for method, options in (("PUT", {"json": {"toml": "y"}}), ("DELETE", {})):
        answer = await stand.send(method, JOB, headers=headers, **options)  # type: ignore[arg-type]
        assert answer.status_code == status
        assert "If-Match" in sentence_of(answer)
    assert not stand.engine.asked


async def test_a_job_is_switched(stand: Stand) -> None:
    """The card comes back with its tag and with what the person may do."""
    body = {"enabled": False, "reason": "audit", "until": "2026-04-01T00:00:00Z"}
    answer = await stand.send("PATCH", JOB, as_="operator", json=body)
    assert answer.json()["can"]["toggle"]
    assert answer.headers["ETag"] == '"etag-jde-nightly"'
    assert stand.engine.asked == [("toggle", "jde-nightly", Toggle.model_validate(body), Actor("operator", "api"))]


async def test_a_launch_is_accepted(stand: Stand) -> None:
    """202 with the run, and the engine is told who asks and from where."""
    body = {"params": {"a": 1}, "steps": {"load": {"enabled": False}}, "reason": "again"}
    answer = await stand.send("POST", f"{JOB}/runs", as_="operator", json=body, headers={"X-Nomaflow-Surface": "cli"})
    assert (answer.status_code, answer.headers["Location"]) == (202, f"{V1}/runs/{run_id(9)}")
    assert answer.json()["state"] == "QUEUED"
    assert stand.engine.asked == [
        ("launch", "jde-nightly", Launch.model_validate(body), Actor("operator", "cli"), None)
    ]


async def test_a_launch_with_a_key_is_known_by_its_meaning(stand: Stand) -> None:
    """Spaces and the order of keys make no other body; the account and the job are part of the key."""
    headers = {"Idempotency-Key": "k 1", "Content-Type": "application/json"}
    for body in (b'{"reason":"x","params":{}}', b'{ "params": {}, "reason": "\\u0078" }', b'{"reason":"y"}'):
        assert (await stand.send("POST", f"{JOB}/runs", content=body, headers=headers)).status_code == 202
    one, same, other = (asked[4] for asked in stand.engine.asked)
    assert one == same != other
    assert one == Idempotency("boss", "POST /jobs/jde-nightly/runs", "k 1", one.body_hash)


async def test_a_replayed_launch_says_so(stand: Stand) -> None:
    """The header tells a retry from a second run."""
    stand.engine.replayed = True
    answer = await stand.send("POST", f"{JOB}/runs", headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["Idempotent-Replay"]) == (202, "true")


async def test_a_busy_job_names_its_run(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's errors come through with their details."""
    busy = JobBusyError("busy", details=[{"message": "a run is in flight", "run_id": run_id(1)}])

    async def launch(*_: object) -> None:
        raise busy

    monkeypatch.setattr(stand.engine, "launch", launch)
    answer = await stand.send("POST", f"{JOB}/runs")
    assert (answer.status_code, answer.json()) == (409, busy.body())


@pytest.mark.parametrize(
    ("method", "path", "body", "key"),
    [
        ("GET", f"{JOB}/form", None, "fires_at_once"),
        ("POST", f"{JOB}/plan", {"log_level": "DEBUG"}, "steps"),
        ("GET", f"{JOB}/why", None, "why"),
        ("GET", f"{JOB}/durations?limit=3", None, "items"),
        ("POST", f"{V1}/jobs/check", {"toml": "x"}, "problems"),
        ("POST", f"{V1}/reload", None, "added"),
        ("GET", f"{V1}/step-types", None, "items"),
    ],
)
async def test_the_engine_s_answers_come_through(stand: Stand, method: str, path: str, body: Any, key: str) -> None:
    """Each verb has its route."""
    answer = await stand.send(method, path, json=body)
    assert answer.status_code == 200
    assert key in answer.json()


async def test_a_thousand_cards_come_in_one_answer(stand: Stand) -> None:
    """The list is complete whatever its length."""
    stand.engine.jobs = {f"job-{n}": card(f"job-{n}", next_fire_at=NOON) for n in range(1000)}
    assert len(await ids(stand)) == 1000
