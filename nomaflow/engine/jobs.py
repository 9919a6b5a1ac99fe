"""The engine's verbs about jobs: cards, files, forms and plans."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import date, datetime, timedelta

import trio

from nomaflow.definitions.catalogue import Catalogue, Entry, text_of
from nomaflow.definitions.job import Job, Schedule
from nomaflow.definitions.settings import Settings, differences
from nomaflow.engine import admission, cards
from nomaflow.engine import why as reasons
from nomaflow.engine.board import Board
from nomaflow.engine.change import Change, Happened, PauseRow
from nomaflow.engine.discovery import Discovery
from nomaflow.engine.door import Door
from nomaflow.engine.model import Actor, InForce
from nomaflow.engine.owed import Owed
from nomaflow.engine.pauses import Pauses
from nomaflow.engine.ports import Policy
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.rights import Rights, picked_connectors
from nomaflow.engine.runner import Runner
from nomaflow.engine.timetable import Timetable, Watched
from nomaflow.errors import InvalidError, JobChangedError, NomaflowError, NotFoundError
from nomaflow.home import Home
from nomaflow.launch import form as forms
from nomaflow.launch import plan as plans
from nomaflow.launch.form import Form
from nomaflow.launch.overrides import Launch, Overrides
from nomaflow.launch.plan import Plan
from nomaflow.seams import Seams
from nomaflow.wire import CheckResult, JobCard, JobChange, JobDocument, Pause, ProblemAt, ReloadResult, Toggle, Why

END_AGAIN = timedelta(seconds=15)
"""How soon a pause's end is tried again that could not be carried out."""

log = logging.getLogger(__name__)


