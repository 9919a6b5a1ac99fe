"""Real worker processes with Python code of the test's own."""

from __future__ import annotations

import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from nomaflow.worker.pool import Worker, WorkerPool
from nomaflow.worker.protocol import Message


@dataclass
class Told:
    """What a step said before its end."""

    lines: list[tuple[str, str, str]] = field(default_factory=list)
    other: list[Message] = field(default_factory=list)
    end: Message = field(default_factory=dict)
    _waiting: dict[str, trio.Event] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        """A worker's message."""
        if "log" not in message:
            self.other.append(message)
        for _, level, stream, text in message.get("log", ()):
            self.lines.append((level, stream, text))
            for begin, event in self._waiting.items():
                if text.startswith(begin):
                    event.set()

    async def line(self, begin: str) -> str:
        """The first line that begins so, as soon as it is there."""
        event = self._waiting.setdefault(begin, trio.Event())
        if not any(text.startswith(begin) for _, _, text in self.lines):
            await event.wait()
        return next(text for _, _, text in self.lines if text.startswith(begin))

    @property
    def texts(self) -> list[str]:
        """The lines without level and stream."""
        return [text for _, _, text in self.lines]


class Code:
    """A home whose import root holds the test's modules."""

    def __init__(self, home: Path) -> None:
        self.home, self.root = home, home / "jobs"
        self.root.mkdir()

    def write(self, code: str, module: str = "steps") -> None:
        """(Re)write a module."""
        (self.root / f"{module}.py").write_text(textwrap.dedent(code))

    def step(self, function: str = "main", *, module: str = "steps", **options: Any) -> Message:
        """What the engine sends to have one of its functions run."""
        kwargs, outputs = options.pop("kwargs", {}), options.pop("outputs", {})
        log_level = options.pop("log_level", "INFO")
        return {
            "type": "python",
            "run_id": "run_0000000000001",
            "job_id": "job",
            "step": "load",
            "attempt": 1,
            "log_level": log_level,
            "session_user": "user:test",
            "kwargs": kwargs,
            "options": {"callable": f"{module}:{function}", "import_root": str(self.root), **options},
            "outputs": outputs,
            "runs_code": True,
            "starts_processes": True,
            "home": str(self.home),
            "import_root": str(self.root),
        }

    def shell(self, *argv: str) -> Message:
        """A shell step."""
        return {**self.step(), "type": "shell", "runs_code": False, "options": {"argv": list(argv)}}


@asynccontextmanager
async def pool_at(home: Path, *, spares: int = 0, keep: int = 4) -> AsyncIterator[WorkerPool]:
    """A pool whose workers are gone at the end."""
    async with trio.open_nursery() as nursery:
        pool = WorkerPool(home, nursery, spares=spares, keep=keep)
        try:
            yield pool
        finally:
            with trio.CancelScope(shield=True):
                await pool.close()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def worker_at(home: Path) -> AsyncIterator[Worker]:
    """One worker, killed at the end whatever it does."""
    async with pool_at(home) as pool:
        worker = await pool.acquire("job")
        try:
            yield worker
        finally:
            await worker.kill()


async def run(worker: Worker, step: Message) -> Told:
    """Run a step to its end."""
    told = Told()
    told.end = await worker.run_step(step, told.take)
    return told


@asynccontextmanager
async def running(worker: Worker, step: Message) -> AsyncIterator[Told]:
    """Run a step beside the block, which ends when the step has ended."""
    told = Told()

    async def to_the_end() -> None:
        told.end = await worker.run_step(step, told.take)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(to_the_end)
        yield told


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that tells nobody when it happens, such as the end of another's process."""
    while not condition():  # noqa: ASYNC110  # there is no event
        await trio.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
