"""Roles and grants."""

from __future__ import annotations

import itertools

import pytest

from nomaflow.access.roles import ROLES, allows, opens_connector, reaches, runs_shell
from nomaflow.definitions.settings import Account, Grant


@pytest.mark.parametrize(("held", "needed"), list(itertools.product(ROLES, ROLES)))
def test_a_role_includes_the_ones_before_it(held: str, needed: str) -> None:
    """Viewer, operator, editor, admin: each may do what the ones before it may."""
    assert reaches(held, needed) == (ROLES.index(held) >= ROLES.index(needed))  # type: ignore[arg-type]


def test_an_account_without_role_and_grants_may_nothing() -> None:
    """What nobody granted is denied."""
    nobody = Account()
    assert not allows(nobody, "viewer", None, [])
    assert not allows(nobody, "viewer", "jde", ["etl"])
    assert not opens_connector(nobody, "jde")
    assert not runs_shell(nobody, "jde", ["etl"])


@pytest.mark.parametrize(
    ("grant", "job_id", "tags", "covered"),
    [
        (Grant(role="operator", jobs=["jde-*"]), "jde-nightly", [], True),
        (Grant(role="operator", jobs=["jde-*"]), "hr-jde-1", [], False),
        (Grant(role="operator", jobs=["jde-*", "hr"]), "hr", [], True),
        (Grant(role="operator", tags=["etl"]), "any", ["x", "etl"], True),
        (Grant(role="operator", tags=["etl"]), "etl", [], False),
        (Grant(role="operator", jobs=["jde-*"], tags=["etl"]), "jde-1", ["etl"], True),
        (Grant(role="operator", jobs=["jde-*"], tags=["etl"]), "jde-1", [], False),
        (Grant(role="operator", jobs=["jde-*"], tags=["etl"]), "hr-1", ["etl"], False),
        (Grant(role="operator", connectors=["*"], shell=True), "jde-1", ["etl"], False),
    ],
)
def test_a_grant_covers_the_jobs_that_fit_its_globs_and_its_tags(
    grant: Grant, job_id: str, tags: list[str], covered: bool
) -> None:
    """Globs and tags narrow each other; a grant with neither covers no job."""
    account = Account(grants=[grant])
    assert allows(account, "operator", job_id, tags) == covered
    assert not allows(account, "editor", job_id, tags)
    assert not allows(account, "operator", None, tags)


def test_a_connector_needs_its_own_grant() -> None:
    """A role alone opens no connector, unless it is admin everywhere."""
    assert opens_connector(Account(role="admin"), "jde")
    assert not opens_connector(Account(role="editor"), "jde")
    granted = Account(role="viewer", grants=[Grant(role="operator", connectors=["jde*"])])
    assert opens_connector(granted, "jde-test")
    assert not opens_connector(granted, "hr")


def test_shell_needs_its_own_grant_for_the_job() -> None:
    """A grant with `shell` counts for the jobs that it covers."""
    granted = Account(role="editor", grants=[Grant(role="operator", jobs=["ops-*"], shell=True)])
    assert runs_shell(granted, "ops-clean", [])
    assert not runs_shell(granted, "jde", [])
    assert not runs_shell(Account(role="editor"), "ops-clean", [])
    assert runs_shell(Account(role="admin"), "any", [])
