"""What an engine that starts needs to go on: schedules, slots, skips, pauses, waits and the texts of jobs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from nomaflow.engine.change import PauseRow, ScheduleRow, SkipRow, WaitRow
from nomaflow.engine.model import Slot
from nomaflow.engine.rows import aware, naive, waited
from nomaflow.engine.store.connection import Reader
from nomaflow.engine.store.reading import instant
from nomaflow.seams import run_id_of
from nomaflow.wire import SlotState

_SLOT = "id, job_id, schedule, scheduled_at, state, reason, run_id, into_at, count, last_at, decided_at"


class Timing(Reader):
    """The queries about time."""

    def was_restored(self) -> bool:
        """Whether the file is a backup that was put in place, and no engine has run with it since."""
        return bool(self._all("SELECT value FROM meta WHERE name = 'restored_at'"))

    def schedules(self) -> list[ScheduleRow]:
        """Every schedule that was watched."""
        rows = self._all("SELECT number, job_id, name, rule, cursor FROM schedule")
        return [ScheduleRow(number, job_id, name, rule, instant(cursor)) for number, job_id, name, rule, cursor in rows]

    def last_number(self) -> int:
        """The greatest number that a schedule has or had: no other may get it again, its slots are there."""
        sql = (
            "SELECT greatest(coalesce((SELECT max(number) FROM schedule), 0), "
            "coalesce((SELECT max(id) FROM slot), 0) >> 33)"
        )
        number: int = self._one(sql)[0]
        return number

    def newest_at(self) -> datetime | None:
        """When the last thing happened that is on record."""
        rows = self._all("SELECT happened_at FROM event ORDER BY seq DESC LIMIT 1")
        return instant(rows[0][0]) if rows else None

    def skips(self) -> list[SkipRow]:
        """Every fire that is to be left out."""
        rows = self._all("SELECT job_id, schedule, scheduled_at, who, created_at FROM skip")
        return [SkipRow(job, name, instant(scheduled), who, instant(made)) for job, name, scheduled, who, made in rows]

    def pauses(self) -> list[PauseRow]:
        """Why jobs are switched off."""
        rows = self._all("SELECT job_id, reason, who, until_at, paused_at FROM pause")
        return [PauseRow(job, reason, who, aware(until), instant(paused)) for job, reason, who, until, paused in rows]

    def waits(self) -> dict[str, WaitRow]:
        """The newest wait of each run that an earlier engine left RUNNING."""
        rows = self._all(
            "SELECT w.run_id, w.position, w.attempts, w.due_at FROM retry_wait w "
            "JOIN run ON run.id = w.run_id AND run.state = 'RUNNING' "
            "QUALIFY row_number() OVER (PARTITION BY w.run_id ORDER BY w.due_at DESC) = 1"
        )
        return {
            run_id_of(number): waited(run_id_of(number), position, attempts, instant(due))
            for number, position, attempts, due in rows
        }

    def definition(self, job_id: str, etag: str) -> str | None:
        """The text of a job as it was under that etag."""
        rows = self._all("SELECT text FROM definition WHERE job_id = ? AND etag = ?", [job_id, etag])
        return rows[0][0] if rows else None

    def known_definitions(self) -> set[tuple[str, str]]:
        """(job, etag) of every text that is kept."""
        return {(job_id, etag) for job_id, etag in self._all("SELECT job_id, etag FROM definition")}

    def newest_slots(self, since: datetime) -> list[Slot]:
        """The newest slot of each job that has any since then."""
        sql = f"SELECT {_SLOT} FROM slot WHERE decided_at >= ? "
        sql += "QUALIFY row_number() OVER (PARTITION BY job_id ORDER BY scheduled_at DESC) = 1"
        return [_slot(row) for row in self._all(sql, [naive(since)])]

    def slots(
        self,
        *,
        since: datetime,
        until: datetime,
        jobs: Iterable[str] | None,
        after: tuple[datetime, int] | None,
        limit: int,
    ) -> list[Slot]:
        """Decided slots with a nominal time in [since, until), in order of time.

        Args:
            since: the first instant.
            until: the first one past the end.
            jobs: only of these; None for all.
            after: the nominal time and the id of the last slot of the page before.
            limit: at most so many.
        """
        # A row that stands for many may begin before the window and reach into it.
        where, values = "coalesce(last_at, scheduled_at) >= ? AND scheduled_at < ?", [naive(since), naive(until)]
        more: list[Any] = []
        if jobs is not None:
            where += " AND list_contains(?, job_id)"
            more.append(sorted(jobs))
        if after is not None:
            where += " AND (scheduled_at, id) > (?, ?)"
            more += [naive(after[0]), after[1]]
        sql = f"SELECT {_SLOT} FROM slot WHERE {where} ORDER BY scheduled_at, id LIMIT ?"
        return [_slot(row) for row in self._all(sql, [*values, *more, limit])]


def _slot(row: tuple[Any, ...]) -> Slot:
    slot_id, job_id, schedule, scheduled_at, state, reason, run, into_at, count, last_at, decided_at = row
    return Slot(
        number=slot_id >> 33,
        job_id=job_id,
        schedule=schedule,
        scheduled_at=instant(scheduled_at),
        state=SlotState(state),
        decided_at=instant(decided_at),
        reason=reason,
        run_id=run_id_of(run) if run is not None else None,
        into_at=aware(into_at),
        count=count,
        last_at=aware(last_at),
    )
