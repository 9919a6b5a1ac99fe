"""The smallest engine that the API can stand on: fixed jobs and runs, and a note of what it was asked.

What the engine itself does with a request is tested elsewhere; here only what the API lets through to it, and how it
shows what comes back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import trio

from nomaflow.api.port import Cursor, Idempotency, LogQuery, Reset, RunQuery, SlotQuery
from nomaflow.engine.model import Actor
from nomaflow.errors import NotFoundError
from nomaflow.launch.form import Field
from nomaflow.wire import (
    ActiveRun,
    BackupInfo,
    CallableList,
    CardSchedule,
    CheckResult,
    ConnectorInfo,
    ConnectorTest,
    Duration,
    Event,
    Form,
    JobCard,
    JobChange,
    JobDocument,
    LastRun,
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
    RunState,
    RunSummary,
    Slot,
    SlotChoice,
    SlotState,
    StepTypeInfo,
    Toggle,
    WhatIf,
    WhatIfAsk,
    Why,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def card(job_id: str, *tags: str, **fields: Any) -> JobCard:
    """A job's card."""
    return JobCard.model_validate({"id": job_id, "tags": list(tags), "etag": f"etag-{job_id}", **fields})


def run(run_id: str, job_id: str, state: RunState = RunState.SUCCEEDED) -> Run:
    """A run without steps."""
    plan = Plan(log_level="INFO", steps=[])
    return Run(id=run_id, job_id=job_id, state=state, queued_at=NOON, triggered_by="user:ana", via="web", plan=plan)


def slot(job_id: str) -> Slot:
    """A fire that is still to come."""
    return Slot(job_id=job_id, schedule="default", scheduled_at=NOON, state=SlotState.DUE)


def backup() -> BackupInfo:
    """One that was made at noon."""
    return BackupInfo(
        name="20260301T120000Z",
        path="/home/.nomaflow/backups/20260301T120000Z",
        created_at=NOON,
        verified_at=NOON,
        size_bytes=1000,
        runs=2,
        seq=7,
        epoch=3,
        schema_version=3,
        program="nomaflow",
    )


def run_id(number: int) -> str:
    """A well-formed run id."""
    return f"run_{number:013d}"


RUN_NINE = run_id(9)


def line(seq: int, text: str) -> LogLine:
    """One line of a log."""
    return LogLine(seq=seq, ts=NOON + timedelta(seconds=seq), level="INFO", step="load", attempt=1, text=text)


def event(seq: int, job_id: str | None, kind: str = "run", **record: Any) -> Event:
    """One event."""
    return Event.model_validate(
        {"seq": seq, "happened_at": NOON, "kind": kind, "job_id": job_id, "run_id": None, "record": record}
    )


