"""`shell` steps: a program with its arguments, and nothing between."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nomaflow.steps import shell
from nomaflow.worker import lasting
from nomaflow.worker.context import StepCanceled
from tests.fakes.context import Told, step_context


def run(*argv: str, **options: Any) -> tuple[dict[str, Any], Told]:
    ctx, said = step_context(log_level="DEBUG")
    return shell.run(ctx, {"argv": list(argv), **options}), said


def test_argv_is_not_read_by_a_shell() -> None:
    """Each item is one argument, whatever is in it."""
    argv = ["a b", "$HOME", "; rm -rf /", "*", "", "`id`", "ü\n"]
    output, told = run(sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))", *argv)
    assert output == {"exit_code": 0, "last_line": ascii(argv)}
    assert told.line("▶").endswith("""'a b' '$HOME' '; rm -rf /' '*' '' '`id`' 'ü\n'""")


def test_what_it_prints_is_logged() -> None:
    """Standard output as INFO, standard error as WARNING; the last line of output is for later steps."""
    output, told = run("sh", "-c", "echo one; echo two; echo bad >&2; printf three")
    assert output == {"exit_code": 0, "last_line": "three"}
    assert [line for line in told.lines if line.startswith("INFO")] == ["INFO one", "INFO two", "INFO three"]
    assert "WARNING bad" in told.lines


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        (r"10%\r20%\r100%\n", "100%"),
        (r"windows\r\n", "windows"),
        (r"caf\0303\0251\n", "café"),
        (r"half \0303\n", r"half \xc3"),
        (r"tab\there\n", "tab\there"),
        (r"\033[1;31mred\033[0m and \033]0;title\007plain\033(B\n", "red and plain"),
        (r"\033[2K10%%\r\033[2K20%%\r", "20%%"),
    ],
)
def test_lines_are_read_as_a_terminal_shows_them(printed: str, line: str) -> None:
    """A carriage return begins the line anew; bytes that are no UTF-8 are shown."""
    output, told = run("printf", "%b", printed)
    assert [line for line in told.lines if line.startswith("INFO")] == [f"INFO {line}"]
    assert output["last_line"] == line.strip()


def test_a_bar_that_draws_itself_is_one_line() -> None:
    """However often it does; and a line without an end is cut, so that no program fills the worker's memory."""
    code = "import sys\nfor n in range(50_000): sys.stdout.write(f'{n:>100}\\r')\nprint('done')\nprint('x' * 200_000)"
    _, told = run(sys.executable, "-c", code)
    lines = [line.removeprefix("INFO ") for line in told.lines if line.startswith("INFO")]
    assert lines[0] == "done"
    assert "".join(lines[1:]) == "x" * 200_000
    assert len(lines) > 2


def test_nothing_printed_is_no_line() -> None:
    """Neither in the log nor for a later step."""
    output, told = run("true")
    assert output == {"exit_code": 0, "last_line": ""}
    assert [line for line in told.lines if not line.startswith("DEBUG")] == []


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 3", "sh ended with exit code 3"),
        ("kill -KILL $$", "sh was ended by signal 9"),
    ],
)
def test_another_exit_code_fails_the_step(script: str, message: str) -> None:
    """With a sentence that says how it ended."""
    with pytest.raises(shell.ProgramError) as caught:
        run("sh", "-c", script)
    assert str(caught.value) == message


def test_an_error_has_the_last_lines() -> None:
    """The last one in its sentence, those before it below; of both streams."""
    with pytest.raises(shell.ProgramError) as caught:
        run("sh", "-c", "seq 30; echo; echo 'rm: cannot remove x' >&2; exit 1")
    first, second, *rest = str(caught.value).split("\n")
    assert first.startswith("sh ended with exit code 1: ")
    assert second == "The last lines of its output:"
    assert {"rm: cannot remove x", "30"} <= set(rest)
    assert len(rest) == shell.LAST_LINES
    with pytest.raises(shell.ProgramError) as caught:
        run("sh", "-c", f"echo {'x' * 1000}; exit 1")
    assert str(caught.value).split("\n")[0] == f"sh ended with exit code 1: {'x' * 300}…"


