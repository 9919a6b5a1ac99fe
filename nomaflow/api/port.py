"""What the API asks of an engine. The real one and the tests' fake both answer it, under the same routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from nomaflow.engine.model import Actor
from nomaflow.engine.query import Cursor, Idempotency, LogQuery, Reset, RunQuery, SlotQuery
from nomaflow.wire import (
    BackupInfo,
    CallableList,
    CheckResult,
    ConnectorInfo,
    ConnectorTest,
    Duration,
    Event,
    Form,
    JobCard,
    JobChange,
    JobDocument,
    Launch,
    LogLine,
    LogPage,
    Page,
    Plan,
    Preview,
    PreviewAsk,
    ReloadResult,
    Replay,
    Run,
    RunSummary,
    Slot,
    SlotChoice,
    StepTypeInfo,
    Toggle,
    WhatIf,
    WhatIfAsk,
    Why,
)

__all__ = ["Cursor", "Engine", "Idempotency", "LogQuery", "Reset", "RunQuery", "SlotQuery"]


class Engine(Protocol):
    """Every verb of the engine. All of them raise NomaflowErrors; none checks a person's role: that is the API's.

    What changes something has happened, durably, when the call returns.
    """

    @property
    def cursor(self) -> Cursor:
        """The newest event."""

    def not_ready(self) -> list[str]:
        """Why the engine cannot run jobs now; empty when it can."""

    def cards(self) -> list[JobCard]:
        """All jobs, the ones with problems too, by id; `can` is left empty."""

    def card(self, job_id: str) -> JobCard: ...
    def tags(self, job_id: str) -> list[str]:
        """A job's tags, which grants go by; asked at every request, so it is cheap."""

    def known_job_ids(self) -> set[str]:
        """The jobs that are there, and those that are deleted and have left runs."""

    async def job(self, job_id: str) -> JobDocument: ...
    async def check_job(self, job_id: str, toml: str) -> CheckResult: ...
    async def create_job(self, change: JobChange, actor: Actor) -> JobDocument: ...
    async def save_job(self, job_id: str, change: JobChange, if_match: str, actor: Actor) -> JobDocument: ...
    async def delete_job(self, job_id: str, if_match: str, actor: Actor) -> None: ...
    async def set_enabled(self, job_id: str, toggle: Toggle, actor: Actor) -> JobCard: ...
    async def reload(self, actor: Actor) -> ReloadResult: ...

    def form(self, job_id: str) -> Form: ...
    def plan(self, job_id: str, launch: Launch) -> Plan: ...
    async def launch(
        self, job_id: str, launch: Launch, actor: Actor, idempotency: Idempotency | None
    ) -> tuple[Run, bool]:
        """Start a run. The flag says that an earlier launch with the same key is given back."""

    async def replay_form(self, job_id: str, run_id: str) -> Form:
        """The job's form with the values of a run of it that is over."""

    async def replay_plan(self, run_id: str, replay: Replay) -> Plan: ...
    async def replay(
        self, run_id: str, replay: Replay, actor: Actor, idempotency: Idempotency | None
    ) -> tuple[Run, bool]:
        """Run an ended run again. The flag is as for a launch."""

    def why(self, job_id: str) -> Why: ...
    async def durations(self, job_id: str, limit: int) -> list[Duration]: ...
    async def runs(self, query: RunQuery) -> Page[RunSummary]: ...
    async def run(self, run_id: str) -> Run: ...
    async def cancel(self, run_id: str, actor: Actor, *, force: bool, reason: str | None) -> Run:
        """Ask a run to stop and give it back as it is then; cancelling twice is the same as once."""

    async def log(self, run_id: str, query: LogQuery) -> LogPage: ...
    def follow_log(self, run_id: str, after: int) -> AsyncIterator[LogLine]:
        """The lines after a number as they come; ends when the run has ended and all were given."""

    def follow_events(self, after: Cursor | None) -> AsyncIterator[Event | Reset]:
        """The events after a cursor, then new ones as they come, until the engine stops; None starts with the next."""

    def today(self) -> datetime:
        """When today began in the home's zone."""

    async def calendar(self, query: SlotQuery) -> Page[Slot]:
        """Slots in order of time: what became of past fires, then the ones to come."""

    async def preview(self, ask: PreviewAsk) -> Preview: ...
    async def what_if(self, ask: WhatIfAsk) -> WhatIf: ...
    async def skip(self, job_id: str, choice: SlotChoice, actor: Actor) -> Slot:
        """Leave one fire to come out."""

    async def unskip(self, job_id: str, choice: SlotChoice, actor: Actor) -> None: ...

    def connectors(self) -> list[ConnectorInfo]: ...
    async def test_connector(self, name: str, actor: Actor) -> ConnectorTest: ...
    def step_types(self) -> list[StepTypeInfo]: ...
    async def callables(self) -> CallableList:
        """The functions of the jobs folder, read off their source."""

    async def backups(self) -> list[BackupInfo]:
        """The complete backups, newest first."""

    async def backup(self) -> BackupInfo:
        """Make a backup of the store and the home's files, and verify it; older ones go that are not to be kept.

        Raises:
            NotReadyError: it could not be made.
        """
