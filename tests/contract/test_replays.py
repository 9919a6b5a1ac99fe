"""Replays: an ended run again, whole or in part, under what its job is today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nomaflow.errors import (
    IdempotencyMismatchError,
    InvalidError,
    JobBusyError,
    JobChangedError,
    NomaflowError,
    NotAllowedError,
    NotFoundError,
)
from nomaflow.launch.form import overrides
from tests.contract.world import WITH_FORM, begun, ended, new_job, one_step

if TYPE_CHECKING:
    import httpx

    from nomaflow.client import AsyncClient
    from nomaflow.wire import Run

FAILS = """\
[params]
apps_id = 10
[[steps]]
name = "extract"
type = "python"
callable = "contract_steps:works"
[[steps]]
name = "load"
type = "python"
callable = "contract_steps:fails"
[[steps]]
name = "mail"
type = "python"
callable = "contract_steps:works"
[[steps]]
name = "old"
type = "python"
callable = "contract_steps:works"
enabled = false
"""
"""A job whose second step fails."""

MENDED = FAILS.replace("contract_steps:fails", "contract_steps:goes_on")
DISABLED = "skipped: disabled"


async def failed_run(client: AsyncClient, **changes: Any) -> Run:
    """A run of a new job that failed at its second step."""
    return await ended(client, (await client.launch(await new_job(client, FAILS), **changes)).id)


async def save(client: AsyncClient, job_id: str, toml: str) -> str:
    """Another version of the job; its etag."""
    etag = (await client.job(job_id)).etag
    return (await client.save_job(job_id, if_match=etag, toml=toml)).etag


async def replayed(client: AsyncClient, run_id: str, **request: Any) -> Run:
    """A replay, when it is over."""
    return await ended(client, (await client.replay(run_id, **request)).id)


def steps_of(run: Run) -> list[tuple[str, str, str | None]]:
    return [(step.name, step.state, step.reason) for step in run.steps]


async def test_a_replay_repeats_the_whole_plan(client: AsyncClient) -> None:
    """Values, log level and switches are those of then, whatever the job says now; the old run stays as it is."""
    job_id = await new_job(client, WITH_FORM)
    change: dict[str, Any] = {"params": {"apps_id": 12}, "steps": {"clean": {"enabled": False}}, "log_level": "DEBUG"}
    old = await ended(client, (await client.launch(job_id, **change)).id)
    etag = await save(client, job_id, WITH_FORM.replace("full_refresh = false", "full_refresh = true"))
    run = await replayed(client, old.id, reason="again")
    assert (run.state, run.replay_of, run.log_level, run.etag) == ("SUCCEEDED", old.id, "DEBUG", etag)
    assert {name: (one.value, one.origin) for name, one in run.plan.steps[0].kwargs.items()} == {
        "apps_id": (12, "replay"),
        "target_connector": ("warehouse", "saved"),
        "full_refresh": (False, "replay"),
    }
    assert steps_of(run) == [
        ("extract", "SUCCEEDED", None),
        ("clean", "CANCELED", DISABLED),
        ("old", "CANCELED", DISABLED),
    ]
    assert await client.run(old.id) == old
    assert (await client.logs(run.id)).lines[0].text == f"replay of {old.id}"
    [listed, _] = (await client.runs_page(job=job_id)).items
    assert (listed.id, listed.replay_of) == (run.id, old.id)


async def test_what_failed_is_tried_again_with_what_was_made_before(client: AsyncClient) -> None:
    """The kept step does not run, and its output serves the ones behind it."""
    old = await failed_run(client)
    await save(client, old.job_id, MENDED)
    run = await replayed(client, old.id, only="failed")
    assert run.state == "SUCCEEDED"
    assert run.step_summary == "2 / 4 ✓, 2 skipped"
    assert steps_of(run) == [
        ("extract", "CANCELED", f"skipped: kept from {old.id}"),
        ("load", "SUCCEEDED", None),
        ("mail", "SUCCEEDED", None),
        ("old", "CANCELED", DISABLED),
    ]
    kept = run.steps[0]
    assert (kept.output, kept.rows_affected, kept.started_at, kept.attempts) == (old.steps[0].output, None, None, [])
    assert run.steps[1].output == {"answer": 43}
    texts = [line.text for line in (await client.logs(run.id)).lines]
    assert texts[0] == f"replay of {old.id}, only what did not succeed"
    assert "extract SUCCEEDED with 42" in texts


async def test_an_output_is_kept_through_replays_of_replays(client: AsyncClient) -> None:
    """Each names its direct parent, and the kept step the run that made the output."""
    old = await failed_run(client)
    second = await replayed(client, old.id, only="failed")
    assert second.state == "FAILED"
    await save(client, old.job_id, MENDED)
    third = await replayed(client, second.id, from_step="load", params={"apps_id": 11})
    assert (third.state, third.replay_of) == ("SUCCEEDED", second.id)
    assert third.steps[0].reason == f"skipped: kept from {old.id}"
    assert third.steps[1].output == {"answer": 43}
    first_line = (await client.logs(third.id)).lines[0].text
    assert first_line == f"replay of {second.id} from step load, changed: params.apps_id"


async def test_a_canceled_replay_hands_on_what_it_kept(client: AsyncClient) -> None:
    """It kept the output although it made nothing itself; a retry of it goes on from there."""
    old = await failed_run(client)
    await save(client, old.job_id, FAILS.replace("contract_steps:fails", "contract_steps:waits"))
    second = await client.replay(old.id, only="failed")
    await client.cancel(second.id)
    canceled = await ended(client, second.id)
    assert (canceled.state, canceled.steps[0].output) == ("CANCELED", old.steps[0].output)
    await save(client, old.job_id, MENDED)
    third = await replayed(client, second.id, only="failed")
    assert third.steps[0].reason == f"skipped: kept from {old.id}"
    assert [step.state for step in third.steps] == ["CANCELED", "SUCCEEDED", "SUCCEEDED", "CANCELED"]


async def test_what_was_skipped_is_made_up_for(client: AsyncClient) -> None:
    """And nothing else."""
    job_id = await new_job(client, MENDED)
    old = await ended(client, (await client.launch(job_id, steps={"mail": {"enabled": False}})).id)
    run = await replayed(client, old.id, only="skipped", steps={"old": {"enabled": False}})
    kept = f"skipped: kept from {old.id}"
    assert steps_of(run) == [
        ("extract", "CANCELED", kept),
        ("load", "CANCELED", kept),
        ("mail", "SUCCEEDED", None),
        ("old", "CANCELED", DISABLED),
    ]


async def test_a_dry_replay_is_what_the_replay_does(client: AsyncClient) -> None:
    """The same plan, and nothing runs."""
    old = await failed_run(client)
    request: dict[str, Any] = {"only": "failed", "params": {"apps_id": 3}}
    plan = await client.replay_plan(old.id, **request)
    assert [step.runs for step in plan.steps] == [False, True, True, False]
    assert len((await client.runs_page(job=old.job_id)).items) == 1
    assert (await replayed(client, old.id, **request)).plan == plan


async def test_the_form_of_a_replay_shows_then_and_now(client: AsyncClient) -> None:
    """Left as it is nothing is sent; what is changed is an override of the replay."""
    old = await failed_run(client, params={"apps_id": 12})
    form = await client.form(old.job_id, replay_of=old.id)
    field = form.all_fields()["params.apps_id"]
    assert (form.replay_of, field.saved, field.value, field.origin) == (old.id, 10, 12, "replay")
    untouched = {path: field.value for path, field in form.all_fields().items()}
    assert overrides(form, untouched).model_dump(exclude_defaults=True) == {}
    changed = overrides(form, untouched | {"params.apps_id": 10, "steps.mail.enabled": False})
    run = await replayed(client, old.id, overrides=changed, definition=form.etag)
    assert run.plan.steps[0].kwargs["apps_id"].model_dump() == {"value": 10, "origin": "saved"}
    assert run.steps[2].reason == DISABLED


async def test_a_form_takes_only_a_run_of_its_job(client: AsyncClient, vic: AsyncClient) -> None:
    """A run of another job is as unknown as one that is not there; who sees the job may look."""
    old = await failed_run(client)
    other = await new_job(client, FAILS)
    for job_id, run_id in ((other, old.id), (old.job_id, "run_0000000000000"), (old.job_id, "nonsense")):
        with pytest.raises(NotFoundError):
            await client.form(job_id, replay_of=run_id)
    assert (await vic.form(old.job_id, replay_of=old.id)).replay_of == old.id


async def test_what_is_gone_from_the_job_is_named(client: AsyncClient) -> None:
    """409 with one detail for each step, parameter and value; the form says the same, and opens."""
    job_id = await new_job(client, WITH_FORM)
    old = await ended(client, (await client.launch(job_id, params={"apps_id": 12})).id)
    now = WITH_FORM.replace('name = "clean"', 'name = "tidy"').replace("full_refresh = false", "fast = true")
    await save(client, job_id, now.replace("apps_id = 10", 'apps_id = { type = "int", default = 1, max = 5 }'))
    expected = {
        "steps.clean": "the step 'clean' is gone",
        "params.apps_id": "apps_id must be at most 5, not 12",
        "steps.extract.op_kwargs.full_refresh": "the parameter 'full_refresh' of the step 'extract' is gone",
    }
    for verb in (client.replay, client.replay_plan):
        with pytest.raises(JobChangedError) as raised:
            await verb(old.id)
        assert {detail["path"]: detail["message"] for detail in raised.value.details} == expected
    form = await client.form(job_id, replay_of=old.id)
    assert {problem.path: problem.message for problem in form.problems} == expected
    assert len((await client.runs_page(job=job_id)).items) == 1


async def test_a_replay_of_another_version_is_refused(client: AsyncClient) -> None:
    """The form's etag counts here too."""
    old = await failed_run(client)
    seen = (await client.form(old.job_id, replay_of=old.id)).etag
    await save(client, old.job_id, MENDED)
    with pytest.raises(JobChangedError) as raised:
        await client.replay(old.id, definition=seen)
    assert raised.value.details[0]["given"] == seen


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        ({"from_step": "lode"}, "from_step"),
        ({"from_step": "load", "only": "failed"}, "only"),
        ({"params": {"apps": 1}}, "params.apps"),
    ],
)
async def test_a_replay_that_does_not_fit_is_refused(client: AsyncClient, request_: dict[str, Any], path: str) -> None:
    """422, and nothing runs."""
    old = await failed_run(client)
    with pytest.raises(InvalidError) as raised:
        await client.replay(old.id, **request_)
    assert raised.value.details[0]["path"] == path
    assert len((await client.runs_page(job=old.job_id)).items) == 1


