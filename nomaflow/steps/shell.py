"""`shell`: run a program and log what it prints."""

from __future__ import annotations

import io
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from nomaflow.worker import process_group
from nomaflow.worker.context import StepCanceled, StepContext

INHERITED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR",
    # By these what the program leaves behind is found.
    process_group.HOME_MARK, process_group.WORKER_MARK,
)  # fmt: skip


class ProgramError(Exception):
    """The program did not do its work."""


def run(ctx: StepContext, options: dict[str, Any]) -> dict[str, Any]:
    """Run `argv` to its end.

    The program stays in the worker's process group, so that a kill of the group reaches it and its children.

    Returns:
        `{"exit_code": 0, "last_line": …}`: what it printed last, for a later step.

    Raises:
        ProgramError: it could not be started, or ended with another exit code.
        StepCanceled: it was asked to stop.
    """
    argv = [str(part) for part in options["argv"]]
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | options.get("env", {})
    ctx.log.debug("▶ %s", shlex.join(argv))
    try:
        process = subprocess.Popen(
            argv,
            cwd=os.path.join(ctx.home, options.get("cwd") or ""),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except (OSError, ValueError) as error:  # ValueError: an argument holds a NUL
        raise ProgramError(f"{argv[0]} could not be started: {error}") from error
    assert process.stdout is not None
    assert process.stderr is not None
    errors = threading.Thread(target=_copy, args=(process.stderr, ctx.log.warning), daemon=True)
    errors.start()
    with ctx.canceler.armed(lambda: _terminate(process)):
        last_line = _copy(process.stdout, ctx.log.info)
        exit_code = process.wait()
        errors.join()
    if ctx.is_cancelled() and exit_code != 0:
        raise StepCanceled
    if exit_code != 0:
        ended = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"
        raise ProgramError(f"{argv[0]} {ended}")
    return {"exit_code": 0, "last_line": last_line}


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """Ask the program and its children to end: a child that goes on would keep the program's output open."""
    children = process_group.descendants(process.pid)
    process.terminate()
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _copy(stream: IO[bytes], log: Callable[..., None]) -> str:
    """Log each line; what the last one says. A carriage return begins a line anew, as on a terminal."""
    text = ""
    with io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", newline="\n") as lines:
        for line in lines:
            text = line.rstrip("\r\n").rsplit("\r", 1)[-1]
            log("%s", text)
    return text.strip()[:1000]
