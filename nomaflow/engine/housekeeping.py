"""What the engine does for itself, as steps of a job that everybody sees: old runs go, backups are made."""

from __future__ import annotations

from datetime import datetime, timedelta

import trio

from nomaflow.definitions.steps.backup import Backup
from nomaflow.definitions.steps.retention import Retention
from nomaflow.engine.backups import Backups
from nomaflow.engine.board import Board
from nomaflow.engine.inside import Done, OwnStep
from nomaflow.engine.model import InForce
from nomaflow.engine.recorder import Recorder
from nomaflow.seams import Seams

RUNS_A_PIECE = 1000
"""So many runs are deleted in one transaction: it takes some 100 ms, in which nothing else is recorded."""

PAUSE_SECONDS = 0.2


class Housekeeping:
    """The steps `retention` and `backup`."""

    def __init__(self, recorder: Recorder, board: Board, in_force: InForce, seams: Seams, backups: Backups) -> None:
        self._recorder, self._board, self._in_force, self._seams = recorder, board, in_force, seams
        self._backups = backups

    async def retention(self, own: OwnStep) -> Done:
        """Delete the runs that ended before the step's days, or those of the settings."""
        assert isinstance(own.step, Retention)
        kept, now = self._in_force.settings.retention, self._seams.now()
        before = now - timedelta(days=own.step.days or kept.days)
        failed_before = now - timedelta(days=own.step.failed_days or kept.failed_days)
        own.say(f"runs that ended before {_day(before)} go, failed ones before {_day(failed_before)}")
        deleted = 0
        while piece := await self._recorder.ask(lambda store: store.prune(before, failed_before, RUNS_A_PIECE)):
            deleted += piece
            own.say(f"deleted so far: {deleted:,}")
            await trio.sleep(PAUSE_SECONDS)
        self._board.forget(before, failed_before)
        if not deleted:
            own.say("no run is that old")
        return Done({"runs": deleted}, rows_affected=deleted)

    async def backup(self, own: OwnStep) -> Done:
        """Make a backup, and delete the ones that the step does not keep."""
        assert isinstance(own.step, Backup)
        made = await self._backups.make(days=own.step.keep_daily, weeks=own.step.keep_weekly)
        own.say(f"{made.name}: {made.runs:,} runs in {made.size_bytes / 1e6:.1f} MB, opened and read as a whole")
        return Done({"name": made.name, "size_bytes": made.size_bytes, "runs": made.runs, "seq": made.seq})


def _day(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
