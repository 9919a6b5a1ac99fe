"""Whether a search finds a run or a job, from what is known of it.

The store answers the same for the runs that it holds (`nomaflow.engine.store.searching`); here for those in flight, for
the cards of jobs, and for tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from nomaflow.history.search_terms import (
    Bound,
    Flag,
    Measure,
    Names,
    Param,
    Runs,
    Search,
    States,
    Term,
    Text,
    Value,
)
from nomaflow.history.search_texts import StepFacts, error_lines
from nomaflow.history.search_values import NEVER, run_digits

CRON = "cron"
WEB = "web"


@dataclass(frozen=True)
class RunFacts:
    """What a search asks of a run.

    `tags` are those of its job; `account` and `surface` say who started it, for a cron fire the schedule and `cron`;
    `until` is its end, or now while it goes on; `params` are `name=value`, each value as people type it.
    """

    id: str
    job_id: str
    state: str
    queued_at: datetime
    account: str = ""
    surface: str = ""
    tags: Sequence[str] = ()
    reason: str | None = None
    started_at: datetime | None = None
    until: datetime | None = None
    schedule: str | None = None
    scheduled_at: datetime | None = None
    replay_of: str | None = None
    parent_run: str | None = None
    rows_affected: int | None = None
    steps: Sequence[StepFacts] = ()
    params: Iterable[str] = ()
    lines: Iterable[str] = ()


@dataclass(frozen=True)
class JobFacts:
    """What a search asks of a job.

    `states` are those of its newest run and of its runs in flight; `problem` is what is wrong with its file.
    """

    id: str
    description: str = ""
    tags: Sequence[str] = ()
    is_enabled: bool = True
    states: frozenset[str] = frozenset()
    problem: str | None = None


def finds_run(search: Search, run: RunFacts) -> bool:
    """Whether all terms hold for the run."""
    return all(_holds_for_run(term, run) != term.is_negated for term in search.terms)


def finds_job(search: Search, job: JobFacts) -> bool:
    """Whether all terms hold for the job."""
    return all(_holds_for_job(term, job) != term.is_negated for term in search.terms)


def started_by(value: Value, account: str, surface: str) -> bool:
    """Whether `by:` means this: `slack:ana` the two together, a plain name either of them."""
    if ":" in value.text:
        return value.is_all_of(f"{surface}:{account}") or (surface == WEB and value.is_all_of(f"user:{account}"))
    return value.text.lower() == surface or (surface != CRON and value.is_all_of(account))


def _holds_for_run(term: Term, run: RunFacts) -> bool:
    match term:
        case Names():
            return any(_names_run(term, value, run) for value in term.values)
        case Runs():
            run_id = {"run": run.id, "replay": run.replay_of, "parent": run.parent_run}[term.key]
            return run_id is not None and run_id.endswith(term.digits)
        case States():
            return run.state in term.states
        case Bound():
            return run.queued_at >= term.instant if term.key == "since" else run.queued_at < term.instant
        case Measure():
            return term.holds(_amount(term, run))
        case Param():
            return _has_param(term, run.params)
        case Text():
            return any(_says(value, run, is_word=term.is_word) for value in term.values)
        case Flag():
            return False


def _names_run(term: Names, value: Value, run: RunFacts) -> bool:
    match term.key:
        case "job":
            return value.is_all_of(run.job_id)
        case "tag":
            return any(map(value.is_all_of, run.tags))
        case "schedule":
            return value.is_all_of(run.schedule)
        case "by":
            return started_by(value, run.account, run.surface)
        case "step":
            return any(step.has_begun and value.is_all_of(step.name) for step in run.steps)
        case "failed":
            return any(step.has_failed and value.is_all_of(step.name) for step in run.steps)
        case "skipped":
            return any(step.is_skipped and value.is_all_of(step.name) for step in run.steps)


def _amount(term: Measure, run: RunFacts) -> float | None:
    match term.key:
        case "dur":
            return _seconds(run.started_at, run.until)
        case "late":
            return _seconds(run.scheduled_at, run.started_at)
        case "rows":
            return run.rows_affected


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return (end - begin).total_seconds() if begin is not None and end is not None else None


def _has_param(term: Param, params: Iterable[str]) -> bool:
    prefix = term.name.lower() + "="
    given = [item[len(prefix) :] for item in map(str.lower, params) if item.startswith(prefix)]
    fits = any(value.is_all_of(text) for value in term.values for text in given)
    return bool(given) and not fits if term.is_other else fits


def _says(value: Value, run: RunFacts, *, is_word: bool) -> bool:
    if value.is_in(run.reason) or any(map(value.is_in, error_lines(step.error for step in run.steps))):
        return True
    if not is_word:
        return any(map(value.is_in, run.lines))
    digits = run_digits(value.text)
    return value.is_in(run.job_id) or (digits is not None and run.id.endswith(digits))


def _holds_for_job(term: Term, job: JobFacts) -> bool:
    match term:
        case Names(key="job"):
            return any(value.is_all_of(job.id) for value in term.values)
        case Names(key="tag"):
            return any(value.is_all_of(tag) for value in term.values for tag in job.tags)
        case States():
            return not term.states.isdisjoint(job.states or {NEVER})
        case Flag(key="enabled"):
            return job.is_enabled == term.is_on
        case Flag(key="problem"):
            return (job.problem is not None) == term.is_on
        case Text():
            said = [job.id, job.description, *job.tags, *([] if term.is_word or not job.problem else [job.problem])]
            return any(value.is_in(text) for value in term.values for text in said)
        case _:
            return False
