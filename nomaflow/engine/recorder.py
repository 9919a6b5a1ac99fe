"""Makes changes durable, in order, in groups.

One task takes all that waits and commits it together in the store's thread: a statement costs more than an fsync, so
the more runs are busy, the cheaper each change gets. A caller waits for its own durability only. Log lines ride on the
next commit, at most `LOG_DELAY_SECONDS` later and always before the change that ends their step, since that comes
after them.

A commit that the disk does not take fails alone. One after which the store is broken stays in doubt until the store has
been opened anew: it is there then, or it is made again. Meanwhile nothing else is taken.
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
from nomaflow.engine.store import Store, StoreBrokenError
from nomaflow.engine.store.checkpoint import COMMITS_AT_STOP
from nomaflow.engine.store.copies import Copy
from nomaflow.engine.ticket import Ticket
from nomaflow.errors import NotReadyError

LOG_DELAY_SECONDS = 0.25
LINES_KEPT = 100_000
"""Log lines that wait for a store that does not take them; more are dropped."""

PROBE_SECONDS = 1.0
MARK_SECONDS = 1.0
MAX_GROUP = 1000

BUSY_GROUP = 4
BUSY_SECONDS = 0.1
LINGER_SECONDS = 0.02
"""A commit costs 3 ms, a hundredth of that more for each change, and holds the interpreter meanwhile. So when one had
this many changes, and the next follows so soon, that one waits some milliseconds for company; a quiet engine never
waits, however much it had to do a second ago."""

BROKEN_AGAIN_SECONDS = 60.0
"""A store that breaks is opened anew at once, unless it did so less than this before; then there are pauses."""

REOPEN_PAUSES = (1.0, 10.0)

TRIES_IF_BROKEN = 3
"""How often a commit is tried that breaks the store: it may be the commit's own fault."""

log = logging.getLogger(__name__)

Offload = Callable[[Callable[[], None]], Awaitable[Any]]


