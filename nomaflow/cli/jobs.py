"""Jobs and connectors: what there is, when it runs next, and its switch."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from nomaflow.cli.options import (
    AsJson,
    HomeFolder,
    JobName,
    Token,
    Url,
    known_job,
    open_client,
    print_json,
    print_json_list,
)
from nomaflow.cli.schedules import next_fire
from nomaflow.cli.searching import pointing, query_of
from nomaflow.cli.show import Listing, folded, relative, shown, state_text
from nomaflow.cli.times import moment, wall
from nomaflow.errors import NotFoundError
from nomaflow.seams import system_timezone, utc_now

if TYPE_CHECKING:
    from rich.text import Text

    from nomaflow.client import Client
    from nomaflow.wire import JobCard

_ACTIONS = {
    "run": "`nomaflow run {job}` runs it now.",
    "enable": "`nomaflow enable {job}` switches it on.",
    "cancel": "`nomaflow logs -f {job}` shows it, `nomaflow cancel {job}` stops it.",
    "edit": "`nomaflow check` lists all problems, with file and line.",
}

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
            _next(card, now),
            shown(card.description.splitlines()[0] if card.description else ""),
        )
    rows.print()


def enable(
    job: JobName, as_json: AsJson = False, url: Url = None, token: Token = None, home: HomeFolder = Path()
) -> None:
    """Let a job's schedules fire again; its file says `enabled = true` then. Fires that it missed stay missed."""
    with open_client(url, token, home) as client, known_job(client, job):
        card = client.enable(job)
    if as_json:
        print_json(card)
        return
    coming = next_fire(card, utc_now())
    then = f"it fires next {coming}" if coming else f"`nomaflow run {card.id}` runs it"
    typer.echo(folded(f"{card.id} is on; {then}"))


def disable(
    job: JobName,
    reason: Annotated[str | None, typer.Option(help="Why; shown wherever the job is.")] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help='Until then: 2h, 3d, 06:00, "tomorrow 06:00", 2026-01-31 or an instant.'),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """Stop a job's schedules from firing; its file says `enabled = false` then. It can still be run by hand."""
    now = utc_now()
    with open_client(url, token, home) as client, known_job(client, job):
        zone = _zone(client, job) if until else None
        end = moment(until, now, zone, option="--until") if until and zone else None
        card = client.disable(job, reason=reason, until=end)
    if as_json:
        print_json(card)
        return
    for_now = f" until {wall(end, now, zone)}" if end and zone else ""
    how = f"`nomaflow run {card.id}` still runs it, `nomaflow enable {card.id}` switches it on"
    typer.echo(folded(f"{card.id} is off{for_now}; {how}"))


def why(job: JobName, as_json: AsJson = False, url: Url = None, token: Token = None, home: HomeFolder = Path()) -> None:
    """Say why a job does not run now, and what can be done."""
    with open_client(url, token, home) as client, known_job(client, job):
        answer = client.why(job)
    if as_json:
        print_json(answer)
        return
    typer.echo(folded(f"{job}: {shown(answer.why)}"))
    if answer.action in _ACTIONS:
        typer.echo(folded(_ACTIONS[answer.action].format(job=job)))


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


def _next(card: JobCard, now: datetime) -> Text | str:
    from rich.text import Text

    if card.problem:
        place = f"line {card.problem.line}" if card.problem.line else "its file"
        return Text(f"problem: {place}", style="red")
    if not card.enabled:
        until = card.pause.until if card.pause else None
        zone = ZoneInfo(card.schedules[0].timezone if card.schedules else system_timezone())
        return Text(f"off until {wall(until, now, zone)}" if until else "off", style="bright_black")
    if coming := next_fire(card, now):
        return coming
    return Text("none" if card.schedules else "by hand", style="bright_black")


def _zone(client: Client, job: str) -> ZoneInfo:
    """Where times that somebody types for a job are read: as its schedules are, else as on this machine."""
    names = [each.timezone for card in client.jobs() if card.id == job for each in card.schedules]
    return ZoneInfo(names[0] if names else system_timezone())


COMMANDS = (jobs, enable, disable, why, reload)
