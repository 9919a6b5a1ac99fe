"""What is seen of engines from outside: answers, marks that steps leave, and the engine's own account at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

TERMINAL = ("SUCCEEDED", "FAILED", "CANCELED")


class Mark(NamedTuple):
    """A line of the file in which steps leave marks; `wall` is seconds since 1970, as everywhere here."""

    wall: float
    what: str
    run: str
    job: str
    step: str
    attempt: int
    pid: int


@dataclass
class Call:
    """What somebody asked; `status` is None where no answer came, and then nobody can say whether it happened."""

    verb: str
    sent: float
    job_id: str | None = None
    given: dict[str, Any] = field(default_factory=dict)
    answered: float | None = None
    status: int | None = None
    answer: Any = None

    @property
    def is_done(self) -> bool:
        """Whether it was acknowledged."""
        return self.status is not None and self.status < 300


@dataclass
class Life:
    """One engine: from the start of its process to its end; `ready_at` is None of one that was killed before."""

    number: int
    started_at: float
    how: str
    ready_at: float | None = None
    ended_at: float | None = None


class Seen(NamedTuple):
    """The end of a run, as an answer or an event showed it."""

    run: str
    state: str
    finished_at: str
    reason: str | None


@dataclass
class Evidence:
    """All of it. `slots`, `runs`, `logs` and `cards` are what the last engine says, `logs` by run."""

    lives: list[Life] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    sql_marks: list[tuple[str, str]] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    slots: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    cards: list[dict[str, Any]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """What was found wrong on the way: leftover processes, errors that an engine printed, a start that failed."""

    def kills(self) -> list[Life]:
        """The engines that were killed."""
        return [life for life in self.lives if life.how != "stopped"]

    def ready_seconds(self) -> list[float]:
        """How long each engine took to get ready, in order of length."""
        return sorted(life.ready_at - life.started_at for life in self.lives if life.ready_at is not None)

    def summary(self) -> Iterator[str]:
        """Some lines of figures for people."""
        done = Counter(call.verb for call in self.calls if call.is_done)
        unknown = sum(call.status is None for call in self.calls)
        ready = self.ready_seconds()
        how = Counter(life.how for life in self.kills())
        states = Counter(run["state"] for run in self.runs.values())
        slots = Counter(slot["state"] for slot in self.slots)
        yield f"{len(self.kills())} kills: {dict(how)}"
        yield f"{done.total()} requests acknowledged: {dict(done)}; {unknown} without an answer"
        yield f"{sum(slot['count'] for slot in self.slots)} slots: {dict(slots)}"
        yield f"{len(self.runs)} runs: {dict(states)}; {len(self.marks) + len(self.sql_marks)} marks of steps"
        yield f"restart to ready: p50 {ready[len(ready) // 2]:.2f} s, max {ready[-1]:.2f} s, n={len(ready)}"


def read_marks(home: Path, name: str) -> list[Mark]:
    """The marks of a home's steps; a line that is not whole is an error."""
    path = home / name
    return [Mark(*json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def wall(instant: str) -> float:
    """Seconds since 1970 of an instant as the API gives it, which leaves out what is less than a millisecond."""
    return datetime.fromisoformat(instant).timestamp()
