"""Why jobs are switched off, by whom and until when. The switch itself is in each job's file."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from nomaflow.definitions.job import Job
from nomaflow.engine.change import Change, PauseRow


class Pauses:
    """The pauses of all jobs, as they are stored."""

    def __init__(self, rows: Iterable[PauseRow]) -> None:
        self._by_job = {row.job_id: row for row in rows}
        self._postponed: dict[str, datetime] = {}

    def get(self, job_id: str) -> PauseRow | None:
        """The pause of a job that somebody switched off here."""
        return self._by_job.get(job_id)

    def begin(self, pause: PauseRow) -> Change:
        """A job is switched off."""
        self._by_job[pause.job_id] = pause
        return Change(pauses=[pause])

    def sync(self, job: Job) -> Change:
        """A job that is on, by whatever hand, has no pause."""
        return self.end(job.id) if job.enabled else Change()

    def end(self, job_id: str) -> Change:
        """The pause of a job is over, or the job is gone."""
        return Change(gone_pauses=[job_id]) if self._by_job.pop(job_id, None) else Change()

    def postpone(self, job_id: str, until: datetime) -> None:
        """The pause's end could not be carried out; it is tried again then."""
        self._postponed[job_id] = until

    def next_end(self) -> datetime | None:
        """When the next pause ends by itself."""
        return min(filter(None, map(self._end_of, self._by_job.values())), default=None)

    def ended(self, now: datetime) -> list[PauseRow]:
        """The pauses whose time is over."""
        return [row for row in self._by_job.values() if (end := self._end_of(row)) is not None and end <= now]

    def _end_of(self, row: PauseRow) -> datetime | None:
        if row.until_at is None:
            return None
        return max(row.until_at, self._postponed.get(row.job_id, row.until_at))
