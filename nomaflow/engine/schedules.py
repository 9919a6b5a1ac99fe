"""The engine's verbs about time: the calendar, a rule's preview and its what-if, and fires that are left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from heapq import merge
from itertools import islice
from zoneinfo import ZoneInfo

import trio

from nomaflow.definitions import cron as rules
from nomaflow.definitions.job import Job, check_timezone
from nomaflow.definitions.problems import near_miss
from nomaflow.engine.change import Change, Happened, SkipRow
from nomaflow.engine.door import Door
from nomaflow.engine.jobs import Jobs
from nomaflow.engine.model import Actor
from nomaflow.engine.query import SlotQuery
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.runs import Runs
from nomaflow.engine.store import Store
from nomaflow.engine.timetable import Timetable, Watched
from nomaflow.engine.why import local
from nomaflow.errors import InvalidError, NotFoundError, NotReadyError
from nomaflow.schedule import calendar, what_if
from nomaflow.schedule.cron import compiled, preview
from nomaflow.seams import Seams
from nomaflow.wire import (
    Page,
    Preview,
    PreviewAsk,
    RunState,
    Slot,
    SlotChoice,
    SlotState,
    WhatIf,
    WhatIfAsk,
)

DURATIONS = 500

MAX_SKIPS, MAX_SKIP_DAYS = 100, 366
"""So many fires to come of a schedule may be left out, and so far ahead: each is looked at for the next fire."""

_SECOND = timedelta(seconds=1)

type _Place = tuple[datetime, str, str]
"""Where a fire to come stands in the calendar's order: its time, its job, its schedule."""

type _Skips = Mapping[datetime, SkipRow]


@dataclass(frozen=True)
class _Read:
    """Where the page before ended: behind a slot of the store, or at a place among the fires after `began_at`."""

    slot: tuple[datetime, int] | None = None
    place: _Place | None = None
    began_at: datetime | None = None