class Recorder:
    """The store's one writer. `failed` says why the last commit failed, until one succeeds again.

    While someone holds `copying`, no checkpoint begins: DuckDB only appends to its log meanwhile.

    Args:
        store: what it writes.
        feed: told of what is committed.
        offload: runs a call in the store's thread, one after the other.
        aside: runs a call in another thread.
    """

    def __init__(self, store: Store, feed: Feed, offload: Offload | None = None, aside: Offload | None = None) -> None:
        self._store, self._feed = store, feed
        self._offload: Offload = offload or partial(trio.to_thread.run_sync, limiter=trio.CapacityLimiter(1))
        self._aside: Offload = aside or offload or trio.to_thread.run_sync
        self._send, self._receive = trio.open_memory_channel[Ticket](math.inf)
        self._log_rows: list[Row] = []
        self._lines_wait, self._mark_moved, self._failing = trio.Event(), trio.Event(), trio.Event()
        self.failed: str | None = None
        self.copying = trio.Lock()
        self._is_broken = self._is_closed = False
        self._broke_at = -math.inf

    def submit(self, change: Change, needs: Ticket | None = None) -> Ticket:
        """Hand in a change without waiting; changes are written in the order they come. One that `needs` an earlier one
        is not written where that could not be."""
        ticket = Ticket(change, needs=needs)
        if change.is_empty():
            ticket.settle()
            return ticket
        if self._store.lost is not None and not _is_about_sessions(change):
            ticket.settle(NotReadyError(self._store.lost))
            return ticket
        return self._send_in(ticket)

    async def record(self, change: Change, needs: Ticket | None = None) -> None:
        """Hand in a change and wait until it is on disk.

        Canceled: the change is written all the same; the recorder does not stop with its caller.

        Raises:
            NotReadyError: it could not be written.
        """
        await self.submit(change, needs).wait_durable()

    async def ask[T](self, call: Callable[[Store], T]) -> T:
        """Have something done to the store by its writer, after the changes that were handed in so far; what it gives.

        No commit runs meanwhile. Canceled: it is done all the same. What it raises is raised here.

        Raises:
            NotReadyError: the engine is stopping, or the store is broken.
        """
        done: list[T] = []
        ticket = self._send_in(Ticket(Change(), lambda: done.append(call(self._store))))
        await ticket.settled()
        if ticket.error is not None:
            raise ticket.error
        return done[0]

    def take_lines(self, rows: Sequence[Row], needs: Ticket | None = None) -> None:
        """Log lines, to be written with the next commit; or, where they need a change, not without it."""
        if needs is not None and not needs.is_settled:
            needs.lines += rows
            return
        if needs is not None and needs.error is not None:
            return
        self._log_rows += rows
        self._lines_wait.set()

    def close(self) -> None:
        """Take no more changes; `run` returns when all are written."""
        self._is_closed = True
        self._send.close()
        self._lines_wait.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit until closed. Shielded: what was handed in is written also when the engine is being canceled."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._flush_lines)
                nursery.start_soon(self._probe_while_failed)
                nursery.start_soon(self._sync_mark)
                task_status.started()
                group, ended_at = list[Ticket](), -math.inf
                async with self._receive:
                    async for ticket in self._receive:
                        if len(group) >= BUSY_GROUP and trio.current_time() - ended_at < BUSY_SECONDS:
                            await trio.sleep(LINGER_SECONDS)
                        else:
                            # A run that was just let in begins in this turn of the loop; that goes along.
                            await trio.lowlevel.checkpoint()
                        group = self._group(ticket)
                        await self._take(group)
                        ended_at = trio.current_time()
                        is_quiet = self._receive.statistics().current_buffer_used == 0
                        if not self.copying.locked() and self._store.checkpoints.is_due(quiet=is_quiet):
                            nursery.start_soon(self._checkpoint)
                await self._commit([])
                await self._checkpoint_at_stop()
                nursery.cancel_scope.cancel()

    def _send_in(self, ticket: Ticket) -> Ticket:
        if self._is_broken:
            ticket.settle(NotReadyError(f"the run store is being opened anew: {self.failed}"))
            return ticket
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
            probe = self._send_in(Ticket(Change(), self._store.probe))
            await probe.settled()
            if probe.error is None:
                self._is_well()

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

    async def _sync_mark(self) -> None:
        while True:
            await self._mark_moved.wait()
            await trio.sleep(MARK_SECONDS)
            self._mark_moved = trio.Event()
            await self._offloaded(self._store.sync_mark)

    async def _take(self, tickets: list[Ticket]) -> None:
        """Commit the changes, then make the calls, each when all that came before it is on disk."""
        await self._commit([ticket for ticket in tickets if ticket.call is None])
        for ticket in tickets:
            if ticket.call is not None:
                error = await self._offloaded(ticket.call)
                if isinstance(error, StoreBrokenError):
                    await self._reopened(error)
                ticket.settle(error)

    async def _commit(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            self._check_needs(ticket)
        tickets = [ticket for ticket in tickets if ticket.error is None]
        rows, self._log_rows = self._log_rows, []
        lines = {ticket: ticket.taken_lines() for ticket in tickets}
        changes = [ticket.change for ticket in tickets if not ticket.change.is_empty()]
        all_rows = [*rows, *(row for ticket in tickets for row in lines[ticket])]
        commit = partial(self._store.commit, changes, all_rows)
        error = await self._try(commit) if changes or all_rows else None
        is_hopeless = isinstance(error, StoreBrokenError) and await self._try(self._store.probe) is not None
        if error is not None and not is_hopeless:
            # One bad change must not hurt its neighbours: all were rolled back, so each is tried alone. The lines go
            # with the first that is taken, since they may be those of a run that has its end in one of them.
            for ticket in tickets:
                self._check_needs(ticket)
                if ticket.error is not None:
                    continue
                error = await self._try(partial(self._store.commit, [ticket.change], [*rows, *lines[ticket]]))
                if error is None:
                    rows = []
                elif rows:
                    error = await self._try(partial(self._store.commit, [ticket.change], lines[ticket]))
                self._settle(ticket, error)
            if rows and (bad := await self._try(partial(self._store.commit, [], rows))):
                await self._keep_lines(rows, bad)
            return
        if error is not None and rows:
            await self._keep_lines(rows, error)
        for ticket in tickets:
            self._settle(ticket, error)

    async def _keep_lines(self, rows: list[Row], error: Exception) -> None:
        """Keep lines for when the store takes something again; where it does so now, the lines themselves are bad."""
        is_well = await self._offloaded(self._store.probe) is None
        # It may have become so just now.
        if is_well and await self._try(partial(self._store.commit, [], rows)) is None:
            return
        if is_well or len(rows) + len(self._log_rows) > LINES_KEPT:
            log.error("%d log lines could not be written: %s", len(rows), error)
        else:
            self._log_rows = rows + self._log_rows
            self._lines_wait.set()

    async def _try(self, commit: Callable[[], None]) -> Exception | None:
        """Make a commit; why it failed. Where it breaks the store, this is known when the store is open again: the
        commit is there, or is made once more."""
        for _ in range(TRIES_IF_BROKEN):
            error = await self._offloaded(commit)
            if not isinstance(error, StoreBrokenError):
                break
            is_in = await self._reopened(error)
            if is_in is None:
                return error
            if is_in:
                error = None
                break
        if error is not None:
            log.error("a commit failed", exc_info=error)
            self._fail(error)
            return error
        self._mark_moved.set()
        self._is_well()
        return None

    async def _reopened(self, error: StoreBrokenError) -> bool | None:
        """Open the broken store anew, however long that takes; whether the commit in doubt is in it. None where the
        engine stops first."""
        log.error("the run store broke and is opened anew", exc_info=error)
        self._fail(error)
        shortest, longest = REOPEN_PAUSES
        now = trio.current_time()
        pause = shortest if now - self._broke_at < BROKEN_AGAIN_SECONDS else 0.0
        self._broke_at = now
        found: list[bool] = []
        while not found:
            if pause:
                self._is_broken = True
                self._refuse_waiting()
                await trio.sleep(pause)
            again = await self._offloaded(lambda: found.append(self._store.reopen()))
            if again is not None:
                log.error("the run store cannot be opened: %s", again)
                self._fail(again)
                if self._is_closed:
                    return None
                pause = min(longest, max(shortest, 2 * pause))
        self._is_broken = False
        log.warning("the run store is open again")
        if self._store.mended:
            self.submit(self._store.telling(self._store.mended))
        return found[0]

    def _refuse_waiting(self) -> None:
        """What waits in line was not begun: who handed it in need not wait for the store."""
        while True:
            try:
                ticket = self._receive.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
                return
            ticket.settle(NotReadyError(f"the run store is being opened anew: {self.failed}"))

    def _fail(self, error: Exception) -> None:
        self.failed = str(error)
        self._failing.set()

    def _is_well(self) -> None:
        if self.failed is not None:
            self.failed = None
            self._failing = trio.Event()

    async def _checkpoint(self) -> None:
        """Copy the store's file while commits go on; the rest is done between two of them."""
        async with self.copying:
            copy = await self._begun_copy()
            if copy is None:
                return
            try:
                await self.ask(partial(Store.finish_checkpoint, copy=copy))
                await self._aside(self._store.checkpoints.clear)
            except (NotReadyError, StoreBrokenError) as error:
                log.error("no checkpoint was made: %s", error)
                await self._aside(copy.give_up)

    async def _checkpoint_at_stop(self) -> None:
        """Leave little to be replayed by the next start."""
        async with self.copying:
            if self._store.checkpoints.commits >= COMMITS_AT_STOP and self.failed is None:
                copy = await self._begun_copy()
                if copy is not None:
                    await self._offloaded(partial(self._store.finish_checkpoint, copy))
                    await self._aside(self._store.checkpoints.clear)

    async def _begun_copy(self) -> Copy | None:
        begun: list[Copy | None] = []
        await self._aside(lambda: begun.append(self._store.checkpoints.begin()))
        return begun[0]

    async def _offloaded(self, call: Callable[[], None]) -> Exception | None:
        try:
            await self._offload(call)
        except Exception as error:
            return error
        return None

    def _check_needs(self, ticket: Ticket) -> None:
        """A change of something that is not on record is none."""
        if ticket.needs is not None and ticket.needs.error is not None:
            ticket.settle(ticket.needs.error)

    def _settle(self, ticket: Ticket, error: Exception | None) -> None:
        if error is None:
            self._feed.publish(ticket.change.events)
            if late := ticket.taken_lines():  # while it was being written
                self.take_lines(late)
        ticket.settle(error)


def _is_about_sessions(change: Change) -> bool:
    return not any(rows for name, rows in vars(change).items() if name not in ("sessions", "revoked"))
