"""A whole engine core on a virtual clock: job files, scheduler, door, runner, real store, fake workers, no thread."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trio

from nomaflow.definitions.catalogue import Catalogue
from nomaflow.engine.assembly import Given, assemble, sorted_out, take_up
from nomaflow.engine.feed import Feed
from nomaflow.engine.inside import Works
from nomaflow.engine.jobs import Jobs
from nomaflow.engine.model import Actor, InForce, Slot
from nomaflow.engine.ports import Secrets
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.replays import Replays
from nomaflow.engine.rows import run_record, run_summary
from nomaflow.engine.runner import Runner
from nomaflow.engine.runs import Runs
from nomaflow.engine.scheduler import Scheduler
from nomaflow.engine.schedules import Schedules
from nomaflow.engine.store import Store
from nomaflow.engine.timetable import Timetable
from nomaflow.home import Home
from nomaflow.launch.overrides import Launch, Replay
from nomaflow.seams import Seams, run_number
from nomaflow.wire import Run, RunSummary
from tests.engine.world import Anybody, FewSecrets
from tests.fakes.workers import FakeWorkers

START = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
ANA = Actor("ana", "web")


class WallClock:
    """The wall clock of a test: `START` at the loop's zero, and as far off as the test sets it."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self.ahead = ahead

    def __call__(self) -> datetime:
        return START + timedelta(seconds=trio.current_time()) + self.ahead


@dataclass
class Clockwork:
    """What a test holds of one life of the engine."""

    home: Home
    clock: WallClock
    store: Store
    jobs: Jobs
    runs: Runs
    runner: Runner
    scheduler: Scheduler
    schedules: Schedules
    timetable: Timetable
    workers: FakeWorkers
    feed: Feed
    in_force: InForce
    nursery: trio.Nursery
    why_not_ready: list[str]
    ended_at_start: int = 0
    commit_fails: bool = False
    replays: Replays | None = None

    def at(self, clock: str) -> datetime:
        """An instant of the first day, UTC."""
        hour, minute, *second = map(int, clock.split(":"))
        return START.replace(hour=hour, minute=minute, second=second[0] if second else 0)

    async def until(self, instant: datetime) -> None:
        """Let the virtual time pass up to an instant of the wall clock, and what is due then happen."""
        await trio.sleep((instant - self.clock()).total_seconds())
        await trio.testing.wait_all_tasks_blocked()

    async def launch(self, job_id: str, **changes: Any) -> Run:
        """A launch by Ana."""
        run, _ = await self.runs.launch(job_id, Launch.model_validate(changes), ANA, None)
        return run

    async def replay(self, run_id: str, **changes: Any) -> Run:
        """A replay by Ana."""
        assert self.replays is not None
        run, _ = await self.replays.start(run_id, Replay.model_validate(changes), ANA, None)
        return run

    async def ended(self, run_id: str) -> Run:
        """The run as it is stored once it is over."""
        if active := self.runner.active(run_id):
            await active.ended.wait()
        return self.stored(run_id)

    def stored(self, run_id: str) -> Run:
        """The run as the store has it."""
        row = self.store.run(run_id)
        assert row is not None
        return run_record(row, self.store.steps_of(run_number(run_id)))

    def slots(self) -> list[Slot]:
        """Every slot, in order of time."""
        far = timedelta(days=4000)
        return self.store.slots(since=START - far, until=START + far, jobs=None, after=None, limit=100_000)

    def told(self) -> list[tuple[str, str, str | None]]:
        """Every slot as (time of day, state, reason)."""
        return [(f"{slot.scheduled_at:%H:%M:%S}", slot.state.value, slot.reason) for slot in self.slots()]

    def all_runs(self) -> list[RunSummary]:
        """Every run in the store, oldest first."""
        return [run_summary(row) for row in reversed(self.store.recent(1000))]

    def log_of(self, run_id: str) -> list[str]:
        """The texts of a run's stored log."""
        rows = self.store.log(run_id, after=0, limit=1000, tail=None, levels=[], step=None, text=None)
        return [row[-1] for row in rows]

    def write(self, job_id: str, text: str) -> None:
        """Edit a job's file by hand."""
        (self.home.jobs_dir / f"{job_id}.toml").write_text(text)

    async def commit(self, call: Callable[[], None]) -> None:
        """A commit on the loop, since virtual time jumps past threads."""
        await trio.lowlevel.checkpoint()
        if self.commit_fails:
            raise OSError(28, "No space left on device")
        call()

    def kill(self) -> None:
        """The engine is gone: nothing more of it happens."""
        self.nursery.cancel_scope.cancel()


