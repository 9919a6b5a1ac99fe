"""Roles, grants, and who asks: pure rules, deny by default."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nomaflow.definitions.settings import Account, Grant, RoleName

ROLES: tuple[RoleName, ...] = ("viewer", "operator", "editor", "admin")
"""Least first; each may do what the ones before it may."""

Surface = Literal["web", "slack", "cli", "notebook", "api"]


@dataclass(frozen=True)
class Identity:
    """Who a token belongs to. What the account may do is looked up at each question, so a changed role holds at once.

    `session` is the hash of the session's token; None for the admin token, which is none.
    """

    account: str
    surface: Surface
    session: str | None = None
    expires_at: datetime | None = None


def reaches(held: RoleName | None, needed: RoleName) -> bool:
    """Whether a role includes another."""
    return held is not None and ROLES.index(held) >= ROLES.index(needed)


def covers(grant: Grant, job_id: str, tags: Iterable[str]) -> bool:
    """Whether a grant speaks of the job.

    A grant with job globs and tags asks for both, one with neither covers no job (it may still open connectors).
    """
    if not grant.jobs and not grant.tags:
        return False
    by_id = not grant.jobs or any(fnmatchcase(job_id, glob) for glob in grant.jobs)
    by_tag = not grant.tags or not set(grant.tags).isdisjoint(tags)
    return by_id and by_tag


def allows(account: Account, role: RoleName, job_id: str | None, tags: Iterable[str]) -> bool:
    """Whether the account holds the role everywhere, or for the job where one is named."""
    if reaches(account.role, role):
        return True
    if job_id is None:
        return False
    tags = frozenset(tags)
    return any(reaches(grant.role, role) and covers(grant, job_id, tags) for grant in account.grants)


def opens_connector(account: Account, connector: str) -> bool:
    """Whether the account may use the connector: an admin any, everybody else by a grant that names it."""
    return reaches(account.role, "admin") or any(
        fnmatchcase(connector, glob) for grant in account.grants for glob in grant.connectors
    )


def runs_shell(account: Account, job_id: str, tags: Iterable[str]) -> bool:
    """Whether the account may start shell steps of the job: an admin any, everybody else by a grant with `shell`."""
    tags = frozenset(tags)
    return reaches(account.role, "admin") or any(
        grant.shell and covers(grant, job_id, tags) for grant in account.grants
    )
