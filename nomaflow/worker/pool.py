"""The engine's workers: started ahead of need, used again when clean, never given to another job's code."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import trio

from nomaflow.worker import process_group
from nomaflow.worker.process import Worker, WorkerError

__all__ = ["Worker", "WorkerError", "WorkerPool"]

log = logging.getLogger(__name__)

ENVIRONMENT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE")
"""What a worker inherits. Secrets live in the engine's environment; a worker is given the ones it needs by name."""

MAX_STEPS = 1000
"""Steps that one worker runs before it is replaced, so that what libraries leak does not pile up."""

SPAWNS_AT_ONCE = 4
"""Workers that are started side by side, for runs that wait and as many ahead of need. More would only take turns, and
each holds up the engine until the processor has time for it."""

IDLE_SECONDS = 60.0
"""How long a worker that is no spare one waits for another step."""


class WorkerPool:
    """Workers that wait for a step: at most `keep`, and the spare ones. The caller limits how many are out at once."""

    def __init__(self, home: Path, nursery: trio.Nursery, *, spares: int = 1, keep: int = 4) -> None:
        self._home, self._nursery, self._spares, self._keep = home, nursery, spares, keep + spares
        self._mark, self._numbers = process_group.mark_of(home), itertools.count(1)
        self._spawning, self._spawning_ahead = (trio.CapacityLimiter(SPAWNS_AT_ONCE) for _ in range(2))
        self._idle: list[Worker] = []
        self._living: list[Worker] = []
        self._closed = self._is_filling = False

    async def acquire(self, job_id: str) -> Worker:
        """A worker that may run a step of the job: one that has run no other job's Python code.

        Raises:
            WorkerError: none could be started.
        """
        if worker := self._take_idle(job_id):
            return worker
        if worker := self._take_idle(None):
            self._nursery.start_soon(self.fill)
            return worker
        if self._room() <= 0:
            # Another job's worker, which this one may not have, would be one too many.
            self._retire_other_than({job_id}, 1)
        return await self._spawn()

    def _take_idle(self, ran_code_of: str | None) -> Worker | None:
        """An idle worker that has run just that job's code; those of them that have died are forgotten."""
        while worker := next((worker for worker in self._idle if worker.ran_code_of == ran_code_of), None):
            self._idle.remove(worker)
            if worker.is_alive():
                return worker
        return None

    async def release(self, worker: Worker, *, clean: bool) -> list[int]:
        """Give a worker back; one that is not clean is killed. What is left of its group, normally nothing."""
        if clean and not worker.has_children() and not self._closed and worker.steps < MAX_STEPS:
            worker.idle_since = trio.current_time()
            self._idle.append(worker)
            while len(self._idle) > self._keep:
                await self._idle.pop(0).kill()
            return []
        return await worker.kill()

    async def fill(self) -> None:
        """Have a spare one ready, so that the next launch does not wait for an interpreter.

        Not beyond what may be kept: where every run has its worker, nobody could use one more.
        """
        if self._is_filling:
            return
        self._is_filling = True
        try:
            while not self._closed and sum(worker.ran_code_of is None for worker in self._idle) < self._spares:
                if self._room() <= 0 or not await self._add_idle():
                    return
        finally:
            self._is_filling = False

    async def expect(self, count: int, *, job_ids: Collection[str] = ()) -> None:
        """Have so many workers ready for a burst of launches, as far as they may be kept.

        Args:
            count: how many will be wanted at once.
            job_ids: whose they will be, where that is known: workers that have loaded the code of these count too.
                Others make room, the longest idle first.
        """
        wanted = {None, *job_ids}
        missing = count - sum(worker.ran_code_of in wanted and worker.is_alive() for worker in self._idle)
        room = self._room()
        room += self._retire_other_than(wanted, missing - room)
        async with trio.open_nursery() as nursery:
            for _ in range(min(missing, room)):
                nursery.start_soon(self._add_idle)

    def _room(self) -> int:
        """How many more workers there may be."""
        self._living = [worker for worker in self._living if not worker.is_gone]
        return self._keep - len(self._living)

    def _retire_other_than(self, wanted: Collection[str | None], count: int) -> int:
        """End some idle workers that have loaded other code, the longest idle first; how many these are."""
        retired = [worker for worker in self._idle if worker.ran_code_of not in wanted][: max(0, count)]
        self._idle = [worker for worker in self._idle if worker not in retired]
        for worker in retired:
            self._nursery.start_soon(worker.kill)
        return len(retired)

    async def _add_idle(self) -> bool:
        """One more worker that waits; False where that cannot be."""
        async with self._spawning_ahead:
            if self._closed:
                return False
            try:
                worker = await self._spawn()
            except WorkerError as error:
                log.error("no spare worker: %s", error)
                return False
        if self._closed:
            await worker.kill()
            return False
        worker.idle_since = trio.current_time()
        self._idle.append(worker)
        return True

    async def retire_idle(self) -> None:
        """End the workers that were not needed for a while, but for the spare ones; for ever."""
        while True:
            await trio.sleep(IDLE_SECONDS)
            until = trio.current_time() - IDLE_SECONDS
            blank = [worker for worker in self._idle if worker.ran_code_of is None]
            spare = blank[len(blank) - self._spares :]
            retired = [worker for worker in self._idle if worker not in spare and worker.idle_since < until]
            # Out of the list before the first await: a launch may come meanwhile.
            self._idle = [worker for worker in self._idle if worker not in retired]
            for worker in retired:
                await worker.kill()

    async def close(self) -> None:
        """Kill the ones that wait."""
        self._closed = True
        while self._idle:
            await self._idle.pop().kill()

    async def _spawn(self) -> Worker:
        mark = f"{self._mark}.{os.getpid()}.{next(self._numbers)}"
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        environment |= {process_group.HOME_MARK: self._mark, process_group.WORKER_MARK: mark}
        try:
            process = await trio.lowlevel.open_process(
                # -P: no file of the home stands in the way of a library's module.
                [sys.executable, "-P", "-m", "nomaflow.worker.main"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._home,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerError(f"a worker process could not be started: {error.strerror}") from None
        worker = Worker(process, mark)
        self._living.append(worker)
        self._nursery.start_soon(worker.read_stderr)
        self._nursery.start_soon(worker.watch_exit)
        try:
            await worker.ready()
        except BaseException:
            await worker.kill()
            raise
        return worker
