"""Lets runs in: what admission says, carried out. Every start of a run goes through here, whoever asks for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import trio

from nomaflow.definitions.catalogue import Entry
from nomaflow.definitions.job import Job
from nomaflow.engine import admission
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.admission import InFlight, Verdict
from nomaflow.engine.board import Board
from nomaflow.engine.cancel import Stop
from nomaflow.engine.change import Change, DefinitionRow, WaitRow
from nomaflow.engine.claims import claims
from nomaflow.engine.feed import Feed
from nomaflow.engine.model import Actor, InForce, Run
from nomaflow.engine.run_log import RunLog
from nomaflow.engine.runner import Runner
from nomaflow.engine.ticket import Ticket
from nomaflow.errors import NotReadyError
from nomaflow.history.expected import expected_seconds
from nomaflow.launch.plan import Plan
from nomaflow.seams import Seams
from nomaflow.wire import StepRun

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """A run that is to be let in: what of which job, for whom, and where it comes from.

    `schedule` and `scheduled_at` are those of a fire, `today` the day that its date tokens count from. `kept` are the
    steps that a replay leaves out, with the outputs that they had; they are over when the run is let in. `note` is a
    line for the run's log. `parent_run` is the run whose step called it, `parent` the same where that one waits for it.
    """

    entry: Entry
    job: Job
    plan: Plan
    actor: Actor
    reason: str | None = None
    schedule: str | None = None
    scheduled_at: datetime | None = None
    today: date | None = None
    is_catch_up: bool = False
    replay_of: str | None = None
    kept: dict[str, StepRun] = field(default_factory=dict)
    note: str | None = None
    parent_run: str | None = None
    parent: ActiveRun | None = None


class Door:
    """Where runs come in. Nothing here waits, so nothing can come between a look at what goes and the start of more.

    Args:
        known: (job, etag) of the definitions whose text is stored.
        not_ready: why no run can start now.
        saved_plan: as in `claims`.
    """

    def __init__(
        self,
        runner: Runner,
        board: Board,
        feed: Feed,
        seams: Seams,
        in_force: InForce,
        nursery: trio.Nursery,
        home: Path,
        known: set[tuple[str, str]],
        not_ready: Callable[[], list[str]],
        saved_plan: Callable[[str], tuple[Job, Plan] | None] = lambda job_id: None,
    ) -> None:
        self._runner, self._board, self._feed, self._seams = runner, board, feed, seams
        self._in_force, self._nursery, self._home, self._known = in_force, nursery, home, known
        self._not_ready, self._saved_plan = not_ready, saved_plan
        self._system_timezone = seams.timezone()

    def ask(self, entry: Entry, *, is_fire: bool = False, is_catch_up: bool = False) -> Verdict:
        """What admission says to a run of the job now."""
        job = entry.job or entry.last_good
        return admission.admit(
            entry.job_id,
            overlap=job.overlap if job is not None else "skip",
            in_flight=self._in_flight(entry.job_id),
            problems=[str(problem) for problem in entry.problems],
            not_ready=self._not_ready(),
            is_fire=is_fire,
            is_catch_up=is_catch_up,
        )

    def let_in(self, request: Request, verdict: Verdict) -> tuple[ActiveRun, Change]:
        """A run from its request, and the change that puts it on record; `begin` must follow when that is handed in."""
        now, job = self._seams.now(), request.job
        run = Run(
            id=self._seams.run_id(),
            job_id=job.id,
            plan=request.plan,
            steps=[
                request.kept.get(planned.name) or StepRun(name=planned.name, type=planned.type, reason=planned.reason)
                for planned in request.plan.steps
            ],
            actor=request.actor,
            etag=request.entry.etag,
            queued_at=now,
            reason=request.reason,
            schedule=request.schedule,
            scheduled_at=request.scheduled_at,
            replay_of=request.replay_of,
            parent_run=request.parent_run,
            today=request.today or self.today(now),
            expected_seconds=expected_seconds(self._board.good_seconds(job.id)),
        )
        active = self._active(run, job, takes_turns=job.overlap != "allow" or request.is_catch_up)
        active.note, active.parent = request.note, request.parent
        change = active.accepted()
        if (job.id, run.etag) not in self._known:
            self._known.add((job.id, run.etag))
            change.definitions.append(DefinitionRow(job.id, run.etag, request.entry.text, now))
        self._runner.add(active)
        self._make_room(run, verdict)
        return active, change

    def begin(self, active: ActiveRun, ticket: Ticket) -> None:
        """Let the run go on by itself: its first changes share the commit of the one that made it, and a caller that
        goes away leaves no run that is on record and never begins."""
        active.acceptance = ticket
        self._nursery.start_soon(self._carry_out, active)

    def resume(self, run: Run, job: Job, *, line: int, goes_on: WaitRow | None) -> ActiveRun:
        """Go on with a run that an earlier engine left: one that was QUEUED, or waits for a step's next try.

        Args:
            run: as it was left.
            job: what it was made from.
            line: the number of its log's last line.
            goes_on: the step's wait.
        """
        active = self._active(run, job, takes_turns=job.overlap != "allow")
        active.log, active.goes_on = RunLog(line), goes_on
        # Said only where the first lines of the log were lost with the engine; what was changed is in the plan.
        active.note = f"replay of {run.replay_of}" if run.replay_of is not None else None
        schedule = next((each for each in job.schedules if each.name == run.schedule), None)
        run.today = self.today(run.scheduled_at or run.queued_at, schedule.timezone if schedule else None)
        run.expected_seconds = expected_seconds(self._board.good_seconds(job.id))
        self._runner.add(active)
        self._nursery.start_soon(self._carry_out, active)
        return active

    def was_not_recorded(self, active: ActiveRun) -> None:
        """The change that was to make the run could not be written, so it never was one and waits for nothing."""
        active.ask_to_stop()
        self._known.discard((active.run.job_id, active.run.etag))

    def today(self, instant: datetime | None = None, timezone: str | None = None) -> date:
        """The day of an instant, or of now, in a zone, or in the home's."""
        return (instant or self._seams.now()).astimezone(ZoneInfo(timezone or self.timezone)).date()

    @property
    def timezone(self) -> str:
        """The home's zone, else the machine's."""
        return self._in_force.settings.engine.timezone or self._system_timezone

    def _active(self, run: Run, job: Job, *, takes_turns: bool) -> ActiveRun:
        connectors = self._in_force.settings.connectors
        return ActiveRun(
            run,
            job,
            self._feed.epoch,
            self._seams.now,
            claims=claims(job, run.plan, connectors, self._home, takes_turns=takes_turns, saved_plan=self._saved_plan),
            tell=self._feed.tell,
        )

    def _in_flight(self, job_id: str) -> list[InFlight]:
        return [
            InFlight(
                active.run.id,
                active.run.state,
                waits_for_turn=active.run.started_at is None and position > 0,
                is_fire=active.run.scheduled_at is not None,
            )
            for position, active in enumerate(self._runner.active_of(job_id))
        ]

    def _make_room(self, run: Run, verdict: Verdict) -> None:
        """End the runs whose place this one takes."""
        by = run.actor.triggered_by
        for run_id in (*verdict.replaces, *verdict.cancels):
            active = self._runner.active(run_id)
            if active is None:
                continue
            how = "replaced by" if run_id in verdict.replaces else "canceled to make room for"
            stop = Stop("cancel", by, run.queued_at, f"{how} {run.id}")
            self._nursery.start_soon(self._stop, active, stop)

    async def _carry_out(self, active: ActiveRun) -> None:
        try:
            await self._runner.execute(active)
        except BaseException:
            active.ended.set()  # the engine is gone, and what waits for the run has to go as well
            raise

    async def _stop(self, active: ActiveRun, stop: Stop) -> None:
        """Nobody waits for the answer, so nobody else could take the error: the run is stopped all the same."""
        try:
            await self._runner.stop(active, stop)
        except NotReadyError as error:
            log.error("that %s makes room could not be recorded: %s", active.run.id, error)
