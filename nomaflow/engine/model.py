"""What happened: the records that the engine keeps in memory for runs in flight, and who asked for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from nomaflow.definitions.settings import Settings
from nomaflow.launch.plan import Plan
from nomaflow.wire import Receipt, RunState, SlotState, StepRun, StepState
from nomaflow.wire import Slot as WireSlot

MAX_ROWS = 2**63 - 1
"""The largest count that the store holds."""

INTERRUPTED_RESTARTED = "interrupted: engine restarted"
INTERRUPTED_RESTORED = "interrupted: restored from a backup"
INTERRUPTED_STOPPED = "interrupted: engine stopped"


class InForce:
    """The settings that hold now; a reload puts others in, and whoever needs them asks at each use, or listens."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listeners: list[Callable[[Settings], None]] = []

    @property
    def settings(self) -> Settings:
        """The newest ones."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._settings = settings
        for listener in self._listeners:
            listener(settings)

    def on_change(self, listener: Callable[[Settings], None]) -> None:
        """Tell it of every change."""
        self._listeners.append(listener)


@dataclass(frozen=True)
class Actor:
    """Who asks, and from which surface. For a cron fire the surface is `cron` and the account the schedule's name."""

    account: str
    surface: str

    @property
    def triggered_by(self) -> str:
        """As a run stores it: `user:ana` from the dashboard, else `<surface>:ana`; `cron` or `cron:<schedule>`."""
        if self.surface == "web":
            return f"user:{self.account}"
        return f"{self.surface}:{self.account}" if self.account else self.surface


@dataclass(frozen=True)
class Slot:
    """What became of one nominal fire of a schedule; `number` is the schedule's in the store.

    One with a `count` above 1 stands for that many missed fires, from `scheduled_at` to `last_at`. `into_at` is the
    fire that ran in the place of one that was COALESCED.
    """

    number: int
    job_id: str
    schedule: str
    scheduled_at: datetime
    state: SlotState
    decided_at: datetime
    reason: str | None = None
    run_id: str | None = None
    into_at: datetime | None = None
    count: int = 1
    last_at: datetime | None = None

    @property
    def slot_id(self) -> int:
        """Its key in the store, of which there can be no second one."""
        return self.number * 2**33 + int(self.scheduled_at.timestamp())

    def record(self) -> WireSlot:
        """As the API sends it."""
        return WireSlot(
            job_id=self.job_id,
            schedule=self.schedule,
            scheduled_at=self.scheduled_at,
            state=self.state,
            reason=self.reason,
            run_id=self.run_id,
            late_seconds=(self.decided_at - self.scheduled_at).total_seconds(),
            into=self.into_at,
            count=self.count,
            last_at=self.last_at,
        )


@dataclass
class Run:
    """A run in flight, changed only by the runner. Ended runs live in the store alone.

    `today` is the day that date tokens count from, in the home's zone.
    """

    id: str
    job_id: str
    plan: Plan
    steps: list[StepRun]
    actor: Actor
    etag: str
    queued_at: datetime
    state: RunState = RunState.QUEUED
    reason: str | None = None
    wait_reason: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    schedule: str | None = None
    scheduled_at: datetime | None = None
    replay_of: str | None = None
    parent_run: str | None = None
    step_index: int = 0
    receipt: Receipt | None = None
    expected_seconds: float | None = None
    today: date | None = None

    @property
    def due_at(self) -> datetime:
        """When it was to begin: at its slot, or when it was asked for."""
        return self.scheduled_at or self.queued_at

    @property
    def rows_affected(self) -> int | None:
        """The sum over the steps that know theirs."""
        known = [step.rows_affected for step in self.steps if step.rows_affected is not None]
        return min(sum(known), MAX_ROWS) if known else None

    @property
    def step_summary(self) -> str:
        """`7 / 7 ✓`, or how far it came and where it failed."""
        return step_summary(self.steps)


def step_summary(steps: list[StepRun]) -> str:
    """How many steps did what they should, and which one failed."""
    total = len(steps)
    well = sum(step.state is StepState.SUCCEEDED for step in steps)
    failed = next((step.name for step in steps if step.state is StepState.FAILED), None)
    if failed:
        return f"{well} / {total} — failed at {failed}"
    skipped = sum((step.reason or "").startswith("skipped") for step in steps)
    if well + skipped == total:
        return f"{well} / {total} ✓" if not skipped else f"{well} / {total} ✓, {skipped} skipped"
    return f"{well} / {total}"
