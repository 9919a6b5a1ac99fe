"""The composition root: builds the engine, opens its nurseries, and stops them in the right order.

    recorder        outermost: ends last, when every change is on disk
      runs          one child per run, and the workers
        doors       what can start new runs: the API and the scheduler

A stop begins with the scheduler, and admission says no to everybody else; runs then have `drain_seconds` to end, the
API closes, and the recorder writes what is left.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import trio

from nomaflow.access.accounts import Access
from nomaflow.access.admin_token import ensure_admin_token
from nomaflow.access.secrets import SecretSource
from nomaflow.access.stored_sessions import StoredSessions
from nomaflow.api.app import create_app
from nomaflow.api.metrics import Metrics
from nomaflow.api.server import serve as serve_http
from nomaflow.definitions.catalogue import Catalogue
from nomaflow.definitions.settings import Settings
from nomaflow.engine.assembly import Given, assemble, sorted_out, take_up
from nomaflow.engine.feed import Feed
from nomaflow.engine.model import InForce
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.runs import KEYS_KEPT
from nomaflow.engine.store import Store, StoreError
from nomaflow.errors import HomeHeldError, NomaflowError
from nomaflow.home import Home
from nomaflow.seams import Seams
from nomaflow.worker.pool import WorkerPool
from nomaflow.worker.process_group import mark_of, sweep

log = logging.getLogger(__name__)

EXIT_WRONG_USE, EXIT_HOME_HELD = 2, 75


@dataclass
class Stopping:
    """How an engine is told to stop; the second event skips the drain."""

    asked: trio.Event = field(default_factory=trio.Event)
    hurry: trio.Event = field(default_factory=trio.Event)


@dataclass(frozen=True)
class Serving:
    """What is known of an engine when it is ready.

    `is_new` says that the home has never had a run; `active` gives the runs in flight as (run id, job id);
    `bad_jobs` are the jobs whose files have problems.
    """

    url: str
    admin_token: str
    is_new: bool
    first_run: str | None
    bad_jobs: list[str]
    drain_seconds: float
    active: Callable[[], list[tuple[str, str]]]


@contextmanager
def held(home: Home) -> Iterator[None]:
    """Hold the home's lock for as long as the engine lives.

    A file of its own: DuckDB's lock on the store is lost when any descriptor of that file is closed.

    Raises:
        HomeHeldError: another engine holds it.
    """
    path = home.make_state_dir() / "engine.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            raise HomeHeldError(
                f"another engine (process {holder or 'unknown'}) holds the home {home.path.resolve()}; "
                f"stop it, or name another home with --home"
            ) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


async def serve(
    home: Home,
    *,
    host: str,
    port: int,
    stopping: Stopping,
    seams: Seams | None = None,
    task_status: trio.TaskStatus[Serving] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the engine of a home until it is told to stop.

    Args:
        home: the folder.
        host: where to listen.
        port: 0 takes a free one.
        stopping: set its events to stop.
        seams: clock, randomness and ids; the real ones by default.
        task_status: told when the engine takes requests.

    Raises:
        HomeHeldError: another engine holds the home.
        PortTakenError: the port is taken.
        InvalidError: the settings have problems.
        StoreError: the run store cannot be opened.
    """
    seams = seams or Seams()
    settings = await trio.to_thread.run_sync(home.load_settings)
    with held(home):
        await trio.to_thread.run_sync(_sweep, home)
        await trio.to_thread.run_sync(_make_samples, home, settings)
        token = await trio.to_thread.run_sync(ensure_admin_token, home.state_dir, seams)
        store = await trio.to_thread.run_sync(Store, home.state_dir / "runs.duckdb", seams.now)
        try:
            await _serve_store(home, settings, store, token, host, port, stopping, seams, task_status)
        finally:
            store.close()
            gc.unfreeze()


