"""The current state of every job, in memory: runs in flight and the newest ended ones; rebuilt at start."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from nomaflow.engine.model import Slot
from nomaflow.wire import RecentRun, RunState, RunSummary

RECENT = 20


class Board:
    """What the cards and the admission need to know without asking the store."""

    def __init__(self, newest_first: Iterable[RunSummary], slots: Iterable[Slot] = ()) -> None:
        self._slots = {slot.job_id: slot for slot in slots}
        self._recent: dict[str, list[RunSummary]] = defaultdict(list)
        for summary in newest_first:
            if summary.state.is_terminal:
                self.ended(summary)

    def ended(self, summary: RunSummary) -> None:
        """A run of the job is over. Runs stand in the order in which they came, as the store gives them."""
        recent = self._recent[summary.job_id]
        insort(recent, summary, key=lambda run: run.id)
        del recent[:-RECENT]

    def decided(self, slot: Slot) -> None:
        """A newer fire of the job has its slot."""
        self._slots[slot.job_id] = slot

    def last_slot(self, job_id: str) -> Slot | None:
        """What became of the job's newest fire."""
        return self._slots.get(job_id)

    def forget(self, before: datetime, failed_before: datetime) -> None:
        """Runs that ended before then are deleted, but for the newest of each job."""
        for recent in self._recent.values():
            for summary in list(recent)[:-1]:
                limit = failed_before if summary.state is RunState.FAILED else before
                if summary.finished_at is not None and summary.finished_at < limit:
                    recent.remove(summary)

    def job_ids(self) -> set[str]:
        """The jobs that have ended runs, the deleted ones too."""
        return {job_id for job_id, runs in self._recent.items() if runs}

    def last(self, job_id: str) -> RunSummary | None:
        """The newest ended run."""
        recent = self._recent.get(job_id)
        return recent[-1] if recent else None

    def recent(self, job_id: str) -> list[RecentRun]:
        """The newest ended runs, oldest first."""
        return [
            RecentRun(run_id=summary.id, state=summary.state, seconds=seconds(summary))
            for summary in self._recent.get(job_id, ())
        ]

    def good_seconds(self, job_id: str) -> list[float]:
        """How long the newest good runs took."""
        known = [seconds(run) for run in self._recent.get(job_id, ()) if run.state is RunState.SUCCEEDED]
        return [value for value in known if value is not None]


def seconds(summary: RunSummary) -> float | None:
    """From a run's start to its end."""
    if summary.started_at is None or summary.finished_at is None:
        return None
    return (summary.finished_at - summary.started_at).total_seconds()
