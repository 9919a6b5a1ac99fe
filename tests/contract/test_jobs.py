"""Jobs as every surface sees them: cards, text, switch, form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nomaflow.errors import InvalidError, JobChangedError, JobExistsError, NotFoundError
from tests.contract.world import WITH_FORM, new_id, new_job, one_step

if TYPE_CHECKING:
    import httpx
    from pydantic import JsonValue

    from nomaflow.client import AsyncClient
    from tests.contract.world import World


async def test_a_card_shows_the_definition(client: AsyncClient) -> None:
    """The card holds what the Jobs page draws of a job that has never run."""
    job_id = await new_job(client, WITH_FORM)
    [card] = [card for card in await client.jobs() if card.id == job_id]
    assert (card.description, card.tags) == ("Loads the day", ["etl", "nightly"])
    assert (card.enabled, card.step_count, card.needs_form, card.log_level) == (True, 3, True, "INFO")
    assert [(one.name, one.cron, one.timezone) for one in card.schedules] == [("default", "30 2 * * *", "Europe/Paris")]
    assert (card.last_run, card.active_runs, card.recent, card.problem) == (None, [], [], None)
    assert card.can.run
    assert card.can.edit


async def test_cards_are_found_by_text_and_tag(client: AsyncClient) -> None:
    """`q` looks into id, description and tags; `tag` is exact."""
    job_id = await new_job(client, WITH_FORM.replace("nightly", "only-here"))
    assert [card.id for card in await client.jobs(tag="only-here")] == [job_id]
    assert [card.id for card in await client.jobs(q="ONLY-HERE")] == [job_id]
    assert await client.jobs(tag="only") == []


async def test_a_job_is_its_text_and_its_values(client: AsyncClient, world: World) -> None:
    """The text is the file's, byte for byte, and the values are what it means."""
    job_id = await new_job(client, WITH_FORM)
    document = await client.job(job_id)
    assert document.toml == WITH_FORM == world.file(job_id).read_text()
    assert document.job is not None
    assert document.job["description"] == "Loads the day"


async def test_a_job_can_be_made_from_values(client: AsyncClient) -> None:
    """A surface without a text editor sends values; the engine writes the file."""
    step: JsonValue = {"name": "work", "type": "python", "callable": "contract_steps:works"}
    document = await client.create_job(new_id("values"), job={"description": "From values", "steps": [step]})
    assert 'description = "From values"' in document.toml


async def test_a_second_job_of_the_same_id_is_refused(client: AsyncClient) -> None:
    """Making a job never replaces one."""
    job_id = await new_job(client, one_step("works"))
    with pytest.raises(JobExistsError):
        await client.create_job(job_id, toml=one_step("fails"))


async def test_an_invalid_job_is_refused_with_its_place(client: AsyncClient, world: World) -> None:
    """A save says what is wrong and in which line, and leaves no file."""
    job_id = new_id("invalid")
    with pytest.raises(InvalidError) as raised:
        await client.create_job(job_id, toml="descripton = 'x'\n" + one_step("works"))
    [detail] = raised.value.details
    assert (detail["path"], detail["line"]) == ("descripton", 1)
    assert 'did you mean "description"?' in detail["message"]
    assert not world.file(job_id).exists()


async def test_checking_a_text_saves_nothing(client: AsyncClient) -> None:
    """The editor asks what a save would say."""
    assert (await client.check_job(one_step("works"))).problems == []
    result = await client.check_job('[[steps]]\nname = "a"\ntype = "pyton"\n')
    assert "pyton" in result.problems[0].message


async def test_toggling_changes_one_token_of_the_file(client: AsyncClient, world: World) -> None:
    """Comments, order and spacing stay byte for byte, and the card says who switched the job off and why."""
    job_id = await new_job(client, WITH_FORM)
    card = await client.disable(job_id, reason="disk is full")
    assert not card.enabled
    assert card.pause is not None
    assert card.pause.reason == "disk is full"
    assert world.file(job_id).read_text() == WITH_FORM.replace("enabled = true ", "enabled = false ", 1)
    card = await client.enable(job_id)
    assert card.enabled
    assert card.pause is None
    assert world.file(job_id).read_text() == WITH_FORM


async def test_why_says_in_one_sentence(client: AsyncClient) -> None:
    """A job that does not run by itself says why, and what can be done."""
    manual = await new_job(client, one_step("works"))
    assert (await client.why(manual)).action == "run"
    paused = await new_job(client, WITH_FORM)
    await client.disable(paused, reason="disk is full")
    why = await client.why(paused)
    assert "disk is full" in why.why
    assert why.action == "enable"


async def test_a_save_replaces_the_text(client: AsyncClient) -> None:
    """The answer is the new version with its etag."""
    job_id = await new_job(client, one_step("works"))
    before = await client.job(job_id)
    after = await client.save_job(job_id, if_match=before.etag, toml=one_step("fails"))
    assert after.etag != before.etag
    assert await client.job(job_id) == after


async def test_a_stale_save_shows_both_versions(client: AsyncClient) -> None:
    """Another person's edit in between is never overwritten in silence."""
    job_id = await new_job(client, one_step("works"))
    seen = (await client.job(job_id)).etag
    await client.save_job(job_id, if_match=seen, toml=one_step("fails"))
    with pytest.raises(JobChangedError) as raised:
        await client.save_job(job_id, if_match=seen, toml=one_step("waits"))
    [detail] = raised.value.details
    assert (detail["current"], detail["given"]) == (one_step("fails"), one_step("waits"))


