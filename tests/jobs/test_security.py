"""The seventeen steps of nomasx1-security-1, on real databases."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from nomaflow.definitions.settings import Settings
from nomaflow.sample import make_databases
from nomaflow.sample.jde import julian
from nomaflow.worker.context import StepCanceled
from tests.jobs.home import ROOT, StepsAtHome, read_job

AS_OF = date(2025, 1, 1)
STEPS = read_job("nomasx1-security-1").steps


class Home(StepsAtHome):
    """The steps of the job, on a day that does not change."""

    def __init__(self, jde: Path, target: Path) -> None:
        super().__init__("nomasx1-security-1", {"jde": jde, "nomasx1": target})

    def run(self, step: str, **changed: Any) -> dict[str, Any]:
        """As of the fixed day."""
        return super().run(step, **{"as_of": AS_OF.isoformat()} | changed)


@pytest.fixture(scope="module")
def jde(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    settings = Settings.model_validate(tomllib.loads((ROOT / "nomaflow.toml").read_text(encoding="utf-8")))
    only_jde = settings.model_copy(update={"connectors": {"jde": settings.connectors["jde"]}})
    return make_databases(folder, only_jde)[0]


@pytest.fixture(params=["nomasx1.duckdb", "nomasx1.db"])
def home(jde: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    return Home(jde, tmp_path / request.param)


@pytest.fixture
def full(home: Home) -> Home:
    """A home in which every step has run."""
    for step in STEPS:
        home.run(step.name)
    return home


def table_of(step: str) -> str:
    return step.replace("security_", "sec_")


@pytest.mark.parametrize("step", [step.name for step in STEPS])
def test_a_step_fills_an_empty_target(home: Home, step: str) -> None:
    """Each step makes its table, and runs alone, whatever is there already."""
    output = home.run(step)
    assert output["rows_removed"] == 0
    (row,) = home.fetch("nomasx1", f"select count(*), count(distinct apps_id) from {table_of(step)}")
    assert row == (output["rows_affected"], 1 if output["rows_affected"] else 0)
    assert (output["rows_affected"] > 0) is (step not in ("security_effective", "security_conflicts"))


def test_a_second_run_leaves_the_same_rows(full: Home) -> None:
    """Every step replaces its rows with the same ones."""
    for step in STEPS:
        query = f"select * from {table_of(step.name)}"
        before = sorted(full.fetch("nomasx1", query), key=repr)
        output = full.run(step.name)
        assert output["rows_removed"] == output["rows_affected"] == len(before) > 0
        assert sorted(full.fetch("nomasx1", query), key=repr) == before


def test_another_apps_id_has_rows_of_its_own(full: Home) -> None:
    """A refresh for one apps_id leaves those of the others alone."""
    for step in STEPS:
        output = full.run(step.name, apps_id=20)
        assert output["rows_removed"] == 0
        rows = full.fetch("nomasx1", f"select apps_id, count(*) from {table_of(step.name)} group by apps_id")
        assert sorted(rows) == [(10, output["rows_affected"]), (20, output["rows_affected"])]


def test_a_cancel_leaves_the_old_rows(home: Home) -> None:
    """A step that is stopped between two batches has changed nothing."""
    home.run("security_user_roles")
    before = home.fetch("nomasx1", "select count(*) from sec_user_roles")
    with pytest.raises(StepCanceled):
        home.run("security_user_roles", on_progress=lambda ctx: ctx.canceler.cancel("canceled by user:ana"))
    assert home.fetch("nomasx1", "select count(*) from sec_user_roles") == before


def test_a_failed_step_leaves_the_old_rows(full: Home) -> None:
    """A rule that is none fails the step before anything is removed."""
    before = full.fetch("nomasx1", "select count(*) from sec_conflicts")
    with pytest.raises(ValueError, match="a rule is a name and two applications"):
        full.run("security_conflicts", rules=[["only a name"]])
    assert full.fetch("nomasx1", "select count(*) from sec_conflicts") == before


def test_users_are_people_not_roles(full: Home) -> None:
    """F0092 has both; the roles stay out."""
    (jde,) = full.fetch("jde", "select count(*) from F0092 where ULUGRP <> '*GROUP'")
    assert full.fetch("nomasx1", "select count(*) from sec_users") == [jde]


def test_a_role_is_active_within_its_dates(home: Home) -> None:
    """Only roles held on the day are kept, unless the others are asked for; those are marked."""
    held = home.run("security_user_roles")["rows_affected"]
    every = home.run("security_user_roles", include_expired=True)["rows_affected"]
    day = julian(AS_OF)
    expected = f"RLEFFDATE <= {day} and (RLEXPIRDATE is null or RLEXPIRDATE >= {day})"
    assert home.fetch("jde", f"select count(*) from F95921 where {expected}") == [(held,)]
    assert home.fetch("jde", "select count(*) from F95921") == [(every,)]
    assert home.fetch("nomasx1", "select count(*) from sec_user_roles where active") == [(held,)]
    assert held < every


def test_dates_are_dates(full: Home) -> None:
    """JDE's CYYDDD arrives as the day that it means."""
    jde: dict[str, int] = dict(full.fetch("jde", "select SCUSER, SCSECLST from F98OWSEC"))
    for user, changed in full.fetch("nomasx1", "select user_id, password_changed_date from sec_sign_on"):
        assert julian(date.fromisoformat(str(changed))) == jde[user]


def test_the_most_personal_rule_decides(full: Home) -> None:
    """The effective rights are those that JDE would come to: user, roles from the top down, then *PUBLIC."""
    rules: dict[tuple[str, str], str] = {
        (who, what): may
        for who, what, may in full.fetch("jde", "select FSUSER, FSOBNM, FSRUN from F00950 where FSSETY = '3'")
    }
    sequence: dict[str, int] = dict(full.fetch("jde", "select ANUSER, ANSEQ from F00926"))
    roles: dict[str, list[str]] = {}
    for user, role in full.fetch("nomasx1", "select user_id, role_id from sec_user_roles where active"):
        roles.setdefault(user, []).append(role)
    expected = set()
    for (user,) in full.fetch("nomasx1", "select user_id from sec_users"):
        asked = [user, *sorted(roles.get(user, []), key=lambda role: -sequence[role]), "*PUBLIC"]
        for what in {what for _, what in rules}:
            decided_by = next((who for who in asked if (who, what) in rules), None)
            if decided_by:
                expected.add((user, what, rules[decided_by, what] == "Y", decided_by))
    found = full.fetch("nomasx1", "select user_id, object_name, may_run, decided_by from sec_effective")
    assert {(user, what, bool(may_run), who) for user, what, may_run, who in found} == expected
    assert len(found) == len(expected)


def test_a_conflict_is_a_user_who_may_run_both(full: Home) -> None:
    """Every conflict's user may run its two applications."""
    may_run = set(full.fetch("nomasx1", "select user_id, object_name from sec_effective where may_run"))
    found = full.fetch("nomasx1", "select user_id, first_object, second_object from sec_conflicts")
    assert found
    assert all({(user, first), (user, second)} <= may_run for user, first, second in found)


def test_steps_that_need_others_say_which_is_missing(home: Home) -> None:
    """On an empty target the last step warns and names the step to run."""
    home.run("security_conflicts")
    warnings = [line for line in home.lines if line.startswith("WARNING")]
    assert any("run step security_effective first" in line for line in warnings)
