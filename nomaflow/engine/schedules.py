"""The engine's verbs about time: the calendar, a rule's preview and its what-if, and fires that are left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

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

PART = timedelta(days=31)
"""Fires to come are worked out in parts of this length, until a page is full."""

DURATIONS = 500

type _Place = tuple[datetime, str, str]
"""Where a fire to come stands in the calendar's order: its time, its job, its schedule."""


class Schedules:
    """What is asked about when. What is long is worked out in a thread."""

    def __init__(
        self, timetable: Timetable, jobs: Jobs, runs: Runs, door: Door, store: Store, recorder: Recorder, seams: Seams
    ) -> None:
        self._timetable, self._jobs, self._runs, self._door = timetable, jobs, runs, door
        self._store, self._recorder, self._seams = store, recorder, seams

    def today(self) -> datetime:
        """When today began in the home's zone."""
        return self._midnight(self._seams.now()).astimezone(UTC)

    async def calendar(self, query: SlotQuery) -> Page[Slot]:
        """A page of slots in order of time: the decided ones from the store, then the fires to come."""
        after, place = _read_cursor(query.cursor)
        items: list[Slot] = []
        if place is None:
            stored = await self._seams.in_thread(
                lambda: self._store.slots(
                    since=query.since, until=query.until, jobs=query.jobs, after=after, limit=query.limit + 1
                )
            )
            items = [slot.record() for slot in stored[: query.limit]]
            if len(stored) > query.limit:
                last = stored[query.limit - 1]
                return Page[Slot](items=items, next_cursor=f"{last.scheduled_at.timestamp():.0f} {last.slot_id}")
        watched = [each for each in self._timetable.all() if query.shows(each.row.job_id) and each.next_at is not None]
        room = query.limit - len(items)
        due = await self._seams.in_thread(lambda: list(self._due(watched, query, place, room + 1)))
        items += due[:room]
        if len(due) <= room:
            return Page[Slot](items=items)
        last_due = items[-1]
        if last_due.state is not SlotState.DUE:
            return Page[Slot](items=items, next_cursor="due 0 - -")
        cursor = f"due {last_due.scheduled_at.timestamp():.0f} {last_due.job_id} {last_due.schedule}"
        return Page[Slot](items=items, next_cursor=cursor)

    def _due(self, watched: list[Watched], query: SlotQuery, place: _Place | None, limit: int) -> Iterator[Slot]:
        """At most so many fires to come, behind a place."""
        now = self._seams.now()
        begin = max(query.since - timedelta(seconds=1), now)
        if place is not None:
            # From a day before, so that a day's bar is the one that it was on the page before, and is left behind.
            begin = max(begin, place[0] - timedelta(days=1))
        given = 0
        while begin < query.until - timedelta(seconds=1) and given < limit:
            end = min(query.until, self._midnight(begin + PART))
            found = [slot for each in watched for slot in self._due_of(each, begin, end - timedelta(seconds=1))]
            for slot in sorted(found, key=_place):
                if place is None or _place(slot) > place:
                    yield slot
                    given += 1
            begin = end - timedelta(seconds=1)

    def _due_of(self, watched: Watched, after: datetime, until: datetime) -> Iterator[Slot]:
        skips = self._timetable.skips_of(watched.place)
        days = calendar.due(watched.cron, max(after, watched.row.cursor), until)
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
        shown = await self._seams.in_thread(preview, ask.cron, zone, ask.count, after)
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
        watched = self._timetable.get(ask.job, ask.schedule)
        zone = zone or (watched.cron.timezone if watched is not None else self._door.timezone)
        until = self._seams.now()
        since = until - timedelta(days=ask.days)
        runs = await self._runs.durations(ask.job, DURATIONS)
        durations = [run.seconds for run in runs if run.state is RunState.SUCCEEDED and run.started_at >= since]
        old, new = watched.cron if watched is not None else None, compiled(ask.cron, zone)
        found = await self._seams.in_thread(
            lambda: what_if.what_if(
                old, new, since=since, until=until, durations_seconds=durations, overlap=job.overlap
            )
        )
        return WhatIf.model_validate({**asdict(found), "timezone": zone})

    async def skip(self, job_id: str, choice: SlotChoice, actor: Actor) -> Slot:
        """Leave one fire of a schedule out."""
        watched, instant = self._of(job_id, choice)
        row = SkipRow(job_id, choice.schedule, instant, actor.triggered_by, self._seams.now())
        earlier = self._timetable.unskip(watched.place, [instant])
        self._timetable.skip(row)
        slot = next(self._due_of(watched, instant - timedelta(seconds=1), instant))
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
        slot = next(self._due_of(watched, instant - timedelta(seconds=1), instant))
        told = self._told(slot, actor, "not left out any more")
        try:
            await self._recorder.record(Change(used_skips=rows, events=[told]))
        except NotReadyError:
            for each in rows:
                self._timetable.skip(each)
            raise

    def _told(self, slot: Slot, actor: Actor, reason: str) -> Happened:
        return Happened(
            self._seams.now(), "slot", slot.job_id, state=slot.state, who=actor.triggered_by, reason=reason, record=slot
        )

    def _of(self, job_id: str, choice: SlotChoice) -> tuple[Watched, datetime]:
        """The schedule that somebody means, and a fire of it that is still to come."""
        self._jobs.catalogue.entry(job_id)
        watched = self._timetable.get(job_id, choice.schedule)
        if watched is None:
            names = [each.row.name for each in self._timetable.of(job_id)]
            message = f"{job_id} has no schedule {choice.schedule!r}" + near_miss(choice.schedule, names)
            raise InvalidError(message, details=[{"path": "schedule", "message": message}])
        instant, zone = choice.scheduled_at, watched.cron.timezone
        if instant not in watched.cron or watched.next_at is None or instant < watched.next_at:
            coming = f"; the next is {local(watched.next_at, zone)} {zone}" if watched.next_at else ""
            message = f"{job_id} has no fire to come at {local(instant, zone)}{coming}"
            raise InvalidError(message, details=[{"path": "scheduled_at", "message": message}])
        return watched, instant


def _read_cursor(cursor: str | None) -> tuple[tuple[datetime, int] | None, _Place | None]:
    """Where the page before ended: at a slot of the store, or at a fire to come."""
    if cursor is None:
        return None, None
    if found := re.fullmatch(r"due (\d{1,11}) (\S+) (\S+)", cursor, re.ASCII):
        return None, (datetime.fromtimestamp(int(found[1]), UTC), found[2], found[3])
    if found := re.fullmatch(r"(\d{1,11}) (\d{1,18})", cursor, re.ASCII):
        return (datetime.fromtimestamp(int(found[1]), UTC), int(found[2])), None
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
