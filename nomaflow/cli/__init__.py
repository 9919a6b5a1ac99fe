"""The command line.

    options.py    what commands share: where the engine is, JSON or tables
    homes.py      init, check, serve, up; accounts.py
    jobs.py       jobs, enable, disable, why, connectors, reload
    launching.py  run, plan: values from text, by the types of the job's form
    runs.py       runs, logs, cancel; follow.py: a run as it goes
    show.py       tables, times, colours, and text that cannot move the cursor

A command imports what it needs when it runs, so that `nomaflow --help` and a typing error cost a tenth of a second.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from nomaflow.cli import accounts, homes, jobs, launching, runs
from nomaflow.cli.show import shown
from nomaflow.errors import (
    EngineFailedError,
    EngineUnreachableError,
    HomeHeldError,
    NomaflowError,
    NotReadyError,
)

WRONG_USE, NOT_REACHABLE, HOME_HELD, INTERRUPTED = 2, 3, 75, 130

app = typer.Typer(
    name="nomaflow",
    help="Run jobs on schedules and on demand, and see what happened.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for subject in (homes, jobs, launching, runs):
    for command in subject.COMMANDS:
        app.command()(command)
app.add_typer(jobs.connectors_app, name="connectors")
app.add_typer(accounts.app, name="account")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Errors are sentences on stderr, never tracebacks."""
    try:
        code = app(args=argv, prog_name="nomaflow", standalone_mode=False)
        sys.stdout.flush()
    except NomaflowError as error:
        return _fail(error.message, *_details(error), code=_exit_code(error))
    except TyperException as error:
        return _fail(error.format_message(), code=error.exit_code)
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
        typer.echo(f"Error: {shown(message)}", err=True)
    for detail in details:
        typer.echo(f"  {shown(detail)}", err=True)
    return code


def _details(error: NomaflowError) -> list[str]:
    """The details that say more than the sentence does."""
    details = []
    for detail in error.details:
        place = " ".join(
            part for part in (f"line {detail['line']}:" if "line" in detail else "", detail.get("path", "")) if part
        )
        if len(error.details) > 1 or detail["message"] not in error.message:
            details.append(f"{place} {detail['message']}".strip())
    return details


def _exit_code(error: NomaflowError) -> int:
    if isinstance(error, HomeHeldError):
        return HOME_HELD
    return NOT_REACHABLE if isinstance(error, EngineUnreachableError | EngineFailedError | NotReadyError) else WRONG_USE
