"""When jobs fire, through the API: who may ask what, and what reaches the engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nomaflow.api.policy import V1
from nomaflow.api.port import SlotQuery
from nomaflow.engine.model import Actor
from nomaflow.wire import SlotChoice, WhatIfAsk
from tests.api.scripted import NOON
from tests.api.stand import Stand, sentence_of

CALENDAR = f"{V1}/schedule"
SKIPS = f"{V1}/jobs/jde-nightly/skips"
MIDNIGHT = NOON.replace(hour=0)
CHOICE = {"schedule": "nightly", "scheduled_at": "2026-03-02T01:30:00Z"}


async def asked(stand: Stand, query: str, as_: str = "boss") -> SlotQuery:
    """What reaches the engine."""
    answer = await stand.send("GET", f"{CALENDAR}{query}", as_=as_)
    assert answer.status_code == 200, answer.text
    [(verb, found)] = stand.engine.asked
    assert verb == "calendar"
    assert isinstance(found, SlotQuery)
    return found


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ("", MIDNIGHT, MIDNIGHT + timedelta(days=7)),
        ("?since=2026-01-01T01:00:00%2B01:00", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 8, tzinfo=UTC)),
        ("?until=2027-03-02T00:00:00Z", MIDNIGHT, datetime(2027, 3, 2, tzinfo=UTC)),
    ],
)
async def test_the_calendar_begins_with_today_and_shows_a_week(
    stand: Stand, query: str, since: datetime, until: datetime
) -> None:
    """Where nobody says since or until when; 366 days are the most."""
    found = await asked(stand, query)
    assert (found.since, found.until) == (since, until)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?until=2027-03-02T00:00:01Z", "until lies more than 366 days after since; ask for a part at a time"),
        ("?until=2026-02-28T00:00:00Z", "until lies before since"),
        ("?since=2026-03-01", "since must be an instant with its zone, like 2026-01-31T02:30:00Z"),
        ("?since=1772323200", "since must be an instant with its zone, like 2026-01-31T02:30:00Z"),
        ("?since=0001-01-01T00:00:00Z", "since must lie between the years 1900 and 9000"),
        ("?limit=501", "limit must be at most 500"),
        ("?jobs=x", 'jobs is no query parameter of this route; did you mean "job"?'),
    ],
)
async def test_a_calendar_that_nobody_can_read_is_refused(stand: Stand, query: str, message: str) -> None:
    """422 with the parameter and a sentence; the engine is not asked."""
    answer = await stand.send("GET", f"{CALENDAR}{query}")
    assert (answer.status_code, sentence_of(answer)) == (422, message)
    assert answer.json()["error"]["details"][0]["path"] == query[1:].partition("=")[0]
    assert not stand.engine.asked


@pytest.mark.parametrize(
    ("person", "query", "jobs"),
    [
        ("viewer", "", None),
        ("viewer", "?job=jde-nightly", {"jde-nightly"}),
        ("jde-viewer", "", {"jde-nightly"}),
        ("jde-viewer", "?job=jde-nightly", {"jde-nightly"}),
        ("etl-operator", "", {"jde-nightly"}),
    ],
)
async def test_the_engine_is_asked_for_the_jobs_that_the_person_may_view(
    stand: Stand, person: str, query: str, jobs: set[str] | None
) -> None:
    """Not more: a page that was thinned out afterwards would have holes."""
    assert (await asked(stand, query, person)).jobs == jobs


@pytest.mark.parametrize(
    ("person", "query"),
    [("nobody", ""), ("jde-viewer", "?job=hr-sync"), ("jde-viewer", "?job=missing"), ("jde-viewer", "?job=No%20Id")],
)
async def test_the_fires_of_a_hidden_job_are_as_empty_as_those_of_a_missing_one(
    stand: Stand, person: str, query: str
) -> None:
    """Nobody finds out that it is there."""
    answer = await stand.send("GET", f"{CALENDAR}{query}", as_=person)
    assert answer.json() == {"items": [], "next_cursor": None}
    assert not stand.engine.asked


async def test_a_page_leads_to_the_next(stand: Stand) -> None:
    """The cursor goes to the engine as it came."""
    cursor = (await stand.send("GET", f"{CALENDAR}?limit=2")).json()["next_cursor"]
    answer = await stand.send("GET", CALENDAR, params={"cursor": cursor})
    assert answer.json()["next_cursor"] is None
    assert [query.cursor for _, query in stand.engine.asked] == [None, cursor]


async def test_everybody_may_preview_a_rule(stand: Stand) -> None:
    """It tells nothing of any job."""
    body = {"cron": "0 12 * * *", "timezone": "Europe/Paris", "count": 1}
    answer = await stand.send("POST", f"{CALENDAR}/preview", as_="nobody", json=body)
    assert answer.json() == {
        "fires": ["2026-03-01T12:00:00.000Z"],
        "timezone": "UTC",
        "words": "At noon",
        "notes": [],
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "cron is required"),
        ({"cron": 5}, "cron must be text in quotes"),
        ({"cron": "x" * 257}, "cron must have at most 256 characters"),
        ({"cron": "@daily", "count": 101}, "count must be at most 100"),
        ({"cron": "@daily", "after": 0}, "after must be an instant with its zone, like 2026-01-31T02:30:00Z"),
        ({"cron": "@daily", "zone": "UTC"}, 'zone is not a known key; did you mean "timezone"?'),
    ],
)
async def test_a_preview_that_does_not_fit_is_refused(stand: Stand, body: dict[str, Any], message: str) -> None:
    """422 with a sentence for the field."""
    answer = await stand.send("POST", f"{CALENDAR}/preview", json=body)
    assert answer.status_code == 422
    assert sentence_of(answer).startswith(message)
    assert not stand.engine.asked


async def test_a_what_if_needs_a_job_that_the_person_may_view(stand: Stand) -> None:
    """It tells how the job's runs went; a hidden job answers as a missing one."""
    path, body = f"{CALENDAR}/what-if", {"job": "jde-nightly", "cron": "@hourly", "days": 30}
    assert (await stand.send("POST", path, as_="jde-viewer", json=body)).json()["words"] == "At noon"
    assert stand.engine.asked == [("what-if", WhatIfAsk.model_validate(body))]
    hidden = await stand.send("POST", path, as_="jde-viewer", json=body | {"job": "hr-sync"})
    missing = await stand.send("POST", path, as_="jde-viewer", json=body | {"job": "hr-none"})
    assert (hidden.status_code, hidden.text.replace("hr-sync", "hr-none")) == (404, missing.text)
    no_id = await stand.send("POST", path, json=body | {"job": "../x"})
    assert (no_id.status_code, sentence_of(no_id)) == (404, "there is no job '../x'")


