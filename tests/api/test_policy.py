"""Who may call what, route by route and person by person."""

from __future__ import annotations

import re

import pytest
from fastapi import APIRouter, FastAPI

from nomaflow.access.roles import ROLES
from nomaflow.api.app import check_gated
from nomaflow.api.gate import api_router
from nomaflow.api.policy import RULES, V1
from tests.api.scripted import run_id
from tests.api.stand import PEOPLE, Stand, sentence_of

# What each person holds: everywhere, for jde-nightly, for hr-sync. Written down, not computed by the code under test.
HELD: dict[str, tuple[str | None, str | None, str | None]] = {
    "admin": ("admin", "admin", "admin"),
    "boss": ("admin", "admin", "admin"),
    "editor": ("editor", "editor", "editor"),
    "operator": ("operator", "operator", "operator"),
    "viewer": ("viewer", "viewer", "viewer"),
    "jde-viewer": (None, "viewer", None),
    "jde-operator": (None, "operator", None),
    "jde-editor": (None, "editor", None),
    "etl-operator": (None, "operator", None),
    "hr-admin": (None, None, "admin"),
    "nobody": (None, None, None),
}

JOBS = {"jde-nightly": (1, run_id(1)), "hr-sync": (2, run_id(2))}

OPEN_LOCALLY = [route for route in RULES if not route.split(" ")[1].startswith(V1)]
CLOSED = [route for route in RULES if route not in (*OPEN_LOCALLY, f"POST {V1}/sessions")]


def path_of(route: str, job_id: str) -> tuple[str, str]:
    """Method and path, with this job or its run in it."""
    method, path = route.split(" ")
    path = path.replace("{job_id}", job_id).replace("{run_id}", JOBS[job_id][1])
    return method, re.sub(r"{\w+}", "jde", path)


def has(held: str | None, needed: str) -> bool:
    """Whether a role is enough."""
    return held is not None and ROLES.index(held) >= ROLES.index(needed)


def test_the_table_knows_all_people() -> None:
    """The matrix below is about everybody on the stand."""
    assert set(HELD) == {*PEOPLE, "admin"}


@pytest.mark.parametrize("route", CLOSED)
async def test_a_route_needs_a_token(stand: Stand, route: str) -> None:
    """No token, a broken header and an unknown token are told to sign in, whatever the route."""
    method, path = path_of(route, "jde-nightly")
    for header in (None, "", "Bearer", "Bearer ", "Basic YW5hOnB3", "Bearer nfs_unknown", "nfs_unknown"):
        headers = {} if header is None else {"Authorization": header}
        answer = await stand.send(method, path, as_=None, headers=headers)
        assert answer.status_code == 401, header
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "sign in" in sentence_of(answer)
    assert not stand.engine.asked


@pytest.mark.parametrize("job_id", JOBS)
@pytest.mark.parametrize("route", [route for route in CLOSED if RULES[route].scope in ("job", "run")])
async def test_a_route_of_a_job_lets_in_who_holds_its_role(stand: Stand, route: str, job_id: str) -> None:
    """Who lacks the role is refused; who may not even view the job is told that there is none."""
    method, path = path_of(route, job_id)
    for person, held in HELD.items():
        role = held[JOBS[job_id][0]]
        answer = await stand.send(method, path, as_=person)
        if has(role, RULES[route].role):
            assert answer.status_code not in (401, 403, 404), (person, answer.text)
        elif has(role, "viewer"):
            assert answer.status_code == 403, (person, answer.text)
            assert RULES[route].role in sentence_of(answer)
        else:
            assert answer.status_code == 404, (person, answer.text)


@pytest.mark.parametrize("route", [route for route in CLOSED if RULES[route].scope in ("everywhere", "somewhere")])
async def test_a_route_for_all_jobs_lets_in_who_holds_its_role_for_all(stand: Stand, route: str) -> None:
    """A role for some jobs is none for all of them; `somewhere` asks for any job."""
    method, path = path_of(route, "jde-nightly")
    rule = RULES[route]
    for person, held in HELD.items():
        answer = await stand.send(method, path, as_=person)
        counted = held if rule.scope == "somewhere" else held[:1]
        let_in = any(has(role, rule.role) for role in counted)
        assert (answer.status_code != 403) == let_in, (person, answer.text)


@pytest.mark.parametrize("route", [route for route in CLOSED if RULES[route].scope == "signed in"])
async def test_a_route_for_everybody_lets_in_everybody_with_a_token(stand: Stand, route: str) -> None:
    """What they see there is narrowed by the route; the connector's test has a grant of its own."""
    method, path = path_of(route, "jde-nightly")
    for person in HELD:
        answer = await stand.send(method, path, as_=person)
        if not route.endswith("/test"):
            assert answer.status_code not in (401, 403, 404), (person, answer.text)


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("route", OPEN_LOCALLY)
async def test_health_and_documentation_are_open_on_this_machine(stand: Stand, route: str, peer: str) -> None:
    """No token is asked for on loopback."""
    stand.peer = peer
    path = route.split(" ")[1].replace("{name}", "swagger-ui.css")
    assert (await stand.send("GET", path, as_=None)).status_code == 200


@pytest.mark.parametrize("peer", ["10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", ""])
@pytest.mark.parametrize("route", OPEN_LOCALLY)
async def test_from_elsewhere_they_need_a_token(stand: Stand, route: str, peer: str) -> None:
    """An engine that was told to listen on the network tells strangers nothing."""
    stand.peer = peer
    path = route.split(" ")[1].replace("{name}", "swagger-ui.css")
    assert (await stand.send("GET", path, as_=None)).status_code == 401
    assert (await stand.send("GET", path, as_="nobody")).status_code == 200


