"""The disk of a simulated world: commits take their time, fail, and engines die before, in and after them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from nomaflow.engine.change import Change, Row
from nomaflow.engine.rows import RUN_CHANGES
from nomaflow.engine.store import StoreBrokenError, StoreError
from tests.fakes.store import KeyTakenError, MemoryStore
from tests.fakes.tables import Tables
from tests.simulation.evidence import Evidence, Trouble

STATE = RUN_CHANGES.index("state")
REOPEN_SECONDS = 30.0
"""The engine waits between its tries to open a broken store; so long it may be later than it could be."""

MOST_KEYS = 20
"""A world in which so many commits are refused for their keys is no use any more."""

SLOW_SECONDS = 1.0
"""A commit that takes longer is told as trouble: nobody can say what waited for it."""


class GoneError(Exception):
    """The engine that asked is dead."""


@dataclass
class CrashPoint:
    """Where an engine dies: at the first commit that fits, before it, after it, or some seconds after it."""

    what: str
    when: str
    seconds: float = 0

    def fits(self, changes: Sequence[Change]) -> bool:
        """Whether this is the commit."""
        return any(_KINDS[self.what](change) for change in changes)


def _to(change: Change, *states: str) -> bool:
    return any(row[STATE] in states for row in change.updated)


_KINDS: dict[str, Callable[[Change], bool]] = {
    "fire": lambda change: bool(change.slots and change.inserted),
    "slots": lambda change: bool(change.slots),
    "launch": lambda change: bool(change.inserted and not change.slots),
    "begin": lambda change: _to(change, "RUNNING"),
    "cancel": lambda change: _to(change, "CANCELING"),
    "end": lambda change: _to(change, "SUCCEEDED", "FAILED", "CANCELED"),
    "wait": lambda change: bool(change.waits),
    "edit": lambda change: bool(change.schedules or change.gone_schedules or (change.cursors and not change.slots)),
    "pause": lambda change: bool(change.pauses or change.gone_pauses),
    "any": lambda change: True,
}
CRASH_KINDS = list(_KINDS)


Taped = tuple[list[Change], list[Row]] | None
"""A commit; None is an opening."""


@dataclass
class Disk:
    """What of the disk is decided by the world.

    Commits fail up to a moment, or so many of the next ones do, or break the store, which can then be opened anew after
    some seconds. What was committed is kept on the `tape`, if there is one, with the openings in between.
    """

    draw: random.Random
    evidence: Evidence
    tables: Tables = field(default_factory=Tables)
    failing_until: float = 0
    failures: int = 0
    breaks: int = 0
    reopens_in: float = 0
    broken_until: float = 0
    slow_until: float = 0
    tape: list[Taped] | None = None
    refused_often: trio.Event = field(default_factory=trio.Event)
    crashes_in_flight: int = 0
    crash_points: list[CrashPoint] = field(default_factory=list)

    def latency(self) -> float:
        """How long a commit takes."""
        if trio.current_time() < self.slow_until:
            return self.draw.uniform(2, 25)
        return self.draw.choice([0, 0, 0.003, 0.003, 0.02])


class SimulatedStore(MemoryStore):
    """The store of one life of the engine.

    Args:
        disk: the world's.
        crash: ends that life, now or after some seconds.
    """

    def __init__(self, disk: Disk, crash: Callable[[float], None]) -> None:
        super().__init__(disk.tables)
        if disk.tape is not None:
            disk.tape.append(None)
        self._disk, self._crash = disk, crash
        self.is_dead = self._is_dying = self._is_broken = self._is_in = False
        self.died = trio.Event()
        self.in_flight: Callable[[], None] | None = None

    def commit(self, changes: Sequence[Change], log_rows: Sequence[Row]) -> None:
        # Of a broken store no commit can get in, and it is this one that is in doubt.
        self._is_in = self._is_in and not self._is_broken
        self._check()
        if self._disk.breaks and not self._is_dying:
            self._break(changes, log_rows)
        points = [] if self._is_dying else self._disk.crash_points
        point = next((point for point in points if point.fits(changes)), None)
        if point is not None:
            self._disk.crash_points.remove(point)
            self._disk.evidence.saw(f"crash {point.when} {point.what}")
            if point.when == "before":
                self._crash(0)
                raise GoneError
        try:
            self._write(changes, log_rows)
        except KeyTakenError as error:
            self._disk.evidence.keys_taken.append(f"{trio.current_time():.3f}: {error}")
            if len(self._disk.evidence.keys_taken) >= MOST_KEYS:
                self._disk.refused_often.set()
            raise
        if point is not None:
            self._crash(point.seconds if point.when == "later" else 0)
            if point.when == "after":
                raise GoneError

    def probe(self) -> None:
        self._check()

    def reopen(self) -> bool:
        """Open it anew; whether the commit in doubt is there."""
        if self.is_dead:
            raise GoneError
        if trio.current_time() < self._disk.broken_until:
            raise StoreError("the simulated store cannot be opened yet")
        self._is_broken = False
        self._disk.evidence.saw("a broken store was opened anew")
        return self._is_in

    def _break(self, changes: Sequence[Change], log_rows: Sequence[Row]) -> None:
        """The commit breaks the store, and is in it or not."""
        disk = self._disk
        disk.breaks -= 1
        self._is_in = disk.draw.random() < 0.5
        if self._is_in:
            self._write(changes, log_rows)
        disk.evidence.saw("a commit that broke the store " + ("was in it" if self._is_in else "was not in it"))
        disk.broken_until = trio.current_time() + disk.reopens_in
        disk.evidence.troubles.append(Trouble("broken", trio.current_time(), disk.broken_until + REOPEN_SECONDS))
        self._is_broken = True
        raise StoreBrokenError("the simulated store broke")

    def _write(self, changes: Sequence[Change], log_rows: Sequence[Row]) -> None:
        if self._disk.tape is not None:
            # A change is gone on with after it was written.
            copies = [Change(**{name: list(rows) for name, rows in vars(change).items()}) for change in changes]
            self._disk.tape.append((copies, list(log_rows)))
        super().commit(changes, log_rows)

    def _check(self) -> None:
        if self.is_dead:
            raise GoneError
        if self._is_broken:
            raise StoreBrokenError("the simulated store is broken")
        disk = self._disk
        if trio.current_time() < disk.failing_until or disk.failures:
            if trio.current_time() >= disk.failing_until:
                disk.failures -= 1
                disk.evidence.troubles.append(Trouble("failed", trio.current_time(), trio.current_time() + 3))
            disk.evidence.saw("a commit failed")
            raise OSError(28, "No space left on device")

    async def offload(self, call: Callable[[], None]) -> None:
        """What the recorder has done by its thread: takes some time, in which the engine may die."""
        if self.is_dead:
            raise GoneError
        began, seconds = trio.current_time(), self._disk.latency()
        self.in_flight = call
        if self._disk.crashes_in_flight and seconds:
            self._disk.crashes_in_flight -= 1
            self._crash(seconds / 2)
        with trio.move_on_after(seconds):
            await self.died.wait()
        self.in_flight = None
        if seconds >= SLOW_SECONDS:
            self._disk.evidence.saw("a commit was slow")
            self._disk.evidence.troubles.append(Trouble("slow", began, trio.current_time()))
        if self.is_dead:
            raise GoneError
        call()

    def die(self, *, in_flight_is_there: bool) -> None:
        """The engine is gone; what it was writing is on the disk or not."""
        call, self.in_flight, self._is_dying = self.in_flight, None, True
        if call is not None and in_flight_is_there:
            self._disk.evidence.saw("the commit in flight was there after a crash")
            with suppress(OSError, KeyTakenError, StoreBrokenError, StoreError):
                call()
        elif call is not None:
            self._disk.evidence.saw("the commit in flight was lost in a crash")
        self.is_dead = True
        self.died.set()
