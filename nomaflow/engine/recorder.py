"""Makes changes durable, in order, in groups.

One task takes all that waits and commits it together in the store's thread: a statement costs more than an fsync, so
the more runs are busy, the cheaper each change gets. A caller waits for its own durability only. Log lines ride on the
next commit, at most `LOG_DELAY_SECONDS` later and always before the change that ends their step, since that comes
after them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import trio

from nomaflow.engine.change import Change, Row
from nomaflow.engine.feed import Feed
from nomaflow.engine.store import Store
from nomaflow.errors import NotReadyError

LOG_DELAY_SECONDS = 0.25
PROBE_SECONDS = 1.0
MAX_GROUP = 1000

BUSY_GROUP = 4
LINGER_SECONDS = 0.02
"""A commit costs 3 ms, a hundredth of that more for each change, and holds the interpreter meanwhile. So when one had
this many changes, the next waits so long for company; a quiet engine never waits."""

log = logging.getLogger(__name__)

Offload = Callable[[Callable[[], None]], Awaitable[Any]]


class Ticket:
    """A change that was handed in, or a call that is to be made between two commits."""

    def __init__(self, change: Change, call: Callable[[], None] | None = None) -> None:
        self.change, self.call = change, call
        self.error: Exception | None = None
        self._done = trio.Event()

    async def settled(self) -> None:
        """Return when it is known how it went; `error` says it."""
        await self._done.wait()

    async def wait_durable(self) -> None:
        """Return when the change is on disk.

        Raises:
            NotReadyError: it could not be written.
        """
        await self._done.wait()
        if self.error is not None:
            raise NotReadyError(f"the run store did not take the change: {self.error}") from self.error

    def settle(self, error: Exception | None = None) -> None:
        """Wake who waits."""
        self.error = error
        self._done.set()


class Recorder:
    """The store's one writer. `failed` says why the last commit failed, until one succeeds again."""

    def __init__(self, store: Store, feed: Feed, offload: Offload | None = None) -> None:
        self._store, self._feed = store, feed
        limiter = trio.CapacityLimiter(1)
        self._offload: Offload = offload or partial(trio.to_thread.run_sync, limiter=limiter)
        self._send, self._receive = trio.open_memory_channel[Ticket](math.inf)
        self._log_rows: list[Row] = []
        self._lines_wait = trio.Event()
        self.failed: str | None = None
        self._failing = trio.Event()

    def submit(self, change: Change) -> Ticket:
        """Hand in a change without waiting; changes are written in the order they come."""
        ticket = Ticket(change)
        if change.is_empty():
            ticket.settle()
            return ticket
        return self._send_in(ticket)

    async def record(self, change: Change) -> None:
        """Hand in a change and wait until it is on disk.

        Canceled: the change is written all the same; the recorder does not stop with its caller.

        Raises:
            NotReadyError: it could not be written.
        """
        await self.submit(change).wait_durable()

    async def ask[T](self, call: Callable[[Store], T]) -> T:
        """Have something done to the store by its writer, after the changes that were handed in so far; what it gives.

        No commit runs meanwhile. Canceled: it is done all the same. What it raises is raised here.

        Raises:
            NotReadyError: the engine is stopping.
        """
        done: list[T] = []
        ticket = self._send_in(Ticket(Change(), lambda: done.append(call(self._store))))
        await ticket.settled()
        if ticket.error is not None:
            raise ticket.error
        return done[0]

    def take_lines(self, rows: Sequence[Row]) -> None:
        """Log lines, to be written with the next commit."""
        self._log_rows += rows
        self._lines_wait.set()

    def close(self) -> None:
        """Take no more changes; `run` returns when all are written."""
        self._send.close()
        self._lines_wait.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit until closed. Shielded: what was handed in is written also when the engine is being canceled."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._flush_lines)
                nursery.start_soon(self._probe_while_failed)
                task_status.started()
                group: list[Ticket] = []
                async with self._receive:
                    async for ticket in self._receive:
                        if len(group) >= BUSY_GROUP:
                            await trio.sleep(LINGER_SECONDS)
                        group = self._group(ticket)
                        await self._take(group)
                await self._commit([])
                nursery.cancel_scope.cancel()

    def _send_in(self, ticket: Ticket) -> Ticket:
        try:
            self._send.send_nowait(ticket)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            ticket.settle(NotReadyError("the engine is stopping"))
        return ticket

    def _group(self, first: Ticket) -> list[Ticket]:
        tickets = [first]
        while len(tickets) < MAX_GROUP:
            try:
                tickets.append(self._receive.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        return tickets

    async def _probe_while_failed(self) -> None:
        """Nothing is launched while the store fails, so nobody else would find out that it is well again."""
        while True:
            await self._failing.wait()
            await trio.sleep(PROBE_SECONDS)
            await self._try_commit(self._store.probe)

    async def _flush_lines(self) -> None:
        """Hand in an empty change when lines have waited long enough for another one to carry them."""
        while True:
            await self._lines_wait.wait()
            await trio.sleep(LOG_DELAY_SECONDS)
            self._lines_wait = trio.Event()
            if self._log_rows:
                try:
                    self._send.send_nowait(Ticket(Change()))
                except trio.ClosedResourceError:
                    return

    async def _take(self, tickets: list[Ticket]) -> None:
        """Commit the changes, then make the calls, each when all that came before it is on disk."""
        await self._commit([ticket for ticket in tickets if ticket.call is None])
        for ticket in tickets:
            if ticket.call is not None:
                ticket.settle(await self._offloaded(ticket.call))

    async def _offloaded(self, call: Callable[[], None]) -> Exception | None:
        try:
            await self._offload(call)
        except Exception as error:
            return error
        return None

    async def _commit(self, tickets: list[Ticket]) -> None:
        rows, self._log_rows = self._log_rows, []
        changes = [ticket.change for ticket in tickets if not ticket.change.is_empty()]
        if not changes and not rows:
            for ticket in tickets:
                ticket.settle()
            return
        if await self._try(changes, rows) is None:
            for ticket in tickets:
                self._settle(ticket, None)
            return
        # One bad change must not hurt its neighbours: all were rolled back, so each is tried alone.
        if rows and (error := await self._try([], rows)):
            log.error("%d log lines could not be written: %s", len(rows), error)
        for ticket in tickets:
            self._settle(ticket, await self._try([ticket.change], []))

    async def _try(self, changes: list[Change], rows: list[Row]) -> Exception | None:
        return await self._try_commit(partial(self._store.commit, changes, rows))

    async def _try_commit(self, commit: Callable[[], None]) -> Exception | None:
        error = await self._offloaded(commit)
        if error is not None:
            log.error("a commit failed", exc_info=error)
            self.failed = str(error)
            self._failing.set()
            return error
        if self.failed is not None:
            self.failed = None
            self._failing = trio.Event()
        return None

    def _settle(self, ticket: Ticket, error: Exception | None) -> None:
        if error is None:
            self._feed.publish(ticket.change.events)
        ticket.settle(error)
