"""The engine as one object: every verb that the API knows, each passed to the part that has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from nomaflow.engine.backups import Backups
from nomaflow.engine.connectors import Connectors
from nomaflow.engine.feed import Feed
from nomaflow.engine.jobs import Jobs
from nomaflow.engine.model import Actor
from nomaflow.engine.query import Cursor, Idempotency, LogQuery, Reset, RunQuery, SlotQuery
from nomaflow.engine.replays import Replays
from nomaflow.engine.runs import Runs
from nomaflow.engine.schedules import Schedules
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


@dataclass(frozen=True)
class Engine:
    """See `nomaflow.api.port.Engine` for what each verb promises."""

    jobs: Jobs
    history: Runs
    replays: Replays
    schedules: Schedules
    feed: Feed
    all_connectors: Connectors
    all_backups: Backups
    reasons_not_ready: Callable[[], list[str]]

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.feed.epoch, self.feed.seq)

    def not_ready(self) -> list[str]:
        return self.reasons_not_ready()

    def cards(self) -> list[JobCard]:
        return self.jobs.cards()

    def card(self, job_id: str) -> JobCard:
        return self.jobs.card(job_id)

    def tags(self, job_id: str) -> list[str]:
        return self.jobs.tags(job_id)

    def known_job_ids(self) -> set[str]:
        return self.jobs.known_ids()

    async def job(self, job_id: str) -> JobDocument:
        return await self.jobs.document(job_id)

    async def check_job(self, job_id: str, toml: str) -> CheckResult:
        return await self.jobs.check(job_id, toml, self.schedules.next_fires)

    async def create_job(self, change: JobChange, actor: Actor) -> JobDocument:
        return await self.jobs.create(change, actor)

    async def save_job(self, job_id: str, change: JobChange, if_match: str, actor: Actor) -> JobDocument:
        return await self.jobs.save(job_id, change, if_match, actor)

    async def delete_job(self, job_id: str, if_match: str, actor: Actor) -> None:
        await self.jobs.delete(job_id, if_match, actor)

    async def set_enabled(self, job_id: str, toggle: Toggle, actor: Actor) -> JobCard:
        return await self.jobs.set_enabled(job_id, toggle, actor)

    async def reload(self, actor: Actor) -> ReloadResult:
        return await self.jobs.reload(actor)

    def form(self, job_id: str) -> Form:
        return self.jobs.form(job_id)

    def plan(self, job_id: str, launch: Launch) -> Plan:
        return self.jobs.plan(job_id, launch)

    async def launch(
        self, job_id: str, launch: Launch, actor: Actor, idempotency: Idempotency | None
    ) -> tuple[Run, bool]:
        return await self.history.launch(job_id, launch, actor, idempotency)

    async def replay_form(self, job_id: str, run_id: str) -> Form:
        return await self.replays.form(job_id, run_id)

    async def replay_plan(self, run_id: str, replay: Replay) -> Plan:
        return await self.replays.plan(run_id, replay)

    async def replay(
        self, run_id: str, replay: Replay, actor: Actor, idempotency: Idempotency | None
    ) -> tuple[Run, bool]:
        return await self.replays.start(run_id, replay, actor, idempotency)

    def why(self, job_id: str) -> Why:
        return self.jobs.why(job_id)

    async def durations(self, job_id: str, limit: int) -> list[Duration]:
        return await self.history.durations(job_id, limit)

    async def runs(self, query: RunQuery) -> Page[RunSummary]:
        return await self.history.runs(query)

    async def run(self, run_id: str) -> Run:
        return await self.history.run(run_id)

    async def cancel(self, run_id: str, actor: Actor, *, force: bool, reason: str | None) -> Run:
        return await self.history.cancel(run_id, actor, force=force, reason=reason)

    async def log(self, run_id: str, query: LogQuery) -> LogPage:
        return await self.history.log(run_id, query)

    def follow_log(self, run_id: str, after: int) -> AsyncIterator[LogLine]:
        return self.history.follow_log(run_id, after)

    async def follow_events(self, after: Cursor | None) -> AsyncIterator[Event | Reset]:
        if after is not None and not self.feed.holds(after.epoch, after.seq):
            after = self.cursor
            yield Reset(after)
        async with aclosing(self.feed.follow(after.seq if after else self.feed.seq)) as events:
            async for event in events:
                yield event if event is not None else Reset(self.cursor)

    def today(self) -> datetime:
        return self.schedules.today()

    async def calendar(self, query: SlotQuery) -> Page[Slot]:
        return await self.schedules.calendar(query)

    async def preview(self, ask: PreviewAsk) -> Preview:
        return await self.schedules.preview(ask)

    async def what_if(self, ask: WhatIfAsk) -> WhatIf:
        return await self.schedules.what_if(ask)

    async def skip(self, job_id: str, choice: SlotChoice, actor: Actor) -> Slot:
        return await self.schedules.skip(job_id, choice, actor)

    async def unskip(self, job_id: str, choice: SlotChoice, actor: Actor) -> None:
        await self.schedules.unskip(job_id, choice, actor)

    def connectors(self) -> list[ConnectorInfo]:
        return self.all_connectors.all()

    async def test_connector(self, name: str, actor: Actor) -> ConnectorTest:
        return await self.all_connectors.test(name, actor)

    async def backups(self) -> list[BackupInfo]:
        return await self.all_backups.all()

    async def backup(self) -> BackupInfo:
        return await self.all_backups.make()

    def step_types(self) -> list[StepTypeInfo]:
        return self.jobs.discovery.step_types()

    async def callables(self) -> CallableList:
        return await self.jobs.discovery.callables()