def test_some_exit_codes_may_be_no_failure() -> None:
    """As the step says; the code is for later steps."""
    output, _ = run("sh", "-c", "exit 24", exit_codes=[0, 24])
    assert output["exit_code"] == 24
    with pytest.raises(shell.ProgramError, match="ended with exit code 23"):
        run("sh", "-c", "exit 23", exit_codes=[0, 24])


def test_what_keeps_the_output_open_is_not_waited_for() -> None:
    """The step ends with its program, and says that something goes on; the worker ends that."""
    ctx, told = step_context()
    begun = time.monotonic()
    output = shell.run(ctx, {"argv": ["sh", "-c", "sleep 5 & echo begun"]})
    assert output["last_line"] == "begun"
    assert time.monotonic() - begun < 4
    assert "keeps its output open" in told.line("sh has ended")


def test_a_program_that_is_not_there_fails_the_step() -> None:
    """With its name."""
    with pytest.raises(shell.ProgramError, match="no-such-program could not be started") as caught:
        run("no-such-program")
    assert lasting.verdict(caught.value).why == "what is missing stays missing"


def test_the_environment_is_a_short_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's secrets are not in it; what the step names is."""
    monkeypatch.setenv("DATABASE_PASSWORD", "s3cret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    _, told = run("env", env={"PERIOD": "2026-03", "LANG": "C"})
    printed = {line.removeprefix("INFO ") for line in told.lines if line.startswith("INFO ")}
    assert {"PERIOD=2026-03", "LANG=C"} <= printed
    assert {line.partition("=")[0] for line in printed} <= {*shell.INHERITED, "PERIOD"}
    assert not [line for line in told.lines if "s3cret" in line]


def test_it_runs_in_the_home_or_below(tmp_path: Path) -> None:
    """`cwd` is relative to the home."""
    (tmp_path / "below").mkdir()
    ctx, _ = step_context()
    ctx.home = str(tmp_path)
    assert shell.run(ctx, {"argv": ["pwd", "-P"]})["last_line"] == str(tmp_path.resolve())
    assert shell.run(ctx, {"argv": ["pwd", "-P"], "cwd": "below"})["last_line"] == str(tmp_path.resolve() / "below")


@pytest.mark.parametrize("cwd", ["/etc", "..", "below/../../other", "nowhere"])
def test_it_runs_nowhere_else(tmp_path: Path, cwd: str) -> None:
    """Whatever a parameter puts into `cwd`; a program elsewhere is named in `argv`."""
    (tmp_path / "home" / "below").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    ctx, _ = step_context()
    ctx.home = str(tmp_path / "home")
    with pytest.raises(shell.ProgramError, match=r"lies outside the home|the home has no such folder"):
        shell.run(ctx, {"argv": ["pwd"], "cwd": cwd})


def test_nothing_is_read_from_the_engines_input() -> None:
    """A program that asks gets the end of its input, and does not hang."""
    assert run("cat")[0]["last_line"] == ""


@pytest.mark.parametrize(
    "script",
    [
        "echo begun; exec sleep 60",
        "echo begun; sleep 60; true",
        "sleep 60 & echo begun; wait",
        "echo begun; sleep 60 | cat",
    ],
)
def test_a_cancel_ends_the_program_and_its_children(script: str) -> None:
    """Softly, within half a second, also where a child holds the output open."""
    ctx, told = step_context()
    told.on_line = lambda line: ctx.canceler.cancel("user:ana")
    begun = time.monotonic()
    with pytest.raises(StepCanceled):
        shell.run(ctx, {"argv": ["sh", "-c", script]})
    assert time.monotonic() - begun < 0.5


def test_a_cancel_that_came_before_ends_it_at_once() -> None:
    """Nothing is lost between the request and the program's start."""
    ctx, _ = step_context()
    ctx.canceler.cancel("user:ana")
    with pytest.raises(StepCanceled):
        shell.run(ctx, {"argv": ["sleep", "60"]})


def test_a_program_that_ends_well_all_the_same_keeps_its_end() -> None:
    """What heard the signal and finished its work has succeeded."""
    ctx, told = step_context()
    told.on_line = lambda line: ctx.canceler.cancel("user:ana") if "begun" in line else None
    code = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("begun", flush=True)
signal.pause()
"""
    assert shell.run(ctx, {"argv": [sys.executable, "-c", code]})["exit_code"] == 0
