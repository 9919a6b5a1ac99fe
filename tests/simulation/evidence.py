"""What an outsider sees of a simulated world: effects of steps, answers to calls, events, files, the last state.

A moment is in seconds of the loop's clock, which never jumps; what ends in `_at` is an instant of the wall clock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from nomaflow.engine.change import ScheduleRow
from nomaflow.errors import NomaflowError
from nomaflow.wire import Event, JobCard, LogLine, Run, Slot

Answer = Literal["open", "done", "refused", "lost"]


@dataclass
class Effect:
    """One try of a step, as the step itself wrote it down; it ends with the last process of its group."""

    run_id: str
    job_id: str
    step: str
    attempt: int
    life: int
    kwargs: dict[str, Any]
    began: float
    began_at: datetime
    ended: float | None = None
    ended_at: datetime | None = None
    how: str = "goes on"

    def overlaps(self, other: Effect) -> bool:
        """Whether both had effects at one moment."""
        return self.began < (other.ended or float("inf")) and other.began < (self.ended or float("inf"))


@dataclass
class Call:
    """What somebody asked of the engine, and what came back.

    `lost` is a call whose engine died before it answered: it was done or not.
    """

    number: int
    order: int
    verb: str
    job_id: str | None
    given: dict[str, Any]
    life: int
    began: float
    began_at: datetime
    ended: float = float("inf")
    ended_order: int = 2**62
    answer: Answer = "open"
    result: Any = None
    error: NomaflowError | None = None


@dataclass(frozen=True)
class Told:
    """An event as a follower got it."""

    life: int
    moment: float
    event: Event


@dataclass(frozen=True)
class FileVersion:
    """What a job's file, or the settings, holds from a moment on; None where there is none."""

    moment: float
    order: int
    job_id: str | None
    text: str | None
    by_engine: bool = False


@dataclass
class Life:
    """One engine process; `ready` is when its API could be called."""

    number: int
    order: int
    began: float
    began_at: datetime
    ready: float = float("inf")
    stop_asked: float = float("inf")
    ended: float = float("inf")
    how: str = "lives"


@dataclass(frozen=True)
class Jump:
    """The wall clock was set."""

    moment: float
    seconds: float


@dataclass(frozen=True)
class Trouble:
    """A span of time in which the store or the workers did not do what they should."""

    kind: str
    began: float
    ended: float


@dataclass(frozen=True)
class Cursors:
    """The cursors and the newest event's number, as the store has them."""

    moment: float
    life: int
    rows: tuple[ScheduleRow, ...]
    seq: int


@dataclass(frozen=True)
class Seen:
    """What a read showed: runs, those that were in flight by their ids, and the card of each job."""

    moment: float
    life: int
    runs: tuple[Run, ...]
    active: frozenset[str]
    cards: tuple[JobCard, ...]


@dataclass(frozen=True)
class Handover:
    """The runs in flight when an engine was told to stop, and when the next one was ready."""

    stopped: Life
    before: tuple[Run, ...]
    after: tuple[Run, ...]


@dataclass
class Dump:
    """The whole state, through the engine's own verbs."""

    moment: float
    dumped_at: datetime
    runs: dict[str, Run] = field(default_factory=dict)
    logs: dict[str, list[LogLine]] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)
    cards: dict[str, JobCard] = field(default_factory=dict)


@dataclass
class Evidence:
    """All of it, for one seed. `sometimes` counts what really happened."""

    seed: int
    start: datetime
    look_seconds: float
    effects: list[Effect] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    files: list[FileVersion] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    jumps: list[Jump] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    cursors: list[Cursors] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)
    dumps: list[Dump] = field(default_factory=list)
    keys_taken: list[str] = field(default_factory=list)
    calm: float = float("inf")
    unended: list[str] = field(default_factory=list)
    sometimes: Counter[str] = field(default_factory=Counter)
    _order: int = 0

    def next_order(self) -> int:
        """Numbers in the order in which things happen: what happens at one moment has one, too."""
        self._order += 1
        return self._order

    def wall(self, moment: float) -> datetime:
        """What the wall clock said at a moment."""
        ahead = sum(jump.seconds for jump in self.jumps if jump.moment <= moment)
        return self.start + timedelta(seconds=moment) + timedelta(seconds=ahead)

    def saw(self, what: str) -> None:
        """It did happen."""
        self.sometimes[what] += 1
