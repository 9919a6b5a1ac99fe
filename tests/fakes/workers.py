"""Workers without processes: a step's callable names what happens, in the clock of the test."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

Handler = Callable[[dict[str, Any]], None]


@dataclass
class FakeWorker:
    """Runs `mode:<what>` callables.

    ok ends at once; slow<n> takes n seconds and honours a cancel; deaf<n> takes them and ends by SIGTERM only;
    stone ends by SIGKILL only; fail raises; fail<n> raises at its first n tries; die ends the process; lines logs some.
    """

    pid: int
    survivors: list[list[int]]
    ran_code_of: str | None = None
    sent: list[dict[str, Any]] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)
    specs: list[dict[str, Any]] = field(default_factory=list)
    killed: bool = False
    _stop: trio.Event = field(default_factory=trio.Event)
    _deadly: frozenset[int] = frozenset()

    async def run_step(self, spec: dict[str, Any], handler: Handler) -> dict[str, Any]:
        self.specs.append(spec)
        mode = spec["options"]["callable"].partition(":")[2]
        word, number = mode.rstrip("0123456789"), int(mode[len(mode.rstrip("0123456789")) :] or 0)
        if word == "lines":
            handler({"log": [[0.0, "INFO", "stdout", f"line {n}"] for n in range(3)]})
            handler({"progress": {"done": 3, "total": 3, "unit": "lines", "text": ""}})
        if word == "die":
            return {"died": "the worker process was ended by SIGSEGV"}
        if word == "fail" and (not number or spec["attempt"] <= number):
            return {"failed": {"type": "ValueError", "message": "no luck", "traceback": ""}}
        if word in ("slow", "deaf", "stone"):
            deadly = {"slow": {signal.SIGTERM, signal.SIGKILL}, "deaf": {signal.SIGTERM, signal.SIGKILL}}
            self._deadly = frozenset(deadly.get(word, {signal.SIGKILL}))
            self._soft = word == "slow"
            with trio.move_on_after(number or 10**9):
                await self._stop.wait()
                return {"canceled": "asked"} if not self.signals else {"died": "ended by a signal"}
        return {"done": {"output": {"n": 1}, "rows_affected": 5}}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if "cancel" in message and self._soft:
            self._stop.set()

    def signal(self, number: int) -> bool:
        self.signals.append(number)
        if number in self._deadly:
            self._stop.set()
        return True

    async def kill(self) -> list[int]:
        self.killed = True
        return self.survivors.pop(0) if self.survivors else []


@dataclass
class FakeWorkers:
    """Gives out fake workers; `survivors` is what the kills of the next ones find left, one list a kill."""

    survivors: list[list[int]] = field(default_factory=list)
    all: list[FakeWorker] = field(default_factory=list)
    released: list[tuple[int, bool]] = field(default_factory=list)

    async def acquire(self, job_id: str) -> FakeWorker:
        worker = FakeWorker(1000 + len(self.all), self.survivors)
        self.all.append(worker)
        return worker

    async def release(self, worker: FakeWorker, *, clean: bool) -> list[int]:
        self.released.append((worker.pid, clean))
        return [] if clean else await worker.kill()
