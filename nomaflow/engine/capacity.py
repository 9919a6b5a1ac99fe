"""What runs share: workers, locks, connectors. A run waits here until all that it claims is free, and says for what.

All or nothing: a run that waits holds nothing, so no two can wait for each other. A run that waits for the end of one
that it has called holds the locks of both, from its beginning on, and lends them. Those that wait are served in order
of their nominal times; none takes a lock that an earlier one waits for.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from datetime import datetime

import trio

from nomaflow.definitions.settings import Settings
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.cancel import Stop
from nomaflow.engine.model import INTERRUPTED_STOPPED, InForce


@dataclass(order=True)
class _Waiting:
    since: datetime
    run_id: str
    active: ActiveRun = field(compare=False)
    served: trio.Event = field(compare=False, default_factory=trio.Event)


class Capacity:
    """Who has what, and who waits."""

    def __init__(self, in_force: InForce) -> None:
        self._in_force = in_force
        self._working: dict[str, ActiveRun] = {}
        self._locks: dict[str, ActiveRun] = {}
        self._waiting: list[_Waiting] = []
        self._is_closed = False
        in_force.on_change(self._on_settings)

    def line_up(self, active: ActiveRun, since: datetime) -> None:
        """Take a place in the queue, which is served when somebody waits in it.

        Runs that are let in together line up before any of them waits, so that they are served in their order.

        Args:
            active: the run; locks that it has already are its own.
            since: its place is behind all that have waited since before that.
        """
        entry = _Waiting(since, active.run.id, active)
        insort(self._waiting, entry)
        active.obstacle = lambda: self._obstacle(entry)

    async def wait(self, active: ActiveRun) -> bool:
        """Wait until the run that has lined up has a worker and all that it claims.

        Returns:
            False when it was asked to stop, or nothing begins any more; it then holds nothing new.
        """
        self._serve()
        entry = next((entry for entry in self._waiting if entry.active is active), None)
        if entry is not None and not self._is_closed:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(active.tell_waiting)

                async def give_up() -> None:
                    await active.stop_asked.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(give_up)
                await entry.served.wait()
                nursery.cancel_scope.cancel()
        active.obstacle = None
        if entry in self._waiting:
            self._waiting.remove(entry)
        if self._is_closed or active.stop_asked.is_set():
            self.release(active, keeps_locks=True)
            return False
        return True

    async def take_again(self, active: ActiveRun) -> None:
        """Wait until a run that gave up its place in the middle has one again.

        Where nothing begins any more the run is stopped: no other engine could go on with it.
        """
        if active.stop is not None:
            return
        active.holds_on = True
        self.line_up(active, active.run.due_at)
        if not await self.wait(active) and active.stop is None:
            active.stop = Stop("shutdown", "engine", active.now(), INTERRUPTED_STOPPED)
        active.holds_on = False

    def keep_locks(self, active: ActiveRun) -> None:
        """Give a run that an earlier engine began the locks that it had then."""
        self._locks |= dict.fromkeys(active.claims.locks, active)

    def release(self, active: ActiveRun, *, keeps_locks: bool = False) -> None:
        """Give back the worker and the connectors, and the locks unless the run goes on later."""
        self._working.pop(active.run.id, None)
        if not keeps_locks:
            self._locks = {name: holder for name, holder in self._locks.items() if holder is not active}
        self._serve()

    def close(self) -> None:
        """Let nobody begin any more; those that wait are told so."""
        self._is_closed = True
        for entry in self._waiting:
            entry.served.set()

    def _on_settings(self, settings: Settings) -> None:
        self._serve()

    @property
    def _limit(self) -> int:
        return self._in_force.settings.engine.max_parallel_runs

    def _serve(self) -> None:
        """Let everybody in for whom there is room, in order."""
        if self._is_closed:
            return
        wanted: set[str] = set()
        for entry in list(self._waiting):
            if len(self._working) >= self._limit:
                return
            needed = self._needed(entry.active)
            if not (needed & wanted) and self._lacks(entry.active) is None:
                self._waiting.remove(entry)
                self._working[entry.run_id] = entry.active
                self._locks |= dict.fromkeys(needed, entry.active)
                entry.served.set()
            wanted |= needed

    def _obstacle(self, entry: _Waiting) -> str | None:
        """What the run waits for, as a sentence."""
        if (lack := self._lacks(entry.active)) is not None:
            return lack
        if len(self._working) >= self._limit:
            return f"waits for a free worker: all {self._limit} of max_parallel_runs are busy"
        for earlier in self._waiting:
            if earlier is entry:
                break
            if shared := sorted(self._needed(earlier.active) & self._needed(entry.active)):
                return f"waits behind {earlier.run_id} of {earlier.active.run.job_id} for {_shown(shared[0])}"
        return None

    def _needed(self, active: ActiveRun) -> set[str]:
        """The locks that the run has still to get; one that waits for a step's next try has them all."""
        own = [active, *active.lenders]
        return {name for name in active.claims.locks if self._locks.get(name) not in own}

    def _lacks(self, active: ActiveRun) -> str | None:
        claims = active.claims
        for name in sorted(claims.locks):
            holder = self._locks.get(name)
            if holder is not None and holder is not active and holder not in active.lenders:
                run = holder.run
                if name.startswith("turn "):
                    return f"waits for the end of {run.id}, the run of this job before it"
                return f"waits for {_shown(name)}, which {run.id} of {run.job_id} has"
        for name in sorted(claims.connectors):
            connector = self._in_force.settings.connectors.get(name)
            limit = connector.max_runs if connector is not None else None
            if limit is None:
                continue
            users = sorted(run.run.id for run in self._working.values() if name in run.claims.connectors)
            if len(users) >= limit:
                use = "uses" if len(users) == 1 else "use"
                return f"waits for the connector {name}: {' and '.join(users)} {use} it, and its max_runs is {limit}"
        return None


def _shown(lock: str) -> str:
    kind, _, name = lock.partition(" ")
    return f"the {kind} {name}" if kind != "turn" else "its turn"
