"""Jobs and connectors: what there is, when it runs next, and its switch."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nomaflow.cli.options import AsJson, HomeFolder, Token, Url, open_client, print_json, print_json_list
from nomaflow.cli.show import print_table, relative, shown, state_text, table
from nomaflow.seams import utc_now

if TYPE_CHECKING:
    from rich.text import Text

    from nomaflow.wire import JobCard

JobName = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]

connectors_app = typer.Typer(help="The connectors; `test NAME` asks one whether it answers.")


def jobs(
    q: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="Only jobs with this in id, description or tag.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """List the jobs: their last run, and when they run next."""
    with open_client(url, token, home) as client:
        cards = client.jobs(q=q, tag=tag)
    if as_json:
        print_json_list(cards)
        return
    if not cards:
        typer.echo("No jobs." if q is None and tag is None else "No such jobs.")
        return
    now = utc_now()
    rows = table("JOB", "LAST RUN", "NEXT", "DESCRIPTION", whole=["JOB"])
    for card in cards:
        rows.add_row(
            card.id,
            _last(card, now),
            _next(card, now),
            shown(card.description.splitlines()[0][:60] if card.description else ""),
        )
    print_table(rows, {"JOB": max(len(card.id) for card in cards)})


def enable(job: JobName, url: Url = None, token: Token = None, home: HomeFolder = Path()) -> None:
    """Let the job's schedules fire again."""
    with open_client(url, token, home) as client:
        card = client.enable(job)
    following = relative(card.next_fire_at, utc_now())
    typer.echo(f"{card.id} is on" + (f"; it runs next {following}" if following else ""))


def disable(
    job: JobName,
    reason: Annotated[str | None, typer.Option(help="Why; shown wherever the job is.")] = None,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """Stop the job's schedules from firing; runs in flight go on."""
    with open_client(url, token, home) as client:
        card = client.disable(job, reason=reason)
    typer.echo(f"{card.id} is off; `nomaflow run {card.id}` still runs it, `nomaflow enable {card.id}` switches it on")


def why(job: JobName, as_json: AsJson = False, url: Url = None, token: Token = None, home: HomeFolder = Path()) -> None:
    """Say why a job does not run now."""
    with open_client(url, token, home) as client:
        answer = client.why(job)
    if as_json:
        print_json(answer)
        return
    typer.echo(f"{job}: {shown(answer.why)}")


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
    for job_id, problems in result.problems.items():
        for problem in problems:
            place = f"line {problem.line}: " if problem.line else ""
            typer.echo(shown(f"{job_id}: {place}{problem.path} {problem.message}"))
    if not any(changes.values()) and not result.problems:
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
    rows = table("CONNECTOR", "KIND", "TARGET", "USED BY", whole=["CONNECTOR"])
    for connector in connectors:
        kind = connector.backend or connector.kind
        rows.add_row(connector.name, kind, shown(connector.target), ", ".join(connector.used_by))
    print_table(rows, {"CONNECTOR": max(len(connector.name) for connector in connectors)})


@connectors_app.command("test")
def ask_connector(
    name: Annotated[str, typer.Argument(help="The connector.")],
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> int:
    """Ask a connector whether it answers."""
    with open_client(url, token, home) as client:
        result = client.test_connector(name)
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


def _next(card: JobCard, now: datetime) -> Text | str:
    from rich.text import Text

    if card.problem:
        place = f"line {card.problem.line}" if card.problem.line else "its file"
        return Text(f"problem: {place}", style="red")
    if not card.enabled:
        return Text("off", style="bright_black")
    crons = ", ".join(schedule.cron for schedule in card.schedules if schedule.enabled)
    return relative(card.next_fire_at, now) or Text(crons or "by hand", style="bright_black")


COMMANDS = (jobs, enable, disable, why, reload)