class Schedules:
    """What is asked about when. What is long is worked out in a thread."""

    def __init__(
        self, timetable: Timetable, jobs: Jobs, runs: Runs, door: Door, store: Store, recorder: Recorder, seams: Seams
    ) -> None:
        self._timetable, self._jobs, self._runs, self._door = timetable, jobs, runs, door
        self._store, self._recorder, self._seams = store, recorder, seams
        # Calendars and what-ifs take turns: they only count, and must not keep all cores from the engine.
        self._turn = trio.CapacityLimiter(1)

    def today(self) -> datetime:
        """When today began in the home's zone."""
        return self._midnight(self._seams.now()).astimezone(UTC)

    async def calendar(self, query: SlotQuery) -> Page[Slot]:
        """A page of slots in order of time: the decided ones from the store, then the fires to come."""
        read, now = _read_cursor(query.cursor), self._seams.now()
        items: list[Slot] = []
        if read.place is None:
            stored = await self._seams.in_thread(
                lambda: self._store.slots(
                    since=query.since, until=query.until, jobs=query.jobs, after=read.slot, limit=query.limit + 1
                )
            )
            items = [slot.record() for slot in stored[: query.limit]]
            if len(stored) > query.limit:
                last = stored[query.limit - 1]
                return Page[Slot](items=items, next_cursor=f"{last.scheduled_at.timestamp():.0f} {last.slot_id}")
        began_at = read.began_at or now
        # The thread gets skips of its own: these may change meanwhile.
        watched = [
            (each, dict(self._timetable.skips_of(each.place)))
            for each in self._timetable.all()
            if query.shows(each.row.job_id) and each.next_at is not None
        ]
        room = query.limit - len(items)

        def work_out() -> list[Slot]:
            rows = [self._coming(each, skips, query, began_at, read.place, now) for each, skips in watched]
            return list(islice(merge(*rows, key=_place), room + 1))

        due = await self._seams.in_thread(work_out, limiter=self._turn)
        items += due[:room]
        if len(due) <= room:
            return Page[Slot](items=items)
        last_due = items[-1]
        start = f"due {int(began_at.timestamp())}"
        if last_due.state is not SlotState.DUE:
            return Page[Slot](items=items, next_cursor=f"{start} 0 - -")
        place = f"{last_due.scheduled_at.timestamp():.0f} {last_due.job_id} {last_due.schedule}"
        return Page[Slot](items=items, next_cursor=f"{start} {place}")

    def _coming(
        self,
        watched: Watched,
        skips: _Skips,
        query: SlotQuery,
        began_at: datetime,
        place: _Place | None,
        now: datetime,
    ) -> Iterator[Slot]:
        """The fires to come of a schedule behind a place, each worked out when it is asked for.

        They count from when the first page was asked for: so a day's bar is the one that it was there, however much of
        the day has passed since.
        """
        after = max(query.since - _SECOND, began_at)
        if watched.row.cursor > now:
            after = max(after, watched.row.cursor)
        if place is not None:
            is_dense = watched.cron.most_per_day > calendar.DENSE
            # A bar is whole when its day is counted from before it.
            after = max(after, place[0] - (timedelta(days=2) if is_dense else _SECOND))
        for slot in self._due_of(watched, skips, after, query.until - _SECOND):
            if place is None or _place(slot) > place:
                yield slot

    def _due_of(self, watched: Watched, skips: _Skips, after: datetime, until: datetime) -> Iterator[Slot]:
        days = calendar.due(watched.cron, after, until)
        for each in (slot for day in days for slot in calendar.apart(watched.cron, day, skips)):
            skip = skips.get(each.scheduled_at)
            yield Slot(
                job_id=watched.row.job_id,
                schedule=watched.row.name,
                scheduled_at=each.scheduled_at,
                state=SlotState.DUE,
                reason=f"left out as {skip.who} asked" if skip is not None else None,
                note=each.note,
                count=each.count,
                last_at=each.until_at,
            )

    def _midnight(self, instant: datetime) -> datetime:
        zone = ZoneInfo(self._door.timezone)
        return datetime.combine(instant.astimezone(zone).date(), time(), zone)

    async def preview(self, ask: PreviewAsk) -> Preview:
        """The next fires of a rule."""
        zone = _checked(ask.cron, ask.timezone) or self._door.timezone
        after = ask.after or self._seams.now()
        shown = await self._seams.in_thread(preview, ask.cron, zone, ask.count, after, limiter=self._turn)
        return Preview(fires=list(shown.fires), timezone=zone, words=shown.words, notes=list(shown.notes))

    def next_fires(self, job: Job, count: int = 5) -> list[datetime]:
        """The next fires of a job that is not saved yet, of all its schedules."""
        now, fires = self._seams.now(), list[datetime]()
        for schedule in job.schedules:
            if schedule.enabled:
                fire: datetime | None = now
                for _ in range(count):
                    fire = compiled(schedule.cron, schedule.timezone or self._door.timezone).next(fire or now)
                    if fire is None:
                        break
                    fires.append(fire)
        return sorted(fires)[:count]

    async def what_if(self, ask: WhatIfAsk) -> WhatIf:
        """A changed rule for a schedule, held against the last days."""
        entry = self._jobs.catalogue.entry(ask.job)
        zone = _checked(ask.cron, ask.timezone)
        job = self._jobs.runnable(entry)
        watched = self._named(ask.job, ask.schedule) if self._timetable.of(ask.job) else None
        zone = zone or (watched.cron.timezone if watched is not None else self._door.timezone)
        until = self._seams.now()
        since = until - timedelta(days=ask.days)
        runs = await self._runs.durations(ask.job, DURATIONS)
        durations = [run.seconds for run in runs if run.state is RunState.SUCCEEDED and run.started_at >= since]
        old, new = watched.cron if watched is not None else None, compiled(ask.cron, zone)
        found = await self._seams.in_thread(
            lambda: what_if.what_if(
                old, new, since=since, until=until, durations_seconds=durations, overlap=job.overlap
            ),
            limiter=self._turn,
        )
        return WhatIf.model_validate({**asdict(found), "timezone": zone})

    async def skip(self, job_id: str, choice: SlotChoice, actor: Actor) -> Slot:
        """Leave one fire of a schedule out."""
        watched, instant = self._of(job_id, choice)
        now, skips = self._seams.now(), self._timetable.skips_of(watched.place)
        # Those of a rule that was changed or off then are never used.
        past = [fire for fire in skips if fire <= watched.row.cursor]
        _refuse_too_many(job_id, choice, now, len(skips.keys() - {*past, instant}))
        row = SkipRow(job_id, choice.schedule, instant, actor.triggered_by, now)
        earlier = self._timetable.unskip(watched.place, [*past, instant])
        self._timetable.skip(row)
        slot = self._slot(watched, instant)
        told = self._told(slot, actor, "left out")
        try:
            await self._recorder.record(Change(skips=[row], used_skips=earlier, events=[told]))
        except NotReadyError:
            self._timetable.unskip(watched.place, [instant])
            for each in earlier:
                self._timetable.skip(each)
            raise
        return slot

    async def unskip(self, job_id: str, choice: SlotChoice, actor: Actor) -> None:
        """Let a fire happen after all."""
        watched, instant = self._of(job_id, choice)
        rows = self._timetable.unskip(watched.place, [instant])
        if not rows:
            when = local(instant, watched.cron.timezone)
            raise NotFoundError(f"the fire of {job_id} at {when} is not to be left out, so there is nothing to undo")
        slot = self._slot(watched, instant)
        told = self._told(slot, actor, "not left out any more")
        try:
            await self._recorder.record(Change(used_skips=rows, events=[told]))
        except NotReadyError:
            for each in rows:
                self._timetable.skip(each)
            raise

    def _slot(self, watched: Watched, instant: datetime) -> Slot:
        """One fire to come."""
        return next(self._due_of(watched, self._timetable.skips_of(watched.place), instant - _SECOND, instant))

    def _told(self, slot: Slot, actor: Actor, reason: str) -> Happened:
        return Happened(
            self._seams.now(), "slot", slot.job_id, state=slot.state, who=actor.triggered_by, reason=reason, record=slot
        )

    def _named(self, job_id: str, name: str) -> Watched:
        watched = self._timetable.get(job_id, name)
        if watched is None:
            names = [each.row.name for each in self._timetable.of(job_id)]
            hint = near_miss(name, names) or (f"; its schedules are {', '.join(names)}" if names else "")
            message = f"{job_id} has no schedule {name!r}{hint}"
            raise InvalidError(message, details=[{"path": "schedule", "message": message}])
        return watched

    def _of(self, job_id: str, choice: SlotChoice) -> tuple[Watched, datetime]:
        """The schedule that somebody means, and a fire of it that is still to come."""
        self._jobs.catalogue.entry(job_id)
        watched = self._named(job_id, choice.schedule)
        instant, zone = choice.scheduled_at, watched.cron.timezone
        if instant not in watched.cron or watched.next_at is None or instant < watched.next_at:
            coming = f"; the next is {local(watched.next_at, zone)} {zone}" if watched.next_at else ""
            message = f"{job_id} has no fire to come at {local(instant, zone)}{coming}"
            raise InvalidError(message, details=[{"path": "scheduled_at", "message": message}])
        return watched, instant


