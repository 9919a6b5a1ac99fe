"""The command line.

    options.py    what commands share: where the engine is, JSON or tables
    homes.py      init, check, serve, up; accounts.py
    jobs.py       jobs, enable, disable, why, connectors, reload
    launching.py  run, plan, replay: values from text, by the types of the job's form
    schedules.py  schedule, skip; calendar.py: fires as a table; times.py: as they are typed and read
    runs.py       runs, logs, cancel; details.py: show; follow.py: a run as it goes
    searching.py  searches as they are typed
    writing.py    step-types, callables
    upkeep.py     backup, restore, doctor
    show.py       tables, times, colours, and text that cannot move the cursor

A command imports what it needs when it runs, so that `nomaflow --help` and a typing error cost a tenth of a second.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from nomaflow.cli import accounts, details, homes, jobs, launching, runs, schedules, upkeep, writing
from nomaflow.cli.searching import with_terms_last
from nomaflow.cli.show import folded, shown
from nomaflow.errors import (
    EngineFailedError,
    EngineUnreachableError,
    HomeHeldError,
    NomaflowError,
    NotReadyError,
    PortTakenError,
)

WRONG_USE, NOT_REACHABLE, HOME_HELD, INTERRUPTED = 2, 3, 75, 130

_WORDS = {
    "Input should be greater than or equal to": "it must be at least",
    "Input should be less than or equal to": "it must be at most",
    "Input should be a valid integer, unable to parse string as an integer": "it must be a whole number",
    "Input should be": "it must be",
}

app = typer.Typer(
    name="nomaflow",
    help="Run jobs and see what happened.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for subject in (homes, jobs, schedules, launching, runs, details, writing, upkeep):
    for command in subject.COMMANDS:
        app.command()(command)
app.add_typer(schedules.schedule_app, name="schedule")
app.add_typer(jobs.connectors_app, name="connectors")
app.add_typer(accounts.app, name="account")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib import metadata

        typer.echo(f"nomaflow {metadata.version('nomaflow')}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Run jobs and see what happened."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Errors are sentences on stderr, never tracebacks."""
    try:
        code = app(
            args=with_terms_last(sys.argv[1:] if argv is None else argv), prog_name="nomaflow", standalone_mode=False
        )
        sys.stdout.flush()
    except NomaflowError as error:
        hint = "; --api-port names another one" if isinstance(error, PortTakenError) else ""
        return _fail(error.message + hint, *_details(error), code=_exit_code(error))
    except TyperException as error:
        return _fail(_plain(error.format_message()), code=error.exit_code)
    except typer.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has left, as `head` does; typer says 1 to that while a command runs. Python would complain once
        # more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _fail(message: str, *details: str, code: int) -> int:
    if message:
        typer.echo(folded(f"Error: {shown(message)}", sys.stderr), err=True)
    for detail in details:
        typer.echo(f"  {shown(detail)}", err=True)
    return code


def _plain(message: str) -> str:
    """What typer says of a number that is out of its range, in the words of every other sentence."""
    for jargon, words in _WORDS.items():
        message = message.replace(jargon, words)
    return message


def _details(error: NomaflowError) -> list[str]:
    """The details that say more than the sentence does."""
    details = []
    for detail in error.details:
        place = " ".join(
            part for part in (f"line {detail['line']}:" if "line" in detail else "", detail.get("path", "")) if part
        )
        if "run_id" in detail:
            continue  # the sentence names the run
        if len(error.details) > 1 or detail["message"] not in error.message:
            details.append(f"{place} {detail['message']}" if place else detail["message"])
    return details


def _exit_code(error: NomaflowError) -> int:
    if isinstance(error, HomeHeldError):
        return HOME_HELD
    return NOT_REACHABLE if isinstance(error, EngineUnreachableError | EngineFailedError | NotReadyError) else WRONG_USE
