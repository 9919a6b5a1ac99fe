"""Jobs and connectors: what there is, when it runs next, and its switch."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nomaflow.cli.options import AsJson, HomeFolder, Token, Url, known_job, open_client, print_json, print_json_list
from nomaflow.cli.searching import pointing, query_of
from nomaflow.cli.show import Listing, folded, relative, shown, state_text
from nomaflow.errors import NotFoundError
from nomaflow.seams import utc_now

if TYPE_CHECKING:
    from rich.text import Text

    from nomaflow.wire import JobCard

JobName = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]

connectors_app = typer.Typer(help="The connectors; `test NAME` asks one whether it answers.")


def jobs(
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY",
            help="Only jobs that this search finds: words of id, description and tags, job:jde-* tag:etl state:failed "
            "enabled:no problem:yes.",
        ),
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """List the jobs: their last run, and when they run next."""
    q = query_of(query)
    with open_client(url, token, home) as client, pointing(q):
        cards = client.jobs(q=q, tag=tag)
    if as_json:
        print_json_list(cards)
        return
    if not cards:
        typer.echo("No jobs." if q is None and tag is None else "No such jobs; `nomaflow jobs` lists all.")
        return
    now = utc_now()
    rows = Listing("JOB", "LAST RUN", "NEXT", "DESCRIPTION", whole=["JOB"])
    for card in cards:
        rows.add(
            card.id,
            _last(card, now),
            _next(card),
            shown(card.description.splitlines()[0] if card.description else ""),
        )
    rows.print()


def enable(job: JobName, url: Url = None, token: Token = None, home: HomeFolder = Path()) -> None:
    """Write `enabled = true` to the job's file. Schedules do not fire yet, so this is for when they do."""
    with open_client(url, token, home) as client, known_job(client, job):
        card = client.enable(job)
    how = f"schedules do not fire yet, `nomaflow run {card.id}` runs it"
    typer.echo(folded(f"{card.id} is on, as its file says now; {how}"))


def disable(
    job: JobName,
    reason: Annotated[str | None, typer.Option(help="Why; shown wherever the job is.")] = None,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """Write `enabled = false` to the job's file. Schedules do not fire yet; `nomaflow run` still runs the job."""
    with open_client(url, token, home) as client, known_job(client, job):
        card = client.disable(job, reason=reason)
    how = f"`nomaflow run {card.id}` still runs it, `nomaflow enable {card.id}` switches it on"
    typer.echo(folded(f"{card.id} is off, as its file says now; {how}"))


def why(job: JobName, as_json: AsJson = False, url: Url = None, token: Token = None, home: HomeFolder = Path()) -> None:
    """Say why a job does not run now."""
    with open_client(url, token, home) as client, known_job(client, job):
        answer = client.why(job)
    if as_json:
        print_json(answer)
        return
    typer.echo(folded(f"{job}: {shown(answer.why)}"))


def reload(as_json: AsJson = False, url: Url = None, token: Token = None, home: HomeFolder = Path()) -> None:
    """Let the engine read the settings and the job files again."""
    with open_client(url, token, home) as client:
        result = client.reload()
    if as_json:
        print_json(result)
        return
    changes = {"added": result.added, "changed": result.changed, "removed": result.removed}
    for what, job_ids in changes.items():
        for job_id in job_ids:
            typer.echo(f"{what} {job_id}")
    for line in result.settings:
        typer.echo(shown(f"nomaflow.toml: {line}"))
    for job_id, problems in result.problems.items():
        for problem in problems:
            place = f"jobs/{job_id}.toml" + (f":{problem.line}" if problem.line else "")
            typer.echo(shown(f"{place}: {problem.message}"))
    if not any(changes.values()) and not result.settings and not result.problems:
        typer.echo("Nothing has changed.")


@connectors_app.callback(invoke_without_command=True)
def list_connectors(
    ctx: typer.Context, as_json: AsJson = False, url: Url = None, token: Token = None, home: HomeFolder = Path()
) -> None:
    """List the connectors; `test NAME` asks one whether it answers."""
    if ctx.invoked_subcommand:
        return
    with open_client(url, token, home) as client:
        connectors = client.connectors()
    if as_json:
        print_json_list(connectors)
        return
    if not connectors:
        typer.echo("No connectors.")
        return
    rows = Listing("CONNECTOR", "KIND", "TARGET", "USED BY", whole=["CONNECTOR"])
    for connector in connectors:
        kind = connector.backend or connector.kind
        rows.add(connector.name, kind, shown(connector.target), ", ".join(connector.used_by))
    rows.print()


@connectors_app.command("test")
def ask_connector(
    name: Annotated[str, typer.Argument(help="The connector.")],
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> int:
    """Ask a connector whether it answers."""
    from nomaflow.definitions.problems import near_miss

    with open_client(url, token, home) as client:
        try:
            result = client.test_connector(name)
        except NotFoundError:
            known = [connector.name for connector in client.connectors()]
            raise NotFoundError(
                f"there is no connector {name!r}{near_miss(name, known) or ';'} `nomaflow connectors` lists them"
            ) from None
    if as_json:
        print_json(result)
    elif result.ok:
        typer.echo(f"{shown(result.message)} ({result.elapsed_ms:.0f} ms)")
    else:
        typer.echo(f"Error: {shown(result.message)}", err=True)
    return 0 if result.ok else 1


def _last(card: JobCard, now: datetime) -> Text | str:
    if card.active_runs:
        run = card.active_runs[0]
        where = f" {run.step_index}/{run.step_count} {run.step_name or ''}" if run.step_index else ""
        return state_text(run.state).append(where, style="default")
    if card.last_run:
        text = state_text(card.last_run.state)
        return text.append(f" {relative(card.last_run.finished_at or card.last_run.started_at, now)}", style="default")
    return ""


def _next(card: JobCard) -> Text | str:
    from rich.text import Text

    if card.problem:
        place = f"line {card.problem.line}" if card.problem.line else "its file"
        return Text(f"problem: {place}", style="red")
    if not card.enabled:
        return Text("off", style="bright_black")
    crons = ", ".join(schedule.cron for schedule in card.schedules if schedule.enabled)
    return Text(f"{crons} (not yet)" if crons else "by hand", style="bright_black")


COMMANDS = (jobs, enable, disable, why, reload)
