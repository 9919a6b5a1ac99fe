"""The engine's verbs about connectors."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import trio

from nomaflow.definitions.catalogue import Catalogue
from nomaflow.definitions.connector import Connector, HttpConnector, SqlConnector
from nomaflow.engine.model import Actor, InForce
from nomaflow.engine.own_step import own_step
from nomaflow.engine.ports import Policy, Secrets, Workers
from nomaflow.engine.run_log import Masks
from nomaflow.engine.web import Web
from nomaflow.errors import NotAllowedError, NotFoundError, NotReadyError
from nomaflow.wire import ConnectorInfo, ConnectorTest
from nomaflow.worker.pool import WorkerError
from nomaflow.worker.protocol import Message

TEST_SECONDS = 15.0

_ASKING: dict[str, tuple[str, dict[str, Any]]] = {
    "sql": ("sql_query", {"query": "SELECT 1", "params": {}}),
    "oracle": ("sql_query", {"query": "SELECT 1 FROM dual", "params": {}}),
    "ldap": ("ask_directory", {}),
}
"""The step that asks a connector one thing in a worker, by its kind, or its database where that wants another."""


class Connectors:
    """What the settings name, without its secrets, and whether it answers."""

    def __init__(
        self,
        in_force: InForce,
        catalogue: Catalogue,
        pool: Workers[Any],
        secrets: Secrets,
        policy: Policy,
        web: Web,
        home: str,
    ) -> None:
        self._in_force, self._catalogue, self._pool = in_force, catalogue, pool
        self._secrets, self._policy, self._web, self._home = secrets, policy, web, home

    def all(self) -> list[ConnectorInfo]:
        """Every connector, by name."""
        users = self._users()
        return [
            ConnectorInfo(
                name=name,
                kind=connector.kind,
                backend=connector.backend if isinstance(connector, SqlConnector) else connector.kind,
                target=_target(connector),
                description=connector.description,
                max_runs=connector.max_runs,
                used_by=sorted(users.get(name, ())),
            )
            for name, connector in sorted(self._in_force.settings.connectors.items())
        ]

    async def test(self, name: str, actor: Actor) -> ConnectorTest:
        """Open the connector, a database or a directory in a worker, and ask it one thing."""
        connector = self._usable(name, actor)
        try:
            resolved = self._secrets.connector(name)
        except LookupError as error:
            return ConnectorTest(ok=False, message=str(error.args[0]), elapsed_ms=0)
        started = time.monotonic()
        if isinstance(connector, HttpConnector):
            ok, message = await self._web.probe(resolved.spec, TEST_SECONDS)
        else:
            ok, message = await self._ask(name, connector.kind, dict(resolved.spec))
        elapsed_ms = round((time.monotonic() - started) * 1000, 1)
        masks = Masks()
        masks.add(resolved.secrets)
        return ConnectorTest(ok=ok, message=masks.over(message).strip().split("\n")[0], elapsed_ms=elapsed_ms)

    def _usable(self, name: str, actor: Actor) -> Connector:
        """The connector, if the person may use it."""
        connectors = self._in_force.settings.connectors
        if name not in connectors:
            raise NotFoundError(f"there is no connector {name!r} in nomaflow.toml")
        if not self._policy.may_use_connector(actor, name):
            raise NotAllowedError(f"{actor.account} may not use the connector {name!r}; an admin can grant it")
        return connectors[name]

    async def _ask(self, name: str, kind: str, spec: Message) -> tuple[bool, str]:
        """Whether the database or directory answers, and what it says."""
        try:
            worker = await self._pool.acquire("")
        except WorkerError as error:
            raise NotReadyError(str(error)) from None
        end: Message = {"died": f"{name} did not answer within {TEST_SECONDS:.0f} s"}
        try:
            with trio.move_on_after(TEST_SECONDS):
                step_type, options = _ASKING.get(spec.get("backend", ""), _ASKING[kind])
                step = own_step(step_type, {"connector": name, **options}, {name: {"connector": spec}}, self._home)
                end = await worker.run_step(step, lambda message: None)
        finally:
            with trio.CancelScope(shield=True):
                await self._pool.release(worker, clean="done" in end)
        if "done" in end:
            return True, f"{name} answers"
        return False, end["failed"]["message"] if "failed" in end else end.get("died", "the test was stopped")

    def _users(self) -> dict[str, set[str]]:
        users: dict[str, set[str]] = {}
        for job_id, entry in self._catalogue.entries.items():
            job = entry.job or entry.last_good
            for name in job.connectors() if job else ():
                users.setdefault(name, set()).add(job_id)
        return users


def _target(connector: Connector) -> str:
    """Where it leads, without what may be a key: a web hook has its in the path, a driver's options may hold one.

    Of a service it is the host alone, of a database or a directory all but the query. The settings refuse addresses
    with a password in them.
    """
    if isinstance(connector, HttpConnector):
        parts = urlsplit(connector.url)
        return f"{parts.scheme}://{parts.netloc}"
    return connector.url.partition("?")[0]
