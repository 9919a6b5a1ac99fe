"""The engine's verbs about runs: launch, look, cancel, follow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import trio

from nomaflow.engine.active import ActiveRun
from nomaflow.engine.admission import Verdict
from nomaflow.engine.cancel import Stop
from nomaflow.engine.change import KeyRow
from nomaflow.engine.door import Door, Request
from nomaflow.engine.finding import Finder
from nomaflow.engine.jobs import Jobs
from nomaflow.engine.model import Actor
from nomaflow.engine.query import Idempotency, LogQuery, RunQuery
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.rows import log_line, run_record
from nomaflow.engine.runner import Runner
from nomaflow.engine.store import Store
from nomaflow.engine.ticket import Ticket
from nomaflow.errors import IdempotencyMismatchError, NotFoundError, NotReadyError, RunFinishedError
from nomaflow.launch.overrides import Launch
from nomaflow.seams import Seams, run_id_of, run_number
from nomaflow.wire import Duration, LogLine, LogPage, Page, RunState, RunSummary
from nomaflow.wire import Run as WireRun

KEYS_KEPT = timedelta(hours=24)
READERS = 4

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class Runs:
    """Runs in flight, and the history in the store."""

    def __init__(
        self,
        jobs: Jobs,
        runner: Runner,
        recorder: Recorder,
        store: Store,
        seams: Seams,
        door: Door,
    ) -> None:
        self._jobs, self._runner, self._recorder = jobs, runner, recorder
        self._store, self._seams, self._door = store, seams, door
        self._readers = trio.CapacityLimiter(READERS)
        self._finder = Finder(jobs, door, runner, store, seams, self._read)
        self._keys: dict[tuple[str, str, str], tuple[KeyRow, Ticket | None]] = {
            (key.account, key.route, key.key): (key, None) for key in store.keys_since(seams.now() - KEYS_KEPT)
        }

    async def launch(
        self, job_id: str, launch: Launch, actor: Actor, idempotency: Idempotency | None
    ) -> tuple[WireRun, bool]:
        """Start a run; its acknowledgement is on disk when this returns. The flag says that it was started before."""
        if earlier := await self.earlier(idempotency):
            return earlier, True
        entry = self._jobs.fresh(job_id)
        verdict = self._door.ask(entry)
        if verdict.error is not None:
            raise verdict.error
        job = self._jobs.runnable(entry)
        plan = self._jobs.resolve(entry, launch)
        self._jobs.rights.check_launch(job, plan, actor)
        return await self.accept(Request(entry, job, plan, actor, reason=launch.reason), verdict, idempotency), False

    async def accept(self, request: Request, verdict: Verdict, idempotency: Idempotency | None) -> WireRun:
        """Let a run in; it is on disk when this returns. There must be no await since the verdict was asked for."""
        active, change = self._door.let_in(request, verdict)
        place = None
        if idempotency is not None:
            place = (idempotency.account, idempotency.route, idempotency.key)
            change.keys.append(KeyRow(*place, idempotency.body_hash, active.run.id, active.run.queued_at))
        ticket = self._recorder.submit(change)
        if place is not None:
            self._keys[place] = (change.keys[0], ticket)
        self._door.begin(active, ticket)
        try:
            await ticket.wait_durable()
        except NotReadyError:
            self._door.was_not_recorded(active)
            if place is not None:
                del self._keys[place]
            raise
        return active.record()

    async def earlier(self, idempotency: Idempotency | None) -> WireRun | None:
        """The run that the key started before, if there is a key and it did."""
        return await self._earlier(idempotency) if idempotency is not None else None

    async def run(self, run_id: str) -> WireRun:
        """One run."""
        if active := self._runner.active(run_id):
            return active.record()
        row = await self._read(self._store.run, _number_checked(run_id))
        if row is None:
            raise NotFoundError(f"there is no run {run_id!r}")
        return run_record(row, await self._read(self._store.steps_of, run_number(run_id)))

    async def runs(self, query: RunQuery) -> Page[RunSummary]:
        """A page, newest first; a run in flight is as it is now. It may hold few runs or none, and lead on."""
        return await self._finder.page(query)

    async def durations(self, job_id: str, limit: int) -> list[Duration]:
        """How long the newest ended runs of a job took, newest first."""
        self._jobs.catalogue.entry(job_id)
        page = await self.runs(RunQuery(job=job_id, limit=limit))
        return [
            Duration(
                run_id=run.id,
                state=run.state,
                started_at=run.started_at,
                seconds=(run.finished_at - run.started_at).total_seconds(),
            )
            for run in page.items
            if run.started_at is not None and run.finished_at is not None
        ]

    async def cancel(self, run_id: str, actor: Actor, *, force: bool, reason: str | None) -> WireRun:
        """Ask a run to stop."""
        active = self._runner.active(run_id)
        if active is None:
            raise _finished(await self.run(run_id))
        stop = Stop("cancel", actor.triggered_by, self._seams.now(), reason, force)
        await self._runner.stop(active, stop)
        if active.stop is None:
            raise _finished(active.record())
        if active.run.state is RunState.QUEUED:
            # Of its cancel nothing is on record before its end is, and an engine that dies must not go on with it.
            await active.ended.wait()
        return active.record()

    async def log(self, run_id: str, query: LogQuery) -> LogPage:
        """Some lines of a run's log."""
        active = self._runner.active(run_id)
        if active is None:
            await self.run(run_id)
        lines = await self._lines(run_id, active, query)
        limit = query.tail if query.tail is not None else query.limit
        following = lines[-1].seq if lines else query.after
        return LogPage(lines=lines, next=following, end=active is None and len(lines) < limit)

    async def follow_log(self, run_id: str, after: int) -> AsyncIterator[LogLine]:
        """The lines as they come, until the run has ended."""
        active = self._runner.active(run_id)
        while True:
            page = await self.log(run_id, LogQuery(after=after))
            for line in page.lines:
                yield line
            after = page.next
            if active is None or (active.log.ended and not page.lines):
                if page.end or not page.lines:
                    return
                continue
            await active.log.wait_beyond(after)
            if active.log.ended and active.log.seq <= after:
                return

    async def _lines(self, run_id: str, active: ActiveRun | None, query: LogQuery) -> list[LogLine]:
        if active is not None:
            if query.tail is not None:
                newest = [line for line in active.log.newest() if _fits(line, query)]
                if len(newest) >= query.tail or active.log.after(0) is not None:
                    return newest[-query.tail :]
            elif (held := active.log.after(query.after)) is not None:
                return [line for line in held if _fits(line, query)][: query.limit]
        read = partial(
            self._store.log,
            run_id,
            after=query.after,
            limit=query.limit,
            tail=query.tail,
            levels=_at_least(query.level),
            step=query.step,
            text=query.text,
        )
        lines = [log_line(row) for row in await self._read(read)]
        if not lines and active is not None and query.tail is None and not active.log.keeps_all():
            # What is past the stored head is in memory only, until the run ends: go on with what is left of it.
            lines = [line for line in active.log.newest() if line.seq > query.after and _fits(line, query)]
        return lines[: query.limit]

    async def _earlier(self, idempotency: Idempotency) -> WireRun | None:
        """The run that the key started before."""
        found = self._keys.get((idempotency.account, idempotency.route, idempotency.key))
        if found is None or found[0].created_at < self._seams.now() - KEYS_KEPT:
            return None
        key, ticket = found
        if key.body_hash != idempotency.body_hash:
            raise IdempotencyMismatchError(
                f"the Idempotency-Key {idempotency.key!r} was used for another body, which started {key.run_id}; "
                f"use a new key for a new launch"
            )
        if ticket is not None:
            await ticket.wait_durable()
        return await self.run(key.run_id)

    async def _read[T](self, read: Callable[..., T], *args: Any) -> T:
        found: T = await self._seams.in_thread(read, *args, limiter=self._readers)
        return found


def _number_checked(run_id: str) -> str:
    try:
        return run_id_of(run_number(run_id))
    except ValueError:
        raise NotFoundError(f"there is no run {run_id[:40]!r}") from None


def _finished(run: WireRun) -> RunFinishedError:
    ended = {RunState.SUCCEEDED: "succeeded", RunState.FAILED: "failed", RunState.CANCELED: "was canceled"}
    how = ended.get(run.state, "is ending")
    return RunFinishedError(f"{run.id} is over: it {how}, so there is nothing to cancel")


def _at_least(level: str | None) -> list[str]:
    return list(LEVELS[LEVELS.index(level) :]) if level in LEVELS else []


def _fits(line: LogLine, query: LogQuery) -> bool:
    levels = _at_least(query.level)
    return (
        (not levels or line.level in levels)
        and (query.step is None or line.step == query.step)
        and (not query.text or query.text.lower() in line.text.lower())
    )
