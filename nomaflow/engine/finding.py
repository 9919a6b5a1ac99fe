"""Lists of runs: those in flight as they are now, ended ones from the store, under one search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from nomaflow.engine.active import ActiveRun
from nomaflow.engine.door import Door
from nomaflow.engine.jobs import Jobs
from nomaflow.engine.model import Run
from nomaflow.engine.query import RunQuery
from nomaflow.engine.rows import run_summary, step_facts
from nomaflow.engine.runner import Runner
from nomaflow.engine.store import Store
from nomaflow.engine.store.conditions import Around, reads_lines
from nomaflow.errors import InvalidError
from nomaflow.history.search import Search, parse
from nomaflow.history.search_facts import RunFacts, finds_run
from nomaflow.history.search_terms import Bound, Names, Param, States, Term, Value
from nomaflow.history.search_texts import param_items
from nomaflow.seams import Seams, run_id_of, run_number
from nomaflow.wire import Page, RunSummary


class InThread(Protocol):
    """Calls a function of the store in a thread."""

    async def __call__[T](self, read: Callable[..., T], *args: Any) -> T: ...


class Finder:
    """Answers what runs there are."""

    def __init__(self, jobs: Jobs, door: Door, runner: Runner, store: Store, seams: Seams, in_thread: InThread) -> None:
        self._jobs, self._door, self._runner, self._store = jobs, door, runner, store
        self._seams, self._in_thread = seams, in_thread

    async def page(self, query: RunQuery) -> Page[RunSummary]:
        """A page, newest first. It may hold less than `limit`, also nothing, while `next_cursor` leads on."""
        before, now = cursor_number(query.cursor), self._seams.now()
        ask = partial(searched, query, now=now, timezone=self._door.timezone)
        # Whoever searches first loads the parser, which takes a tenth of a second.
        search = await self._in_thread(ask) if query.q else ask()
        around = Around(now, self._tags() if any(map(_is_tag, search.terms)) else {})
        # The store lags behind what is in flight, so it is not asked for those.
        active = {run_number(one.run.id): one for one in self._runner.all_active()}
        fitting = {
            number: one.summary()
            for number, one in active.items()
            if (before is None or number < before) and self._fits(one, search, query, around)
        }
        found = await self._in_thread(
            partial(
                self._store.search,
                search,
                around,
                jobs=query.jobs,
                without=list(active),
                before=before,
                limit=query.limit,
            )
        )
        unread = found.unread or 0
        items = [run_summary(row) for row in found.rows]
        items += [summary for number, summary in fitting.items() if number >= unread]
        items.sort(key=lambda summary: summary.id, reverse=True)
        if len(items) > query.limit:
            items = items[: query.limit]
            unread = run_number(items[-1].id)
        return Page[RunSummary](items=items, next_cursor=run_id_of(unread) if unread else None)

    def _fits(self, active: ActiveRun, search: Search, query: RunQuery, around: Around) -> bool:
        run = active.run
        if query.jobs is not None and run.job_id not in query.jobs:
            return False
        if not search.terms:
            return True
        lines = [line.text for line in active.log.newest()] if reads_lines(search) else []
        tags, reads_params = around.tags.get(run.job_id, ()), any(isinstance(term, Param) for term in search.terms)
        return finds_run(search, facts(run, now=around.now, tags=tags, lines=lines, reads_params=reads_params))

    def _tags(self) -> dict[str, Sequence[str]]:
        return {job_id: self._jobs.tags(job_id) for job_id in self._jobs.catalogue.entries}


def searched(query: RunQuery, *, now: datetime, timezone: str) -> Search:
    """What the query asks for, as one search.

    Raises:
        InvalidError: its text is not understood.
    """
    terms: list[Term] = []
    if query.job is not None:
        terms.append(Names("job", (Value(query.job, is_quoted=True),)))
    if query.state is not None:
        terms.append(States((Value(query.state.value),), frozenset({query.state.value})))
    if query.since is not None:
        terms.append(Bound("since", Value(query.since.isoformat()), query.since))
    if query.until is not None:
        terms.append(Bound("until", Value(query.until.isoformat()), query.until))
    asked = parse(query.q, now=now, timezone=timezone) if query.q else Search()
    return Search((*terms, *asked.terms))


def _is_tag(term: Term) -> bool:
    return isinstance(term, Names) and term.key == "tag"


def cursor_number(cursor: str | None) -> int | None:
    """The run below which a page goes on.

    Raises:
        InvalidError: it is no cursor of this list.
    """
    try:
        return None if cursor is None else run_number(cursor)
    except ValueError:
        message = "is no cursor of this list; give back a page's next_cursor as it came"
        raise InvalidError(f"cursor {message}", details=[{"path": "cursor", "message": message}]) from None


def facts(run: Run, *, now: datetime, tags: Sequence[str], lines: Sequence[str], reads_params: bool = True) -> RunFacts:
    """What a search asks of a run in memory; `lines` are those of its log."""
    return RunFacts(
        id=run.id,
        job_id=run.job_id,
        state=run.state.value,
        queued_at=run.queued_at,
        account=run.actor.account,
        surface=run.actor.surface,
        tags=tags,
        reason=run.reason,
        started_at=run.started_at,
        until=run.finished_at or now,
        schedule=run.schedule,
        scheduled_at=run.scheduled_at,
        replay_of=run.replay_of,
        parent_run=run.parent_run,
        rows_affected=run.rows_affected,
        steps=step_facts(run),
        params=param_items(run.plan) if reads_params else [],
        lines=lines,
    )
