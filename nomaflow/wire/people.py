"""Who the token belongs to, and signing in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nomaflow.launch.overrides import Sent
from nomaflow.wire.base import Given, Instant


class GrantInfo(Given):
    """One grant of the person."""

    role: str
    jobs: list[str] = []
    tags: list[str] = []
    connectors: list[str] = []
    shell: bool = False


class Me(Given):
    """Who the token belongs to and what it may do."""

    account: str
    role: str | None = None
    grants: list[GrantInfo] = []
    surface: str
    expires_at: Instant | None = None


class Session(Given):
    """A fresh sign-in; the token is shown this once."""

    token: str
    account: str
    expires_at: Instant


class SignInLink(Given):
    """A one-time sign-in: the code is shown this once; `path` is where the dashboard takes it."""

    code: str
    path: str
    expires_at: Instant


class SignIn(Sent):
    """A sign-in by password, or with a one-time link's code."""

    account: Annotated[str, Field(max_length=64)] | None = None
    password: Annotated[str, Field(max_length=1024)] | None = None
    code: Annotated[str, Field(max_length=128)] | None = None