@pytest.mark.parametrize(
    ("route", "role"),
    [
        ("GET /jobs/{job_id}", "viewer"),
        ("GET /jobs/{job_id}/form", "viewer"),
        ("GET /runs/{run_id}", "viewer"),
        ("GET /runs/{run_id}/logs.txt", "viewer"),
        ("POST /jobs/{job_id}/runs", "operator"),
        ("POST /runs/{run_id}/cancel", "operator"),
        ("POST /runs/{run_id}/replay", "operator"),
        ("POST /runs/{run_id}/replay/plan", "operator"),
        ("PATCH /jobs/{job_id}", "operator"),
        ("POST /jobs/{job_id}/skips", "operator"),
        ("POST /jobs", "editor"),
        ("PUT /jobs/{job_id}", "editor"),
        ("DELETE /jobs/{job_id}", "editor"),
        ("POST /reload", "admin"),
        ("GET /audit", "admin"),
    ],
)
def test_the_roles_are_those_of_the_contract(route: str, role: str) -> None:
    """Viewer sees; operator runs, cancels, replays, toggles, skips; editor saves and deletes; admin the rest."""
    method, path = route.split(" ")
    assert RULES[f"{method} {V1}{path}"].role == role


async def test_every_rule_has_its_route_and_every_route_its_rule(stand: Stand) -> None:
    """A rule without a route would be a promise that nobody keeps."""
    routes = {f"{method} {route.path}" for route in stand.app.router.routes for method in route.methods}  # type: ignore[attr-defined]
    assert routes == set(RULES)


def test_a_route_without_a_rule_cannot_be_made() -> None:
    """Whoever adds a route has to say who may call it."""

    async def anything() -> None: ...

    with pytest.raises(LookupError, match=r"no rule for GET /api/v1/anything"):
        api_router("anything").get(f"{V1}/anything")(anything)


def test_a_route_beside_the_gate_is_refused() -> None:
    """FastAPI's own routes do not ask who calls."""

    async def anything() -> None: ...

    plain = APIRouter()
    plain.get(f"{V1}/jobs")(anything)
    for routes in (plain.routes, FastAPI().routes):
        with pytest.raises(LookupError, match="has no gate"):
            check_gated(routes)


@pytest.mark.parametrize(
    "spelling",
    [
        "/api/v1/jobs/",
        "/api/v1//jobs",
        "//api/v1/jobs",
        "/API/V1/jobs",
        "/api/v1/jobs;x",
        "/api/v1/./jobs",
        "/api/v1/x/../jobs",
        "/api/v1/jobs%20",
        "/healthz/../api/v1/jobs",
        "/docs/%2e%2e%2fapi/v1/jobs",
    ],
)
async def test_there_is_no_second_spelling_of_a_path(stand: Stand, spelling: str) -> None:
    """Another way to write it leads nowhere, and never past the gate."""
    async with stand.client() as client:
        # As the bytes stand: httpx would tidy the path up.
        answer = await client.get("http://engine/", extensions={"target": spelling.encode()})
        assert answer.status_code in (401, 404)
        answer = await client.get("http://engine" + spelling.replace("//api", "/%2fapi"))
        assert answer.status_code in (401, 404)


async def test_a_hidden_job_answers_as_a_missing_one(stand: Stand) -> None:
    """Whoever may not view a job cannot find out that it is there."""
    hidden = await stand.send("GET", f"{V1}/jobs/hr-sync", as_="jde-viewer")
    del stand.engine.jobs["hr-sync"]
    missing = await stand.send("GET", f"{V1}/jobs/hr-sync", as_="jde-viewer")
    assert (hidden.status_code, hidden.text, hidden.headers) == (404, missing.text, missing.headers)


async def test_a_hidden_run_answers_as_a_missing_one(stand: Stand) -> None:
    """The same for its runs."""
    path = f"{V1}/runs/{run_id(2)}"
    hidden = await stand.send("POST", f"{path}/cancel", as_="jde-operator")
    del stand.engine.known_runs[run_id(2)]
    missing = await stand.send("POST", f"{path}/cancel", as_="jde-operator")
    assert (hidden.status_code, hidden.text, hidden.headers) == (404, missing.text, missing.headers)


async def test_a_deleted_job_s_runs_stay_with_those_who_are_granted_its_id(stand: Stand) -> None:
    """Its tags are gone with it, its id is not."""
    del stand.engine.jobs["jde-nightly"]
    path = f"{V1}/runs/{run_id(1)}"
    assert (await stand.send("GET", path, as_="jde-viewer")).status_code == 200
    assert (await stand.send("GET", path, as_="viewer")).status_code == 200
    assert (await stand.send("GET", path, as_="etl-operator")).status_code == 404


async def test_no_list_names_a_hidden_job(stand: Stand) -> None:
    """Cards, runs, connectors and figures leave it out."""
    for path in ("jobs", "runs", "runs?job=hr-sync", "connectors", "me"):
        answer = await stand.send("GET", f"{V1}/{path}", as_="jde-viewer")
        assert answer.status_code == 200
        assert "hr-sync" not in answer.text
        assert run_id(2) not in answer.text
    assert "hr-sync" not in (await stand.send("GET", "/metrics")).text
