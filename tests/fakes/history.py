"""The runs of a fake engine: the verbs of `nomaflow.engine.runs` over a dict, without store and workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nomaflow.engine import admission, retry
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.board import Board, seconds
from nomaflow.engine.cancel import Stop
from nomaflow.engine.model import Actor, Run
from nomaflow.errors import IdempotencyMismatchError, InvalidError, NotFoundError, RunFinishedError
from nomaflow.history.expected import expected_seconds
from nomaflow.seams import Seams, run_number
from nomaflow.wire import Duration, LogLine, LogPage, Page, StepRun
from nomaflow.wire import Run as WireRun
from tests.fakes.runs import ScriptedRun
from tests.fakes.scripts import Does, Script

if TYPE_CHECKING:
    from nomaflow.definitions.catalogue import Entry
    from nomaflow.definitions.job import Job
    from nomaflow.definitions.steps import Step
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

    def connect(self, jobs: Jobs, not_ready: Callable[[], list[str]]) -> None:
        """Give it what is made after it: the jobs ask it which runs are in flight."""
        self._jobs, self._not_ready = jobs, not_ready

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
        if idempotency and (known := self._known(idempotency)):
            return await self.run(known), True
        entry = self._jobs.fresh(job_id)
        active = self.active_of(job_id)
        refusal = admission.refusal(
            job_id,
            active_run_id=active[0].run.id if active else None,
            problems=[str(problem) for problem in entry.problems],
            not_ready=self._not_ready(),
        )
        if refusal is not None:
            raise refusal
        run = self._accepted(entry, launch, actor)
        accepted = run.active.record()
        if idempotency:
            key = idempotency.account, idempotency.route, idempotency.key
            self._keys[key] = idempotency.body_hash, accepted.id
        self.settle(run)
        return accepted, False

    async def run(self, run_id: str) -> WireRun:
        """One run whole."""
        return self.scripted(run_id).active.record()

    async def runs(self, query: RunQuery) -> Page[RunSummary]:
        """A page, newest first."""
        before = _number(query.cursor)
        chosen = [run.active.summary() for run in self._newest_first(query.job) if _is_asked_for(run, query, before)]
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

    def _newest_first(self, job_id: str | None) -> Sequence[ScriptedRun]:
        return [run for run in reversed(self._runs.values()) if job_id is None or run.active.run.job_id == job_id]

    def _accepted(self, entry: Entry, launch: Launch, actor: Actor) -> ScriptedRun:
        job, plan = self._jobs.runnable(entry), self._jobs.resolve(entry, launch)
        self._jobs.check_launch_rights(job, plan, actor)
        record = Run(
            id=self._seams.run_id(),
            job_id=job.id,
            plan=plan,
            steps=[StepRun(name=planned.name, type=planned.type) for planned in plan.steps],
            actor=actor,
            etag=entry.etag,
            queued_at=self._seams.now(),
            reason=launch.reason,
            expected_seconds=expected_seconds(self.board.good_seconds(job.id)),
        )
        run = self._runs[record.id] = ScriptedRun(
            ActiveRun(record, job, self._feed.epoch, self._seams.now),
            scripts={step.name: self._script(job, step) for step in job.steps},
            retries={step.name: retry.policy(job.retry, step.retry) for step in job.steps},
            tell=self._feed.publish,
            ended=self.board.ended,
        )
        return run

    def _script(self, job: Job, step: Step) -> Script:
        own = self._scripts.get(job.id, {}).get(step.name)
        return own or self._callables.get(getattr(step, "callable", ""), Does())

    def _known(self, idempotency: Idempotency) -> str | None:
        place = idempotency.account, idempotency.route, idempotency.key
        body_hash, run_id = self._keys.get(place, (idempotency.body_hash, None))
        if body_hash != idempotency.body_hash:
            raise IdempotencyMismatchError(f"the Idempotency-Key {idempotency.key!r} was used for another body")
        return run_id


def _number(cursor: str | None) -> int | None:
    try:
        return None if cursor is None else run_number(cursor)
    except ValueError:
        message = "cursor is no cursor of this list"
        raise InvalidError(message, details=[{"path": "cursor", "message": message}]) from None


def _is_asked_for(scripted: ScriptedRun, query: RunQuery, before: int | None) -> bool:
    run = scripted.active.run
    return (
        (query.jobs is None or run.job_id in query.jobs)
        and (query.state is None or run.state is query.state)
        and (query.since is None or run.queued_at >= query.since)
        and (query.until is None or run.queued_at < query.until)
        and (before is None or run_number(run.id) < before)
    )


def _fits(line: LogLine, query: LogQuery) -> bool:
    levels = LEVELS[LEVELS.index(query.level) :] if query.level in LEVELS else LEVELS
    return (
        line.level in levels
        and (query.step is None or line.step == query.step)
        and (not query.text or query.text.lower() in line.text.lower())
    )
