"""A job as the Jobs page shows it: its definition and its runs, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from nomaflow.definitions.catalogue import Entry
from nomaflow.definitions.problems import Problem
from nomaflow.launch.form import fires_at_once
from nomaflow.wire import ActiveRun, CardSchedule, JobCard, LastRun, Pause, ProblemAt, RecentRun, RunSummary


def card(
    entry: Entry,
    *,
    timezone: str,
    active: Sequence[ActiveRun],
    newest: RunSummary | None,
    recent: Sequence[RecentRun],
    pause: Pause | None,
    next_fires: Mapping[str, datetime | None],
    why: str | None,
) -> JobCard:
    """The card. A file with problems shows what its last good version said, and the first problem.

    Args:
        entry: the file.
        timezone: the home's, for schedules that name none.
        active: the runs in flight, oldest first.
        newest: the newest run, in flight or ended. Seed: the badge is always its.
        recent: the newest ended runs, oldest first.
        pause: who switched the job off and why, if it is off.
        next_fires: when each schedule fires next, by its name; none while it is off.
        why: why it does not run now.
    """
    job = entry.job or entry.last_good
    last_run = LastRun(**newest.model_dump(include=set(LastRun.model_fields))) if newest else None
    shown = JobCard(
        id=entry.job_id,
        etag=entry.etag,
        last_run=last_run,
        active_runs=list(active),
        recent=list(recent),
        why=why,
        problem=problem_at(entry.problems[0]) if entry.problems else None,
    )
    if job is None:
        return shown
    return shown.model_copy(
        update={
            "description": job.description,
            "tags": job.tags,
            "enabled": job.enabled,
            "pause": pause if not job.enabled else None,
            "schedules": [
                CardSchedule(
                    name=schedule.name,
                    cron=schedule.cron,
                    timezone=schedule.timezone or timezone,
                    enabled=schedule.enabled,
                    next_fire_at=next_fires.get(schedule.name),
                )
                for schedule in job.schedules
            ],
            "next_fire_at": min((fire for fire in next_fires.values() if fire), default=None),
            "step_count": len(job.steps),
            "log_level": job.log_level,
            "needs_form": not fires_at_once(job),
        }
    )


def problem_at(problem: Problem) -> ProblemAt:
    """A problem as the API sends it."""
    return ProblemAt(message=problem.sentence, path=problem.path, line=problem.line)
