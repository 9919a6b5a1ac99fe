"""An engine put together from what it is given: everything between the ports and the API's verbs.

The order is that of the imports: the runner knows nobody who starts runs, the door knows the runner, jobs know the
door, and the scheduler knows the jobs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import trio

from nomaflow.definitions.catalogue import Catalogue
from nomaflow.definitions.job import Job
from nomaflow.definitions.settings import Settings
from nomaflow.engine.backups import Backups
from nomaflow.engine.board import RECENT, Board
from nomaflow.engine.call_job import Calls, saved_plan
from nomaflow.engine.connectors import Connectors
from nomaflow.engine.door import Door
from nomaflow.engine.engine import Engine
from nomaflow.engine.feed import Feed
from nomaflow.engine.housekeeping import Housekeeping
from nomaflow.engine.inside import Works
from nomaflow.engine.jobs import Jobs
from nomaflow.engine.model import InForce
from nomaflow.engine.pauses import Pauses
from nomaflow.engine.ports import Policy, Secrets, Workers
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.recovery import LeftOver, sort_out
from nomaflow.engine.replays import Replays
from nomaflow.engine.rows import run_summary
from nomaflow.engine.runner import Runner
from nomaflow.engine.runs import Runs
from nomaflow.engine.scheduler import Scheduler
from nomaflow.engine.schedules import Schedules
from nomaflow.engine.step_try import Surroundings
from nomaflow.engine.store import Store
from nomaflow.engine.timetable import Timetable
from nomaflow.engine.web import Web
from nomaflow.home import Home
from nomaflow.seams import Seams, run_id_of
from nomaflow.wire import RunState

SLOTS_SHOWN = timedelta(days=7)
"""How far back the newest slot of a job is looked for, to say what became of its last fire."""


@dataclass(frozen=True)
class Given:
    """What an engine is made of: its home and store, and the ports that the outside fills.

    `nursery` holds the runs. `on_settings` is told of new settings before they are in force, `on_end` the state of
    each run that ends, `expect` the jobs of fires that come within seconds. `why_not_ready` are reasons of the outside
    for which no run may start; `works` are more steps of the engine's own than its housekeeping.
    """

    home: Home
    in_force: InForce
    store: Store
    recorder: Recorder
    feed: Feed
    workers: Workers[Any]
    policy: Policy
    secrets: Secrets
    seams: Seams
    nursery: trio.Nursery
    on_settings: Callable[[Settings], Awaitable[None]]
    on_end: Callable[[RunState], None] = lambda state: None
    expect: Callable[[list[str]], None] = lambda jobs: None
    why_not_ready: Callable[[], list[str]] = list
    works: Works = field(default_factory=dict)


@dataclass(frozen=True)
class Assembled:
    """An engine that is ready to `take_up` what an earlier one left, and then to be scheduled."""

    engine: Engine
    runner: Runner
    door: Door
    scheduler: Scheduler
    timetable: Timetable


def assemble(given: Given, catalogue: Catalogue) -> Assembled:
    """Build the parts and join them."""
    home, in_force, store, recorder, feed = given.home, given.in_force, given.store, given.recorder, given.feed
    seams, policy, secrets = given.seams, given.policy, given.secrets
    board = Board(map(run_summary, store.recent(RECENT)), store.newest_slots(seams.now() - SLOTS_SHOWN))
    around = Surroundings(home.path, home.jobs_dir, secrets, policy, recorder, feed)
    backups = Backups(home, recorder, seams)
    own = Housekeeping(recorder, board, in_force, seams, backups)
    web = Web(seams)
    works = {"retention": own.retention, "backup": own.backup, "http": web.http, **given.works}
    runner = Runner(around, given.workers, board, seams, in_force, on_end=given.on_end, works=works)

    def not_ready() -> list[str]:
        failed = [f"the run store does not take changes: {recorder.failed}"] if recorder.failed else []
        return [*given.why_not_ready(), *failed, *([store.lost] if store.lost is not None else [])]

    def all_reasons() -> list[str]:
        held = scheduler.held()
        return [*not_ready(), f"no schedule fires: {held}"] if held is not None else not_ready()

    known = store.known_definitions()
    door = Door(
        runner,
        board,
        feed,
        seams,
        in_force,
        given.nursery,
        home.path,
        known,
        not_ready,
        saved_plan=lambda job_id: saved_plan(catalogue, job_id, door.today()),
    )
    timetable, pauses = Timetable(store.schedules(), store.last_number(), store.skips()), Pauses(store.pauses())
    jobs = Jobs(
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
        on_settings=given.on_settings,
        on_schedules=lambda: scheduler.wake(),
    )
    scheduler = Scheduler(
        timetable,
        pauses,
        jobs,
        door,
        board,
        recorder,
        seams,
        newest=store.newest_at(),
        not_ready=not_ready,
        expect=given.expect,
    )
    runs = Runs(jobs, runner, recorder, store, seams, door)
    # It starts runs itself, so it comes after all that the runner must not know.
    works.setdefault("call_job", Calls(jobs, runs, runner, door, recorder, seams).run)
    schedules = Schedules(timetable, jobs, runs, door, store, recorder, seams)
    connectors = Connectors(in_force, catalogue, given.workers, secrets, policy, web, str(home.path))
    engine = Engine(jobs, runs, Replays(jobs, runs, door), schedules, feed, connectors, backups, all_reasons)
    return Assembled(engine, runner, door, scheduler, timetable)


def sorted_out(store: Store, catalogue: Catalogue, seams: Seams) -> tuple[int, list[LeftOver]]:
    """What an earlier engine left, before this one writes anything else: how many runs were ended, and the others.

    A store that has lost something stays as it is. One that is a backup's has runs and schedules of a time that is
    past: none of them goes on.
    """
    if store.lost is not None:
        return 0, []
    if (newest := store.newest_run()) is not None:
        seams.run_id.after(run_id_of(newest))
    was_restored = store.was_restored()
    read = partial(_read, catalogue) if not was_restored else _read_nothing
    sorted_runs = sort_out(store, seams.now(), read=read, was_restored=was_restored)
    if was_restored:
        store.begin_anew()
    return sorted_runs


async def take_up(assembled: Assembled, recorder: Recorder, left: list[LeftOver]) -> None:
    """Watch the schedules, and go on with the runs that can."""
    change = assembled.engine.jobs.watch_all()
    if not assembled.engine.not_ready():
        await recorder.record(change)
    for each in left:
        assembled.door.resume(each.run, each.job, line=each.line, goes_on=each.goes_on)


def _read(catalogue: Catalogue, job_id: str, text: str) -> Job | None:
    """A job from a stored text, if it still fits the settings."""
    return catalogue.check(job_id, text)[0]


def _read_nothing(job_id: str, text: str) -> None:
    """Nothing of a restored store goes on."""
