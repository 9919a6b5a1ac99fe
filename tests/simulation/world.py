"""A simulated world: its time, its disk, its files, and the lives of an engine one after another."""

from __future__ import annotations

import os
import random
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import trio

from nomaflow.engine.assembly import Assembled
from nomaflow.engine.store import StoreBrokenError
from nomaflow.errors import NomaflowError, NotReadyError
from nomaflow.home import Home
from nomaflow.wire import Event, Run
from tests.simulation.disk import Disk, GoneError, SimulatedStore
from tests.simulation.engine import Outside, Stopping, serve
from tests.simulation.evidence import Call, Cursors, Evidence, FileVersion, Handover, Jump, Life, Told
from tests.simulation.homes import HomeSpec
from tests.simulation.workers import SimulatedWorkers, Surroundings

CHANGES_OF_FILES = ("set_enabled", "save", "create", "delete")
"""The catalogue's verbs that change a job's file."""

CALLS_SECONDS = 5.0
"""So long a stopping engine waits for the answers that it owes."""


MOST_FALLS = 5
"""An engine that ends by itself so often is no use for anything that would be checked."""


class WreckedError(Exception):
    """There is no point in going on with this world."""


class Living:
    """One life of the engine, as the world holds it."""

    def __init__(self, record: Life, store: SimulatedStore, workers: SimulatedWorkers) -> None:
        self.record, self.store, self.workers = record, store, workers
        self.scope = trio.CancelScope()
        self.stopping = Stopping(trio.Event(), trio.Event())
        self.running: Assembled | None = None
        self.is_dead = False
        self.calls: set[trio.CancelScope] = set()
        self.call_ended = trio.Event()

    @property
    def takes_calls(self) -> bool:
        """Whether its API answers."""
        return self.running is not None and not self.is_dead and not self.stopping.asked.is_set()


