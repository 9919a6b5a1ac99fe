"""What a store that failed has not taken of schedules and pauses.

They hold as they stand in memory, whatever the store said: a job's file was changed, and nobody takes that back. So
what could not be recorded is owed to the store, or an engine that comes later would go on from what held before.
"""

from __future__ import annotations

from collections.abc import Iterable

from nomaflow.engine.change import Change
from nomaflow.engine.pauses import Pauses
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.ticket import Ticket
from nomaflow.engine.timetable import Timetable


class Owed:
    """Hands changes in, and those anew that the store did not take."""

    def __init__(self, recorder: Recorder, timetable: Timetable, pauses: Pauses) -> None:
        self._recorder, self._timetable, self._pauses = recorder, timetable, pauses
        self._handed_in: list[Ticket] = []

    def hand_in(self, change: Change) -> Ticket:
        """Have a change recorded that holds already."""
        ticket = self._recorder.submit(change)
        self.keep(ticket)
        return ticket

    def keep(self, ticket: Ticket) -> None:
        """Look after a change that was handed in."""
        self._handed_in = [each for each in self._handed_in if each.error is not None or not each.is_settled]
        self._handed_in.append(ticket)

    async def wait_durable(self) -> None:
        """Return when all that was handed in so far is on disk.

        Raises:
            NotReadyError: some of it could not be written yet.
        """
        for ticket in list(self._handed_in):
            await ticket.wait_durable()

    async def settle(self) -> None:
        """Hand in once more what the store did not take, as it stands now.

        No fire may be on its way meanwhile: a cursor must not be on record before its slots.
        """
        failed = [ticket.change for ticket in self._handed_in if ticket.error is not None]
        self._handed_in = [ticket for ticket in self._handed_in if not ticket.is_settled]
        if failed:
            await self.hand_in(self._again(failed)).settled()

    def _again(self, failed: Iterable[Change]) -> Change:
        again, jobs = Change(), set[str]()
        numbers = set[int]()
        for change in failed:
            numbers |= {row.number for row in (*change.schedules, *change.cursors)} | set(change.gone_schedules)
            jobs |= {pause.job_id for pause in change.pauses} | set(change.gone_pauses)
            again.used_skips += [
                skip
                for skip in change.used_skips
                if skip.scheduled_at not in self._timetable.skips_of((skip.job_id, skip.schedule))
            ]
        again.gone_schedules = sorted(numbers)
        again.schedules = [row for row in self._timetable.rows() if row.number in numbers]
        for job_id in sorted(jobs):
            pause = self._pauses.get(job_id)
            if pause is not None:
                again.pauses.append(pause)
            else:
                again.gone_pauses.append(job_id)
        return again
