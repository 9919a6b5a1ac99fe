"""The engine's verbs about jobs: cards, files, forms and plans."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import date
from zoneinfo import ZoneInfo

import trio

from nomaflow.definitions.catalogue import Catalogue, Entry, text_of
from nomaflow.definitions.job import Job
from nomaflow.definitions.problems import Problem
from nomaflow.definitions.settings import Settings, differences
from nomaflow.engine import admission, cards
from nomaflow.engine.board import Board
from nomaflow.engine.change import Change, Happened
from nomaflow.engine.model import Actor, InForce
from nomaflow.engine.ports import Policy
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.runner import Runner
from nomaflow.errors import InvalidError, JobChangedError, NotAllowedError
from nomaflow.home import Home
from nomaflow.launch import form as forms
from nomaflow.launch import plan as plans
from nomaflow.launch.form import Form
from nomaflow.launch.overrides import Launch
from nomaflow.launch.plan import Plan, PlannedStep
from nomaflow.seams import Seams
from nomaflow.wire import CheckResult, JobCard, JobChange, JobDocument, Pause, ReloadResult, Why


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
        pauses: dict[str, Pause],
        on_settings: Callable[[Settings], Awaitable[None]],
    ) -> None:
        self.catalogue = catalogue
        self._in_force = in_force
        self._system_timezone = seams.timezone()
        self._home, self._runner, self._board, self._recorder = home, runner, board, recorder
        self._policy, self._seams, self._pauses, self._on_settings = policy, seams, pauses, on_settings

    @property
    def timezone(self) -> str:
        """The home's zone, else the machine's."""
        return self._in_force.settings.engine.timezone or self._system_timezone

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

    def known_ids(self) -> set[str]:
        """The jobs that are there, and those that are deleted and have left runs."""
        active = {run.run.job_id for run in self._runner.all_active()}
        return {*self.catalogue.entries, *self._board.job_ids(), *active}

    def document(self, job_id: str) -> JobDocument:
        """A job with its text."""
        return _document(self.fresh(job_id))

    def check(self, job_id: str, toml: str) -> CheckResult:
        """What saving the text would say."""
        _, problems = self.catalogue.check(job_id, toml)
        return CheckResult(problems=[cards.problem_at(problem) for problem in problems])

    async def create(self, change: JobChange, actor: Actor) -> JobDocument:
        """A new job."""
        if change.id is None:
            raise InvalidError("id is required: the new job's name", details=[{"path": "id", "message": "is required"}])
        job_id, text = change.id, _text(change)
        self._check_rights(job_id, text, actor, held_tags=[])
        entry = await trio.to_thread.run_sync(self.catalogue.create, job_id, text)
        await self._changed(entry.job_id, "created", actor, entry=entry)
        return _document(entry)

    async def save(self, job_id: str, change: JobChange, if_match: str, actor: Actor) -> JobDocument:
        """Replace a job's definition."""
        if change.id not in (None, job_id):
            raise InvalidError(
                f"a job's id cannot change: save as {job_id!r}, or make a new job and delete this one",
                details=[{"path": "id", "message": "differs from the address"}],
            )
        text = _text(change)
        self._check_rights(job_id, text, actor, held_tags=self.tags(job_id))
        entry = await trio.to_thread.run_sync(self.catalogue.save, job_id, text, if_match)
        await self._changed(job_id, "saved", actor, entry=entry)
        return _document(entry)

    async def delete(self, job_id: str, if_match: str, actor: Actor) -> None:
        """Delete a job's file; its runs stay in the history."""
        tags = self.tags(job_id)
        await trio.to_thread.run_sync(self.catalogue.delete, job_id, if_match)
        await self._changed(job_id, "deleted", actor, tags=tags)

    async def set_enabled(self, job_id: str, enabled: bool, reason: str | None, actor: Actor) -> JobCard:
        """Switch the job's own fires on or off; a run in flight goes on. Seed: "Enable / disable"."""
        entry = await trio.to_thread.run_sync(self.catalogue.set_enabled, job_id, enabled)
        if enabled:
            self._pauses.pop(job_id, None)
        else:
            self._pauses[job_id] = Pause(reason=reason, by=actor.triggered_by)
        state = "enabled" if enabled else "disabled"
        await self._changed(job_id, state, actor, reason=reason, entry=entry)
        return self._card(entry)

    async def reload(self, actor: Actor) -> ReloadResult:
        """Read settings and jobs again.

        Raises:
            InvalidError: the settings have problems; the old ones stay in force.
        """
        before = self._in_force.settings
        settings = await trio.to_thread.run_sync(self._home.load_settings)
        await self._on_settings(settings)
        tags = {job_id: self.tags(job_id) for job_id in self.catalogue.entries}
        changes = await trio.to_thread.run_sync(self.catalogue.reload, settings)
        self._in_force.settings = settings
        entries = self.catalogue.entries
        for job_id in (*changes.added, *changes.changed):
            await self._changed(job_id, "reloaded", actor, entry=entries[job_id])
        for job_id in changes.removed:
            await self._changed(job_id, "removed", actor, tags=tags[job_id])
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
            event = Happened(self._seams.now(), "job", job_id, state="reloaded", who="engine", record=self._card(entry))
            self._recorder.submit(Change(events=[event]))
        return entry

    def resolve(self, entry: Entry, launch: Launch) -> Plan:
        """The plan of a launch, if the job is still the one that the caller saw."""
        job = self.runnable(entry)
        if launch.definition is not None and launch.definition != entry.etag:
            message = f"the job changed: {entry.job_id} is no longer the version that the form was made from"
            raise JobChangedError(
                f"{message}; look at it again",
                details=[{"message": message, "current": entry.etag, "given": launch.definition}],
            )
        plan = plans.resolve(job, launch, today=self.today())
        known = self._in_force.settings.connectors
        for planned in plan.steps:
            for name in sorted(_picked(job, planned) - known.keys()):
                message = f"there is no connector {name!r} in nomaflow.toml"
                raise InvalidError(message, details=[{"path": f"steps.{planned.name}", "message": message}])
        return plan

    def runnable(self, entry: Entry) -> Job:
        """The job of a file without problems."""
        if entry.job is None:
            refusal = admission.refusal(
                entry.job_id, active_run_id=None, problems=[str(problem) for problem in entry.problems], not_ready=[]
            )
            assert refusal is not None
            raise refusal
        return entry.job

    def why(self, job_id: str) -> Why:
        """Why the job does not run now."""
        entry = self.catalogue.entry(job_id)
        active = self._runner.active_of(job_id)
        if active:
            run = active[0].run
            return Why(
                why=f"{run.id} is {run.state}" + (f": {run.wait_reason}" if run.wait_reason else ""), action="cancel"
            )
        if entry.problems:
            return Why(why=f"its file has a problem: {entry.problems[0]}", action="edit")
        assert entry.job is not None
        if not entry.job.enabled:
            pause = self._pauses.get(job_id, Pause())
            by = f" by {pause.by}" if pause.by else ""
            reason = f": {pause.reason}" if pause.reason else ""
            return Why(why=f"it is disabled{by}{reason}; it can still be run by hand", action="enable")
        if not entry.job.schedules:
            return Why(why="it is manual-only: it has no schedule", action="run")
        return Why(why="schedules are read and checked, and do not fire yet; it can be run by hand", action="run")

    def check_launch_rights(self, job: Job, plan: Plan, actor: Actor) -> None:
        """Refuse a launch that would use what the person may not.

        Raises:
            NotAllowedError: names the connector, or the shell steps.
        """
        names = {name for step in job.steps for name in step.connectors() if not name.startswith("$")}
        for planned in plan.steps:
            names |= _picked(job, planned)
        self._check_connectors(names, actor)
        runs_shell = any(planned.type == "shell" and planned.runs for planned in plan.steps)
        if runs_shell and not self._policy.may_run_shell(actor, job.id, job.tags):
            raise _no_shell(job.id, actor)

    def _check_rights(self, job_id: str, text: str, actor: Actor, held_tags: list[str]) -> None:
        """Refuse to save what the person may not use.

        Tags open grants and stand in the very text that is saved, so nobody may give himself a right by writing one:
        what the person may do counts by the tags that the job has before.
        """
        job, problems = self.catalogue.check(job_id, text)
        if job is None or problems:
            return  # saving it says what is wrong
        self._check_connectors(job.connectors(), actor)
        if not self._policy.may_run_shell(actor, job_id, job.tags):
            if any(step.type == "shell" for step in job.steps):
                raise _no_shell(job_id, actor)
        elif not self._policy.may_run_shell(actor, job_id, held_tags):
            raise NotAllowedError(
                f"the tags of this text would let {actor.account} run shell steps of {job_id}; an admin can save them",
                details=[{"path": "tags", "message": "would open a grant for shell steps"}],
            )

    def _check_connectors(self, names: set[str], actor: Actor) -> None:
        refused = sorted(name for name in names if not self._policy.may_use_connector(actor, name))
        if refused:
            raise NotAllowedError(
                f"{actor.account} may not use the connector {refused[0]!r}; an admin can grant it in nomaflow.toml",
                details=[{"path": name, "message": "no grant for this connector"} for name in refused],
            )

    def _card(self, entry: Entry) -> JobCard:
        active = self._runner.active_of(entry.job_id)
        return cards.card(
            entry,
            timezone=self.timezone,
            active=[run.card() for run in active],
            newest=active[-1].summary() if active else self._board.last(entry.job_id),
            recent=self._board.recent(entry.job_id),
            pause=self._pauses.get(entry.job_id),
            why=self.why(entry.job_id).why,
        )

    def today(self) -> date:
        """The day in the home's zone."""
        return self._seams.now().astimezone(ZoneInfo(self.timezone)).date()

    async def _changed(
        self,
        job_id: str,
        state: str,
        actor: Actor,
        *,
        reason: str | None = None,
        entry: Entry | None = None,
        tags: Iterable[str] = (),
    ) -> None:
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
        await self._recorder.record(Change(events=[event]))


def _picked(job: Job, planned: PlannedStep) -> set[str]:
    """The connectors that the step's kwargs name."""
    step = job.step(planned.name)
    assert step is not None, "a plan is made from its job"
    params = {**job.params, **job.op_kwargs(step)}
    values = planned.values()
    return {str(values[name]) for name, param in params.items() if param.type == "connector" and values[name]}


def _no_shell(job_id: str, actor: Actor) -> NotAllowedError:
    return NotAllowedError(f"{actor.account} may not run shell steps of {job_id}; an admin can grant it")


def _text(change: JobChange) -> str:
    if (change.toml is None) == (change.job is None):
        raise InvalidError("a job is given either as `toml`, its text, or as `job`, its values; give one of them")
    return change.toml if change.toml is not None else text_of(change.job or {})


def _document(entry: Entry) -> JobDocument:
    return JobDocument(
        id=entry.job_id,
        etag=entry.etag,
        toml=entry.text,
        job=entry.job.model_dump(mode="json", by_alias=True) if entry.job else None,
        problems=[cards.problem_at(problem) for problem in entry.problems],
    )


def problem_texts(problems: tuple[Problem, ...]) -> list[str]:
    """Problems as sentences."""
    return [str(problem) for problem in problems]