def _refuse_too_many(job_id: str, choice: SlotChoice, now: datetime, skipped: int) -> None:
    if choice.scheduled_at > now + timedelta(days=MAX_SKIP_DAYS):
        path, message = "scheduled_at", f"a fire is left out at most {MAX_SKIP_DAYS} days ahead"
    elif skipped >= MAX_SKIPS:
        path = "schedule"
        message = (
            f"{MAX_SKIPS} fires to come of {job_id}'s schedule {choice.schedule!r} are left out, and that is the most; "
            f"pause the job, or change the rule"
        )
    else:
        return
    raise InvalidError(message, details=[{"path": path, "message": message}])


def _read_cursor(cursor: str | None) -> _Read:
    if cursor is None:
        return _Read()
    if found := re.fullmatch(r"due (\d{1,11}) (\d{1,11}) (\S+) (\S+)", cursor, re.ASCII):
        began_at, last = (datetime.fromtimestamp(int(found[each]), UTC) for each in (1, 2))
        return _Read(place=(last, found[3], found[4]), began_at=began_at)
    if found := re.fullmatch(r"(\d{1,11}) (\d{1,18})", cursor, re.ASCII):
        return _Read(slot=(datetime.fromtimestamp(int(found[1]), UTC), int(found[2])))
    message = "is no cursor of this list; give back a page's next_cursor as it came"
    raise InvalidError(f"cursor {message}", details=[{"path": "cursor", "message": f"cursor {message}"}])


def _place(slot: Slot) -> _Place:
    return slot.scheduled_at, slot.job_id, slot.schedule


def _checked(cron: str, timezone: str | None) -> str | None:
    """The zone, if rule and zone are fit to be used."""
    for path, check, text in (("cron", rules.normalise, cron), ("timezone", check_timezone, timezone)):
        try:
            if text is not None:
                check(text)
        except ValueError as error:
            message = f"{path} {error}"
            raise InvalidError(message, details=[{"path": path, "message": message}]) from None
    return timezone
