"""Which schedules are watched, up to where, and what is due; every change of it as rows to record.

A schedule is told by its job and its name, and keeps a number for as long as it stands. Its cursor is the instant up to
which every fire has its slot. Another rule, or a switch, starts it anew from now: neither ever fires for the past.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from nomaflow.definitions.job import Job, Schedule
from nomaflow.engine.change import Change, ScheduleRow, SkipRow
from nomaflow.schedule.cron import Cron, compiled

Place = tuple[str, str]
"""A job's id and a schedule's name."""


@dataclass(frozen=True)
class Watched:
    """A schedule as it stands; `next_at` is None while it is off, or where its rule never fires again."""

    row: ScheduleRow
    schedule: Schedule
    cron: Cron
    next_at: datetime | None

    @property
    def place(self) -> Place:
        return self.row.job_id, self.row.name


class Timetable:
    """All schedules. Nothing here waits: whoever changes it records the change that it is given.

    Args:
        rows: those of an earlier engine.
        last_number: the greatest number that any schedule ever had.
        skips: the fires that people asked to leave out.
    """

    def __init__(self, rows: Iterable[ScheduleRow], last_number: int, skips: Iterable[SkipRow]) -> None:
        self._rows: dict[Place, ScheduleRow] = {(row.job_id, row.name): row for row in rows}
        self._watched: dict[Place, Watched] = {}
        self._last_number = last_number
        self._skips: dict[Place, dict[datetime, SkipRow]] = {}
        for skip in skips:
            self._skips.setdefault((skip.job_id, skip.schedule), {})[skip.scheduled_at] = skip

    def sync(self, job: Job, timezone: str, now: datetime) -> Change:
        """Watch a job's schedules as its file has them.

        Args:
            job: the definition; the last good one while the file has problems.
            timezone: for schedules that name none.
            now: what a new rule counts from.
        """
        change = Change()
        for schedule in job.schedules:
            place = job.id, schedule.name
            zone = schedule.timezone or timezone
            is_on = job.enabled and schedule.enabled
            rule = f"{schedule.cron} {zone} {'on' if is_on else 'off'}"
            row = self._rows.get(place)
            if row is None:
                self._last_number += 1
                row = ScheduleRow(self._last_number, job.id, schedule.name, rule, now)
                change.schedules.append(row)
            elif row.rule != rule:
                # A clock that was set back gives no fire a second slot.
                row = replace(row, rule=rule, cursor=max(now, row.cursor))
                change.cursors.append(row)
            self._rows[place] = row
            cron = compiled(schedule.cron, zone)
            self._watched[place] = Watched(row, schedule, cron, cron.next(row.cursor) if is_on else None)
        change.add(self._drop(job.id, {schedule.name for schedule in job.schedules}))
        return change

    def forget(self, job_id: str) -> Change:
        """A job is gone."""
        return self._drop(job_id, set())

    def job_ids(self) -> set[str]:
        """The jobs whose schedules are known."""
        return {job_id for job_id, _ in self._rows}

    def rows(self) -> list[ScheduleRow]:
        """Every schedule as it is to be on record."""
        return list(self._rows.values())

    def all(self) -> list[Watched]:
        """Every schedule, those that are off too, by job and name."""
        return [self._watched[place] for place in sorted(self._watched)]

    def of(self, job_id: str) -> list[Watched]:
        """The schedules of a job."""
        return [watched for (job, _), watched in self._watched.items() if job == job_id]

    def get(self, job_id: str, name: str) -> Watched | None:
        """One schedule."""
        return self._watched.get((job_id, name))

    def next_at(self) -> datetime | None:
        """When the next fire of any schedule is due."""
        return min((watched.next_at for watched in self._watched.values() if watched.next_at), default=None)

    def next_fires(self, job_id: str) -> dict[str, datetime | None]:
        """When each schedule of a job fires next, by its name; what is to be left out is passed over."""
        fires = {}
        for watched in self.of(job_id):
            skips, fire = self.skips_of(watched.place), watched.next_at
            while fire is not None and fire in skips:
                fire = watched.cron.next(fire)
            fires[watched.row.name] = fire
        return fires

    def due(self, now: datetime) -> list[Watched]:
        """The schedules with fires up to now, those that are due longest first."""
        found = [watched for watched in self._watched.values() if watched.next_at and watched.next_at <= now]
        return sorted(found, key=lambda watched: (watched.next_at, watched.place))

    def due_soon(self, since: datetime, until: datetime) -> list[str]:
        """The job of each schedule that fires after `since` and not after `until`."""
        return [each.row.job_id for each in self._watched.values() if each.next_at and since < each.next_at <= until]

    def advance(self, watched: Watched, now: datetime) -> ScheduleRow:
        """Every fire up to now has its slot; the row to record."""
        row = replace(watched.row, cursor=now)
        self._put(replace(watched, row=row, next_at=watched.cron.next(now)))
        return row

    def go_back(self, watched: Watched, tried: datetime) -> None:
        """What `advance` did was not recorded. Nothing happens where the schedule was changed meanwhile."""
        current = self._watched.get(watched.place)
        if current is not None and current.row == replace(watched.row, cursor=tried):
            self._put(watched)

    def skips_of(self, place: Place) -> dict[datetime, SkipRow]:
        """The fires of a schedule that are to be left out."""
        return self._skips.get(place, {})

    def skip(self, skip: SkipRow) -> None:
        """Leave a fire out."""
        self._skips.setdefault((skip.job_id, skip.schedule), {})[skip.scheduled_at] = skip

    def unskip(self, place: Place, scheduled_at: Sequence[datetime]) -> list[SkipRow]:
        """These fires are decided, or are not to be left out any more; the rows to delete."""
        known = self._skips.get(place, {})
        return [known.pop(instant) for instant in scheduled_at if instant in known]

    def _drop(self, job_id: str, keep: set[str]) -> Change:
        change = Change()
        for place in [place for place in self._rows if place[0] == job_id and place[1] not in keep]:
            change.gone_schedules.append(self._rows.pop(place).number)
            self._watched.pop(place, None)
            change.used_skips += self._skips.pop(place, {}).values()
        return change

    def _put(self, watched: Watched) -> None:
        self._rows[watched.place] = watched.row
        self._watched[watched.place] = watched