async def test_a_fire_is_left_out_and_let_in_again(stand: Stand) -> None:
    """Both take the same body, and say who asks."""
    answer = await stand.send("POST", SKIPS, as_="operator", json=CHOICE)
    assert (answer.status_code, answer.json()["state"]) == (200, "DUE")
    answer = await stand.send("DELETE", SKIPS, as_="operator", json=CHOICE)
    assert (answer.status_code, answer.content) == (204, b"")
    chosen, actor = SlotChoice.model_validate(CHOICE), Actor("operator", "api")
    assert stand.engine.asked == [
        ("skip", "jde-nightly", chosen, actor),
        ("unskip", "jde-nightly", chosen, actor),
    ]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"", None, 422),
        (b'{"scheduled_at": 5}', "application/json", 422),
        (b'{"scheduled_at": "2026-03-02T01:30:00Z", "at": 1}', "application/json", 422),
        (b'{"schedule": "a", "schedule": "b"}', "application/json", 400),
        (b"scheduled_at=5", "application/x-www-form-urlencoded", 415),
    ],
    ids=["none", "number", "unknown key", "twice", "form"],
)
async def test_a_choice_is_read_strictly(
    stand: Stand, method: str, content: bytes, media_type: str | None, status: int
) -> None:
    """A DELETE's body too."""
    headers = {"Content-Type": media_type} if media_type else {}
    answer = await stand.send(method, SKIPS, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert sentence_of(answer)
    assert not stand.engine.asked
