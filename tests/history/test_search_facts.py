"""Which runs and jobs a search finds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nomaflow.history.search import parse, parse_jobs
from nomaflow.history.search_facts import JobFacts, RunFacts, finds_job, finds_run
from nomaflow.history.search_terms import Value
from nomaflow.history.search_texts import StepFacts

NOW = datetime(2026, 11, 24, 11, tzinfo=UTC)
QUEUED = NOW - timedelta(hours=2)

RUN = RunFacts(
    id="run_01K2J3N4P4XQ2",
    job_id="nomasx1-security",
    state="FAILED",
    queued_at=QUEUED,
    account="ana",
    surface="slack",
    tags=["etl", "JDE"],
    reason="step load failed",
    started_at=QUEUED + timedelta(seconds=10),
    until=QUEUED + timedelta(minutes=6, seconds=10),
    schedule="Nightly",
    scheduled_at=QUEUED,
    replay_of="run_01K2J3N4PAAAA",
    rows_affected=1000,
    steps=[
        StepFacts("F0004", has_begun=True),
        StepFacts("load", has_begun=True, has_failed=True, error="OperationalError: ORA-00942: no table\nelsewhere"),
        StepFacts("clean"),
        StepFacts("old", is_skipped=True),
    ],
    params=["apps_id=10", "apps_id=20", "full_refresh=false", "name=", "period=2026-11-23", "title=two words"],
    lines=["read 5 rows", "100% done_"],
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "job:nomasx1-security",
        "job:NOMASX1-*",
        "job:*security",
        "job:n*sx*sec*y",
        "job:other,nomasx1-security",
        "-job:nomasx1",
        '-job:"nomasx1-*"',
        "state:failed",
        "-state:succeeded,canceled",
        "state:ended",
        "step:f0004",
        "step:F*",
        "-step:clean",
        "-step:old",
        "failed:load",
        "failed:*",
        "-failed:F0004",
        "skipped:old",
        "-skipped:clean",
        "by:ana",
        "by:slack",
        "by:slack:ana",
        "by:*:ana",
        "by:an*",
        "-by:cron,bea",
        "-by:user:ana",
        "tag:jde",
        "tag:e*",
        "-tag:et",
        "schedule:nightly",
        "schedule:*",
        "run:4XQ2",
        "run:run_01K2J3N4P4XQ2",
        "replay:AAAA",
        "replay:*",
        "-parent:*",
        "since:2h",
        "until:1h",
        "-until:2h",
        "dur>5m",
        "dur>=6m dur<=6m",
        "-dur>6m",
        "late>9s",
        "late<=10s",
        "rows>=1000",
        "rows<=1000",
        "-rows<1000",
        "apps_id=10",
        "APPS_ID=20",
        "apps_id=5,20",
        "apps_id!=30",
        "-apps_id!=10",
        "-apps_id=1",
        "full_refresh=False",
        'name=""',
        "period=2026-11-*",
        'title="two words"',
        "title=two*",
        "title=*",
        "-nothing=*",
        "-nothing!=5",
        "param.period=2026-11-23",
        "security",
        "SX1-SEC",
        "4xq2",
        "run_01K2J3N4P4XQ2",
        "ora-00942",
        '"no table"',
        "load*failed",
        "-rows",
        "text:ORA",
        'text:"read 5"',
        "text:100%",
        "text:read*rows",
        "-text:security",
        "job:nomasx1-* state:failed apps_id=10 -by:cron since:7d",
    ],
)
def test_a_run_is_found(text: str) -> None:
    """All terms hold for it."""
    assert finds_run(parse(text, now=NOW, timezone="UTC"), RUN)


@pytest.mark.parametrize(
    "text",
    [
        "job:security",
        "-job:*",
        "job:nomasx1-security*security",
        "state:succeeded,canceled",
        "state:active",
        "step:clean",
        "step:old",
        "step:loa",
        "failed:F0004",
        "skipped:clean",
        "by:bea",
        "by:sla*",
        "by:cron",
        "by:user:ana",
        "tag:etl2",
        "-schedule:*",
        "run:AAAA",
        "parent:*",
        "since:1h",
        "until:2h",
        "dur<5m",
        "dur>6m",
        "late>10s",
        "rows<1000",
        "rows>1000",
        "apps_id=1",
        "apps_id=100",
        "apps_id!=10",
        "-apps_id=20",
        'period="2026-11-*"',
        "nothing!=5",
        "nothing=*",
        "id=10",
        "rows",
        "text:security",
        "text:rows*read",
        "elsewhere",
        "table*elsewhere",
        "state:failed apps_id=11",
    ],
)
def test_a_run_is_not_found(text: str) -> None:
    """Some term does not hold for it."""
    assert not finds_run(parse(text, now=NOW, timezone="UTC"), RUN)


@pytest.mark.parametrize("term", ["dur>0s", "dur<1d", "late>0s", "late<1d", "rows>=0", "rows<5", "schedule:*"])
def test_what_is_not_known_is_not_found(term: str) -> None:
    """A run that has not started has no duration; without the term it is found."""
    run = RunFacts(id="run_01K2J3N4P4XQ2", job_id="a", state="QUEUED", queued_at=QUEUED)
    assert not finds_run(parse(term, now=NOW, timezone="UTC"), run)
    assert finds_run(parse(f"-{term}", now=NOW, timezone="UTC"), run)


def test_a_cron_fire_is_nobodys() -> None:
    """Its account is the schedule's name, which is no person."""
    run = RunFacts("run_01K2J3N4P4XQ2", "a", "QUEUED", QUEUED, account="ana", surface="cron")
    found = {
        text: finds_run(parse(text, now=NOW, timezone="UTC"), run) for text in ("by:ana", "by:cron", "by:cron:ana")
    }
    assert found == {"by:ana": False, "by:cron": True, "by:cron:ana": True}


