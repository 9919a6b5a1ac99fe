"""Events for those who follow: a ring in memory, numbered as in the store.

Progress is told and not stored, so it has no number of its own: it carries that of the event before it, and a follower
that comes back after a break does not get it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from itertools import islice

import trio

from nomaflow.engine.change import Happened
from nomaflow.wire import Event

KEPT = 5000
"""Enough for a follower that was away for some minutes; one that was away longer reads everything again."""


class Feed:
    """What happened last. `publish` never waits for a follower; each follower reads the ring at its own pace."""

    def __init__(self, epoch: int, seq: int) -> None:
        self.epoch, self.seq = epoch, seq
        self._ring: deque[tuple[int, int, Happened]] = deque()
        self._order = 0
        self._gone = seq  # the newest number that the ring no longer holds
        self._news = trio.Event()
        self._closed = False

    def publish(self, events: Sequence[Happened]) -> None:
        """Add committed events, in order."""
        for event in events:
            self.seq += 1
            self._add(event)
        if events:
            self._wake()

    def tell(self, event: Happened) -> None:
        """Add something that is not stored."""
        self._add(event)
        self._wake()

    def close(self) -> None:
        """No event will follow; every follower ends after what there is."""
        self._closed = True
        self._wake()

    def holds(self, epoch: int, seq: int) -> bool:
        """Whether every event after that one is still here."""
        return epoch == self.epoch and self._gone <= seq <= self.seq

    async def follow(self, after: int) -> AsyncGenerator[Event | None]:
        """The events after a number as they come; None where some of them are gone and the rest goes on from then."""
        if not self.holds(self.epoch, after):
            # Fixed before the follower hears of it: what happens while it reads everything again is new to it.
            after = self.seq
            yield None
        given = max((order for order, seq, _ in self._ring if seq <= after), default=self._order)
        if self._ring and self._ring[0][1] > after:
            given = self._ring[0][0] - 1
        while True:
            if self._ring and self._ring[0][0] > given + 1:
                given = self._order
                yield None
                continue
            first = self._ring[0][0] if self._ring else 0
            for order, seq, event in list(islice(self._ring, max(0, given + 1 - first), None)):
                given = order
                yield _event(seq, event)
            if given >= self._order:
                if self._closed:
                    return
                await self._news.wait()

    def _add(self, event: Happened) -> None:
        self._order += 1
        self._ring.append((self._order, self.seq, event))
        if len(self._ring) > KEPT:
            self._gone = self._ring.popleft()[1]

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()


def _event(seq: int, event: Happened) -> Event:
    record = event.record.model_dump(mode="json") if event.record is not None else {}
    return Event.model_construct(
        seq=seq,
        happened_at=event.happened_at,
        kind=event.kind,
        job_id=event.job_id,
        run_id=event.run_id,
        record=record,
        gone_tags=event.gone_tags,
    )
