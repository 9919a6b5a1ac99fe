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
from nomaflow.engine.attempt import Surroundings
from nomaflow.engine.board import Board
from nomaflow.engine.door import Door
from nomaflow.engine.feed import Feed
from nomaflow.engine.housekeeping import Housekeeping
from nomaflow.engine.inside import Works
from nomaflow.engine.jobs import Jobs
from nomaflow.engine.model import Actor, InForce, Slot
from nomaflow.engine.pauses import Pauses
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.recovery import sort_out
from nomaflow.engine.rows import run_record, run_summary
from nomaflow.engine.runner import Runner
from nomaflow.engine.runs import Runs
from nomaflow.engine.scheduler import Scheduler
from nomaflow.engine.schedules import Schedules
from nomaflow.engine.store import Store
from nomaflow.engine.timetable import Timetable
from nomaflow.home import Home
from nomaflow.launch.overrides import Launch
from nomaflow.seams import Seams, run_id_of, run_number
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
    store = Store(home.state_dir / "runs.duckdb")
    if (newest := store.newest_run()) is not None:
        seams.run_id.after(run_id_of(newest))
    catalogue = Catalogue(home.jobs_dir, loaded)
    ended, left = sort_out(store, clock(), read=lambda job_id, text: catalogue.check(job_id, text)[0])
    feed, workers, in_force = Feed(store.epoch, store.seq), FakeWorkers(), InForce(loaded)
    board, policy, why_not_ready = Board(map(run_summary, store.recent(20))), Anybody(), list[str]()
    here: Clockwork
    recorder = Recorder(store, feed, offload=lambda call: here.commit(call))
    around = Surroundings(folder, home.jobs_dir, FewSecrets(), policy, recorder, feed)
    own = Housekeeping(recorder, board, in_force, seams)
    runner = Runner(around, workers, board, seams, in_force, works={"retention": own.retention, **(works or {})})
    timetable = Timetable(store.schedules(), store.last_number(), store.skips())
    pauses = Pauses(store.pauses())

    def not_ready() -> list[str]:
        return [*why_not_ready, *([recorder.failed] if recorder.failed else [])]

    async def take(settings: object) -> None:
        """Nobody has rights here, so new settings change none."""

    async with trio.open_nursery() as outermost:
        await outermost.start(recorder.run)
        try:
            async with trio.open_nursery() as nursery:
                known = store.known_definitions()
                door = Door(runner, board, feed, seams, in_force, nursery, folder, known, not_ready)
                all_jobs = Jobs(
                    home,
                    in_force,
                    catalogue,
                    runner,
                    board,
                    recorder,
                    policy,
                    seams,
                    door,
                    timetable,
                    pauses,
                    not_ready=not_ready,
                    held=lambda: scheduler.held(),
                    on_settings=take,
                    on_schedules=lambda: scheduler.wake(),
                )
                newest_at = store.newest_at()
                scheduler = Scheduler(
                    timetable, pauses, all_jobs, door, board, recorder, seams, newest=newest_at, not_ready=not_ready
                )
                runs = Runs(all_jobs, runner, recorder, store, seams, door)
                schedules = Schedules(timetable, all_jobs, runs, door, store, recorder, seams)
                here = Clockwork(
                    home,
                    clock,
                    store,
                    all_jobs,
                    runs,
                    runner,
                    scheduler,
                    schedules,
                    timetable,
                    workers,
                    feed,
                    in_force,
                    nursery,
                    why_not_ready,
                    ended,
                )
                await recorder.record(all_jobs.watch_all())
                for each in left:
                    door.resume(each.run, each.job, line=each.line, goes_on=each.goes_on)
                nursery.start_soon(scheduler.run)
                yield here
                scheduler.stop()
                nursery.cancel_scope.cancel()
        finally:
            recorder.close()
    store.close()