async def test_there_has_to_be_something_to_do(client: AsyncClient) -> None:
    """Nothing failed, nothing was skipped: a sentence instead of an empty run."""
    run = await ended(client, (await client.launch(await new_job(client, one_step("works")))).id)
    for only in ("failed", "skipped"):
        with pytest.raises(InvalidError, match="there is nothing to do"):
            await client.replay(run.id, only=only)  # type: ignore[arg-type]  # one of the two


async def test_a_run_that_is_not_over_is_not_replayed(client: AsyncClient) -> None:
    """Nor is its form drawn; a job whose other run is in flight is busy, as for a launch."""
    job_id = await new_job(client, one_step("waits"))
    first = await begun(client, job_id)
    asked: Any
    for asked in (client.replay(first), client.replay_plan(first), client.form(job_id, replay_of=first)):
        with pytest.raises(JobBusyError) as raised:
            await asked
        assert raised.value.run_id == first
    await client.cancel(first)
    await ended(client, first)
    second = await begun(client, job_id)
    with pytest.raises(JobBusyError) as raised:
        await client.replay(first)
    assert raised.value.run_id == second
    assert (await client.replay_plan(first)).steps[0].runs
    await client.cancel(second)


async def test_the_same_key_gives_the_same_replay(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """A replay that is sent twice runs once; another body under the key is a mistake."""
    old = await failed_run(client)
    key = f"key of {old.id}"
    answers = []
    for _ in range(2):
        answer = await http.post(f"/runs/{old.id}/replay", json={}, headers={"Idempotency-Key": key})
        assert answer.status_code == 202
        answers.append(answer)
        await ended(client, answer.json()["id"])
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert [answer.headers.get("Idempotent-Replay") for answer in answers] == [None, "true"]
    assert answers[0].headers["Location"].endswith(answers[0].json()["id"])
    with pytest.raises(IdempotencyMismatchError):
        await client.replay(old.id, reason="other", idempotency_key=key)


async def test_a_replay_needs_the_rights_of_a_launch(client: AsyncClient, ana: AsyncClient, vic: AsyncClient) -> None:
    """A viewer replays nothing; an operator needs the connectors; and a deleted job runs no more."""
    old = await ended(client, (await client.launch(await new_job(client, WITH_FORM))).id)
    with pytest.raises(NotAllowedError, match="operator"):
        await vic.replay(old.id)
    with pytest.raises(NotAllowedError, match="warehouse"):
        await ana.replay(old.id)
    plain = await failed_run(client)
    run = await replayed(ana, plain.id)
    assert run.triggered_by == "api:ana"
    await client.delete_job(plain.job_id, if_match=(await client.job(plain.job_id)).etag)
    with pytest.raises(NotFoundError, match=plain.job_id):
        await client.replay(plain.id)


@pytest.mark.parametrize("run_id", ["run_0000000000000", "nonsense"])
async def test_an_unknown_run_is_not_replayed(client: AsyncClient, run_id: str) -> None:
    """However its id is made."""
    for verb in (client.replay, client.replay_plan):
        with pytest.raises(NomaflowError) as raised:
            await verb(run_id)
        assert isinstance(raised.value, NotFoundError)


async def test_what_is_gone_is_no_matter_where_it_does_not_run(client: AsyncClient) -> None:
    """A retry of what failed goes on although a step before it was taken out."""
    old = await failed_run(client)
    without_extract = MENDED.replace("extract", "fetch").replace("contract_steps:goes_on", "contract_steps:works")
    await save(client, old.job_id, without_extract)
    with pytest.raises(JobChangedError):
        await client.replay(old.id)
    assert (await replayed(client, old.id, from_step="load")).steps[0].reason == DISABLED