def test_the_dashboards_people_are_users() -> None:
    """`triggered_by` says user:ana there, the surface is called web; either is understood."""
    run = RunFacts("run_01K2J3N4P4XQ2", "a", "QUEUED", QUEUED, account="ana", surface="web")
    assert all(finds_run(parse(text, now=NOW, timezone="UTC"), run) for text in ("by:user:ana", "by:web:ana", "by:web"))


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    """The places of its pieces are looked for once, from left to right."""
    pattern = Value("*a" * 200 + "*b")
    assert not pattern.is_in("a" * 100_000)
    assert not pattern.is_all_of("a" * 100_000)
    assert pattern.is_all_of("a" * 200 + "b")


JOB = JobFacts(
    id="jde-nightly",
    description="Loads the day",
    tags=["etl", "night"],
    states=frozenset({"FAILED", "RUNNING"}),
    problem="callable is required",
)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("", True),
        ("NIGHT", True),
        ("loads day", True),
        ('"the day"', True),
        ("loads hr", False),
        ("etl -jde", False),
        ("job:jde-*", True),
        ("job:jde", False),
        ("tag:etl,other", True),
        ("tag:et", False),
        ("state:failed", True),
        ("state:active", True),
        ("state:queued,never", False),
        ("enabled:yes", True),
        ("enabled:no", False),
        ("problem:yes", True),
        ("-problem:yes", False),
        ("text:callable", True),
        ("callable", False),
    ],
)
def test_jobs_are_found(text: str, is_found: bool) -> None:
    """By the words of their card, and by key."""
    assert finds_job(parse_jobs(text), JOB) == is_found


def test_a_job_that_never_ran_is_found() -> None:
    """It has no newest run."""
    job = JobFacts(id="new", is_enabled=False)
    assert finds_job(parse_jobs("state:never enabled:no problem:no"), job)
    assert not finds_job(parse_jobs("state:failed"), job)
