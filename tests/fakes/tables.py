"""What a run store in memory holds: rows as the real store has them, which are never changed but replaced."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from nomaflow.engine.change import KeyRow, PauseRow, Row, ScheduleRow, SessionRow, SkipRow


@dataclass(frozen=True)
class EventRow:
    """A row of the table of events."""

    seq: int
    epoch: int
    happened_at: datetime
    kind: str
    job_id: str | None
    run_number: int | None
    step: str | None
    state: str | None
    who: str | None
    reason: str | None


@dataclass
class Tables:
    """What is on the disk: it outlives the stores that are opened on it. Rows are as the real store has them."""

    epoch: int = 0
    runs: dict[int, Row] = field(default_factory=dict)
    steps: dict[int, list[Row]] = field(default_factory=dict)
    waits: list[Row] = field(default_factory=list)
    slots: dict[int, Row] = field(default_factory=dict)
    schedules: list[ScheduleRow] = field(default_factory=list)
    skips: list[SkipRow] = field(default_factory=list)
    pauses: list[PauseRow] = field(default_factory=list)
    definitions: dict[tuple[str, str], str] = field(default_factory=dict)
    events: list[EventRow] = field(default_factory=list)
    lines: dict[int, list[Row]] = field(default_factory=dict)
    keys: list[KeyRow] = field(default_factory=list)
    sessions: list[SessionRow] = field(default_factory=list)
