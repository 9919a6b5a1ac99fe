"""A job's card: its definition and its runs, put together."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nomaflow.definitions.catalogue import Entry
from nomaflow.definitions.job import Job
from nomaflow.definitions.problems import Problem
from nomaflow.engine.cards import card
from nomaflow.wire import ActiveRun, JobCard, Pause, RecentRun, RunState, RunSummary
from tests.launch.jobs import job, python_step

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PROBLEM = Problem(file="job.toml", message="is not a known key", path="enabld", line=3)


def entry(good: Job | None, last_good: Job | None = None, problems: tuple[Problem, ...] = ()) -> Entry:
    return Entry("job", Path("job.toml"), b"", "etag", good, last_good, problems)


def shown(of: Entry, **runs: Any) -> JobCard:
    facts: dict[str, Any] = {
        "active": [],
        "newest": None,
        "recent": [],
        "pause": None,
        "next_fires": {},
        "why": None,
        **runs,
    }
    return card(of, timezone="Europe/Paris", **facts)


def test_a_card_shows_its_definition() -> None:
    """Schedules without a zone show the home's."""
    schedules = [{"name": "night", "cron": "30 2 * * *"}, {"name": "noon", "cron": "@daily", "timezone": "UTC"}]
    of = job(
        python_step(n=1), description="Copies.", tags=["etl"], enabled=True, log_level="DEBUG", schedules=schedules
    )
    it = shown(entry(of))
    assert (it.id, it.etag, it.description, it.tags, it.enabled) == ("job", "etag", "Copies.", ["etl"], True)
    assert (it.step_count, it.log_level, it.needs_form, it.problem) == (1, "DEBUG", True, None)
    assert [(schedule.name, schedule.cron, schedule.timezone) for schedule in it.schedules] == [
        ("night", "30 2 * * *", "Europe/Paris"),
        ("noon", "@daily", "UTC"),
    ]


def test_a_job_that_fires_at_once_needs_no_form() -> None:
    """One step, no parameters."""
    assert shown(entry(job())).needs_form is False


def test_a_card_shows_its_runs() -> None:
    """The badge is always the newest run's, in flight or ended."""
    newest = RunSummary(
        id="run_2", job_id="job", state=RunState.RUNNING, queued_at=NOW, started_at=NOW, triggered_by="cron", via="cron"
    )
    active = ActiveRun(id="run_2", state=RunState.RUNNING, step_index=1, step_count=1)
    recent = [RecentRun(run_id="run_1", state=RunState.FAILED, seconds=3)]
    it = shown(entry(job()), newest=newest, active=[active], recent=recent, why="run_2 is in flight")
    assert it.last_run is not None
    assert (it.last_run.id, it.last_run.state, it.last_run.triggered_by) == ("run_2", RunState.RUNNING, "cron")
    assert (it.active_runs, it.recent, it.why) == ([active], recent, "run_2 is in flight")


def test_a_pause_is_shown_while_the_job_is_off() -> None:
    """A pause that is over is not."""
    pause = Pause(reason="migration", by="user:ana")
    assert shown(entry(job(enabled=False)), pause=pause).pause == pause
    assert shown(entry(job(enabled=True)), pause=pause).pause is None


def test_a_bad_file_has_a_card_with_its_problem() -> None:
    """With file, line and what the last good version said; without one, with what is known."""
    it = shown(entry(None, job(description="Copies."), (PROBLEM, PROBLEM)))
    assert it.problem is not None
    assert (it.problem.message, it.problem.path, it.problem.line) == ("enabld is not a known key", "enabld", 3)
    assert it.description == "Copies."
    never_good = shown(entry(None, None, (PROBLEM,)))
    assert (never_good.id, never_good.step_count) == ("job", 0)
    assert never_good.problem is not None
