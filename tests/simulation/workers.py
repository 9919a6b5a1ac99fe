"""Workers without processes, in the world's clock: each try of a step writes down what it does, as its side effects."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from nomaflow.worker.pool import WorkerError
from tests.simulation.evidence import Effect, Evidence

Handler = Callable[[dict[str, Any]], Any]
FOR_EVER = 10.0**9


@dataclass
class Surroundings:
    """What workers have of the world. `spawning_fails` and `is_dead` are asked at each use."""

    evidence: Evidence
    draw: random.Random
    life: int
    now: Callable[[], Any]
    spawning_fails: Callable[[], bool]


class SimulatedWorker:
    """Runs one step at a time, as its kwargs say.

    ok takes its seconds and honours a cancel; fail raises; die ends the process; deaf ends by SIGTERM only, stone by
    SIGKILL only, and may leave something behind for a while; mute never reads its frame.
    """

    def __init__(self, pid: int, around: Surroundings) -> None:
        self.pid = pid
        self.ran_code_of: str | None = None
        self._around = around
        self._effect: Effect | None = None
        self._until = FOR_EVER
        self._stop = trio.Event()
        self._died: str | None = None
        self._gone = -1.0
        self._canceled = False

    @property
    def works(self) -> bool:
        """Whether a step is running."""
        return self._effect is not None and self._effect.ended is None

    async def start_step(self, spec: dict[str, Any], handler: Handler) -> None:
        kwargs = spec["kwargs"]
        self._stop = trio.Event()
        self._effect = Effect(
            spec["run_id"],
            spec["job_id"],
            spec["step"],
            spec["attempt"],
            self._around.life,
            kwargs,
            trio.current_time(),
            self._around.now(),
        )
        self._around.evidence.effects.append(self._effect)
        self._until = trio.current_time() + kwargs["seconds"]
        if kwargs["how"] == "mute":
            self._until = FOR_EVER
            await trio.sleep_forever()
        at = self._around.now().timestamp()
        if kwargs["lines"]:
            handler({"log": [[at, "INFO", "stdout", f"line {n}"] for n in range(kwargs["lines"])]})

    async def step_end(self) -> dict[str, Any]:
        effect = self._effect
        assert effect is not None
        with trio.move_on_at(self._until):
            await self._stop.wait()
        if self._died is not None:
            return {"died": self._died}
        kwargs = effect.kwargs
        if self._canceled:
            await trio.sleep(self._around.draw.choice([0, 0.1, 0.7]))
            self._over("canceled")
            return {"canceled": "asked", "rolled_back": True}
        if kwargs["how"] == "die":
            self.die("the worker process was ended by SIGSEGV")
            return {"died": self._died}
        if kwargs["how"] == "fail" or effect.attempt <= kwargs["fails"]:
            self._over("failed")
            return {"failed": {"type": "ValueError", "message": "no luck", "traceback": "one\ntwo"}}
        self._over("done")
        return {"done": {"output": {"n": 1}, "rows_affected": 5}}

    async def run_step(self, spec: dict[str, Any], handler: Handler) -> dict[str, Any]:
        await self.start_step(spec, handler)
        return await self.step_end()

    async def send(self, message: dict[str, Any]) -> None:
        how = self._effect.kwargs["how"] if self._effect is not None else ""
        if how == "mute":
            await trio.sleep_forever()
        if "cancel" in message and how not in ("deaf", "stone"):
            self._canceled = True
            self._stop.set()

    def signal(self, number: int) -> bool:
        how = self._effect.kwargs["how"] if self._effect is not None else ""
        if how != "stone" or number == signal.SIGKILL:
            lingers = number == signal.SIGKILL and self._around.draw.random() < 0.7
            self.die("ended by a signal", lingers=self._around.draw.uniform(0.5, 6) if lingers else 0)
        return True

    async def kill(self) -> list[int]:
        if self._died is None:
            self.die("killed")
        return [self.pid + 1] if trio.current_time() < self._gone else []

    def die(self, why: str, *, lingers: float = 0) -> None:
        """The process is gone; another one of its group may have effects for some seconds more."""
        if self._died is None:
            self._died = why
            self._gone = trio.current_time() + lingers
            if lingers:
                self._around.evidence.saw("a killed step left processes behind")
            self._over("died", lingers)
            self._stop.set()

    def _over(self, how: str, lingers: float = 0) -> None:
        effect = self._effect
        if effect is not None and effect.ended is None:
            effect.ended, effect.ended_at, effect.how = trio.current_time() + lingers, self._around.now(), how


@dataclass
class SimulatedWorkers:
    """The pool of one life; workers are reused after a clean end."""

    around: Surroundings
    all: list[SimulatedWorker] = field(default_factory=list)
    idle: list[SimulatedWorker] = field(default_factory=list)

    async def acquire(self, job_id: str) -> SimulatedWorker:
        if self.around.spawning_fails():
            self.around.evidence.saw("a worker could not be started")
            raise WorkerError("the worker could not be started: no more processes")
        for worker in self.idle:
            if worker.ran_code_of in (None, job_id):
                self.idle.remove(worker)
                return worker
        await trio.sleep(self.around.draw.choice([0, 0.15]))
        worker = SimulatedWorker(1000 + 10 * len(self.all), self.around)
        self.all.append(worker)
        return worker

    async def release(self, worker: SimulatedWorker, *, clean: bool) -> list[int]:
        if clean and worker._died is None:
            self.idle.append(worker)
            return []
        return await worker.kill()

    def working(self) -> list[SimulatedWorker]:
        """Those with a step."""
        return [worker for worker in self.all if worker.works]

    def all_die(self) -> None:
        """The engine is gone, and they with it."""
        for worker in self.all:
            worker.die("its engine is gone")
            effect = worker._effect
            if effect is not None and effect.ended is not None and effect.ended > trio.current_time():
                effect.ended = trio.current_time()
