"""One life of an engine in a simulated world: started, served and stopped as `nomaflow.serve` does it, without HTTP."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import trio

from nomaflow.definitions.catalogue import Catalogue
from nomaflow.definitions.settings import Settings
from nomaflow.engine.assembly import Assembled, Given, assemble, sorted_out, take_up
from nomaflow.engine.feed import Feed
from nomaflow.engine.model import InForce
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.runs import KEYS_KEPT
from nomaflow.engine.store import Store
from nomaflow.home import Home
from nomaflow.seams import Seams
from tests.engine.world import Anybody, FewSecrets
from tests.simulation.disk import SimulatedStore
from tests.simulation.workers import SimulatedWorkers


@dataclass(frozen=True)
class Stopping:
    """How a life is told to stop; the second event skips the drain."""

    asked: trio.Event
    hurry: trio.Event


@dataclass(frozen=True)
class Outside:
    """What a life has of the world: its clock, chance and threads; `calls_ended` waits for the answers still owed."""

    now: Callable[[], datetime]
    draw: random.Random
    in_thread: Callable[..., Awaitable[Any]]
    calls_ended: Callable[[], Awaitable[None]]


async def serve(
    home: Home,
    store: SimulatedStore,
    workers: SimulatedWorkers,
    outside: Outside,
    stopping: Stopping,
    *,
    task_status: trio.TaskStatus[Assembled] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Live until told to stop, or until the scope around it is canceled: then nothing more of it counts."""
    seams = Seams(
        now=outside.now,
        monotonic=trio.current_time,
        draw=outside.draw,
        timezone=lambda: "UTC",
        in_thread=outside.in_thread,
    )
    settings, real = home.load_settings(), cast("Store", store)
    catalogue = Catalogue(home.jobs_dir, settings)
    _, left = sorted_out(real, catalogue, seams)
    store.forget(keys_before=seams.now() - KEYS_KEPT, sessions_before=seams.now() - timedelta(days=1))
    feed = Feed(store.epoch, store.seq)
    recorder = Recorder(real, feed, offload=store.offload)
    async with trio.open_nursery() as outermost:
        await outermost.start(recorder.run)
        try:
            async with trio.open_nursery() as nursery:
                given = Given(
                    home=home,
                    in_force=InForce(settings),
                    store=real,
                    recorder=recorder,
                    feed=feed,
                    workers=workers,
                    policy=Anybody(),
                    secrets=FewSecrets(),
                    seams=seams,
                    nursery=nursery,
                    on_settings=_taken,
                    why_not_ready=lambda: ["the engine is stopping"] if stopping.asked.is_set() else [],
                )
                assembled = assemble(given, catalogue)
                await take_up(assembled, recorder, left)
                nursery.start_soon(assembled.scheduler.run)
                task_status.started(assembled)
                await stopping.asked.wait()
                assembled.scheduler.stop()
                await outside.calls_ended()
                await assembled.runner.drain(settings.engine.drain_seconds, stopping.hurry)
                nursery.cancel_scope.cancel()
        finally:
            feed.close()
            recorder.close()


async def _taken(settings: Settings) -> None:
    """Nobody has rights here that new settings could change."""
