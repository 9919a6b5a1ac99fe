"""Who may save what: grants for connectors and shell steps, and tags that would open them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nomaflow.engine.model import Actor
from nomaflow.errors import InvalidError, NotAllowedError
from nomaflow.wire import Event, JobChange
from tests.fakes.engine import FakeEngine

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = """\
[shell]
enabled = true
[connectors.warehouse]
kind = "sql"
url = "sqlite:///warehouse.db"
[connectors.hr]
kind = "sql"
url = "postgresql://reader@db.internal:5433/hr?sslkey=k3y"
[connectors.partner]
kind = "http"
url = "https://hooks.example.org:8443/services/T0/k3y?token=k3y"
[connectors.directory]
kind = "ldap"
url = "ldaps://ldap.example.org/dc=example?k3y"
[accounts.eve]
grants = [
  { role = "editor", jobs = ["etl-*"], connectors = ["warehouse"] },
  { role = "operator", tags = ["ops"], shell = true },
]
"""

EVE, ADMIN = Actor("eve", "api"), Actor("admin", "api")
PYTHON = '[[steps]]\nname = "work"\ntype = "python"\ncallable = "steps:works"\n'
SHELL = '[[steps]]\nname = "work"\ntype = "shell"\nargv = ["id"]\n'
OPS = 'tags = ["ops"]\n'


@pytest.fixture
def fake(tmp_path: Path) -> FakeEngine:
    """A home with one job without tags and one that is tagged `ops`."""
    return FakeEngine(tmp_path, {"etl-plain": PYTHON, "etl-ops": OPS + SHELL}, settings=SETTINGS)


async def save(fake: FakeEngine, job_id: str, toml: str, actor: Actor = EVE) -> None:
    """Save over what is there."""
    await fake.save_job(job_id, JobChange(toml=toml), (await fake.job(job_id)).etag, actor)


@pytest.mark.parametrize("text", [OPS + SHELL, OPS + PYTHON, SHELL])
async def test_nobody_opens_a_grant_with_a_tag_of_his_own(fake: FakeEngine, text: str) -> None:
    """Neither at once nor in two saves, tag first: the tags that the job has before are what counts."""
    with pytest.raises(NotAllowedError, match="shell"):
        await save(fake, "etl-plain", text)
    with pytest.raises(NotAllowedError, match="shell"):
        await fake.create_job(JobChange(id="etl-new", toml=text), EVE)
    assert (await fake.job("etl-plain")).toml == PYTHON
    await save(fake, "etl-plain", text, ADMIN)


async def test_a_tag_that_is_there_opens_its_grant(fake: FakeEngine) -> None:
    """As long as the text keeps it: without it the step would be one that the person may not run."""
    await save(fake, "etl-ops", 'tags = ["ops", "more"]\n' + SHELL)
    with pytest.raises(NotAllowedError, match="shell"):
        await save(fake, "etl-ops", SHELL)
    await save(fake, "etl-ops", PYTHON)


@pytest.mark.parametrize(
    "text",
    [
        '[params]\ntarget_connector = "hr"\n' + PYTHON,
        PYTHON + '[steps.op_kwargs]\ntarget_connector = "hr"\n',
        '[params.target]\ntype = "text"\ndefault = "hr"\n'
        '[[steps]]\nname = "q"\ntype = "sql_query"\nconnector = "${kw:target}"\nquery = "SELECT 1"\n',
        '[[schedules]]\ncron = "0 5 * * *"\nparams = { target_connector = "hr" }\n'
        '[params]\ntarget_connector = "warehouse"\n' + PYTHON,
        '[[schedules]]\ncron = "0 5 * * *"\n[schedules.steps.work.op_kwargs]\ntarget_connector = "hr"\n'
        + PYTHON
        + '[steps.op_kwargs]\ntarget_connector = "warehouse"\n',
        '[[steps]]\nname = "q"\ntype = "sql_query"\nconnector = "hr"\nquery = "SELECT 1"\n',
    ],
    ids=["param", "kwarg", "text param", "schedule", "schedule's step", "option"],
)
async def test_every_place_that_names_a_connector_needs_its_grant(fake: FakeEngine, text: str) -> None:
    """A fire of the schedule may do what the saved job says, so the save is where it is asked."""
    with pytest.raises(NotAllowedError, match="'hr'"):
        await save(fake, "etl-plain", text)
    await save(fake, "etl-plain", text, ADMIN)
    used_by = {connector.name: connector.used_by for connector in fake.connectors()}
    assert used_by["hr"] == ["etl-plain"]
    await save(fake, "etl-ops", OPS + text.replace('"hr"', '"warehouse"'))


@pytest.mark.parametrize("change", [JobChange(id="etl-new"), JobChange(id="etl-new", toml=PYTHON, job={})])
async def test_a_job_is_given_in_one_form(fake: FakeEngine, change: JobChange) -> None:
    """Its text or its values."""
    with pytest.raises(InvalidError, match="either"):
        await fake.create_job(change, ADMIN)
    with pytest.raises(InvalidError, match="either"):
        await fake.save_job("etl-plain", change.model_copy(update={"id": None}), "etag", ADMIN)


async def test_a_job_keeps_its_id(fake: FakeEngine) -> None:
    """A text for another job under this job's id is a mistake."""
    with pytest.raises(InvalidError, match="id cannot change"):
        await fake.save_job(
            "etl-plain", JobChange(id="etl-ops", toml=PYTHON), (await fake.job("etl-plain")).etag, ADMIN
        )