async def test_an_edit_on_disk_makes_a_save_stale(client: AsyncClient, world: World) -> None:
    """An editor beside the engine counts as another person."""
    job_id = await new_job(client, one_step("works"))
    seen = (await client.job(job_id)).etag
    world.file(job_id).write_text(one_step("fails"))
    with pytest.raises(JobChangedError):
        await client.save_job(job_id, if_match=seen, toml=one_step("waits"))
    assert world.file(job_id).read_text() == one_step("fails")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_change_must_name_its_version(client: AsyncClient, http: httpx.AsyncClient, method: str) -> None:
    """Without `If-Match` nobody knows what the caller saw, and `*` says just that."""
    job_id = await new_job(client, one_step("works"))
    for headers in ({}, {"If-Match": "*"}):
        json = {"toml": one_step("fails")} if method == "PUT" else None
        answer = await http.request(method, f"/jobs/{job_id}", json=json, headers=headers)
        assert answer.status_code == 428
        assert answer.json()["error"]["code"] == "precondition_required"


async def test_the_etag_header_is_what_if_match_wants(client: AsyncClient, http: httpx.AsyncClient) -> None:
    """Plain HTTP clients pass the header back as it came."""
    job_id = await new_job(client, one_step("works"))
    etag = (await http.get(f"/jobs/{job_id}")).headers["ETag"]
    answer = await http.put(f"/jobs/{job_id}", json={"toml": one_step("fails")}, headers={"If-Match": etag})
    assert answer.status_code == 200
    assert answer.headers["ETag"] != etag


async def test_a_deleted_job_is_gone(client: AsyncClient, world: World) -> None:
    """Its file too; what ran stays in the history."""
    job_id = await new_job(client, one_step("works"))
    run = await client.wait((await client.launch(job_id)).id)
    await client.delete_job(job_id, if_match=(await client.job(job_id)).etag)
    with pytest.raises(NotFoundError):
        await client.job(job_id)
    assert not world.file(job_id).exists()
    assert (await client.run(run.id)).state == "SUCCEEDED"


async def test_a_bad_file_is_a_card_and_hides_no_other(client: AsyncClient, world: World) -> None:
    """A file that somebody broke shows its problem with its line; every other job goes on."""
    good = await new_job(client, one_step("works"))
    bad = new_id("bad")
    world.file(bad).write_text('enabled = "yes"\n' + one_step("works"))
    result = await client.reload()
    assert bad in result.added
    assert result.problems[bad][0].line == 1
    cards = {card.id: card for card in await client.jobs()}
    assert cards[good].problem is None
    problem = cards[bad].problem
    assert problem is not None
    assert (problem.path, problem.line) == ("enabled", 1)
    with pytest.raises(InvalidError):
        await client.launch(bad)
    world.file(bad).unlink()
    assert (await client.reload()).removed == [bad]


async def test_a_reload_takes_edits_in(client: AsyncClient, world: World) -> None:
    """What changed on disk is named and holds at once."""
    job_id = await new_job(client, one_step("works"))
    world.file(job_id).write_text('description = "Edited"\n' + one_step("works"))
    assert (await client.reload()).changed == [job_id]
    assert next(card.description for card in await client.jobs() if card.id == job_id) == "Edited"


async def test_the_form_asks_what_a_run_can_change(client: AsyncClient) -> None:
    """Log level, shared parameters, then each step's switch and own parameters, with their saved values."""
    job_id = await new_job(client, WITH_FORM)
    form = await client.form(job_id)
    assert (form.etag, form.fires_at_once) == ((await client.job(job_id)).etag, False)
    assert {path: (field.type, field.saved) for path, field in form.all_fields().items()} == {
        "log_level": ("choice", "INFO"),
        "params.apps_id": ("int", 10),
        "params.target_connector": ("connector", "warehouse"),
        "steps.extract.enabled": ("bool", True),
        "steps.extract.op_kwargs.full_refresh": ("bool", False),
        "steps.clean.enabled": ("bool", True),
        "steps.old.enabled": ("bool", False),
    }


async def test_a_job_without_questions_fires_at_once(client: AsyncClient) -> None:
    """One step, no parameters: Run now opens no form."""
    assert (await client.form(await new_job(client, one_step("works")))).fires_at_once


async def test_an_edited_file_counts_without_a_reload(client: AsyncClient, world: World) -> None:
    """Who edits a job's file and then runs it means what the file says now."""
    job_id = await new_job(client, one_step("works"))
    before = await client.form(job_id)
    path = world.file(job_id)
    path.write_text(path.read_text() + '\n[[steps]]\nname = "more"\ntype = "python"\ncallable = "m:f"\n')
    after = await client.form(job_id)
    assert [step.name for step in after.steps] == [*(step.name for step in before.steps), "more"]
    assert after.etag != before.etag
    plan = await client.plan(job_id)
    assert len(plan.steps) == 2


async def test_a_reload_says_what_it_changed(client: AsyncClient, world: World) -> None:
    """Jobs by id, and a line for each difference of the settings."""
    job_id = await new_job(client, one_step("works"))
    world.file(job_id).write_text(one_step("fails"))
    file = world.file(job_id).parent.parent / "nomaflow.toml"
    text = file.read_text()
    file.write_text(text + '\n[connectors.fresh]\nkind = "sql"\nurl = "sqlite://"\n')
    result = await client.reload()
    file.write_text(text)
    assert (await client.reload()).settings == ["connector fresh removed"]
    assert result.changed == [job_id]
    assert result.settings == ["connector fresh added"]
