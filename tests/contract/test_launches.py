"""Starting runs: what a launch changes, and what refuses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nomaflow.errors import IdempotencyMismatchError, InvalidError, JobBusyError, JobChangedError, NotAllowedError
from nomaflow.launch.form import overrides
from nomaflow.wire import StepState
from tests.contract.world import WITH_FORM, begun, ended, new_job, one_step

if TYPE_CHECKING:
    import httpx
    from pydantic import JsonValue

    from nomaflow.client import AsyncClient
    from tests.contract.world import World


async def test_a_run_succeeds(client: AsyncClient) -> None:
    """A launch is accepted QUEUED or later, and the run ends with its step's rows and output."""
    job_id = await new_job(client, one_step("works"))
    accepted = await client.launch(job_id, reason="to see it work")
    assert not accepted.state.is_terminal
    run = await ended(client, accepted.id)
    assert (run.id, run.state, run.step_summary, run.rows_affected) == (accepted.id, "SUCCEEDED", "1 / 1 ✓", 3)
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run.queued_at <= run.started_at <= run.finished_at
    assert (run.triggered_by, run.via, run.etag) == ("api:admin", "api", (await client.job(job_id)).etag)
    [step] = run.steps
    assert (step.state, step.attempt, step.rows_affected) == (StepState.SUCCEEDED, 1, 3)
    assert step.output == {"rows_affected": 3, "answer": 42}
    assert [attempt.n for attempt in step.attempts] == [1]


@pytest.mark.parametrize(
    ("surface", "expected"), [("web", "user:admin"), ("cli", "cli:admin"), ("notebook", "notebook:admin")]
)
async def test_a_run_says_where_it_came_from(world: World, surface: str, expected: str) -> None:
    """The surface is the header's, the person the token's."""
    async with world.client(surface=surface) as client:
        run = await client.launch(await new_job(client, one_step("works")))
        assert (run.triggered_by, run.via) == (expected, surface)


async def test_only_what_was_changed_is_an_override(client: AsyncClient) -> None:
    """Of the form's answers only the changed one is sent, and the plan says where each value comes from."""
    job_id = await new_job(client, WITH_FORM)
    answers: dict[str, JsonValue] = {
        "params.apps_id": 11,
        "params.target_connector": "warehouse",
        "steps.extract.enabled": True,
    }
    changed = overrides(await client.form(job_id), answers)
    assert changed.params == {"apps_id": 11}
    run = await ended(client, (await client.launch(job_id, changed)).id)
    extract = run.plan.steps[0].kwargs
    assert (extract["apps_id"].value, extract["apps_id"].origin) == (11, "override")
    assert (extract["target_connector"].value, extract["target_connector"].origin) == ("warehouse", "saved")
    assert (extract["full_refresh"].value, extract["full_refresh"].origin) == (False, "saved")
    assert "apps_id = 10" in (await client.job(job_id)).toml


async def test_a_dry_launch_gives_the_plan_of_the_real_one(client: AsyncClient) -> None:
    """`plan` merges as a launch does, and nothing runs."""
    job_id = await new_job(client, WITH_FORM)
    change: dict[str, Any] = {"params": {"apps_id": 12}, "steps": {"extract": {"op_kwargs": {"full_refresh": True}}}}
    plan = await client.plan(job_id, **change)
    assert (await client.runs_page(job=job_id)).items == []
    run = await client.launch(job_id, **change)
    assert run.plan == plan


async def test_a_step_that_is_switched_off_is_skipped(client: AsyncClient) -> None:
    """Unticked for this run or in the file: CANCELED with the reason, and the rest runs."""
    job_id = await new_job(client, WITH_FORM)
    run = await ended(client, (await client.launch(job_id, steps={"extract": {"enabled": False}})).id)
    assert run.state == "SUCCEEDED"
    assert [(step.name, step.state, step.reason) for step in run.steps] == [
        ("extract", "CANCELED", "skipped: disabled"),
        ("clean", "SUCCEEDED", None),
        ("old", "CANCELED", "skipped: disabled"),
    ]
    assert run.step_summary == "1 / 3 ✓, 2 skipped"
    assert "enabled = false" not in (await client.job(job_id)).toml.partition('name = "clean"')[0]


