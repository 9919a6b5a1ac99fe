"""The engine's side of workers: spawn, talk, reuse, kill by group."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio

from nomaflow.worker import process_group, protocol

log = logging.getLogger(__name__)

ENVIRONMENT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE")
"""What a worker inherits. Secrets live in the engine's environment; a worker is given the ones it needs by name."""

READY_SECONDS = 30.0
"""A worker that is not ready by then never will be; a loaded machine takes a second."""

MAX_STEPS = 1000
"""Steps that one worker runs before it is replaced, so that what libraries leak does not pile up."""

MAX_LINE = 65_536
"""Bytes of a line that C code or a child prints; a longer one is broken up."""

MAX_READS = 64
"""How often a pipe is read at a step's end: more than it holds, and an end where something prints without one."""

FOREIGN_CODE = ("python", "notebook", "shell")
"""Step types whose code may start processes of its own."""

IDLE_SECONDS = 60.0
"""How long a worker that is no spare one waits for another step."""

SEND_SECONDS = 5.0
"""A worker that waits for an answer reads it at once; one that does not is stopped by other means."""

GONE_SECONDS = 5.0
"""How long to look for processes of a killed group; longer ones hang in the kernel."""

Handler = Callable[[protocol.Message], protocol.Message | None]


class WorkerError(Exception):
    """A worker could not be started."""


class Worker:
    """One process, leader of its own session. `ran_code_of` is the job whose Python code it has loaded."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._unpacker = protocol.Unpacker()
        self._waiting: list[protocol.Message] = []
        self._handler: Handler | None = None
        self._printed = b""
        self._sending = trio.Lock()  # a step, a cancel and an answer may be sent by three tasks at once
        self.ran_code_of: str | None = None
        self.steps = 0
        self.idle_since = 0.0
        self._may_have_children = False
        self.is_gone = False

    @property
    def pid(self) -> int:
        """The process, its group and its session."""
        return self._process.pid

    async def send(self, message: protocol.Message) -> None:
        """Send one frame, after those before it; a worker that is gone is noticed by who waits for its end."""
        assert self._process.stdin is not None
        try:
            async with self._sending:
                await self._process.stdin.send_all(protocol.pack(message))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("worker %d is gone; %s was not sent", self.pid, next(iter(message)))

    async def start_step(self, spec: protocol.Message, handler: Handler) -> None:
        """Begin a step; `step_end` must follow.

        Args:
            spec: see `protocol`.
            handler: is given every message but the last, and gives back what is to be answered, or None.
        """
        self.steps += 1
        self._may_have_children |= spec["type"] in FOREIGN_CODE
        self._handler = handler
        await self.send({"step": spec})

    async def step_end(self) -> protocol.Message:
        """Serve the step until it ends.

        Canceled: nothing is lost; call it again to go on.

        Returns:
            The message that ends the step; `{"died": sentence}` where the process ended instead.
        """
        while True:
            message = await self._next()
            if message is None:
                end = {"died": _how_it_ended(await self._process.wait())}
                break
            if protocol.ENDS & message.keys():
                end = message
                break
            assert self._handler is not None
            if answer := self._handler(message):
                with trio.move_on_after(SEND_SECONDS, shield=True):
                    # Half a frame, or none, would leave the step waiting for ever.
                    await self.send(answer)
        self._take_rest()
        self._handler = None
        return end

    async def run_step(self, spec: protocol.Message, handler: Handler) -> protocol.Message:
        """Both."""
        await self.start_step(spec, handler)
        return await self.step_end()

    async def ready(self) -> None:
        """Wait until the process takes steps.

        Raises:
            WorkerError: it ended, or took too long.
        """
        with trio.move_on_after(READY_SECONDS):
            if await self._next() is not None:
                return
            raise WorkerError(
                f"a worker process ended before it was ready: {_how_it_ended(await self._process.wait())}"
            )
        raise WorkerError(f"a worker process was not ready within {READY_SECONDS:.0f} s")

    async def read_stderr(self) -> None:
        """Pass on what C code and children print; it belongs to the step that runs."""
        assert self._process.stderr is not None
        try:
            async for data in self._process.stderr:
                self._take_printed(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            self._take_printed(b"\n")

    def is_alive(self) -> bool:
        """Whether the process runs; one that waits for a step may have been killed for its memory."""
        return self._process.poll() is None

    def signal(self, number: int) -> bool:
        """Send a signal to the whole group."""
        return process_group.signal_group(self.pid, number)

    def survivors(self) -> list[int]:
        """The processes of the group that are alive."""
        return process_group.members(self.pid)

    def has_children(self) -> bool:
        """Whether a step has left processes behind. Cheaper than `survivors`: asked after every run."""
        return self._may_have_children and process_group.has_children(self.pid)

    async def kill(self) -> list[int]:
        """Kill the group and all that the step started, reap the process; what is left, normally nothing."""
        with trio.CancelScope(shield=True):
            # A child in a session of its own is no member of the group; the worker is still the ancestor of all.
            below = process_group.descendants(self.pid)
            self.signal(signal.SIGKILL)
            for pid in process_group.living(below):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with trio.move_on_after(GONE_SECONDS):
                await self._process.wait()
            left = self._left(below)
            deadline = trio.current_time() + GONE_SECONDS
            while left and trio.current_time() < deadline:
                # There is no event for the end of a grandchild.
                await trio.sleep(0.01)
                left = self._left(below)
            self.is_gone = True
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                if stream is not None:
                    await stream.aclose()
        return left

    def _left(self, below: list[int]) -> list[int]:
        return sorted({*self.survivors(), *process_group.living(below)})

    def _take_printed(self, data: bytes | bytearray) -> None:
        *lines, self._printed = (self._printed + data).split(b"\n")
        if len(self._printed) > MAX_LINE:
            lines.append(self._printed)
            self._printed = b""
        for line in filter(None, lines):
            text = line.rstrip(b"\r").rsplit(b"\r", 1)[-1].decode(errors="backslashreplace")
            if self._handler is not None:
                self._handler({"log": [[time.time(), "WARNING", "stderr", text]]})
            else:
                log.warning("worker %d: %s", self.pid, text)

    def _take_rest(self) -> None:
        """Take what was printed before the step's end and was not read yet: an ended step has its whole log."""
        stream = self._process.stderr
        assert isinstance(stream, trio.lowlevel.FdStream)
        with suppress(OSError):  # nothing is there, or `kill` has closed the pipe
            # Trio has made the pipe non-blocking, and `read_stderr` only waits for it.
            for _ in range(MAX_READS):
                if not (data := os.read(stream.fileno(), 65_536)):
                    break
                self._take_printed(data)
        self._take_printed(b"\n")

    async def _next(self) -> protocol.Message | None:
        assert self._process.stdout is not None
        while not self._waiting:
            try:
                data = await self._process.stdout.receive_some(65_536)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            if not data:
                return None
            try:
                self._waiting += self._unpacker.feed(bytes(data))
            except protocol.BrokenFrameError:
                log.exception("worker %d sent no frames; it is killed", self.pid)
                self.signal(signal.SIGKILL)
        return self._waiting.pop(0)


