"""Workers without processes: a step's callable names what happens, in the clock of the test."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

Handler = Callable[[dict[str, Any]], Any]

WAITS = ("slow", "failslow", "deaf", "stone", "mute", "sore", "served", "commits", "trap")
"""What takes its time, or waits to be stopped."""


@dataclass
class FakeWorker:
    """Runs `mode:<what>` callables, and queries that say `<what>`.

    ok ends at once; slow<n> takes n seconds and honours a cancel; deaf<n> takes them and ends by SIGTERM only;
    stone ends by SIGKILL only; fail raises; fail<n> raises at its first n tries; failslow<n> raises at its first try
    and takes n seconds for the next; die ends the process; lines logs some; bug is a fault of the engine's own code;
    many<n> has 10**n rows; mute reads nothing. sore raises when it is asked to stop; lasting raises what stays;
    later<n> raises and asks for n seconds; served has a connection to a server, and commits has begun to commit on it;
    both end by SIGTERM only; trap ends with a fault of the engine when it is stopped. A step `end_backend` gives
    `backend_ends`, or hangs where that is None.
    """

    pid: int
    survivors: list[list[int]]
    ran_code_of: str | None = None
    sent: list[dict[str, Any]] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)
    specs: list[dict[str, Any]] = field(default_factory=list)
    killed: bool = False
    backend_ends: bool | None = True
    _stop: trio.Event = field(default_factory=trio.Event)
    _word: str = ""
    _number: int = 0
    _until: float = 0

    async def start_step(self, spec: dict[str, Any], handler: Handler) -> None:
        self.specs.append(spec)
        if spec["type"] == "end_backend":
            self._word = "end_backend"
            return
        mode = spec["options"].get("callable", "").partition(":")[2] or spec["options"].get("query", "")
        if mode == "mute":
            # It does not read, so the frame is never out.
            self._word, self._until = "mute", trio.current_time() + 10**9
            await trio.sleep_forever()
        self._word = mode.rstrip("0123456789")
        self._number = int(mode[len(self._word) :] or 0)
        self._until = trio.current_time() + (self._number or 10**9)
        if self._word in ("served", "commits"):
            handler({"server": {"connector": "pg", "process": 77}})
        if self._word == "commits":
            handler({"commits": True})
        if self._word == "lines":
            handler({"log": [[0.0, "INFO", "stdout", f"line {n}"] for n in range(3)]})
            handler({"progress": {"done": 3, "total": 3, "unit": "lines", "text": ""}})

    async def step_end(self) -> dict[str, Any]:
        if self._word == "bug":
            raise ZeroDivisionError("division by zero")
        if self._word == "end_backend":
            if self.backend_ends is None:
                await trio.sleep_forever()
            return {"done": {"output": {"ended": self.backend_ends}, "rows_affected": None}}
        if self._word in ("lasting", "later"):
            said = {"retry": False, "lasting": "a syntax error stays one"}
            said = {"retry": True, "retry_after": self._number} if self._word == "later" else said
            return {"failed": {"type": "ValueError", "message": "no luck", "traceback": "", **said}}
        if self._word == "die":
            return {"died": "the worker process was ended by SIGSEGV"}
        if self._word == "fail" and (not self._number or self.specs[-1]["attempt"] <= self._number):
            return {"failed": {"type": "ValueError", "message": "no luck", "traceback": ""}}
        if self._word == "failslow" and self.specs[-1]["attempt"] == 1:
            return {"failed": {"type": "ValueError", "message": "no luck", "traceback": ""}}
        if self._word == "many":
            return {"done": {"output": {}, "rows_affected": 10**self._number}}
        if self._word in WAITS:
            with trio.move_on_at(self._until):
                await self._stop.wait()
                if self._word == "trap":
                    raise ZeroDivisionError("division by zero")
                if self._word == "sore" and not self.signals:
                    return {"failed": {"type": "KeyError", "message": "was busy", "traceback": "", "retry": True}}
                return {"died": "ended by a signal"} if self.signals else {"canceled": "asked"}
        return {"done": {"output": {"n": 1}, "rows_affected": 5}}

    async def run_step(self, spec: dict[str, Any], handler: Handler) -> dict[str, Any]:
        await self.start_step(spec, handler)
        return await self.step_end()

    async def send(self, message: dict[str, Any]) -> None:
        if self._word == "mute":
            await trio.sleep_forever()
        self.sent.append(message)
        if "cancel" in message and self._word in ("slow", "sore", "trap"):
            self._stop.set()

    def signal(self, number: int) -> bool:
        self.signals.append(number)
        if self._word != "stone" or number == signal.SIGKILL:
            self._stop.set()
        return True

    async def kill(self) -> list[int]:
        self.killed = True
        return self.survivors.pop(0) if self.survivors else []


@dataclass
class FakeWorkers:
    """Gives out fake workers; `survivors` is what the kills of the next ones find left, one list a kill.

    `backend_ends` is for `FakeWorker`.
    """

    survivors: list[list[int]] = field(default_factory=list)
    all: list[FakeWorker] = field(default_factory=list)
    released: list[tuple[int, bool]] = field(default_factory=list)
    backend_ends: bool | None = True

    async def acquire(self, job_id: str) -> FakeWorker:
        worker = FakeWorker(1000 + len(self.all), self.survivors, backend_ends=self.backend_ends)
        self.all.append(worker)
        return worker

    async def release(self, worker: FakeWorker, *, clean: bool) -> list[int]:
        self.released.append((worker.pid, clean))
        return [] if clean else await worker.kill()