async def test_a_deletion_is_told_with_the_tags_that_are_gone(fake: FakeEngine) -> None:
    """Whoever saw the job by a tag hears of it; the tags themselves are not sent."""
    begin = fake.cursor
    await fake.delete_job("etl-ops", (await fake.job("etl-ops")).etag, ADMIN)
    (fake.home.jobs_dir / "etl-plain.toml").unlink()
    await fake.reload(ADMIN)
    fake.stop()
    events = [event async for event in fake.follow_events(begin)]
    told: list[Any] = [(event.job_id, event.record, event.gone_tags) for event in events if isinstance(event, Event)]
    assert told == [("etl-ops", {}, ("ops",)), ("etl-plain", {}, ())]
    assert "gone_tags" not in events[0].model_dump_json()  # type: ignore[union-attr]


def test_a_connector_shows_where_it_leads_and_no_key(fake: FakeEngine) -> None:
    """Paths and queries of addresses hold keys of web hooks and drivers."""
    targets = {connector.name: connector.target for connector in fake.connectors()}
    assert targets == {
        "warehouse": "sqlite:///warehouse.db",
        "hr": "postgresql://reader@db.internal:5433/hr",
        "partner": "https://hooks.example.org:8443",
        "directory": "ldaps://ldap.example.org/dc=example",
    }


async def test_a_connector_is_tested_by_who_may_use_it(fake: FakeEngine) -> None:
    """The grant names it."""
    assert (await fake.test_connector("warehouse", EVE)).ok
    with pytest.raises(NotAllowedError, match="'hr'"):
        await fake.test_connector("hr", EVE)


async def test_the_engines_own_steps_are_an_admins(fake: FakeEngine) -> None:
    """Who may not save them may not take them away either, by another text or by a deletion."""
    own = '[[steps]]\nname = "old"\ntype = "retention"\n'
    with pytest.raises(NotAllowedError, match="an admin can"):
        await save(fake, "etl-plain", own)
    await save(fake, "etl-plain", own, ADMIN)
    with pytest.raises(NotAllowedError, match="an admin can"):
        await save(fake, "etl-plain", PYTHON)
    with pytest.raises(NotAllowedError, match="an admin can"):
        await fake.delete_job("etl-plain", (await fake.job("etl-plain")).etag, EVE)
    await fake.delete_job("etl-plain", (await fake.job("etl-plain")).etag, ADMIN)
