"""Fires what is due: every nominal fire gets one slot, in the transaction that also makes its run and moves the cursor.

What becomes of a slot is decided in `nomaflow.schedule.slots`, whether its run may begin in `admission`. Here is only
the clock: when to look, and what to do when it jumps. A look is at the wall clock and at stored cursors, never at a
timer that was set before, so a machine that slept, a clock that was set, or an engine that was away lead to the same
few cases.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import trio

from nomaflow.definitions.catalogue import Entry
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.board import Board
from nomaflow.engine.change import Change, Happened, SkipRow
from nomaflow.engine.door import Door, Request
from nomaflow.engine.jobs import Jobs
from nomaflow.engine.model import Actor, Slot
from nomaflow.engine.pauses import Pauses
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.timetable import Timetable, Watched
from nomaflow.errors import NomaflowError, NotFoundError, NotReadyError
from nomaflow.launch.overrides import Overrides
from nomaflow.schedule.slots import Decided, decide, window
from nomaflow.seams import Seams
from nomaflow.wire import SlotState, iso

LOOK_SECONDS = 30.0
"""The clock may be set while nothing is due: it is looked at as often as this."""

HOLD_SECONDS = 1.0
"""How often to ask whether fires may begin again."""

BACK = timedelta(hours=24)
"""A clock that went back by more is taken for broken: nothing fires until it is past the newest known instant again."""

EXPECT_SECONDS = 10.0
"""So long before a burst of fires the workers for it are made."""

ROWS_A_CHANGE = 2000
"""Slots in one transaction: what an engine that was away long has to catch up is written in parts."""

STARTS_A_CHANGE = 50
"""Runs that begin with one transaction: the first of a burst need not wait for the last, nor anybody else for all."""

MAX_EVENTS = 100
"""Slots of one schedule that are told one by one; the rows of the older ones are in the store."""

_VERDICTS = {
    "fire": SlotState.FIRED,
    "skipped": SlotState.SKIPPED,
    "missed": SlotState.MISSED,
    "coalesced": SlotState.COALESCED,
}

log = logging.getLogger(__name__)


class Scheduler:
    """The task that fires.

    Args:
        newest: the newest instant that is on record, which the clock must not be far behind.
        not_ready: why the engine takes no runs.
        expect: told the jobs of fires that come within seconds, once for each instant at which several do.
    """

    def __init__(
        self,
        timetable: Timetable,
        pauses: Pauses,
        jobs: Jobs,
        door: Door,
        board: Board,
        recorder: Recorder,
        seams: Seams,
        *,
        newest: datetime | None,
        not_ready: Callable[[], list[str]],
        expect: Callable[[list[str]], None] = lambda jobs: None,
    ) -> None:
        self._timetable, self._pauses, self._jobs, self._door = timetable, pauses, jobs, door
        self._board, self._recorder, self._seams = board, recorder, seams
        self._newest, self._not_ready, self._expect = newest, not_ready, expect
        self._expected: datetime | None = None
        self._changed = trio.Event()
        self._scope = trio.CancelScope()

    def wake(self) -> None:
        """The timetable has changed."""
        self._changed.set()

    def held(self) -> str | None:
        """Why nothing fires now, as a sentence; None when all is well."""
        now = self._seams.now()
        if self._newest is not None and self._newest - now > BACK:
            return f"the clock says {iso(now)}, but things have happened up to {iso(self._newest)}; set the clock right"
        return None

    def stop(self) -> None:
        """Fire no more."""
        self._scope.cancel()

    async def run(self) -> None:
        """Fire until stopped."""
        with self._scope:
            await self._run()

    async def _run(self) -> None:
        while True:
            self._changed = trio.Event()
            if self._not_ready() or self.held() is not None:
                await trio.sleep(HOLD_SECONDS)
                continue
            await self._jobs.owed.settle()
            await self._jobs.end_pauses()
            await self._fire_due()
            with trio.move_on_after(self._seconds_to_wait()):
                await self._changed.wait()

    def _seconds_to_wait(self) -> float:
        now = self._seams.now()
        instants = [instant for instant in (self._timetable.next_at(), self._pauses.next_end()) if instant is not None]
        wait = min(((instant - now).total_seconds() for instant in instants), default=LOOK_SECONDS)
        if wait > EXPECT_SECONDS:
            return min(wait - EXPECT_SECONDS, LOOK_SECONDS)
        self._expect_burst(now)
        return max(wait, 0)

    def _expect_burst(self, now: datetime) -> None:
        next_at = self._timetable.next_at()
        if next_at is None or next_at == self._expected:
            return
        self._expected = next_at
        jobs = self._timetable.due_soon(now, next_at)
        if len(jobs) > 1:  # one worker is always spare
            self._expect(jobs)

    async def _fire_due(self) -> None:
        """Decide all that is due; in several transactions where it is much."""
        now = self._seams.now()
        change, started, moved = Change(), list[ActiveRun](), list[Watched]()
        for due in self._timetable.due(now):
            entry = self._entry(due, change)
            # Reading the file again may have given the schedule another rule, which counts from now.
            watched = self._timetable.get(*due.place)
            if entry is None or watched is None or watched.next_at is None or watched.next_at > now:
                continue
            self._decide(watched, entry, now, change, started)
            moved.append(watched)
            if len(change.slots) >= ROWS_A_CHANGE or len(started) >= STARTS_A_CHANGE:
                await self._record(change, started, moved, now)
                change, started, moved = Change(), [], []
        if not change.is_empty():
            await self._record(change, started, moved, now)
        self._newest = max(now, self._newest) if self._newest is not None else now

    async def _record(self, change: Change, started: list[ActiveRun], moved: list[Watched], now: datetime) -> None:
        ticket = self._recorder.submit(change)
        for active in started:
            self._door.begin(active, ticket)
        try:
            await ticket.wait_durable()
        except NotReadyError as error:
            # Nothing of it happened: the slots are decided again when the store is well, as late as they are then.
            log.error("%d fires could not be recorded: %s", len(change.slots), error)
            for watched in moved:
                self._timetable.go_back(watched, now)
            for skip in change.used_skips:
                self._timetable.skip(skip)
            for active in started:
                self._door.was_not_recorded(active)
            self._jobs.owed.keep(ticket)  # with the jobs that were found to be gone

    def _entry(self, due: Watched, change: Change) -> Entry | None:
        """The job's file as it is now; a job whose file is gone is watched no longer."""
        job_id = due.row.job_id
        try:
            return self._jobs.fresh(job_id)
        except NotFoundError:
            change.add(self._timetable.forget(job_id))
            change.add(self._pauses.end(job_id))
            return None

    def _decide(self, watched: Watched, entry: Entry, now: datetime, change: Change, started: list[ActiveRun]) -> None:
        schedule, skips = watched.schedule, self._timetable.skips_of(watched.place)
        decided = decide(
            watched.cron,
            after=watched.row.cursor,
            now=now,
            misfire=schedule.misfire,
            catchup_window=window(schedule.catchup_window),
            skips={instant: f"skipped by {skip.who}" for instant, skip in skips.items()},
        )
        runs: dict[datetime, str] = {}
        slots = []
        for each in decided:
            state, reason, run_id = _VERDICTS[each.verdict], each.reason, None
            if each.verdict == "fire":
                fired = self._fire(watched, entry, each, change)
                if isinstance(fired, str):
                    state, reason = SlotState.SKIPPED, fired
                else:
                    started.append(fired)
                    run_id = runs[each.scheduled_at] = fired.run.id
            slots.append(_slot(watched, each, state, reason, run_id, now))
        slots = [_into(slot, runs) for slot in slots]
        change.slots += slots
        change.events += map(_told, slots[-MAX_EVENTS:])
        self._board.decided(slots[-1])
        change.used_skips += self._used(watched, decided)
        change.cursors.append(self._timetable.advance(watched, now))

    def _fire(self, watched: Watched, entry: Entry, decided: Decided, change: Change) -> ActiveRun | str:
        """Start the run of a slot, or say why there is none."""
        schedule = watched.schedule
        verdict = self._door.ask(entry, is_fire=True, is_catch_up=decided.is_catch_up and schedule.misfire == "all")
        if verdict.answer == "refuse":
            return verdict.why
        name = schedule.name if schedule.name != "default" else ""
        actor = Actor(name, "cron")
        today = self._door.today(decided.scheduled_at, watched.cron.timezone)
        try:
            job = self._jobs.runnable(entry)
            plan = self._jobs.planned(job, Overrides(), today=today, schedule=schedule)
            self._jobs.rights.check_launch(job, plan, actor)
        except NomaflowError as error:
            return str(error)
        request = Request(
            entry,
            job,
            plan,
            actor,
            schedule=schedule.name,
            scheduled_at=decided.scheduled_at,
            today=today,
            is_catch_up=decided.is_catch_up and schedule.misfire == "all",
        )
        active, accepted = self._door.let_in(request, verdict)
        change.add(accepted)
        return active

    def _used(self, watched: Watched, decided: list[Decided]) -> list[SkipRow]:
        until = decided[-1].last_at or decided[-1].scheduled_at
        past = [instant for instant in self._timetable.skips_of(watched.place) if instant <= until]
        return self._timetable.unskip(watched.place, past)


def _slot(
    watched: Watched, decided: Decided, state: SlotState, reason: str | None, run_id: str | None, now: datetime
) -> Slot:
    return Slot(
        number=watched.row.number,
        job_id=watched.row.job_id,
        schedule=watched.row.name,
        scheduled_at=decided.scheduled_at,
        state=state,
        decided_at=now,
        reason=reason,
        run_id=run_id,
        into_at=decided.into,
        count=decided.count,
        last_at=decided.last_at,
    )


def _into(slot: Slot, runs: dict[datetime, str]) -> Slot:
    """A coalesced slot names the run that began in its place."""
    if slot.into_at is None:
        return slot
    return replace(slot, run_id=runs.get(slot.into_at))


def _told(slot: Slot) -> Happened:
    return Happened(
        slot.decided_at,
        "slot",
        slot.job_id,
        slot.run_id,
        state=slot.state,
        who="cron",
        reason=slot.reason,
        record=slot.record(),
    )
