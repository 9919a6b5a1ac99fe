"""Connectors, step types, health, and the shape of every refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from nomaflow.api.policy import V1
from nomaflow.errors import NotAllowedError, NotFoundError
from tests.contract.world import CONNECTOR_PASSWORD, WITH_FORM, new_job, one_step

if TYPE_CHECKING:
    from nomaflow.client import AsyncClient
    from tests.contract.world import World

LISTED = """import sys; sys.exit("imported")
async def works(ctx, *, limit: int = 5):
    'Works.'
"""


async def test_connectors_are_listed_without_secrets(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """What they are and who uses them; neither the secret nor where it comes from."""
    job_id = await new_job(client, WITH_FORM)
    connectors = {connector.name: connector for connector in await client.connectors()}
    assert list(connectors) == ["archive", "warehouse"]
    warehouse = connectors["warehouse"]
    assert (warehouse.kind, warehouse.backend, warehouse.can_use) == ("sql", "sqlite", True)
    assert job_id in warehouse.used_by
    text = (await http.get("/connectors")).text
    assert CONNECTOR_PASSWORD not in text
    assert "CONTRACT_ARCHIVE_PASSWORD" not in text


async def test_connectors_are_found_by_text_and_kind(client: AsyncClient) -> None:
    """As the picker searches them."""
    assert [one.name for one in await client.connectors(q="ENDS UP")] == ["warehouse"]
    assert await client.connectors(kind="ldap") == []


async def test_a_connector_is_tested(client: AsyncClient) -> None:
    """Whether it answers, and how fast."""
    result = await client.test_connector("warehouse")
    assert result.ok
    assert result.elapsed_ms >= 0
    with pytest.raises(NotFoundError):
        await client.test_connector("nowhere")


async def test_a_connector_is_tested_by_who_may_use_it(vic: AsyncClient) -> None:
    """Who sees all jobs sees their connectors too, and needs a grant to open one."""
    assert {connector.can_use for connector in await vic.connectors()} == {False}
    with pytest.raises(NotAllowedError, match="warehouse"):
        await vic.test_connector("warehouse")


async def test_a_body_that_the_engine_cannot_take_is_invalid(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """A job has one form and keeps its id."""
    job_id = await new_job(client, one_step("works"))
    headers = {"If-Match": (await client.job(job_id)).etag}
    for body in ({}, {"toml": one_step("works"), "job": {}}, {"id": "another", "toml": one_step("works")}):
        answer = await http.put(f"/jobs/{job_id}", json=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


async def test_a_deleted_job_s_runs_are_listed(client: AsyncClient, vic: AsyncClient) -> None:
    """They stay in the history, in its own list and in the one of all runs."""
    job_id = await new_job(client, one_step("works"))
    run = await client.wait((await client.launch(job_id)).id)
    await client.delete_job(job_id, if_match=(await client.job(job_id)).etag)
    for listed in (await vic.runs_page(job=job_id), await vic.runs_page()):
        assert run.id in [item.id for item in listed.items]


async def test_step_types_come_with_their_options(client: AsyncClient) -> None:
    """The editor draws them from the JSON Schema."""
    types = {one.type: one for one in await client.step_types()}
    assert {"sql_query", "sql_copy", "python", "shell"} <= types.keys()
    assert types["python"].description
    properties = types["python"].options["properties"]
    assert isinstance(properties, dict)
    assert {"callable", "op_kwargs"} <= properties.keys()
    assert all(described["description"] for one in types.values() for described in one.options["properties"].values())
    assert (types["python"].title, types["python"].runs_code) == ("Python function", True)
    query = types["sql_query"]
    assert ([(one.path, one.kind) for one in query.connectors], query.literal) == ([("connector", "sql")], ["query"])
    assert types["retention"].is_housekeeping


async def test_functions_of_the_jobs_folder_are_listed(client: AsyncClient, vic: AsyncClient, world: World) -> None:
    """For those who write jobs: with their parameters, read off the source; a broken file is named."""
    (world.home.jobs_dir / "listed.py").write_text(LISTED)
    (world.home.jobs_dir / "listed_broken.py").write_text("x = 1\ndef main(:\n")
    found = await client.callables()
    assert [(problem.file, problem.line) for problem in found.problems] == [("jobs/listed_broken.py", 2)]
    works = next(one for one in found.items if one.callable == "listed:works")
    assert (works.file, works.line, works.is_async, works.description) == ("jobs/listed.py", 2, True, "Works.")
    [limit] = works.parameters
    assert (limit.name, limit.type, limit.default, limit.required) == ("limit", "int", 5, False)
    with pytest.raises(NotAllowedError):
        await vic.callables()


async def test_what_may_not_run_as_written_is_a_warning(client: AsyncClient, world: World) -> None:
    """A missing function, and a job that cannot be called: both may come later, so nobody is kept from saving."""
    (world.home.jobs_dir / "listed.py").write_text(LISTED)
    text = (
        '[[steps]]\nname = "a"\ntype = "python"\ncallable = "listed:wokrs"\n'
        '[[steps]]\nname = "b"\ntype = "call_job"\njob = "no-such-job"\n'
    )
    checked = await client.check_job(text)
    assert checked.problems == []
    assert [(warning.path, warning.line) for warning in checked.warnings] == [
        ("steps.a.callable", 4),
        ("steps.b.job", 8),
    ]
    assert 'did you mean "works"?' in checked.warnings[0].message
    job_id = await new_job(client, one_step("works"))
    saved = await client.save_job(job_id, toml=text, if_match=(await client.job(job_id)).etag)
    assert saved.warnings == checked.warnings


async def test_the_engine_says_that_it_is_well(client: AsyncClient, world: World) -> None:
    """Health, readiness and figures are open on loopback."""
    assert (await client.health()).ok
    async with httpx.AsyncClient(base_url=world.url) as http:
        assert (await http.get("/healthz")).json()["ok"]
        assert "nomaflow_active_runs" in (await http.get("/metrics")).text
        assert (await http.get("/openapi.json")).json()["info"]["title"] == "Nomaflow"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/jobs/no-such-job"),
        ("GET", "/jobs/NoJobId"),
        ("POST", "/jobs/no-such-job/runs"),
        ("GET", "/runs/run_0000000000000"),
        ("GET", "/runs/nonsense"),
        ("GET", "/runs/run_0000000000000/logs/stream"),
        ("GET", "/no-such-route"),
    ],
)
async def test_what_is_not_there_has_one_shape(http: httpx.AsyncClient, method: str, path: str) -> None:
    """404 with a code and a sentence, whatever is missing."""
    answer = await http.request(method, path, json={} if method == "POST" else None)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"]) == (404, "not_found", [])
    assert error["message"]


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"{", "application/json", 400, "bad_request"),
        (b'{"reason": "a", "reason": "b"}', "application/json", 400, "bad_request"),
        (b'{"reason": NaN}', "application/json", 400, "bad_request"),
        (b"[" * 100_000, "application/json", 400, "bad_request"),
        (b"[]", "application/json", 422, "invalid"),
        (b'{"raison": "a"}', "application/json", 422, "invalid"),
        (b"reason=a", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"reason": "' + b"x" * 1_100_000 + b'"}', "application/json", 413, "too_large"),
    ],
    ids=["cut", "twice", "nan", "deep", "no object", "unknown key", "form", "large"],
)
async def test_a_body_is_read_strictly(
    client: AsyncClient, http: httpx.AsyncClient, content: bytes, media_type: str, status: int, code: str
) -> None:
    """What two readers could understand in two ways starts nothing."""
    job_id = await new_job(client, one_step("works"))
    answer = await http.post(f"/jobs/{job_id}/runs", content=content, headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert (await client.runs_page(job=job_id)).items == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/audit"),
        ("GET", "/incidents"),
        ("POST", "/query"),
        ("GET", "/watches"),
    ],
)
async def test_what_is_not_built_says_so(http: httpx.AsyncClient, method: str, path: str) -> None:
    """501, so that a front end can hide what this version has not."""
    answer = await http.request(method, path, json={} if method == "POST" else None)
    if answer.status_code != 501:
        pytest.skip(f"{path} is built")
    assert answer.json()["error"]["code"] == "not_built"


async def test_the_documentation_needs_no_network(world: World) -> None:
    """The pages load what they need from the engine alone."""
    async with httpx.AsyncClient(base_url=world.url) as http:
        page = (await http.get("/docs")).text
        assert "http://" not in page
        assert "https://" not in page
        assert (await http.get("/docs/swagger-ui.css")).status_code == 200
        assert (await http.get(f"{V1}/docs")).status_code == 404


async def test_a_backup_is_made_and_listed(client: AsyncClient, vic: AsyncClient) -> None:
    """With what it holds; who is no administrator may not even see which there are."""
    made = await client.backup()
    assert made.verified_at >= made.created_at
    assert made.size_bytes > 0
    again = await client.backup()
    assert [backup.name for backup in await client.backups()][:2] == [again.name, made.name]
    for refused in (vic.backups, vic.backup):
        with pytest.raises(NotAllowedError, match="admin"):
            await refused()
