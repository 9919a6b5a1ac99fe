"""The API on a scripted engine, with people of every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import trio
from fastapi import FastAPI

from nomaflow.access.accounts import Access
from nomaflow.access.passwords import hash_password
from nomaflow.access.roles import Surface
from nomaflow.api.app import create_app
from nomaflow.api.metrics import Metrics
from nomaflow.definitions.settings import Account, Grant, Settings
from nomaflow.seams import Seams
from tests.api.scripted import ScriptedEngine
from tests.fakes.sessions import SessionsInMemory

ADMIN_TOKEN = "nfa_" + "a" * 43
PASSWORD = "correct horse battery"
PASSWORD_HASH = hash_password(PASSWORD)  # once: it is made to be slow

PEOPLE: dict[str, Account] = {
    "viewer": Account(role="viewer"),
    "operator": Account(role="operator"),
    "editor": Account(role="editor"),
    "boss": Account(role="admin"),
    "jde-viewer": Account(grants=[Grant(role="viewer", jobs=["jde-*"])]),
    "jde-operator": Account(grants=[Grant(role="operator", jobs=["jde-*"], connectors=["jde*"])]),
    "jde-editor": Account(grants=[Grant(role="editor", jobs=["jde-*"])]),
    "etl-operator": Account(grants=[Grant(role="operator", tags=["etl"])]),
    "hr-admin": Account(grants=[Grant(role="admin", jobs=["hr-*"])]),
    "nobody": Account(),
}


class Clock:
    """A clock that a test sets on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        """The instant."""
        return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """Seconds."""
        return self.seconds


@dataclass
class Stand:
    """Everything that a test of the API touches."""

    engine: ScriptedEngine = field(default_factory=ScriptedEngine.with_two_jobs)
    clock: Clock = field(default_factory=Clock)
    stopping: trio.Event = field(default_factory=trio.Event)
    metrics: Metrics = field(default_factory=Metrics)
    sessions: SessionsInMemory = field(default_factory=SessionsInMemory)
    peer: str = "127.0.0.1"
    access: Access = field(init=False)
    app: FastAPI = field(init=False)

    def __post_init__(self) -> None:
        seams = Seams(now=self.clock.now, monotonic=self.clock.monotonic)
        people = PEOPLE | {"ana": Account(role="operator", password_hash=PASSWORD_HASH)}
        self.settings = Settings(accounts=people)
        self.access = Access(self.settings, admin_token=ADMIN_TOKEN, sessions=self.sessions, seams=seams)
        self.app = create_app(self.engine, self.access, seams, stopping=self.stopping, metrics=self.metrics)

    async def token(self, account: str, surface: Surface = "api") -> str:
        """A session's token."""
        token, _ = await self.access.open_session(account, surface)
        return token

    async def send(
        self, method: str, path: str, *, as_: str | None = "boss", token: str | None = None, **options: Any
    ) -> httpx.Response:
        """One request by a person, with a token as it is, or by nobody (`as_=None`)."""
        headers = httpx.Headers(options.pop("headers", {}))
        if token is None and as_ is not None:
            token = ADMIN_TOKEN if as_ == "admin" else await self.token(as_)
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        async with self.client() as client:
            return await client.request(method, path, headers=headers, **options)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client without a network."""
        transport = httpx.ASGITransport(self.app, client=(self.peer, 4711), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
            yield client


def sentence_of(answer: httpx.Response) -> str:
    """The message of an error; the body must have the shape of one."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "details"}
    assert all("message" in detail for detail in error["details"])
    message: str = error["message"]
    assert message
    assert "\n" not in message
    return message