@dataclass
class ScriptedEngine:
    """An engine of fixed answers. `asked` holds the calls that change something, and what they were given."""

    jobs: dict[str, JobCard] = field(default_factory=dict)
    known_runs: dict[str, Run] = field(default_factory=dict)
    lines: list[LogLine] = field(default_factory=list)
    events: list[Event | Reset] = field(default_factory=list)
    known_connectors: list[ConnectorInfo] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    raises: Exception | None = None
    replayed: bool = False
    endless: bool = False
    given: int = 0
    followed: trio.Event = field(default_factory=trio.Event)
    left: trio.Event = field(default_factory=trio.Event)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    cursor: Cursor = field(default=Cursor(epoch=3, seq=7))

    @classmethod
    def with_two_jobs(cls) -> ScriptedEngine:
        """`jde-nightly` (tag `etl`) and `hr-sync`, each with one run."""
        engine = cls()
        schedule = CardSchedule(name="", cron="0 5 * * *", timezone="UTC", enabled=True)
        active = ActiveRun(id=run_id(2), state=RunState.RUNNING, step_index=1, step_count=1)
        last = LastRun(id=run_id(1), state=RunState.SUCCEEDED, started_at=NOON, triggered_by="user:ana")
        engine.jobs = {
            "hr-sync": card("hr-sync", description="People", active_runs=[active], next_fire_at=NOON),
            "jde-nightly": card("jde-nightly", "etl", description="JDE tables", schedules=[schedule], last_run=last),
        }
        engine.known_runs = {
            run_id(1): run(run_id(1), "jde-nightly"),
            run_id(2): run(run_id(2), "hr-sync", RunState.RUNNING),
        }
        engine.known_connectors = [
            ConnectorInfo(name="jde", kind="sql", backend="sqlite", target="jde.db", used_by=["jde-nightly"]),
            ConnectorInfo(name="people", kind="ldap", backend="ldap", target="ldap.example.org", used_by=["hr-sync"]),
        ]
        engine.lines = [line(1, "begin"), line(2, "end")]
        return engine

    def not_ready(self) -> list[str]:
        return self.reasons

    def cards(self) -> list[JobCard]:
        if self.raises:
            raise self.raises
        return list(self.jobs.values())

    def tags(self, job_id: str) -> list[str]:
        return self.card(job_id).tags

    def card(self, job_id: str) -> JobCard:
        if job_id not in self.jobs:
            raise NotFoundError(f"no {job_id}")
        return self.jobs[job_id]

    async def job(self, job_id: str) -> JobDocument:
        return JobDocument(id=job_id, etag=self.card(job_id).etag, toml="# text\n")

    def known_job_ids(self) -> set[str]:
        return {*self.jobs, *(run.job_id for run in self.known_runs.values())}

    async def check_job(self, job_id: str, toml: str) -> CheckResult:
        return CheckResult(problems=[])

    async def create_job(self, change: JobChange, actor: Actor) -> JobDocument:
        self.asked.append(("create", change, actor))
        return JobDocument(id=change.id or "", etag="new", toml=change.toml or "")

    async def save_job(self, job_id: str, change: JobChange, if_match: str, actor: Actor) -> JobDocument:
        self.asked.append(("save", job_id, change, if_match, actor))
        return JobDocument(id=job_id, etag="saved", toml=change.toml or "")

    async def delete_job(self, job_id: str, if_match: str, actor: Actor) -> None:
        self.asked.append(("delete", job_id, if_match, actor))

    async def set_enabled(self, job_id: str, toggle: Toggle, actor: Actor) -> JobCard:
        self.asked.append(("toggle", job_id, toggle, actor))
        return self.card(job_id)

    async def reload(self, actor: Actor) -> ReloadResult:
        self.asked.append(("reload", actor))
        return ReloadResult()

    def form(self, job_id: str) -> Form:
        level = Field(path="log_level", label="Log level", type="choice", choices=["INFO", "DEBUG"])
        return Form(job_id=job_id, etag="e", fires_at_once=True, log_level=level)

    async def replay_form(self, job_id: str, run_id: str) -> Form:
        self.asked.append(("replay form", job_id, run_id))
        return self.form(job_id)

    async def replay_plan(self, run_id: str, replay: Replay) -> Plan:
        self.asked.append(("replay plan", run_id, replay))
        return Plan(log_level="INFO", steps=[])

    async def replay(
        self, run_id: str, replay: Replay, actor: Actor, idempotency: Idempotency | None
    ) -> tuple[Run, bool]:
        self.asked.append(("replay", run_id, replay, actor, idempotency))
        return run(RUN_NINE, self.known_runs[run_id].job_id, RunState.QUEUED), self.replayed

    def plan(self, job_id: str, launch: Launch) -> Plan:
        return Plan(log_level="INFO", steps=[])

    async def launch(
        self, job_id: str, launch: Launch, actor: Actor, idempotency: Idempotency | None
    ) -> tuple[Run, bool]:
        self.asked.append(("launch", job_id, launch, actor, idempotency))
        return run(run_id(9), job_id, RunState.QUEUED), self.replayed

    def why(self, job_id: str) -> Why:
        return Why(why="it waits for its next fire")

    async def durations(self, job_id: str, limit: int) -> list[Duration]:
        return [Duration(run_id=run_id(1), state=RunState.SUCCEEDED, started_at=NOON, seconds=2.0)]

    async def runs(self, query: RunQuery) -> Page[RunSummary]:
        self.asked.append(("runs", query))
        chosen = [each for each in self.known_runs.values() if query.jobs is None or each.job_id in query.jobs]
        return Page(items=[each for each in chosen if query.job in (None, each.job_id)])

    async def run(self, run_id: str) -> Run:
        if run_id not in self.known_runs:
            raise NotFoundError(f"no {run_id}")
        return self.known_runs[run_id]

    async def cancel(self, run_id: str, actor: Actor, *, force: bool, reason: str | None) -> Run:
        self.asked.append(("cancel", run_id, actor, force, reason))
        return self.known_runs[run_id]

    async def log(self, run_id: str, query: LogQuery) -> LogPage:
        self.asked.append(("log", run_id, query))
        lines = [line for line in self.lines if line.seq > query.after][: query.limit]
        return LogPage(lines=lines, next=lines[-1].seq if lines else query.after, end=True)

    async def follow_log(self, run_id: str, after: int) -> AsyncIterator[LogLine]:
        for each in self.lines[after:]:
            yield each
        if self.endless:
            await trio.sleep_forever()

    async def follow_events(self, after: Cursor | None) -> AsyncIterator[Event | Reset]:
        self.asked.append(("events", after))
        try:
            for each in self.events:
                self.followed.set()
                self.given += 1
                yield each
            if self.endless:
                await trio.sleep_forever()
        finally:
            self.left.set()

    def today(self) -> datetime:
        return NOON.replace(hour=0)

    async def calendar(self, query: SlotQuery) -> Page[Slot]:
        self.asked.append(("calendar", query))
        shown = [job_id for job_id in self.jobs if query.shows(job_id)]
        return Page(items=[slot(job_id) for job_id in shown], next_cursor="due 1 a b" if query.cursor is None else None)

    async def preview(self, ask: PreviewAsk) -> Preview:
        self.asked.append(("preview", ask))
        return Preview(fires=[NOON], timezone="UTC", words="At noon")

    async def what_if(self, ask: WhatIfAsk) -> WhatIf:
        self.asked.append(("what-if", ask))
        numbers = dict.fromkeys(("fires_before", "fires_after", "overlaps", "overlaps_when_slow"), 1)
        return WhatIf(since=NOON, until=NOON, timezone="UTC", words="At noon", **numbers)

    async def skip(self, job_id: str, choice: SlotChoice, actor: Actor) -> Slot:
        self.asked.append(("skip", job_id, choice, actor))
        return slot(job_id)

    async def unskip(self, job_id: str, choice: SlotChoice, actor: Actor) -> None:
        self.asked.append(("unskip", job_id, choice, actor))

    def connectors(self) -> list[ConnectorInfo]:
        return self.known_connectors

    async def test_connector(self, name: str, actor: Actor) -> ConnectorTest:
        self.asked.append(("test", name, actor))
        return ConnectorTest(ok=True, message="connected", elapsed_ms=1.0)

    async def backups(self) -> list[BackupInfo]:
        return [backup()]

    async def backup(self) -> BackupInfo:
        self.asked.append(("backup",))
        return backup()

    async def callables(self) -> CallableList:
        return CallableList(items=[])

    def step_types(self) -> list[StepTypeInfo]:
        return [StepTypeInfo(type="python", description="Calls a function", options={})]
