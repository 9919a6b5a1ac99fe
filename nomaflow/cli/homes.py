"""A home from its folder: make one, check it, run its engine."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from nomaflow.cli.options import HomeFolder, LocalJson
from nomaflow.errors import InvalidError

Host = Annotated[str, typer.Option("--host", help="Where to listen; only this machine can reach the default.")]
ApiPort = Annotated[int, typer.Option("--api-port", help="The engine's port.", min=0, max=65_535)]

_HAS_DASHBOARD, _HAS_BOT = (find_spec(package) is not None for package in ("dashboards", "bot"))

_NEW_FILES = ("nomaflow.toml", "jobs/hello.toml", "jobs/hello.py", "jobs/housekeeping.toml")
_IGNORED = ".nomaflow/"


def init(
    path: Annotated[Path, typer.Argument(help="The folder; made when it is missing.", file_okay=False)] = Path(),
) -> None:
    """Make a home: settings, a first job that says hello, and the engine's own housekeeping."""
    standing = [name for name in _NEW_FILES if (path / name).exists()]
    if standing:
        raise InvalidError(f"{path.resolve()} has {' and '.join(standing)} already; nothing was changed")
    try:
        for name in _NEW_FILES:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(files("nomaflow.cli").joinpath("new_home", name).read_text())
        _ignore_state(path / ".gitignore")
    except OSError as error:
        raise InvalidError(f"no home can be made in {path.resolve()}: {error.strerror}") from None
    typer.echo(f"Made a home in {path.resolve()}: {', '.join(_NEW_FILES)}")
    typer.echo("Next:")
    if path != Path():
        typer.echo(f"  cd {path}")
    typer.echo("  nomaflow up          # runs the engine; prints its address")
    typer.echo("  nomaflow run hello -f")


def check(home: HomeFolder = Path(), as_json: LocalJson = False) -> int:
    """Check the settings and every job; all problems, with file and line."""
    from nomaflow.home import Home
    from nomaflow.home import check as problems_of

    problems = problems_of(Home(home))
    if as_json:
        listed = [vars(problem) for problem in problems]
        typer.echo(json.dumps({"problems": listed}, indent=2, ensure_ascii=False))
    elif problems:
        for problem in problems:
            typer.echo(str(problem))
        typer.echo(f"Error: {len(problems)} problem{'s' * (len(problems) > 1)} in {home.resolve()}", err=True)
    else:
        jobs = len(list((home / "jobs").glob("*.toml")))
        typer.echo(f"{home.resolve()}: the settings and {jobs} job{'s' * (jobs != 1)} are well")
    return 2 if problems else 0


def serve(home: HomeFolder = Path(), host: Host = "127.0.0.1", api_port: ApiPort = 8600) -> int:
    """Run the engine alone, in the foreground, until a signal stops it."""
    with _plain_interrupts():
        from nomaflow import serve as engine

    return engine.main(home.resolve(), host, api_port)


def up(
    home: HomeFolder = Path(),
    host: Host = "127.0.0.1",
    api_port: ApiPort = 8600,
    dashboard_port: Annotated[
        int, typer.Option(help="The dashboard's port.", min=0, max=65_535, hidden=not _HAS_DASHBOARD)
    ] = 8601,
    simulator_port: Annotated[
        int, typer.Option(help="The Slack simulator's port.", min=0, max=65_535, hidden=not _HAS_BOT)
    ] = 8602,
    no_dashboard: Annotated[
        bool, typer.Option("--no-dashboard", help="Without the dashboard.", hidden=not _HAS_DASHBOARD)
    ] = False,
    no_bot: Annotated[bool, typer.Option("--no-bot", help="Without the Slack bot.", hidden=not _HAS_BOT)] = False,
) -> int:
    """Run the engine in the foreground; prints its address when it is ready, and shows the first run of a new home."""
    with _plain_interrupts():
        from nomaflow import supervise
        from nomaflow.cli.welcome import welcome

    return supervise.main(home.resolve(), host, api_port, dashboard_port, simulator_port, no_dashboard, no_bot, welcome)


@contextmanager
def _plain_interrupts() -> Iterator[None]:
    """Ctrl-C ends the process at once: raised while modules load, it comes out of them as some other error."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _ignore_state(gitignore: Path) -> None:
    text = gitignore.read_text() if gitignore.exists() else ""
    if _IGNORED not in text.splitlines():
        gitignore.write_text(text + ("\n" if text and not text.endswith("\n") else "") + _IGNORED + "\n")


COMMANDS = (init, check, serve, up)
