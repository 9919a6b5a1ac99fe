"""One worker process as the engine sees it: talk to it, signal it, and know when all of it is gone."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import trio

from nomaflow.worker import process_group, protocol

log = logging.getLogger(__name__)

READY_SECONDS = 30.0
"""A worker that is not ready by then never will be; a loaded machine takes a second."""

MAX_LINE = 65_536
"""Bytes of a line that C code or a child prints; a longer one is broken up."""

MAX_READS = 64
"""How often a pipe is read at a step's end: more than it holds, and an end where something prints without one."""

SEND_SECONDS = 5.0
"""A worker that waits for an answer reads it at once; one that does not is stopped by other means."""

GONE_SECONDS = 5.0
"""How long to look for processes of a killed group; longer ones hang in the kernel."""

Handler = Callable[[protocol.Message], protocol.Message | None]


class WorkerError(Exception):
    """A worker could not be started."""


class Worker:
    """One process, leader of its own session. `ran_code_of` is the job whose Python code it has loaded.

    `mark` is the value of `WORKER_MARK` in its environment and that of all that it starts.
    """

    def __init__(self, process: trio.Process, mark: str) -> None:
        self._process, self._mark = process, mark
        self._unpacker = protocol.Unpacker()
        self._waiting: list[protocol.Message] = []
        self._handler: Handler | None = None
        self._printed = b""
        self._sending = trio.Lock()  # a step, a cancel and an answer may be sent by three tasks at once
        self.ran_code_of: str | None = None
        self.steps = 0
        self.idle_since = 0.0
        self._may_have_children = False
        self._started: set[int] = set()
        self._has_exited = False
        self._reading: trio.CancelScope | None = None
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
        self._may_have_children |= spec["starts_processes"]
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
                end = {"died": await self._how_it_ended()}
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
            raise WorkerError(f"a worker process ended before it was ready: {await self._how_it_ended()}")
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

    async def watch_exit(self) -> None:
        """Wake who reads when the process has exited: a child that it forked may hold the pipe's other end open."""
        await self._process.wait()
        self._has_exited = True
        if self._reading is not None:
            self._reading.cancel()

    def signal(self, number: int) -> bool:
        """Send a signal to the whole group."""
        self._look_for_started()
        return process_group.signal_group(self.pid, number)

    def survivors(self) -> list[int]:
        """The processes of the group that are alive."""
        return process_group.members(self.pid)

    def has_children(self) -> bool:
        """Whether a step has left processes behind. Cheaper than `survivors`: asked after every run."""
        self._may_have_children = self._may_have_children and process_group.has_children(self.pid)
        return self._may_have_children

    async def kill(self) -> list[int]:
        """Kill the group and all that the step started, reap the process; what is left, normally nothing."""
        with trio.CancelScope(shield=True):
            # A thread of a step that has ended may have started something since.
            self._may_have_children |= self.is_alive() and process_group.has_children(self.pid)
            await self._look_beside_the_loop()
            process_group.signal_group(self.pid, signal.SIGKILL)
            process_group.kill(self._started)
            with trio.move_on_after(GONE_SECONDS):
                await self._process.wait()
            # What was being started when the first look was taken.
            await self._look_beside_the_loop()
            process_group.kill(self._started)
            left = self._left()
            deadline = trio.current_time() + GONE_SECONDS
            while left and trio.current_time() < deadline:
                # There is no event for the end of a grandchild.
                await trio.sleep(0.01)
                left = self._left()
            self.is_gone = True
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                if stream is not None:
                    await stream.aclose()
        return left

    async def _look_beside_the_loop(self) -> None:
        """Look, in a thread: to look at every process of the machine takes 10 ms for a few hundred."""
        if self._may_have_children:
            await trio.to_thread.run_sync(self._look_for_started)

    def _look_for_started(self) -> None:
        """Remember what the step has started: a child in a session of its own is no member of the group."""
        if self._may_have_children:
            # As long as the worker lives it is the ancestor of all; afterwards they still carry its mark.
            carriers = process_group.marked(process_group.WORKER_MARK, self._mark)
            self._started |= {*process_group.descendants(self.pid), *carriers} - {self.pid}

    def _left(self) -> list[int]:
        self._started = set(process_group.living(self._started))
        if not self._may_have_children and not process_group.signal_group(self.pid, 0):
            return sorted(self._started)  # found without a look at all processes of the machine
        return sorted({*self.survivors(), *self._started})

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
        while not self._waiting:
            try:
                data = await self._read()
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

    async def _read(self) -> bytes | bytearray:
        """What the worker has sent; nothing when it is over."""
        stream = self._process.stdout
        assert isinstance(stream, trio.lowlevel.FdStream)
        if not self._has_exited:
            with trio.CancelScope() as self._reading:
                return await stream.receive_some(65_536)
        with suppress(OSError):  # nothing is there
            return os.read(stream.fileno(), 65_536)
        return b""

    async def _how_it_ended(self) -> str:
        with trio.move_on_after(GONE_SECONDS):
            return _how_it_ended(await self._process.wait())
        return "the worker process has closed its pipe and does not end"


def _how_it_ended(exit_code: int) -> str:
    if exit_code < 0:
        named = {number.value: number.name for number in signal.Signals}
        return f"the worker process was ended by {named.get(-exit_code, f'signal {-exit_code}')}"
    return f"the worker process ended with exit code {exit_code}"
