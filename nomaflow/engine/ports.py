"""What the engine is given from outside: who may do what, where secrets come from, and who runs steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from nomaflow.engine.model import Actor
from nomaflow.worker.protocol import Message


class Policy(Protocol):
    """What the engine asks about people. Cron fires may do what the saved job says."""

    def may_use_connector(self, actor: Actor, connector: str) -> bool:
        """Whether runs that this person starts may open the connector."""

    def is_admin(self, actor: Actor) -> bool:
        """Whether this person may do everything: steps of its housekeeping touch the history of all jobs."""

    def may_run_job(self, actor: Actor, job_id: str, tags: list[str]) -> bool:
        """Whether this person may run the job, as a step of another one does."""

    def may_run_shell(self, actor: Actor, job_id: str, tags: list[str]) -> bool:
        """Whether this person may start shell steps of the job."""


class Secrets(Protocol):
    """Where secret values come from. They are resolved when a step starts and kept nowhere."""

    def connector(self, name: str) -> ResolvedConnector:
        """A connector with its password.

        Raises:
            LookupError: unknown connector, or its secret cannot be read; one sentence without the secret.
        """

    def secret(self, name: str) -> str:
        """A named secret's value.

        Raises:
            LookupError: there is none.
        """

    def environment(self, name: str) -> str | None:
        """An environment variable of the engine, for `${env:X}`."""


@dataclass(frozen=True)
class ResolvedConnector:
    """What a worker needs to connect, and which of it must never be shown."""

    spec: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False, default=())


class Worker(Protocol):
    """A process that runs one step at a time; see `nomaflow.worker.pool.Worker` for what each verb promises."""

    ran_code_of: str | None

    @property
    def pid(self) -> int:
        """The process, its group and its session."""

    async def start_step(self, spec: Message, handler: Callable[[Message], Message | None]) -> None:
        """Begin a step; the handler is given its messages and gives back what is to be answered."""

    async def step_end(self) -> Message:
        """Serve the step until it ends; canceled, it can be called again."""

    async def run_step(self, spec: Message, handler: Callable[[Message], Message | None]) -> Message:
        """Begin a step and serve it until it ends."""

    async def send(self, message: Message) -> None:
        """Send one frame."""

    def signal(self, number: int) -> bool:
        """Send a signal to the whole group."""

    async def kill(self) -> list[int]:
        """Kill the group; what is left of it."""


class Workers[W: Worker](Protocol):
    """Where workers come from."""

    async def acquire(self, job_id: str) -> W:
        """A worker that may run a step of the job.

        Raises:
            WorkerError: none could be started.
        """

    async def release(self, worker: W, *, clean: bool) -> list[int]:
        """Give it back; one that is not clean is killed."""
