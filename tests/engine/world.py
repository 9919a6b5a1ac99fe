"""A runner on a virtual clock: real store in a temporary folder, fake workers, no thread."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trio

from nomaflow.definitions.job import Job
from nomaflow.definitions.settings import EngineSettings, Settings
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.board import Board
from nomaflow.engine.cancel import Stop
from nomaflow.engine.feed import Feed
from nomaflow.engine.model import Actor, InForce, Run
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.rows import run_record
from nomaflow.engine.runner import Runner
from nomaflow.engine.step_try import Surroundings
from nomaflow.engine.store import Store
from nomaflow.launch import plan as plans
from nomaflow.launch.overrides import Overrides
from nomaflow.seams import Seams, run_number
from nomaflow.wire import Run as WireRun
from nomaflow.wire import StepRun
from tests.fakes.workers import FakeWorkers

START = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)


class Anybody:
    """A policy that allows all."""

    def may_use_connector(self, actor: Actor, connector: str) -> bool:
        return True

    def is_admin(self, actor: Actor) -> bool:
        return True

    def may_run_job(self, actor: Actor, job_id: str, tags: list[str]) -> bool:
        return True

    def may_run_shell(self, actor: Actor, job_id: str, tags: list[str]) -> bool:
        return True


class FewSecrets:
    """A home without connectors and secrets, whose engine has these variables."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}

    def connector(self, name: str) -> Any:
        raise LookupError(f"there is no connector {name!r}")

    def secret(self, name: str) -> str:
        raise LookupError(f"there is no secret {name!r}")

    def environment(self, name: str) -> str | None:
        return self.variables.get(name)


def virtual_now() -> datetime:
    """The wall clock of a test: `START` at the loop's zero."""
    return START + timedelta(seconds=trio.current_time())


def job(*modes: str, job_id: str = "job", **fields: Any) -> Job:
    """A job with a python step `s0`, `s1` … for each mode of `FakeWorker`; a dict adds fields to its step."""
    steps = [{"name": f"s{n}", "type": "python", "callable": f"mode:{mode}"} for n, mode in enumerate(modes)]
    extra = fields.pop("step_fields", {})
    return Job.model_validate({"id": job_id, "steps": [{**step, **extra} for step in steps], **fields})


@dataclass
class World:
    """What a test of the runner holds."""

    runner: Runner
    workers: FakeWorkers
    recorder: Recorder
    store: Store
    feed: Feed
    board: Board
    seams: Seams
    nursery: trio.Nursery
    secrets: FewSecrets
    in_force: InForce
    commit_seconds: float = 0
    disk_is_full: bool = False

    async def launch(self, job: Job, **overrides: Any) -> ActiveRun:
        """Start a run, as the engine's launch does."""
        plan = plans.resolve(job, Overrides.model_validate(overrides), today=START.date())
        run = Run(
            id=self.seams.run_id(),
            job_id=job.id,
            plan=plan,
            steps=[StepRun(name=step.name, type=step.type) for step in plan.steps],
            actor=Actor("ana", "web"),
            etag="etag",
            queued_at=self.seams.now(),
        )
        active = ActiveRun(run, job, self.store.epoch, self.seams.now)
        self.runner.add(active)
        active.acceptance = self.recorder.submit(active.accepted())
        self.nursery.start_soon(self.runner.execute, active)
        await active.acceptance.wait_durable()
        return active

    async def commit(self, call: Callable[[], None]) -> None:
        """A commit on the loop, since virtual time jumps past threads; it takes `commit_seconds`."""
        await trio.sleep(self.commit_seconds)
        if self.disk_is_full:
            raise OSError(28, "No space left on device")
        call()

    async def ended(self, active: ActiveRun) -> WireRun:
        """The run as it is stored once it has ended."""
        await active.ended.wait()
        return self.stored(active)

    def stored(self, active: ActiveRun) -> WireRun:
        """The run as the store has it now."""
        row = self.store.run(active.run.id)
        assert row is not None
        return run_record(row, self.store.steps_of(run_number(active.run.id)))

    def stop(self, kind: Any = "cancel", *, force: bool = False, reason: str | None = None) -> Stop:
        """A request to stop."""
        return Stop(kind, "user:ana", self.seams.now(), reason, force)

    def log_of(self, active: ActiveRun) -> list[str]:
        """The stored log's texts."""
        rows = self.store.log(active.run.id, after=0, limit=1000, tail=None, levels=[], step=None, text=None)
        return [row[-1] for row in rows]


@asynccontextmanager
async def world(folder: Path, **settings: Any) -> AsyncIterator[World]:
    """A world with these `[engine]` settings."""
    seams = Seams(now=virtual_now, monotonic=trio.current_time, draw=random.Random(7))
    store = Store(folder / "runs.duckdb")
    feed, board, workers = Feed(store.epoch, store.seq), Board([]), FakeWorkers()
    here: World
    secrets = FewSecrets()
    recorder = Recorder(store, feed, offload=lambda call: here.commit(call))
    in_force = InForce(Settings(engine=EngineSettings(**settings)))
    around = Surroundings(folder, folder / "jobs", secrets, Anybody(), recorder, feed)
    runner = Runner(around, workers, board, seams, in_force)
    async with trio.open_nursery() as nursery:
        await nursery.start(recorder.run)
        try:
            async with trio.open_nursery() as runs:
                here = World(runner, workers, recorder, store, feed, board, seams, runs, secrets, in_force)
                yield here
        finally:
            recorder.close()
    store.close()
