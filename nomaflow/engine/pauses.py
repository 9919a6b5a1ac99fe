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

    def next_end(self) -> datetime | None:
        """When the next pause ends by itself."""
        return min((row.until_at for row in self._by_job.values() if row.until_at), default=None)

    def ended(self, now: datetime) -> list[PauseRow]:
        """The pauses whose time is over."""
        return [row for row in self._by_job.values() if row.until_at is not None and row.until_at <= now]
