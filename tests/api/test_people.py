"""Signing in and out through the API."""

from __future__ import annotations

from typing import Any

import pytest

from nomaflow.api.policy import V1
from tests.api.stand import ADMIN_TOKEN, PASSWORD, Stand, sentence_of

SESSIONS = f"{V1}/sessions"
ANA = {"account": "ana", "password": PASSWORD}
WEB = {"X-Nomaflow-Surface": "web"}


async def test_a_person_signs_in_and_out(stand: Stand) -> None:
    """The session is bound to where it was opened, and ends when it is told to."""
    answer = await stand.send("POST", SESSIONS, as_=None, json=ANA, headers=WEB)
    assert answer.status_code == 201
    session = answer.json()
    assert session["expires_at"] == "2026-03-01T12:00:00.000Z"
    me = (await stand.send("GET", f"{V1}/me", token=session["token"])).json()
    assert (me["account"], me["role"], me["surface"], me["expires_at"]) == (
        "ana", "operator", "web", session["expires_at"]
    )  # fmt: skip
    assert (await stand.send("DELETE", SESSIONS, token=session["token"])).status_code == 204
    assert (await stand.send("GET", f"{V1}/me", token=session["token"])).status_code == 401


async def test_the_grants_are_shown(stand: Stand) -> None:
    """So that a surface can say what is missing."""
    me = (await stand.send("GET", f"{V1}/me", as_="jde-operator")).json()
    assert me["grants"] == [{"role": "operator", "jobs": ["jde-*"], "tags": [], "connectors": ["jde*"], "shell": False}]
    me = (await stand.send("GET", f"{V1}/me", as_="admin")).json()
    assert (me["account"], me["role"], me["surface"], me["expires_at"]) == ("admin", "admin", "api", None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"account": "ana"},
        {"password": PASSWORD},
        {**ANA, "code": "x"},
        {"account": "ana", "code": "x"},
        {"account": "ana", "password": PASSWORD, "surface": "slack"},
        {"account": ["ana"], "password": PASSWORD},
        {"account": "ana", "password": "x" * 1025},
    ],
)
async def test_a_sign_in_is_by_password_or_by_code(stand: Stand, body: dict[str, Any]) -> None:
    """Half of one, or both, is a mistake; a password is never repeated in the answer."""
    answer = await stand.send("POST", SESSIONS, as_=None, json=body)
    assert answer.status_code == 422
    assert PASSWORD not in sentence_of(answer)
    assert "x" * 20 not in answer.text


async def test_a_wrong_sign_in_says_the_same_for_everybody(stand: Stand) -> None:
    """A missing account cannot be told from a wrong password."""
    wrong = [{"account": "ana", "password": "wrong"}, {"account": "nobody-at-all", "password": PASSWORD}]
    answers = [await stand.send("POST", SESSIONS, as_=None, json=body) for body in wrong]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


async def test_guessing_is_slowed_down(stand: Stand) -> None:
    """After five tries a minute 429, and when to come back."""
    for _ in range(5):
        await stand.send("POST", SESSIONS, as_=None, json=ANA | {"password": "wrong"})
    answer = await stand.send("POST", SESSIONS, as_=None, json=ANA)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "12")
    sentence_of(answer)
    stand.clock.seconds += 12
    assert (await stand.send("POST", SESSIONS, as_=None, json=ANA)).status_code == 201


async def test_a_link_signs_in_once(stand: Stand) -> None:
    """The admin's link opens the dashboard as the admin, and only once."""
    link = (await stand.send("POST", f"{SESSIONS}/link", token=ADMIN_TOKEN)).json()
    assert link["path"] == f"/nomaflow/sign-in?token={link['code']}"
    answer = await stand.send("POST", SESSIONS, as_=None, json={"code": link["code"]}, headers=WEB)
    assert (answer.status_code, answer.json()["account"]) == (201, "admin")
    token = answer.json()["token"]
    assert (await stand.send("GET", f"{V1}/me", token=token)).json()["surface"] == "web"
    again = await stand.send("POST", SESSIONS, as_=None, json={"code": link["code"]})
    assert again.status_code == 401
    assert link["code"] not in again.text


async def test_a_link_is_for_its_maker(stand: Stand) -> None:
    """Nobody can make one for another account."""
    link = (await stand.send("POST", f"{SESSIONS}/link", as_="viewer")).json()
    answer = await stand.send("POST", SESSIONS, as_=None, json={"code": link["code"]})
    assert answer.json()["account"] == "viewer"


async def test_nobody_says_that_they_are_slack(stand: Stand) -> None:
    """Only the bot's own sessions are, and those are nothing else."""
    slack = {"X-Nomaflow-Surface": "slack"}
    assert (await stand.send("GET", f"{V1}/me", as_="viewer", headers=slack)).status_code == 403
    assert (await stand.send("POST", SESSIONS, as_=None, json=ANA, headers=slack)).status_code == 403
    token = await stand.token("ana", "slack")
    me = await stand.send("GET", f"{V1}/me", token=token, headers=WEB)
    assert me.json()["surface"] == "slack"


async def test_the_admin_token_is_no_session(stand: Stand) -> None:
    """Signing out with it would lock out its owner for no reason."""
    answer = await stand.send("DELETE", SESSIONS, token=ADMIN_TOKEN)
    assert answer.status_code == 422
    assert "delete its file" in sentence_of(answer)
