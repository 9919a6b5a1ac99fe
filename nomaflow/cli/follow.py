"""A run as it goes: its log line by line, on a terminal with the step that runs below, and how it ended."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from nomaflow.cli.show import count, duration, folded, shown, stamp
from nomaflow.errors import InvalidError, NomaflowError
from nomaflow.wire import LogLine, Run, RunState, StepRun, StepState

if TYPE_CHECKING:
    from rich.progress import Progress

    from nomaflow.client import Client
    from nomaflow.client.stream import OnLost

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red", "DEBUG": "bright_black"}

LOOK_EVERY_SECONDS = 0.5
DETACHED = 130

type Print = Callable[[LogLine], None]


def print_log(
    client: Client, run_id: str, *, level: str | None, step: str | None, tail: int | None, as_json: bool
) -> None:
    """The log as it is now."""
    known_step(client, run_id, step)
    page = client.logs(run_id, level=level, step=step, tail=tail)
    lines = list(page.lines)
    is_empty = not lines
    while tail is None and page.lines:
        if not as_json:
            for line in page.lines:
                _print_plain(line)
            lines = []
        page = client.logs(run_id, level=level, step=step, after=page.next)
        lines += page.lines
    if as_json:
        typer.echo(page.model_copy(update={"lines": lines}).model_dump_json(indent=2))
    else:
        for line in lines:
            _print_plain(line)
    if is_empty:
        _say_empty(level, step)


def known_step(client: Client, run_id: str, step: str | None) -> None:
    """Refuse a step that the run does not have."""
    if step is None:
        return
    from nomaflow.definitions.problems import near_miss

    names = [each.name for each in client.run(run_id).steps]
    if step not in names:
        raise InvalidError(f"{run_id} has no step {step!r}; there are {', '.join(names)}{near_miss(step, names)}")


def follow_run(
    client: Client,
    run_id: str,
    *,
    level: str | None = None,
    step: str | None = None,
    tail: int | None = None,
    as_json: bool = False,
    on_lost: OnLost | None = None,
) -> int:
    """Show the log until the run is over, then how it ended; the exit code.

    Ctrl-C stops the looking, not the run. `on_lost` is called when the connection is gone; by default it is told once.
    """
    known_step(client, run_id, step)
    after, is_empty = 0, True
    if tail is not None:
        page = client.logs(run_id, level=level, step=step, tail=tail)
        after = page.next
    else:
        page = None
    try:
        with _printer(client, run_id, as_json=as_json) as show:
            for line in page.lines if page else ():
                show(line)
                is_empty = False
            for line in client.follow_logs(run_id, after=after, on_lost=on_lost or _tell_once()):
                if _is_wanted(line, level, step):
                    show(line)
                    is_empty = False
        run = client.run(run_id)
    except KeyboardInterrupt:
        how = f"`nomaflow cancel {run_id}` stops it, `nomaflow logs -f {run_id}` shows it"
        typer.echo(folded(f"The run goes on; {how}", sys.stderr), err=True)
        return DETACHED
    if is_empty:
        _say_empty(level, step)
    typer.echo(folded(shown(ending(run)), sys.stderr if as_json else sys.stdout), err=as_json)
    return 0 if run.state is RunState.SUCCEEDED else 1


def ending(run: Run) -> str:
    """How a run ended, in one line."""
    begun = run.started_at or run.queued_at
    took = f" in {duration((run.finished_at - begun).total_seconds())}" if run.finished_at else ""
    parts = [f"{run.id} of {run.job_id} {run.state}{took}"]
    failed = next((step for step in run.steps if step.state is StepState.FAILED), None)
    if failed and failed.error:
        parts.append(f"{failed.name}: {failed.error.type}: {failed.error.message}")
    elif run.reason:
        parts.append(run.reason)
    elif run.step_summary:
        parts.append(f"steps {run.step_summary}")
    if run.rows_affected is not None:
        parts.append(count(run.rows_affected, "rows"))
    return ", ".join(parts)


def _say_empty(level: str | None, step: str | None) -> None:
    if level or step:
        typer.echo(f"No lines{f' at {level} or worse' if level else ''}{f' of step {step}' if step else ''}.", err=True)


def _tell_once() -> OnLost:
    """Say on stderr that the engine is away, the first time that it is."""
    told = False

    def tell() -> None:
        nonlocal told
        if not told:
            told = True
            typer.echo("connection lost, waiting for the engine", err=True)

    return tell


def _is_wanted(line: LogLine, level: str | None, step: str | None) -> bool:
    if step is not None and line.step != step:
        return False
    return level is None or line.level not in LEVELS or LEVELS.index(line.level) >= LEVELS.index(level)


def _print_plain(line: LogLine) -> None:
    # In a file every line has its step; a person sees it in the line.
    step = f" [{line.step}]" if line.step and not (sys.stdout.isatty() and _names_step(line)) else ""
    typer.echo(f"{stamp(line.ts)} {line.level:<7}{shown(step)} {shown(line.text)}")


def _names_step(line: LogLine) -> bool:
    """Whether the text itself begins with the step's name, as the engine's own lines do."""
    return bool(line.step) and re.match(rf"(\W )?{re.escape(line.step or '')}\b", line.text) is not None


def _print_json(line: LogLine) -> None:
    typer.echo(line.model_dump_json())


@contextmanager
def _printer(client: Client, run_id: str, *, as_json: bool) -> Iterator[Print]:
    """How lines are shown: as JSON, plain where nobody watches, else above the bar of the step that runs."""
    if as_json or not sys.stdout.isatty():
        yield _print_json if as_json else _print_plain
        sys.stdout.flush()
        return
    with _bar() as progress:
        over = threading.Event()
        looking = threading.Thread(target=_look, args=(client, run_id, progress, over), daemon=True)
        looking.start()
        try:
            yield lambda line: _print_above(progress, line)
        finally:
            over.set()
            looking.join()


def _bar() -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from nomaflow.cli.show import console

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[done]}", markup=False),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console(), transient=True)


def _print_above(progress: Progress, line: LogLine) -> None:
    from rich.text import Text

    text = Text.assemble(
        (f"{stamp(line.ts)} ", "bright_black"),
        (f"{shown(line.step)} " if line.step and not _names_step(line) else "", "cyan"),
        (shown(line.text), _STYLES.get(line.level, "")),
    )
    progress.console.print(text)


def _look(client: Client, run_id: str, progress: Progress, over: threading.Event) -> None:
    """Keep the bar at the step that runs. Steps are no lines of the log, so the run is asked for again and again."""
    shown_step, task = "", progress.add_task("starts", total=None, done="")
    while True:
        try:
            run = client.run(run_id)
        except NomaflowError:
            run = None  # the log's own connection says so when the engine stays away
        step = run.steps[run.step_index - 1] if run and 0 < run.step_index <= len(run.steps) else None
        if run and step:
            if step.name != shown_step:
                shown_step = step.name
                progress.remove_task(task)
                task = progress.add_task(f"step {run.step_index}/{run.step_count} {step.name}", total=None, done="")
            _update(progress, task, step)
        elif run:
            progress.update(task, description=run.wait_reason or str(run.state).lower())
        if over.wait(LOOK_EVERY_SECONDS):
            return


def _update(progress: Progress, task: int, step: StepRun) -> None:
    from rich.progress import TaskID

    done = ""
    if step.progress:
        done = f"{step.progress.done:,}" + (f" / {step.progress.total:,}" if step.progress.total else "")
        done += f" {step.progress.unit}"
    elif step.rows_affected is not None:
        done = count(step.rows_affected, "rows")
    total = step.progress.total if step.progress else None
    progress.update(TaskID(task), total=total, completed=step.progress.done if step.progress else 0, done=shown(done))