class Jobs:
    """The catalogue with what happens to its jobs. Files are read and written in a thread."""

    def __init__(
        self,
        home: Home,
        in_force: InForce,
        catalogue: Catalogue,
        runner: Runner,
        board: Board,
        recorder: Recorder,
        policy: Policy,
        seams: Seams,
        door: Door,
        timetable: Timetable,
        pauses: Pauses,
        *,
        not_ready: Callable[[], list[str]],
        held: Callable[[], str | None],
        on_settings: Callable[[Settings], Awaitable[None]],
        on_schedules: Callable[[], None],
    ) -> None:
        self.catalogue, self.rights = catalogue, Rights(policy, self._known_tags)
        self._in_force = in_force
        self._home, self._runner, self._board = home, runner, board
        self.discovery = Discovery(home, catalogue, seams)
        self.owed = Owed(recorder, timetable, pauses)
        self._seams, self._door, self._timetable, self._pauses = seams, door, timetable, pauses
        self._not_ready, self._held = not_ready, held
        self._on_settings, self._on_schedules = on_settings, on_schedules
        self._changing = trio.Lock()  # what changes files is recorded in the order in which it changed them

    def cards(self) -> list[JobCard]:
        """All jobs, by id."""
        return [self._card(entry) for entry in self.catalogue.entries.values()]

    def card(self, job_id: str) -> JobCard:
        """One job."""
        return self._card(self.catalogue.entry(job_id))

    def tags(self, job_id: str) -> list[str]:
        """One job's tags; those of its last good version while its file has problems."""
        entry = self.catalogue.entry(job_id)
        job = entry.job or entry.last_good
        return job.tags if job else []

    def _known_tags(self, job_id: str) -> list[str]:
        return self.tags(job_id) if job_id in self.catalogue.entries else []

    def known_ids(self) -> set[str]:
        """The jobs that are there, and those that are deleted and have left runs."""
        active = {run.run.job_id for run in self._runner.all_active()}
        return {*self.catalogue.entries, *self._board.job_ids(), *active}

    async def document(self, job_id: str) -> JobDocument:
        """A job with its text."""
        return await self._told(self.fresh(job_id))

    async def _told(self, entry: Entry) -> JobDocument:
        return _document(entry, await self.discovery.warnings(entry.job, entry.text))

    async def check(self, job_id: str, toml: str, next_fires: Callable[[Job], list[datetime]]) -> CheckResult:
        """What saving the text would say, and when the job would fire then."""
        job, problems = self.catalogue.check(job_id, toml)
        return CheckResult(
            problems=[cards.problem_at(problem) for problem in problems],
            warnings=await self.discovery.warnings(job, toml),
            next_fires=next_fires(job) if job is not None and job.enabled else [],
        )

    async def create(self, change: JobChange, actor: Actor) -> JobDocument:
        """A new job."""
        if change.id is None:
            raise InvalidError("id is required: the new job's name", details=[{"path": "id", "message": "is required"}])
        job_id, text = change.id, _text(change)
        self._check_rights(job_id, text, actor, held_tags=[])
        async with self._changing:
            entry = await self._seams.in_thread(self.catalogue.create, job_id, text)
            await self._changed(entry.job_id, "created", actor, entry=entry)
        return await self._told(entry)

    async def save(self, job_id: str, change: JobChange, if_match: str, actor: Actor) -> JobDocument:
        """Replace a job's definition."""
        if change.id not in (None, job_id):
            raise InvalidError(
                f"a job's id cannot change: save as {job_id!r}, or make a new job and delete this one",
                details=[{"path": "id", "message": "differs from the address"}],
            )
        text = _text(change)
        self._check_rights(job_id, text, actor, held_tags=self.tags(job_id))
        self._check_replace(job_id, actor)
        async with self._changing:
            entry = await self._seams.in_thread(self.catalogue.save, job_id, text, if_match)
            await self._changed(job_id, "saved", actor, entry=entry)
        return await self._told(entry)

    async def delete(self, job_id: str, if_match: str, actor: Actor) -> None:
        """Delete a job's file; its runs stay in the history."""
        tags = self.tags(job_id)
        self._check_replace(job_id, actor)
        async with self._changing:
            await self._seams.in_thread(self.catalogue.delete, job_id, if_match)
            await self._changed(job_id, "deleted", actor, tags=tags)

    async def set_enabled(self, job_id: str, toggle: Toggle, actor: Actor) -> JobCard:
        """Switch the job's own fires on or off; a run in flight goes on. Seed: "Enable / disable"."""
        now, until = self._seams.now(), toggle.until
        if until is not None and (toggle.enabled or until <= now):
            message = "belongs to a switch-off" if toggle.enabled else "lies in the past"
            raise InvalidError(f"until {message}", details=[{"path": "until", "message": message}])
        async with self._changing:
            entry = await self._seams.in_thread(self.catalogue.set_enabled, job_id, toggle.enabled)
            change = Change()
            if not toggle.enabled:
                pause = PauseRow(job_id, toggle.reason, actor.triggered_by, until, now)
                change = self._pauses.begin(pause)
            state = "enabled" if toggle.enabled else "disabled"
            await self._changed(job_id, state, actor, reason=toggle.reason, entry=entry, change=change)
        return self._card(entry)

    async def end_pauses(self) -> None:
        """Switch on again what was switched off until now."""
        for pause in self._pauses.ended(self._seams.now()):
            toggle = Toggle(enabled=True, reason=f"the pause that {pause.who} began is over")
            try:
                await self.set_enabled(pause.job_id, toggle, Actor("", "engine"))
            except NotFoundError:
                self.owed.hand_in(self._pauses.end(pause.job_id))
            except NomaflowError as error:
                # Its file has a problem, or the disk takes nothing: both are mended some time.
                log.error("the pause of %s cannot end yet: %s", pause.job_id, error)
                self._pauses.postpone(pause.job_id, self._seams.now() + END_AGAIN)

    async def reload(self, actor: Actor) -> ReloadResult:
        """Read settings and jobs again.

        Raises:
            InvalidError: the settings have problems; the old ones stay in force.
        """
        async with self._changing:
            return await self._reload(actor)

    async def _reload(self, actor: Actor) -> ReloadResult:
        before = self._in_force.settings
        settings = await self._seams.in_thread(self._home.load_settings)
        await self._on_settings(settings)
        tags = {job_id: self.tags(job_id) for job_id in self.catalogue.entries}
        changes = await self._seams.in_thread(self.catalogue.reload, settings)
        self._in_force.settings = settings
        entries = self.catalogue.entries
        for job_id in (*changes.added, *changes.changed):
            await self._changed(job_id, "reloaded", actor, entry=entries[job_id])
        for job_id in changes.removed:
            await self._changed(job_id, "removed", actor, tags=tags[job_id])
        self.owed.hand_in(self.watch_all())  # the home's zone may be another one
        await self.owed.wait_durable()
        return ReloadResult(
            added=list(changes.added),
            changed=list(changes.changed),
            removed=list(changes.removed),
            settings=differences(before, settings),
            problems={
                job_id: [cards.problem_at(problem) for problem in entry.problems]
                for job_id, entry in entries.items()
                if entry.problems
            },
        )

    def form(self, job_id: str) -> Form:
        """The Run-with-parameters form."""
        entry = self.fresh(job_id)
        active = self._runner.active_of(job_id)
        return forms.form(self.runnable(entry), etag=entry.etag, busy_run_id=active[0].run.id if active else None)

    def plan(self, job_id: str, launch: Launch) -> Plan:
        """What a launch would do."""
        return self.resolve(self.fresh(job_id), launch)

    def fresh(self, job_id: str) -> Entry:
        """The job's file as it is on the disk: who edits a job and then runs it means what the file says now."""
        known = self.catalogue.entries.get(job_id)
        entry = self.catalogue.fresh(job_id)
        if entry != known:
            change = self._sync(entry)
            event = Happened(self._seams.now(), "job", job_id, state="reloaded", who="engine", record=self._card(entry))
            change.events.append(event)
            self.owed.hand_in(change)
        return entry

    def resolve(self, entry: Entry, launch: Launch) -> Plan:
        """The plan of a launch, if the job is still the one that the caller saw."""
        job = self.runnable(entry)
        self.check_version(entry, launch)
        return self.planned(job, launch, today=self._door.today())

    def check_version(self, entry: Entry, launch: Launch) -> None:
        """Refuse a launch of a job that is no longer the version that the caller saw.

        Raises:
            JobChangedError: with both versions.
        """
        if launch.definition is None or launch.definition == entry.etag:
            return
        message = f"the job changed: {entry.job_id} is no longer the version that the form was made from"
        raise JobChangedError(
            f"{message}; look at it again",
            details=[{"message": message, "current": entry.etag, "given": launch.definition}],
        )

    def connector_names(self) -> set[str]:
        """The connectors that the settings have."""
        return set(self._in_force.settings.connectors)

    def planned(self, job: Job, overrides: Overrides, *, today: date, schedule: Schedule | None = None) -> Plan:
        """A job with changes merged in, if all connectors that it then names are there."""
        plan = plans.resolve(job, overrides, today=today, schedule=schedule)
        self.check_connectors(job, plan)
        return plan

    def check_connectors(self, job: Job, plan: Plan) -> None:
        """Refuse a plan that names a connector that is not there.

        Raises:
            InvalidError: names it.
        """
        known = self._in_force.settings.connectors
        for planned in plan.steps:
            for name in sorted(picked_connectors(job, planned) - known.keys()):
                message = f"there is no connector {name!r} in nomaflow.toml"
                raise InvalidError(message, details=[{"path": f"steps.{planned.name}", "message": message}])

    def runnable(self, entry: Entry) -> Job:
        """The job of a file without problems."""
        if entry.job is None:
            refused = admission.admit(
                entry.job_id, overlap="skip", in_flight=[], problems=[str(problem) for problem in entry.problems]
            )
            assert refused.error is not None
            raise refused.error
        return entry.job

    def why(self, job_id: str) -> Why:
        """Why the job does not run now."""
        entry = self.catalogue.entry(job_id)
        watched = [(each, self._skipped_by(each)) for each in self._timetable.of(job_id)]
        return reasons.why(
            entry,
            now=self._seams.now(),
            timezone=self._door.timezone,
            active=self._runner.active_of(job_id),
            pause=self._pauses.get(job_id),
            watched=watched,
            next_fires=self._timetable.next_fires(job_id),
            last_slot=self._board.last_slot(job_id),
            not_ready=self._not_ready(),
            held=self._held(),
        )

    def watch_all(self) -> Change:
        """Watch the schedules of every job; what is no longer there is let go."""
        change = Change()
        for entry in self.catalogue.entries.values():
            change.add(self._sync(entry))
        for job_id in self._timetable.job_ids() - self.catalogue.entries.keys():
            change.add(self._timetable.forget(job_id))
            change.add(self._pauses.end(job_id))
        return change

    def _sync(self, entry: Entry) -> Change:
        """Watch a job's schedules as its file has them now; those of the last good version while it has problems."""
        job = entry.job or entry.last_good
        if job is None:
            return Change()
        change = self._timetable.sync(job, self._door.timezone, self._seams.now())
        change.add(self._pauses.sync(job))
        self._on_schedules()
        return change

    def _skipped_by(self, watched: Watched) -> str | None:
        skips = self._timetable.skips_of(watched.place)
        skip = skips.get(watched.next_at) if watched.next_at is not None else None
        return skip.who if skip is not None else None

    def _check_replace(self, job_id: str, actor: Actor) -> None:
        entry = self.catalogue.entry(job_id)
        if (job := entry.job or entry.last_good) is not None:
            self.rights.check_replace(job, actor)

    def _check_rights(self, job_id: str, text: str, actor: Actor, held_tags: list[str]) -> None:
        job, problems = self.catalogue.check(job_id, text)
        if job is not None and not problems:  # else saving it says what is wrong
            self.rights.check_save(job, actor, held_tags)

    def _card(self, entry: Entry) -> JobCard:
        pause = self._pauses.get(entry.job_id)
        active = self._runner.active_of(entry.job_id)
        return cards.card(
            entry,
            timezone=self._door.timezone,
            active=[run.card() for run in active],
            newest=active[-1].summary() if active else self._board.last(entry.job_id),
            recent=self._board.recent(entry.job_id),
            pause=Pause(reason=pause.reason, until=pause.until_at, by=pause.who) if pause is not None else None,
            next_fires=self._timetable.next_fires(entry.job_id),
            why=self.why(entry.job_id).why,
        )

    async def _changed(
        self,
        job_id: str,
        state: str,
        actor: Actor,
        *,
        reason: str | None = None,
        entry: Entry | None = None,
        tags: Iterable[str] = (),
        change: Change | None = None,
    ) -> None:
        change = change or Change()
        if entry is not None:
            change.add(self._sync(entry))
        else:
            change.add(self._timetable.forget(job_id))
            change.add(self._pauses.end(job_id))
        event = Happened(
            self._seams.now(),
            "job",
            job_id,
            state=state,
            who=actor.triggered_by,
            reason=reason,
            record=self._card(entry) if entry is not None else None,
            gone_tags=tuple(tags),
        )
        change.events.append(event)
        await self.owed.hand_in(change).wait_durable()


def _text(change: JobChange) -> str:
    if (change.toml is None) == (change.job is None):
        raise InvalidError("a job is given either as `toml`, its text, or as `job`, its values; give one of them")
    return change.toml if change.toml is not None else text_of(change.job or {})


def _document(entry: Entry, warnings: Sequence[ProblemAt] = ()) -> JobDocument:
    return JobDocument(
        id=entry.job_id,
        etag=entry.etag,
        toml=entry.text,
        job=entry.job.model_dump(mode="json", by_alias=True) if entry.job else None,
        problems=[cards.problem_at(problem) for problem in entry.problems],
        warnings=list(warnings),
    )
