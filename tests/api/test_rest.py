"""Connectors, health, figures, documentation, and what is not built."""

from __future__ import annotations

import logging
import re

import pytest

from nomaflow.api.policy import V1
from nomaflow.engine.model import Actor
from nomaflow.wire import RunState
from tests.api.stand import Stand, sentence_of


@pytest.mark.parametrize(
    ("person", "seen"),
    [
        ("admin", {"jde": True, "people": True}),
        ("viewer", {"jde": False, "people": False}),
        ("jde-viewer", {"jde": False}),
        ("jde-operator", {"jde": True}),
        ("nobody", {}),
    ],
)
async def test_a_person_sees_the_connectors_of_their_jobs(stand: Stand, person: str, seen: dict[str, bool]) -> None:
    """And whether they may use them; a connector of hidden jobs only is hidden too."""
    answer = await stand.send("GET", f"{V1}/connectors", as_=person)
    assert {item["name"]: item["can_use"] for item in answer.json()["items"]} == seen


async def test_connectors_are_searched(stand: Stand) -> None:
    """By name and kind."""
    for query, names in (("?q=PEO", ["people"]), ("?kind=sql", ["jde"]), ("?q=jde&kind=ldap", [])):
        answer = await stand.send("GET", f"{V1}/connectors{query}")
        assert [item["name"] for item in answer.json()["items"]] == names


async def test_a_connector_is_tested_by_who_sees_it(stand: Stand) -> None:
    """Who does not see it is told that there is none; whether the person may use it, the engine says."""
    path = f"{V1}/connectors/jde/test"
    assert (await stand.send("POST", path, as_="jde-operator")).json()["ok"]
    hidden = await stand.send("POST", path, as_="hr-admin")
    missing = await stand.send("POST", path.replace("jde", "xyz"), as_="hr-admin")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text == missing.text.replace("xyz", "jde")
    assert stand.engine.asked == [("test", "jde", Actor("jde-operator", "api"))]


async def test_readiness_gives_its_reasons(stand: Stand) -> None:
    """503 and every reason; alive it is all the same."""
    assert (await stand.send("GET", "/readyz", as_=None)).json() == {"ok": True, "reasons": []}
    stand.engine.reasons = ["the store does not take changes", "it stops"]
    answer = await stand.send("GET", "/readyz", as_=None)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert [detail["message"] for detail in answer.json()["error"]["details"]] == stand.engine.reasons
    assert (await stand.send("GET", "/healthz", as_=None)).status_code == 200


async def test_requests_and_runs_are_counted(stand: Stand) -> None:
    """By declared route and status: a stranger's paths make no new series."""
    await stand.send("GET", f"{V1}/jobs/jde-nightly")
    await stand.send("GET", f"{V1}/jobs/missing")
    await stand.send("GET", "/made-up-path")
    await stand.send("BREW", "/made-up-path")
    stand.metrics.count_run(RunState.FAILED)
    text = (await stand.send("GET", "/metrics", as_=None)).text
    route = 'method="GET",route="/api/v1/jobs/{job_id}"'
    assert f'nomaflow_http_requests_total{{{route},status="200"}} 1.0' in text
    assert f'nomaflow_http_requests_total{{{route},status="404"}} 1.0' in text
    assert 'nomaflow_http_requests_total{method="other",route="other",status="404"} 1.0' in text
    assert 'nomaflow_runs_total{state="FAILED"} 1.0' in text
    assert "nomaflow_active_runs 1.0" in text
    assert "nomaflow_ready 1.0" in text
    assert "made-up" not in text


async def test_a_fault_of_ours_is_one_sentence_and_a_reference(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    """The traceback goes to the engine's log, under the reference that the answer names."""
    stand.engine.raises = RuntimeError("secret detail")
    with caplog.at_level(logging.ERROR):
        answer = await stand.send("GET", f"{V1}/jobs")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "error")
    assert "secret detail" not in answer.text
    reference = sentence_of(answer).split()[-1]
    (record,) = caplog.records
    assert reference in record.getMessage()
    assert record.exc_info is not None


async def test_the_documentation_needs_no_network(stand: Stand) -> None:
    """Everything that the page loads comes from here."""
    page = (await stand.send("GET", "/docs", as_=None)).text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    for path in loaded:
        assert path.startswith("/docs/")
        assert (await stand.send("GET", path, as_=None)).status_code == 200
    assert "url: '/openapi.json'" in page


async def test_the_description_is_complete(stand: Stand) -> None:
    """Every route with its answers, its errors, its body and the token that it needs."""
    described = (await stand.send("GET", "/openapi.json", as_=None)).json()
    assert described["components"]["securitySchemes"]["bearer"] == {"type": "http", "scheme": "bearer"}
    operations = {f"{m.upper()} {p}": op for p, methods in described["paths"].items() for m, op in methods.items()}
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)
    for route, operation in operations.items():
        named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", route)), route
        if route.startswith(("GET /api", "DELETE /api")):
            assert operation["security"] == [{"bearer": []}], route
            assert "401" in operation["responses"]
        refused = operation["responses"]["422"]["content"]["application/json"]["schema"]
        assert refused == {"$ref": "#/components/schemas/ErrorBody"}
    launch = operations[f"POST {V1}/jobs/{{job_id}}/runs"]
    assert launch["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Launch"}
    assert launch["responses"]["202"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Run"}


@pytest.mark.parametrize(
    ("route", "feature"),
    [
        ("GET /runs/run_0000000000001/compare/run_0000000000002", "Comparing"),
        ("GET /runs/run_0000000000001/artifacts/report.html", "Artifacts"),
        ("POST /query", "SQL"),
        ("GET /snapshot", "snapshot"),
        ("GET /audit?limit=5", "audit"),
        ("POST /incidents/7/snooze", "Incidents"),
        ("DELETE /watches", "Watching"),
    ],
)
async def test_a_feature_that_is_not_built_says_so(stand: Stand, route: str, feature: str) -> None:
    """Whoever may call it hears which feature is missing, whatever they send."""
    method, path = route.split(" ")
    answer = await stand.send(method, V1 + path, content=b"SELECT 1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_built")
    assert feature in sentence_of(answer)
    assert "not built in this version" in sentence_of(answer)
