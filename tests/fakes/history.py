"""The runs of a fake engine: the verbs of `nomaflow.engine.runs` over a dict, without store and workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from nomaflow.engine import retry
from nomaflow.engine.board import Board, seconds
from nomaflow.engine.cancel import Stop
from nomaflow.engine.door import Door, Request
from nomaflow.engine.finding import cursor_number, facts, searched
from nomaflow.engine.model import Actor
from nomaflow.errors import IdempotencyMismatchError, NotFoundError, RunFinishedError
from nomaflow.history.search_facts import RunFacts, finds_run
from nomaflow.seams import Seams, run_number
from nomaflow.wire import Duration, LogLine, LogPage, Page
from nomaflow.wire import Run as WireRun
from tests.fakes.runs import ScriptedRun
from tests.fakes.scripts import Does, Script

if TYPE_CHECKING:
    from nomaflow.definitions.job import Job
    from nomaflow.definitions.steps import Step
    from nomaflow.engine.active import ActiveRun
    from nomaflow.engine.admission import Verdict
    from nomaflow.engine.feed import Feed
    from nomaflow.engine.jobs import Jobs
    from nomaflow.engine.query import Idempotency, LogQuery, RunQuery
    from nomaflow.launch.overrides import Launch
    from nomaflow.wire import RunSummary

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class ScriptedHistory:
    """All runs, in flight and ended, oldest first.

    Args:
        scripts: what the steps do, by job and step; asked when a run is launched.
        callables: what python steps without a script do, by callable.
        auto: a launch, a cancel and a release go as far as they can before their call returns.
    """

    def __init__(
        self,
        feed: Feed,
        seams: Seams,
        *,
        scripts: Mapping[str, Mapping[str, Script]],
        callables: Mapping[str, Script],
        auto: bool,
    ) -> None:
        self.board = Board([])
        self._feed, self._seams, self._scripts, self._callables, self._auto = feed, seams, scripts, callables, auto
        self._runs: dict[str, ScriptedRun] = {}
        self._keys: dict[tuple[str, str, str], tuple[str, str]] = {}

    def connect(self, jobs: Jobs, door: Door) -> None:
        """Give it what is made after it: jobs and door ask it which runs are in flight."""
        self._jobs, self._door = jobs, door

    def add(self, active: ActiveRun) -> None:
        """The door has let a run in; here it begins in `accept`."""

    def active(self, run_id: str) -> ActiveRun | None:
        """A run in flight."""
        return next((active for active in self.all_active() if active.run.id == run_id), None)

    async def stop(self, active: ActiveRun, stop: Stop) -> None:
        """Ask a run to stop."""
        run = self._runs[active.run.id]
        run.stop(stop)
        self.settle(run)

    def active_of(self, job_id: str) -> list[ActiveRun]:
        """The job's runs in flight, oldest first."""
        return [run.active for run in reversed(self._newest_first(job_id)) if not run.is_over]

    def all_active(self) -> list[ActiveRun]:
        """Every run in flight, oldest first."""
        return [run.active for run in self._runs.values() if not run.is_over]

    def scripted(self, run_id: str) -> ScriptedRun:
        """One run, to be moved on."""
        if run_id not in self._runs:
            raise NotFoundError(f"there is no run {run_id[:40]!r}")
        return self._runs[run_id]

    def settle(self, run: ScriptedRun) -> None:
        """With `auto`, move the run on as far as it goes."""
        if self._auto:
            run.settle()

    def close(self) -> None:
        """End the logs that are followed."""
        for run in self._runs.values():
            run.active.log.end()

    async def launch(
        self, job_id: str, launch: Launch, actor: Actor, idempotency: Idempotency | None
    ) -> tuple[WireRun, bool]:
        """Start a run; the flag says that it was started before."""
        if earlier := await self.earlier(idempotency):
            return earlier, True
        entry = self._jobs.fresh(job_id)
        verdict = self._door.ask(entry)
        if verdict.error is not None:
            raise verdict.error
        job, plan = self._jobs.runnable(entry), self._jobs.resolve(entry, launch)
        self._jobs.rights.check_launch(job, plan, actor)
        return await self.accept(Request(entry, job, plan, actor, reason=launch.reason), verdict, idempotency), False

    async def accept(self, request: Request, verdict: Verdict, idempotency: Idempotency | None) -> WireRun:
        """Let a run in."""
        active, _ = self._door.let_in(request, verdict)
        job = request.job
        run = self._runs[active.run.id] = ScriptedRun(
            active,
            scripts={step.name: self._script(job, step) for step in job.steps},
            retries={step.name: retry.policy(job.retry, step.retry) for step in job.steps},
            tell=self._feed.publish,
            ended=self.board.ended,
        )
        accepted = active.record()
        if idempotency:
            key = idempotency.account, idempotency.route, idempotency.key
            self._keys[key] = idempotency.body_hash, accepted.id
        self.settle(run)
        return accepted

    async def earlier(self, idempotency: Idempotency | None) -> WireRun | None:
        """The run that the key started before."""
        known = self._known(idempotency) if idempotency is not None else None
        return await self.run(known) if known is not None else None

    async def run(self, run_id: str) -> WireRun:
        """One run whole."""
        return self.scripted(run_id).active.record()

    async def runs(self, query: RunQuery) -> Page[RunSummary]:
        """A page, newest first."""
        now, before = self._seams.now(), cursor_number(query.cursor)
        search = searched(query, now=now, timezone=self._door.timezone)
        chosen = [
            run.active.summary()
            for run in self._newest_first(query.job)
            if (before is None or run_number(run.active.run.id) < before)
            and (query.jobs is None or run.active.run.job_id in query.jobs)
            and finds_run(search, self._facts(run, now))
        ]
        page = chosen[: query.limit]
        return Page(items=page, next_cursor=page[-1].id if len(chosen) > query.limit else None)

    async def durations(self, job_id: str, limit: int) -> list[Duration]:
        """How long the newest ended runs took."""
        self._jobs.catalogue.entry(job_id)
        ended = [run.active.summary() for run in self._newest_first(job_id)[:limit] if run.is_over]
        return [
            Duration(run_id=run.id, state=run.state, started_at=run.started_at, seconds=seconds(run) or 0.0)
            for run in ended
            if run.started_at
        ]

    async def cancel(self, run_id: str, actor: Actor, *, force: bool, reason: str | None) -> WireRun:
        """Ask a run to stop."""
        run = self.scripted(run_id)
        if run.is_over:
            raise RunFinishedError(f"{run_id} is over ({run.active.run.state}), so there is nothing to cancel")
        run.stop(Stop("cancel", actor.triggered_by, self._seams.now(), reason, force))
        asked = run.active.record()
        self.settle(run)
        return asked

    async def log(self, run_id: str, query: LogQuery) -> LogPage:
        """Some lines of a run's log; `end` says that the run is over and nothing lies behind them."""
        run = self.scripted(run_id)
        fitting = [line for line in run.lines if line.seq > query.after and _fits(line, query)]
        page = fitting[-query.tail :] if query.tail is not None else fitting[: query.limit]
        whole = query.tail is not None or len(page) == len(fitting)
        return LogPage(lines=page, next=page[-1].seq if page else query.after, end=run.is_over and whole)

    async def follow_log(self, run_id: str, after: int) -> AsyncIterator[LogLine]:
        """The lines as they come, to the run's end."""
        run = self.scripted(run_id)
        while True:
            for line in run.lines[after:]:
                after = line.seq
                yield line
            if run.active.log.ended:
                return
            await run.active.log.wait_beyond(after)

    def _facts(self, scripted: ScriptedRun, now: datetime) -> RunFacts:
        run = scripted.active.run
        tags = self._jobs.tags(run.job_id) if run.job_id in self._jobs.catalogue.entries else []
        return facts(run, now=now, tags=tags, lines=[line.text for line in scripted.lines])

    def _newest_first(self, job_id: str | None) -> Sequence[ScriptedRun]:
        return [run for run in reversed(self._runs.values()) if job_id is None or run.active.run.job_id == job_id]

    def _script(self, job: Job, step: Step) -> Script:
        own = self._scripts.get(job.id, {}).get(step.name)
        return own or self._callables.get(getattr(step, "callable", ""), Does())

    def _known(self, idempotency: Idempotency) -> str | None:
        place = idempotency.account, idempotency.route, idempotency.key
        body_hash, run_id = self._keys.get(place, (idempotency.body_hash, None))
        if body_hash != idempotency.body_hash:
            raise IdempotencyMismatchError(f"the Idempotency-Key {idempotency.key!r} was used for another body")
        return run_id


def _fits(line: LogLine, query: LogQuery) -> bool:
    levels = LEVELS[LEVELS.index(query.level) :] if query.level in LEVELS else LEVELS
    return (
        line.level in levels
        and (query.step is None or line.step == query.step)
        and (not query.text or query.text.lower() in line.text.lower())
    )