async def test_a_saved_off_step_can_be_switched_on(client: AsyncClient) -> None:
    """For this run only."""
    job_id = await new_job(client, WITH_FORM)
    run = await ended(client, (await client.launch(job_id, steps={"old": {"enabled": True}})).id)
    assert run.step_summary == "3 / 3 ✓"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"params": {"apps_id": "eleven"}}, "params.apps_id"),
        ({"params": {"app_id": 11}}, "params.app_id"),
        ({"steps": {"extrakt": {"enabled": False}}}, "steps.extrakt"),
        ({"steps": {"extract": {"op_kwargs": {"full_refresh": 1}}}}, "steps.extract.op_kwargs.full_refresh"),
    ],
)
async def test_a_value_that_does_not_fit_is_refused(client: AsyncClient, change: dict[str, Any], path: str) -> None:
    """The refusal names the form's field, and nothing runs."""
    job_id = await new_job(client, WITH_FORM)
    with pytest.raises(InvalidError) as raised:
        await client.launch(job_id, **change)
    assert raised.value.details[0]["path"] == path
    assert (await client.runs_page(job=job_id)).items == []


async def test_a_plan_in_which_nothing_runs_is_refused(client: AsyncClient) -> None:
    """At least one step has to be left on."""
    job_id = await new_job(client, one_step("works"))
    with pytest.raises(InvalidError):
        await client.launch(job_id, steps={"work": {"enabled": False}})


async def test_one_run_at_a_time_for_each_job(client: AsyncClient) -> None:
    """The refusal names the run in flight, and so do card and form."""
    job_id = await new_job(client, one_step("waits"))
    run_id = await begun(client, job_id)
    with pytest.raises(JobBusyError) as raised:
        await client.launch(job_id)
    assert raised.value.run_id == run_id
    assert (await client.form(job_id)).busy_run_id == run_id
    [card] = [card for card in await client.jobs() if card.id == job_id]
    [active] = card.active_runs
    assert (active.id, active.state, active.step_index, active.step_name) == (run_id, "RUNNING", 1, "work")
    assert card.last_run is not None
    assert card.last_run.id == run_id
    await client.cancel(run_id)
    await ended(client, run_id)
    await client.cancel(await begun(client, job_id))


async def test_a_launch_of_another_version_is_refused(client: AsyncClient) -> None:
    """A form that was opened before an edit starts nothing; the details hold both versions."""
    job_id = await new_job(client, one_step("works"))
    seen = (await client.form(job_id)).etag
    saved = await client.save_job(job_id, if_match=seen, toml=one_step("fails"))
    with pytest.raises(JobChangedError) as raised:
        await client.launch(job_id, definition=seen)
    [detail] = raised.value.details
    assert (detail["current"], detail["given"]) == (saved.etag, seen)
    await ended(client, (await client.launch(job_id, definition=saved.etag)).id)


async def test_the_same_key_gives_the_same_run(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """A launch that is sent twice runs once, also when the job is busy or done by then."""
    job_id = await new_job(client, one_step("works"))
    headers = {"Idempotency-Key": f"key of {job_id}"}
    first = await http.post(f"/jobs/{job_id}/runs", json={"reason": "once"}, headers=headers)
    await ended(client, first.json()["id"])
    second = await http.post(f"/jobs/{job_id}/runs", json={"reason": "once"}, headers=headers)
    assert (first.status_code, second.status_code) == (202, 202)
    assert "Idempotent-Replay" not in first.headers
    assert second.headers["Idempotent-Replay"] == "true"
    assert first.json()["id"] == second.json()["id"]
    assert len((await client.runs_page(job=job_id)).items) == 1


async def test_a_key_is_for_one_body(client: AsyncClient) -> None:
    """Another body under the same key is a mistake of the caller."""
    job_id = await new_job(client, WITH_FORM)
    await client.launch(job_id, idempotency_key=f"key of {job_id}")
    with pytest.raises(IdempotencyMismatchError):
        await client.launch(job_id, params={"apps_id": 11}, idempotency_key=f"key of {job_id}")


async def test_a_connector_needs_a_grant(client: AsyncClient, ana: AsyncClient) -> None:
    """An operator may run a job; its connectors are granted for themselves."""
    job_id = await new_job(client, WITH_FORM)
    with pytest.raises(NotAllowedError, match="warehouse"):
        await ana.launch(job_id)
