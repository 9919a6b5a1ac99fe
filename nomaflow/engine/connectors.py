"""The engine's verbs about connectors."""

from __future__ import annotations

import time

import trio

from nomaflow.definitions.catalogue import Catalogue
from nomaflow.definitions.connector import Connector, SqlConnector
from nomaflow.definitions.job import Job
from nomaflow.definitions.problems import near_miss
from nomaflow.engine.model import Actor, InForce
from nomaflow.engine.ports import Policy, Secrets
from nomaflow.errors import NotAllowedError, NotBuiltError, NotFoundError, NotReadyError
from nomaflow.wire import ConnectorInfo, ConnectorTest
from nomaflow.worker.pool import WorkerError, WorkerPool
from nomaflow.worker.protocol import Message

TEST_SECONDS = 15.0


class Connectors:
    """What the settings name, without its secrets, and whether it answers."""

    def __init__(
        self,
        in_force: InForce,
        catalogue: Catalogue,
        pool: WorkerPool,
        secrets: Secrets,
        policy: Policy,
        home: str,
    ) -> None:
        self._in_force, self._catalogue, self._pool = in_force, catalogue, pool
        self._secrets, self._policy, self._home = secrets, policy, home

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
        """Open the connector in a worker and ask it one thing."""
        connectors = self._in_force.settings.connectors
        if name not in connectors:
            raise NotFoundError(f"there is no connector {name!r} in nomaflow.toml" + near_miss(name, connectors))
        if not self._policy.may_use_connector(actor, name):
            raise NotAllowedError(f"{actor.account} may not use the connector {name!r}; an admin can grant it")
        if not isinstance(connectors[name], SqlConnector):
            raise NotBuiltError(f"testing a connector of kind {connectors[name].kind} is not built yet")
        try:
            resolved = self._secrets.connector(name)
        except LookupError as error:
            return ConnectorTest(ok=False, message=str(error.args[0]), elapsed_ms=0)
        started = time.monotonic()
        end = await self._ask(name, dict(resolved.spec))
        elapsed_ms = round((time.monotonic() - started) * 1000, 1)
        if "done" in end:
            return ConnectorTest(ok=True, message=f"{name} answers", elapsed_ms=elapsed_ms)
        message = end["failed"]["message"] if "failed" in end else end.get("died", "the test was stopped")
        for secret in resolved.secrets:
            message = message.replace(secret, "••••")
        return ConnectorTest(ok=False, message=message.strip().split("\n")[0], elapsed_ms=elapsed_ms)

    async def _ask(self, name: str, spec: Message) -> Message:
        try:
            worker = await self._pool.acquire("")
        except WorkerError as error:
            raise NotReadyError(str(error)) from None
        end: Message = {"died": f"{name} did not answer within {TEST_SECONDS:.0f} s"}
        try:
            with trio.move_on_after(TEST_SECONDS):
                end = await worker.run_step(_test_step(name, spec, self._home), lambda message: None)
        finally:
            with trio.CancelScope(shield=True):
                await self._pool.release(worker, clean="done" in end)
        return end

    def _users(self) -> dict[str, set[str]]:
        users: dict[str, set[str]] = {}
        for job_id, entry in self._catalogue.entries.items():
            job = entry.job or entry.last_good
            for name in _named(job) if job else ():
                users.setdefault(name, set()).add(job_id)
        return users


def _named(job: Job) -> set[str]:
    names = {name for step in job.steps for name in step.connectors()}
    for params in (job.params, *(job.op_kwargs(step) for step in job.steps)):
        names |= {str(param.default) for param in params.values() if param.type == "connector" and param.default}
    return names


def _target(connector: Connector) -> str:
    """Where it leads. The settings refuse an address with a password in it."""
    return connector.url


def _test_step(name: str, spec: Message, home: str) -> Message:
    return {
        "type": "sql_query",
        "run_id": "",
        "job_id": "",
        "step": "test",
        "attempt": 1,
        "log_level": "INFO",
        "session_user": "",
        "kwargs": {},
        "options": {"connector": name, "query": "SELECT 1", "params": {}},
        "outputs": {},
        "connectors": {name: {"connector": spec}},
        "home": home,
        "import_root": home,
    }