class WorkerPool:
    """Workers that wait for a step: at most `keep`, and the spare ones. The caller limits how many are out at once."""

    def __init__(self, home: Path, nursery: trio.Nursery, *, spares: int = 1, keep: int = 4) -> None:
        self._home, self._nursery, self._spares, self._keep = home, nursery, spares, keep + spares
        self._idle: list[Worker] = []
        self._living: list[Worker] = []
        self._closed = False

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
        while not self._closed and sum(worker.ran_code_of is None for worker in self._idle) < self._spares:
            self._living = [worker for worker in self._living if not worker.is_gone]
            if len(self._living) >= self._keep:
                return
            try:
                worker = await self._spawn()
            except WorkerError as error:
                log.error("no spare worker: %s", error)
                return
            if self._closed:
                await worker.kill()
            else:
                self._idle.append(worker)

    async def retire_idle(self) -> None:
        """End the workers that were not needed for a while, but for the spare ones; for ever."""
        while True:
            await trio.sleep(IDLE_SECONDS)
            until = trio.current_time() - IDLE_SECONDS
            blank = [worker for worker in self._idle if worker.ran_code_of is None]
            spare = blank[-self._spares :]
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
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
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
        worker = Worker(process)
        self._living.append(worker)
        self._nursery.start_soon(worker.read_stderr)
        try:
            await worker.ready()
        except BaseException:
            await worker.kill()
            raise
        return worker


def _how_it_ended(exit_code: int) -> str:
    if exit_code < 0:
        named = {number.value: number.name for number in signal.Signals}
        return f"the worker process was ended by {named.get(-exit_code, f'signal {-exit_code}')}"
    return f"the worker process ended with exit code {exit_code}"
