"""What is recorded together: the rows and events of one change, as the store takes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from nomaflow.engine.model import Slot
from nomaflow.wire import Attempt, EventKind

Row = tuple[Any, ...]
"""Values in the order of a table's columns."""


@dataclass(frozen=True)
class Happened:
    """One transition that is to be recorded, and the record of it that followers are sent.

    `gone_tags` are those of a job that this event removes: who saw it by one of them is told that it is gone.
    """

    happened_at: datetime
    kind: EventKind
    job_id: str | None = None
    run_id: str | None = None
    step: str | None = None
    state: str | None = None
    who: str | None = None
    reason: str | None = None
    record: BaseModel | None = None
    gone_tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeyRow:
    """An idempotency key and the run that it started."""

    account: str
    route: str
    key: str
    body_hash: str
    run_id: str
    created_at: datetime


@dataclass(frozen=True)
class SessionRow:
    """A sign-in."""

    token_hash: str
    account: str
    surface: str
    credential: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class ScheduleRow:
    """A schedule that is watched: up to which instant every fire of it has its slot, and what it was made from."""

    number: int
    job_id: str
    name: str
    rule: str
    cursor: datetime


@dataclass(frozen=True)
class SkipRow:
    """A fire that a person asked to leave out."""

    job_id: str
    schedule: str
    scheduled_at: datetime
    who: str
    created_at: datetime


@dataclass(frozen=True)
class PauseRow:
    """Why a job is switched off, and until when."""

    job_id: str
    reason: str | None
    who: str
    until_at: datetime | None
    paused_at: datetime


@dataclass(frozen=True)
class DefinitionRow:
    """The text of a job that a run was made from."""

    job_id: str
    etag: str
    text: str
    seen_at: datetime


@dataclass(frozen=True)
class WaitRow:
    """A step that waits for its next try, with the tries so far."""

    run_id: str
    position: int
    attempts: tuple[Attempt, ...]
    due_at: datetime


@dataclass
class Change:
    """What is committed together, or not at all.

    `cursors` move schedules that are stored already; `gone_…` and `used_skips` are deleted; a job's new pause takes the
    place of the one before.
    """

    events: list[Happened] = field(default_factory=list)
    inserted: list[Row] = field(default_factory=list)
    updated: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    waits: list[WaitRow] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    schedules: list[ScheduleRow] = field(default_factory=list)
    cursors: list[ScheduleRow] = field(default_factory=list)
    gone_schedules: list[int] = field(default_factory=list)
    skips: list[SkipRow] = field(default_factory=list)
    used_skips: list[SkipRow] = field(default_factory=list)
    pauses: list[PauseRow] = field(default_factory=list)
    gone_pauses: list[str] = field(default_factory=list)
    definitions: list[DefinitionRow] = field(default_factory=list)
    keys: list[KeyRow] = field(default_factory=list)
    sessions: list[SessionRow] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)

    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not any(vars(self).values())

    def add(self, more: Change) -> None:
        """Take what another change has, after what is here."""
        for name, rows in vars(more).items():
            getattr(self, name).extend(rows)