async def on_the_loop(call: Callable[..., Any], *values: Any, limiter: object = None) -> Any:
    """In the place of a thread, which virtual time would not wait for."""
    await trio.lowlevel.checkpoint()
    return call(*values)


def step(mode: str, name: str = "s", **more: Any) -> str:
    """A python step of a mode of `FakeWorker`, as TOML."""
    options = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f'[[steps]]\nname = "{name}"\ntype = "python"\ncallable = "mode:{mode}"\n{options}'


def job(mode: str, cron: str | None = None, *, more: str = "", schedule: str = "") -> str:
    """A job of one step as TOML, with a schedule where a rule is given."""
    rule = f'[[schedules]]\ncron = "{cron}"\n{schedule}\n' if cron else ""
    return f"{more}\n{rule}{step(mode)}"


@asynccontextmanager
async def clockwork(
    folder: Path,
    jobs: Mapping[str, str] | None = None,
    *,
    settings: str = "[engine]\ntimezone = 'UTC'\n",
    clock: WallClock | None = None,
    works: Works | None = None,
    secrets: Secrets | None = None,
) -> AsyncIterator[Clockwork]:
    """One life of an engine in the folder; a second one goes on with what the first left there."""
    home = Home(folder)
    home.settings_file.write_text(settings)
    home.jobs_dir.mkdir(exist_ok=True)
    home.make_state_dir()
    for job_id, text in (jobs or {}).items():
        (home.jobs_dir / f"{job_id}.toml").write_text(text)
    loaded = home.load_settings()
    clock = clock or WallClock()
    seams = Seams(
        now=clock, monotonic=trio.current_time, draw=random.Random(7), timezone=lambda: "UTC", in_thread=on_the_loop
    )
    store, catalogue = Store(home.state_dir / "runs.duckdb", clock), Catalogue(home.jobs_dir, loaded)
    ended, left = sorted_out(store, catalogue, seams)
    feed, workers, why_not_ready = Feed(store.epoch, store.seq), FakeWorkers(), list[str]()
    here: Clockwork
    recorder = Recorder(store, feed, offload=lambda call: here.commit(call))

    async def take(settings: object) -> None:
        """Nobody has rights here, so new settings change none."""

    async with trio.open_nursery() as outermost:
        await outermost.start(recorder.run)
        try:
            async with trio.open_nursery() as nursery:
                given = Given(
                    home,
                    InForce(loaded),
                    store,
                    recorder,
                    feed,
                    workers,
                    Anybody(),
                    secrets or FewSecrets(),
                    seams,
                    nursery,
                    on_settings=take,
                    why_not_ready=lambda: list(why_not_ready),
                    works=works or {},
                )
                made = assemble(given, catalogue)
                here = Clockwork(
                    home,
                    clock,
                    store,
                    made.engine.jobs,
                    made.engine.history,
                    made.runner,
                    made.scheduler,
                    made.engine.schedules,
                    made.timetable,
                    workers,
                    feed,
                    given.in_force,
                    nursery,
                    why_not_ready,
                    ended,
                    replays=made.engine.replays,
                )
                await take_up(made, recorder, left)
                nursery.start_soon(made.scheduler.run)
                yield here
                made.scheduler.stop()
                nursery.cancel_scope.cancel()
        finally:
            recorder.close()
    store.close()
