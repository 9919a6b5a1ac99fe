"""What goes wrong in a simulated world, and when, all by the seed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from tests.simulation.disk import CRASH_KINDS, CrashPoint
from tests.simulation.evidence import Trouble
from tests.simulation.world import World

DOWNTIMES = [0, 0, 0, 0, 0, 0.3, 4, 30, 70, 300, 4000]


class Faults:
    """The troubles of one world, up to the moment when it becomes calm."""

    def __init__(self, world: World) -> None:
        self._world, self._draw = world, world.draw("faults")
        self._is_calm = False
        world.restart_after = self._downtime
        # Some worlds have few troubles: what only a quiet one shows must not drown.
        self._gap = world.spec.pace.seconds / self._draw.choice([1, 5, 10, 16])

    async def happen(self, until: float) -> None:
        """One trouble after another."""
        while True:
            await trio.sleep(self._draw.expovariate(1 / self._gap))
            if trio.current_time() >= until:
                return
            await self._one()()

    def calm(self) -> None:
        """No trouble any more."""
        world = self._world
        self._is_calm = True
        world.is_calm.set()
        world.disk.failing_until = world.disk.slow_until = world.spawning_fails_until = world.disk.broken_until = 0
        world.disk.failures = world.disk.breaks = world.disk.crashes_in_flight = 0
        world.disk.crash_points.clear()

    def _one(self) -> Callable[[], Awaitable[None]]:
        kinds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (3, self._crash),
            (1, self._crash_in_flight),
            (10, self._crash_point),
            (4, self._stop),
            (2, self._commits_fail),
            (3, self._some_commits_fail),
            (3, self._store_breaks),
            (2, self._commits_are_slow),
            (4, self._clock_jumps),
            (1, self._no_workers),
            (4, self._worker_dies),
        ]
        return self._draw.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]

    def _downtime(self) -> float:
        days, pace = 3 * 86_400 * self._draw.random(), self._world.spec.pace
        seconds = self._draw.choice([*DOWNTIMES, 0.05 * pace.seconds, days])
        if seconds > 3600 and not self._is_calm:
            self._world.evidence.saw("the engine was away for hours")
        # A disk that takes nothing lets no engine start.
        return max(seconds, 1.0 if trio.current_time() < self._world.disk.failing_until else 0)

    async def _crash(self) -> None:
        self._world.crash()
        if self._draw.random() < 0.2:
            await self._clock_jumps()

    async def _crash_in_flight(self) -> None:
        self._world.disk.crashes_in_flight = 1

    async def _crash_point(self) -> None:
        what = self._draw.choice([*CRASH_KINDS, "cancel", "cancel", "cancel", "wait", "wait"])
        when = self._draw.choice(["before", "after", "later", "later"])
        # A cancel that is honoured is over soon.
        seconds = self._draw.choice([0.001, 0.2, 3] if what == "cancel" else [0.001, 0.2, 3, 12, 40])
        self._world.disk.crash_points.append(CrashPoint(what, when, seconds))

    async def _stop(self) -> None:
        living = self._world.living
        if living is None or not living.takes_calls:
            return
        self._world.evidence.saw("a clean stop")
        living.stopping.asked.set()
        how = self._draw.choice(["drains", "drains", "drains", "hurries", "crashes"])
        await trio.sleep(self._draw.choice([0.5, 3, 8]))
        if living.is_dead:
            return
        if how == "hurries":
            self._world.evidence.saw("a stop in a hurry")
            living.stopping.hurry.set()
        elif how == "crashes":
            self._world.evidence.saw("a crash while draining")
            self._world.crash()

    async def _commits_fail(self) -> None:
        seconds = self._draw.choice([0.5, 5, 40, 300])
        now = trio.current_time()
        self._world.disk.failing_until = now + seconds
        self._world.evidence.troubles.append(Trouble("failing", now, now + seconds))

    async def _some_commits_fail(self) -> None:
        self._world.disk.failures = self._draw.choice([1, 1, 2, 3, 5])

    async def _store_breaks(self) -> None:
        disk, seconds = self._world.disk, self._draw.choice([0, 0, 0.7, 8])
        disk.breaks, disk.reopens_in = self._draw.choice([1, 1, 2, 4]), seconds

    async def _commits_are_slow(self) -> None:
        self._world.disk.slow_until = trio.current_time() + self._draw.choice([5, 60, 300])

    async def _clock_jumps(self) -> None:
        sizes = [1.5, 20, 59, 61, 600, 3700, 5 * 3600, 86_400, 30 * 86_400]
        seconds = self._draw.choice(sizes) * self._draw.choice([1, 1, -1])
        self._world.jump(seconds)
        how = "forward" if seconds > 0 else "back"
        self._world.evidence.saw(f"the clock went {how}" + (" by days" if abs(seconds) >= 86_400 else ""))

    async def _no_workers(self) -> None:
        seconds = self._draw.choice([10, 120])
        self._world.spawning_fails_until = trio.current_time() + seconds

    async def _worker_dies(self) -> None:
        living = self._world.living
        working = living.workers.working() if living is not None and not living.is_dead else []
        if working:
            self._world.evidence.saw("a worker died")
            self._draw.choice(working).die("the worker process was ended by SIGKILL")
