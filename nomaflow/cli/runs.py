"""Runs: the list, the log, the cancel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nomaflow.cli.naming import resolve
from nomaflow.cli.options import AsJson, HomeFolder, RunName, Token, Url, known_job, open_client, print_json
from nomaflow.cli.searching import check_jobs_named, pointing, query_of
from nomaflow.cli.show import Listing, console, duration, folded, relative, shown, state_text
from nomaflow.errors import InvalidError
from nomaflow.seams import utc_now

if TYPE_CHECKING:
    from nomaflow.client import Client
    from nomaflow.wire import Page, RunSummary

STATES = ("QUEUED", "RUNNING", "CANCELING", "SUCCEEDED", "FAILED", "CANCELED")

WIDTH_FOR_REASONS = 110


def runs(
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY",
            help="Only runs that this search finds: state:failed, job:jde-*, tag:etl, step:load, failed:load, by:ana, "
            'since:7d, until:2026-11-01, dur>5m, late>30s, rows>1000, apps_id=10, "text:no space", words; a comma is '
            "or, a leading - leaves out.",
        ),
    ] = None,
    job: Annotated[str | None, typer.Option(help="Only runs of this job.")] = None,
    state: Annotated[str | None, typer.Option(help=f"Only runs in this state: {', '.join(STATES)}.")] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=500)] = 20,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """List runs, newest first."""
    if state is not None and state.upper() not in STATES:
        raise InvalidError(f"--state must be one of {', '.join(STATES)}, not {state!r}")
    q = query_of(query)
    with open_client(url, token, home) as client, pointing(q):
        page = _page(client, limit, q=q, job=job, state=state and state.upper())
        if not page.items:
            if job is not None:
                with known_job(client, job):
                    client.job(job)
            if q is not None:
                check_jobs_named(client, q)
    if as_json:
        print_json(page)
        return
    if not page.items:
        found_by = q is not None or job is not None or state is not None
        typer.echo(
            "No run fits; leave something out, or see `nomaflow runs --help` for what can be searched for."
            if found_by
            else "No runs yet; `nomaflow jobs` lists what there is to run, `nomaflow run JOB` runs it."
        )
        return
    now = utc_now()
    # A reason is a sentence; below this width nothing of it that tells anything would fit.
    with_reasons = console().width >= WIDTH_FOR_REASONS and any(run.reason for run in page.items)
    rows = Listing(
        *("RUN", "JOB", "STATE", "STARTED", "TOOK", "STEPS", "BY", *(["REASON"] if with_reasons else [])),
        whole=["RUN", "JOB", "STATE", "STARTED", "TOOK"],
        optional=["BY", "STEPS"],
    )
    for run in page.items:
        rows.add(
            run.id,
            run.job_id,
            state_text(run.state),
            relative(run.started_at or run.queued_at, now),
            _took(run),
            run.step_summary,
            shown(run.triggered_by),
            *([shown(run.reason or "")] if with_reasons else []),
        )
    rows.print()


def logs(
    run: RunName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is over.")] = False,
    level: Annotated[str | None, typer.Option(help="Only this level and worse: DEBUG, INFO, WARNING, ERROR.")] = None,
    step: Annotated[str | None, typer.Option(help="Only lines of this step.")] = None,
    tail: Annotated[int | None, typer.Option(help="Only the last lines.", min=1, max=500)] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> int:
    """Show a run's log."""
    from nomaflow.cli.follow import LEVELS, follow_run, print_log

    if level is not None and level.upper() not in LEVELS:
        raise InvalidError(f"--level must be one of {', '.join(LEVELS)}, not {level!r}")
    level = level and level.upper()
    with open_client(url, token, home) as client:
        run_id = resolve(client, run)
        if follow:
            return follow_run(client, run_id, level=level, step=step, tail=tail, as_json=as_json)
        print_log(client, run_id, level=level, step=step, tail=tail, as_json=as_json)
    return 0


def cancel(
    run: RunName,
    force: Annotated[bool, typer.Option("--force", help="Give the steps no time to end by themselves.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; kept with the run.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until the run has ended.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> int:
    """Stop a run, and say how it ended."""
    from nomaflow.cli.details import how_canceled
    from nomaflow.cli.follow import DETACHED

    with open_client(url, token, home) as client:
        canceled = client.cancel(resolve(client, run), force=force, reason=reason)
        if not no_wait:
            try:
                canceled = client.wait(canceled.id)
            except KeyboardInterrupt:
                typer.echo(
                    f"{canceled.id} is still ending; `nomaflow cancel {canceled.id} --force` hurries it", err=True
                )
                return DETACHED
    if as_json:
        print_json(canceled)
    else:
        typer.echo(folded(shown(how_canceled(canceled))))
    return 0


def _page(client: Client, limit: int, *, q: str | None, job: str | None, state: str | None) -> Page[RunSummary]:
    """As many runs as wanted, where there are so many: a page of the engine may hold less, and lead on."""
    page = client.runs_page(q=q, job=job, state=state, limit=limit)
    items = page.items
    while page.next_cursor is not None and len(items) < limit:
        page = client.runs_page(q=q, job=job, state=state, limit=limit - len(items), cursor=page.next_cursor)
        items += page.items
    return page.model_copy(update={"items": items})


def _took(run: RunSummary) -> str:
    if run.started_at is None:
        return ""
    return duration(((run.finished_at or utc_now()) - run.started_at).total_seconds())


COMMANDS = (runs, logs, cancel)