async def _serve_store(
    home: Home,
    settings: Settings,
    store: Store,
    token: str,
    host: str,
    port: int,
    stopping: Stopping,
    seams: Seams,
    task_status: trio.TaskStatus[Serving],
) -> None:
    newest = store.newest_run()
    catalogue = Catalogue(home.jobs_dir, settings)
    interrupted, left = sorted_out(store, catalogue, seams)
    if interrupted:
        were = "run of an earlier engine was" if interrupted == 1 else "runs of an earlier engine were"
        log.warning("%d %s interrupted", interrupted, were)
    if store.lost is None:
        store.forget(keys_before=seams.now() - KEYS_KEPT, sessions_before=seams.now() - timedelta(days=1))
    async with _recorder(store) as (recorder, feed), trio.open_nursery() as runs_nursery:
        access = Access(settings, admin_token=token, sessions=StoredSessions(recorder, store), seams=seams)
        await access.load()
        pool = WorkerPool(home.path, runs_nursery, keep=settings.engine.max_parallel_runs)
        metrics = Metrics()
        in_force = InForce(settings)
        given = Given(
            home,
            in_force,
            store,
            recorder,
            feed,
            pool,
            access,
            SecretSource(home.resolve, in_force),
            seams,
            runs_nursery,
            on_settings=access.replace_settings,
            on_end=metrics.count_run,
            expect=lambda soon: runs_nursery.start_soon(partial(pool.expect, len(soon), job_ids=soon)),
            why_not_ready=lambda: ["the engine is stopping"] if stopping.asked.is_set() else [],
        )
        assembled = assemble(given, catalogue)
        engine, runner, scheduler = assembled.engine, assembled.runner, assembled.scheduler
        await take_up(assembled, recorder, left)
        if settings.sample.enabled:
            # With the runs, which may ask it until they end.
            await runs_nursery.start(_serve_sample, settings, seams)
        runs_nursery.start_soon(pool.fill)
        runs_nursery.start_soon(pool.retire_idle)
        drained = trio.Event()
        app = create_app(engine, access, seams, stopping=drained, metrics=metrics)
        async with trio.open_nursery() as doors:
            url = await doors.start(partial(serve_http, app, host, port, stop=drained))
            first_run = settings.sample.first_run if settings.sample.enabled else None
            # What was loaded so far stays for ever: a collection need not look at it again.
            gc.freeze()
            with _told(home, url):
                doors.start_soon(scheduler.run)
                task_status.started(
                    Serving(
                        url=url,
                        admin_token=token,
                        is_new=newest is None,
                        first_run=first_run,
                        bad_jobs=[card.id for card in engine.cards() if card.problem],
                        drain_seconds=settings.engine.drain_seconds,
                        active=lambda: [(each.run.id, each.run.job_id) for each in runner.all_active()],
                    )
                )
                await stopping.asked.wait()
                scheduler.stop()
                # People can look at what still runs, and cancel it; what would begin is refused.
                await runner.drain(settings.engine.drain_seconds, stopping.hurry)
            drained.set()
        await pool.close()
        runs_nursery.cancel_scope.cancel()


@asynccontextmanager
async def _recorder(store: Store) -> AsyncIterator[tuple[Recorder, Feed]]:
    """The store's writer, closed when everything inside has ended."""
    feed = Feed(store.epoch, store.seq)
    recorder = Recorder(store, feed)
    async with trio.open_nursery() as nursery:
        await nursery.start(recorder.run)
        try:
            yield recorder, feed
        finally:
            feed.close()
            recorder.close()


@contextmanager
def _told(home: Home, url: str) -> Iterator[None]:
    """Leave the address where the command line of the same home finds it."""
    home.engine_url_file.write_text(url + "\n")
    try:
        yield
    finally:
        home.engine_url_file.unlink(missing_ok=True)


def _sweep(home: Home) -> None:
    """End what an engine that was killed has left behind, before anything is said of its runs."""
    swept = sweep(mark_of(home.path))
    if swept.found:
        processes = "process" if len(swept.found) == 1 else "processes"
        log.warning("ended %d worker %s of an engine that was killed", len(swept.found), processes)
    if swept.left:
        log.error("processes %s of an engine that was killed cannot be ended", ", ".join(map(str, swept.left)))


def _make_samples(home: Home, settings: Settings) -> None:
    if settings.sample.enabled:
        from nomaflow import sample

        for path in sample.make_databases(home.path, settings):
            log.info("made the sample database %s", path.name)


async def _serve_sample(settings: Settings, seams: Seams, *, task_status: trio.TaskStatus[Any]) -> None:
    from nomaflow.sample import tracker

    await tracker.serve(settings, seams.now, task_status=task_status)


async def stop_on_signals(stopping: Stopping, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """SIGTERM or Ctrl-C: no new runs, then the drain; a second one skips the wait."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            if stopping.asked.is_set():
                stopping.hurry.set()
            stopping.asked.set()


def exit_code(error: BaseException) -> int:
    """What the process ends with when the engine could not serve, and the sentence on stderr.

    An error that is not ours is raised again.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, NomaflowError | StoreError):
        print(f"Error: {error}", file=sys.stderr)
        for detail in error.details if isinstance(error, NomaflowError) else []:
            if detail["message"] not in str(error):
                print(f"  {detail['message']}", file=sys.stderr)
        return EXIT_HOME_HELD if isinstance(error, HomeHeldError) else EXIT_WRONG_USE
    raise error


def main(home: Path, host: str, port: int) -> int:
    """`nomaflow serve`: the engine alone, until a signal stops it."""
    sys.setswitchinterval(0.0005)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s")

    async def run() -> None:
        stopping = Stopping()
        async with trio.open_nursery() as nursery:
            await nursery.start(stop_on_signals, stopping)
            async with trio.open_nursery() as serving:

                async def serve_engine(*, task_status: trio.TaskStatus[Serving]) -> None:
                    await serve(Home(home), host=host, port=port, stopping=stopping, task_status=task_status)

                ready = await serving.start(serve_engine)
                print(f"engine ready at {ready.url}", flush=True)
            nursery.cancel_scope.cancel()

    try:
        trio.run(run)
    except BaseException as error:
        return exit_code(error)
    return 0
