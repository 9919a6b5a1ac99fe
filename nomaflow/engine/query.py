"""What is asked of the engine, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from nomaflow.wire import RunState


@dataclass(frozen=True)
class RunQuery:
    """Which runs to list, newest first; all of it must fit.

    `q` is a search (`nomaflow.history.search`); `jobs` are those that the person may see, None for all; instants are
    UTC; `cursor` is the last page's `next_cursor`.
    """

    q: str | None = None
    job: str | None = None
    jobs: frozenset[str] | None = None
    state: RunState | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True)
class SlotQuery:
    """Which slots to list, in order of time: those with a nominal time in [since, until).

    `jobs` are those that the person may see, None for all; `cursor` is the last page's `next_cursor`.
    """

    since: datetime
    until: datetime
    jobs: frozenset[str] | None = None
    limit: int = 100
    cursor: str | None = None

    def shows(self, job_id: str) -> bool:
        """Whether slots of the job are asked for."""
        return self.jobs is None or job_id in self.jobs


@dataclass(frozen=True)
class LogQuery:
    """Which lines of a run's log: after a number, or the last `tail`; narrowed by level, step and text."""

    after: int = 0
    limit: int = 500
    tail: int | None = None
    level: str | None = None
    step: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class Idempotency:
    """A key that a client gave with a launch, and the body it came with."""

    account: str
    route: str
    key: str
    body_hash: str


@dataclass(frozen=True)
class Cursor:
    """A place in the event stream."""

    epoch: int
    seq: int


class Reset:
    """The cursor is too old to continue from: read everything again. `cursor` is where the stream goes on."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