class World:
    """Everything around the engine. `draws` are sources of chance by name, so that one does not disturb another."""

    def __init__(self, seed: int, spec: HomeSpec, folder: Path) -> None:
        self.seed, self.spec, self.home = seed, spec, Home(folder)
        self.evidence = Evidence(seed, spec.start, spec.pace.look_seconds)
        self.disk = Disk(self.draw("disk"), self.evidence)
        self._ahead = timedelta()
        self.living: Living | None = None
        self.spawning_fails_until = 0.0
        self.restart_after: Callable[[], float] = lambda: 0.0
        self._stamps = 10**18
        self._in_thread_draw = self.draw("threads")
        self.is_over = self.is_looked_at = False
        self.is_calm = trio.Event()
        self._left: tuple[Run, ...] = ()
        self.crasher: trio.Nursery | None = None

    def draw(self, name: str) -> random.Random:
        """A source of chance of that name."""
        return random.Random(f"{self.seed} {name}")

    def now(self) -> datetime:
        """The wall clock."""
        return self.spec.start + timedelta(seconds=trio.current_time()) + self._ahead

    def jump(self, seconds: float) -> None:
        """Set the wall clock."""
        self._ahead += timedelta(seconds=seconds)
        self.evidence.jumps.append(Jump(trio.current_time(), seconds))

    # files

    def write(self, job_id: str | None, text: str | None) -> None:
        """Write a job's file, or the settings, by hand; None removes it."""
        path = self.path(job_id)
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text)
            # The wall's ticks are too coarse for a world whose days take milliseconds.
            self._stamps += 1_000_003
            os.utime(path, ns=(self._stamps, self._stamps))
        self.note(job_id)

    def path(self, job_id: str | None) -> Path:
        """A job's file, or the settings."""
        return self.home.settings_file if job_id is None else self.home.jobs_dir / f"{job_id}.toml"

    def note(self, job_id: str | None, *, by_engine: bool = False) -> None:
        """Note what the file holds, if that is something else than before."""
        path = self.path(job_id)
        text = path.read_text() if path.exists() else None
        known = next((each.text for each in reversed(self.evidence.files) if each.job_id == job_id), None)
        if text != known:
            order = self.evidence.next_order()
            self.evidence.files.append(FileVersion(trio.current_time(), order, job_id, text, by_engine))

    async def in_thread(self, call: Callable[..., Any], *values: Any, limiter: object = None) -> Any:
        """In the place of a thread, for which virtual time would not wait; files that it changes are noted."""
        if getattr(call, "__name__", "") not in CHANGES_OF_FILES:
            if not self.is_looked_at:
                await trio.lowlevel.checkpoint()
            return call(*values)
        await trio.sleep(self._in_thread_draw.choice([0, 0.001]))
        try:
            return call(*values)
        finally:
            self.note(values[0], by_engine=True)
            # What is done is known a little later.
            await trio.sleep(self._in_thread_draw.choice([0, 0.001]))

    # lives

    async def run_lives(self) -> None:
        """One engine after another, until the world is over."""
        async with trio.open_nursery() as nursery:
            self.crasher = nursery
            while not self.is_over:
                await self._live()
                if self.is_over:
                    break
                if self.evidence.sometimes["fell over"] >= MOST_FALLS:
                    raise WreckedError
                with trio.move_on_after(self.restart_after()):
                    await self.is_calm.wait()
            nursery.cancel_scope.cancel()

    async def give_up(self) -> None:
        """Raise when the store has refused the same kind of thing again and again."""
        await self.disk.refused_often.wait()
        self.is_over = True
        raise WreckedError

    async def takes_calls(self) -> None:
        """Return when an engine's API answers."""
        while self.living is None or not self.living.takes_calls:  # noqa: ASYNC110  # nobody tells when
            await trio.sleep(0.5)

    async def _live(self) -> None:
        evidence = self.evidence
        record = Life(len(evidence.lives), evidence.next_order(), trio.current_time(), self.now())
        evidence.lives.append(record)
        store = SimulatedStore(self.disk, partial(self._crash_soon, record))
        draw = self.draw(f"life {record.number}")
        around = Surroundings(evidence, draw, record.number, self.now, self._spawning_fails)
        self.living = living = Living(record, store, SimulatedWorkers(around))
        self.note_cursors()
        with living.scope:
            try:
                async with trio.open_nursery() as nursery:
                    living.running = await nursery.start(
                        serve,
                        self.home,
                        store,
                        living.workers,
                        Outside(self.now, draw, self.in_thread, partial(self._calls_ended, living)),
                        living.stopping,
                    )
                    record.ready = trio.current_time()
                    self._hand_over(living)
                    nursery.start_soon(self._follow, living)
            except BaseExceptionGroup as group:
                if living.is_dead:
                    pass  # whatever a dead engine raises
                elif self.is_over:
                    raise
                else:
                    self._fell_over(record, group)
        if not living.is_dead:
            record.how, record.ended = "stopped", trio.current_time()
            living.is_dead = living.store.is_dead = True
            living.workers.all_die()
        self.note_cursors()

    def crash(self, how: str = "crashed") -> None:
        """The engine is gone, now."""
        living = self.living
        if living is None or living.is_dead:
            return
        self.evidence.saw(how)
        is_there = self.disk.draw.random() < 0.5
        living.store.die(in_flight_is_there=is_there)
        living.is_dead = True
        if living.record.how == "lives":
            living.record.how = how
        living.record.ended = trio.current_time()
        living.workers.all_die()
        living.scope.cancel()
        for scope in living.calls:
            scope.cancel()

    def _fell_over(self, record: Life, group: BaseExceptionGroup) -> None:
        """The engine ended by itself: it may only where it could not even start, since the disk took nothing."""
        _, other = group.split((GoneError, OSError, NotReadyError, StoreBrokenError, trio.Cancelled))
        if other is None and record.ready == float("inf"):
            self.crash("an engine could not start")
        else:
            record.how = "".join(traceback.format_exception(group))
            self.crash("fell over")

    def _crash_soon(self, record: Life, seconds: float) -> None:
        if not seconds:
            self.crash()
            return

        async def later() -> None:
            await trio.sleep(seconds)
            if self.living is not None and self.living.record is record:
                self.crash()

        assert self.crasher is not None
        self.crasher.start_soon(later)

    def _hand_over(self, living: Living) -> None:
        """Note what a new engine goes on with, if the one before was stopped cleanly."""
        earlier = self.evidence.lives[-2:-1]
        if earlier and earlier[0].how == "stopped":
            self.evidence.handovers.append(Handover(earlier[0], self._left, _in_flight(living)))

    async def _calls_ended(self, living: Living) -> None:
        living.record.stop_asked = trio.current_time()
        self._left = _in_flight(living)
        with trio.move_on_after(CALLS_SECONDS):
            while living.calls:
                await living.call_ended.wait()
        for scope in living.calls:
            scope.cancel()

    def _spawning_fails(self) -> bool:
        return trio.current_time() < self.spawning_fails_until

    def note_cursors(self) -> None:
        """Note the cursors that are on the disk."""
        rows = tuple(self.disk.tables.schedules)
        seq = self.disk.tables.events[-1].seq if self.disk.tables.events else 0
        self.evidence.cursors.append(Cursors(trio.current_time(), len(self.evidence.lives), rows, seq))

    async def _follow(self, living: Living) -> None:
        assert living.running is not None
        feed = living.running.engine
        async for event in feed.follow_events(None):
            if isinstance(event, Event):
                self.evidence.told.append(Told(living.record.number, trio.current_time(), event))

    # calls

    async def call(self, verb: str, ask: Callable[[Assembled], Any], job_id: str | None = None, **given: Any) -> Call:
        """Ask something of the engine, and keep what it answers."""
        evidence, living = self.evidence, self.living
        call = Call(
            len(evidence.calls), evidence.next_order(), verb, job_id, given, -1, trio.current_time(), self.now()
        )
        evidence.calls.append(call)
        if living is None or not living.takes_calls:
            call.ended, call.answer = trio.current_time(), "refused"
            return call
        assert living.running is not None
        call.life = living.record.number
        scope = trio.CancelScope()
        living.calls.add(scope)
        try:
            with scope:
                try:
                    call.result, call.answer = await ask(living.running), "done"
                except NomaflowError as error:
                    call.error, call.answer = error, "refused"
        finally:
            living.calls.discard(scope)
            living.call_ended.set()
            living.call_ended = trio.Event()
        call.ended, call.ended_order = trio.current_time(), evidence.next_order()
        if living.is_dead or scope.cancelled_caught:
            # What a dead engine says, nobody hears.
            call.answer = "lost"
        return call


def _in_flight(living: Living) -> tuple[Run, ...]:
    assert living.running is not None
    return tuple(active.record() for active in living.running.runner.all_active())


@asynccontextmanager
async def opened(world: World) -> AsyncIterator[World]:
    """The world with its engine's lives going on."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.run_lives)
        nursery.start_soon(world.give_up)
        yield world
        nursery.cancel_scope.cancel()
