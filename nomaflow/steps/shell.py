"""`shell`: run a program and log what it prints."""

from __future__ import annotations

import codecs
import os
import re
import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from nomaflow.worker import process_group
from nomaflow.worker.context import StepCanceled, StepContext
from nomaflow.worker.protocol import MAX_LINE

INHERITED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR",
    # By these what the program leaves behind is found.
    process_group.HOME_MARK, process_group.WORKER_MARK,
)  # fmt: skip

LAST_LINES = 20
"""What an error shows of the program's output."""

MAX_QUOTED = 300

HELD_OPEN_SECONDS = 1.0
"""How long the rest of the output is waited for when the program has ended: a child may keep it open for ever."""

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # colours and cursor movements
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles and links
    r"|[ -/]*[0-~])|\x07"
)


class ProgramError(Exception):
    """The program did not do its work; `lasting` says why it would not the next time either."""

    def __init__(self, message: str, lasting: str | None = None) -> None:
        super().__init__(message)
        self.lasting = lasting


class _Output:
    """What the program prints, as lines of the run's log; the last ones are kept."""

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self.is_over = False

    def copy(self, stream: IO[bytes], say: Callable[[str], None], last: deque[str]) -> None:
        """Log each line until the end of the stream; `last` gets those that say something."""
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        rest = ""
        with stream:
            while not self.is_over and (data := os.read(stream.fileno(), 65_536)):
                *whole, rest = (rest + decoder.decode(data)).split("\n")
                # A bar that draws itself a thousand times is one line, and not held as a thousand.
                rest = rest[rest.rstrip("\r").rfind("\r") + 1 :]
                if len(rest) > MAX_LINE:
                    whole, rest = [*whole, rest], ""
                for line in whole:
                    self._tell(line, say, last)
            if rest := rest + decoder.decode(b"", final=True):
                self._tell(rest, say, last)

    def _tell(self, line: str, say: Callable[[str], None], last: deque[str]) -> None:
        # A carriage return begins a line anew, as on a terminal.
        text = _ESCAPES.sub("", line.rstrip("\r").rsplit("\r", 1)[-1])
        if self.is_over:
            return
        say(text)
        if text.strip():
            last.append(text)
            self.last.append(text)


def run(ctx: StepContext, options: dict[str, Any]) -> dict[str, Any]:
    """Run `argv` to its end.

    The program stays in the worker's process group, so that a kill of the group reaches it and its children.

    Returns:
        `{"exit_code": 0, "last_line": …}`: what it printed last, for a later step.

    Raises:
        ProgramError: it could not be started, or ended with an exit code that is none of those expected.
        StepCanceled: it was asked to stop.
    """
    argv = [str(part) for part in options["argv"]]
    process = _started(argv, _folder(ctx.home, options.get("cwd")), options.get("env", {}))
    ctx.log.debug("▶ %s", shlex.join(argv))
    output, last = _Output(), deque[str](maxlen=1)
    readers = [
        threading.Thread(target=output.copy, args=(process.stdout, _saying(ctx.log.info, "stdout"), last), daemon=True),
        threading.Thread(
            target=output.copy, args=(process.stderr, _saying(ctx.log.warning, "stderr"), deque(maxlen=1)), daemon=True
        ),
    ]
    for reader in readers:
        reader.start()
    with ctx.canceler.armed(lambda: _terminate(process)):
        exit_code = process.wait()
        for reader in readers:
            reader.join(HELD_OPEN_SECONDS)
    if any(reader.is_alive() for reader in readers):
        output.is_over = True
        ctx.log.warning(
            "%s has ended, and a child of it goes on and keeps its output open; it is not waited for", argv[0]
        )
    expected = options.get("exit_codes") or [0]
    if ctx.is_cancelled() and exit_code not in expected:
        raise StepCanceled
    if exit_code not in expected:
        raise ProgramError(_what_failed(argv[0], exit_code, output))
    return {"exit_code": exit_code, "last_line": last[0].strip()[:1000] if last else ""}


def _folder(home: str, cwd: str | None) -> str:
    """Where the program runs: the home, or a folder below it. What a link in the home leads to is the home's business.

    Raises:
        ProgramError: it lies elsewhere, or is not there.
    """
    root = os.path.abspath(home)
    folder = os.path.normpath(os.path.join(root, cwd or ""))
    if folder != root and not folder.startswith(os.path.join(root, "")):
        raise ProgramError(f"cwd is {cwd!r}, which lies outside the home; name a folder below it", "it stays outside")
    if not os.path.isdir(folder):
        raise ProgramError(f"cwd is {cwd!r}, and the home has no such folder", "what is missing stays missing")
    return folder


def _started(argv: list[str], folder: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | env
    try:
        return subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except (OSError, ValueError) as error:  # ValueError: an argument holds a NUL
        is_lasting = isinstance(error, FileNotFoundError | PermissionError | ValueError)
        lasting = "what is missing stays missing" if is_lasting else None
        raise ProgramError(f"{argv[0]} could not be started: {error}", lasting) from error


def _saying(log: Callable[..., None], stream: str) -> Callable[[str], None]:
    return lambda text: log("%s", text, extra={"stream": stream})


def _what_failed(program: str, exit_code: int, output: _Output) -> str:
    """How it ended and the last thing it said; the lines before that follow below."""
    ended = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"
    message = f"{program} {ended}"
    if not output.last:
        return message
    said = output.last[-1].strip()
    quoted = said if len(said) <= MAX_QUOTED else f"{said[:MAX_QUOTED]}…"
    return "\n".join([f"{message}: {quoted}", "The last lines of its output:", *output.last])


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """Ask the program and its children to end: a child that goes on would keep the program's output open."""
    children = process_group.descendants(process.pid)
    process.terminate()
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
