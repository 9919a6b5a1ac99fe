"""The command line as a program: on a terminal, interrupted, in a pipe, and how much it loads."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nomaflow.client import Client
from nomaflow.wire import Progress, RunState
from tests.client.home import Running, running
from tests.fakes.scripts import hang, ok


@dataclass
class OnTerminal:
    """A command that believes that a person watches."""

    process: subprocess.Popen[bytes]
    terminal: int
    seen: str = ""

    def read_until(self, text: str) -> str:
        """Everything up to a text."""
        while text not in self.seen:
            self._read()
        return self.seen

    def end(self) -> int:
        """Everything that is left; the exit code."""
        try:
            while True:
                self._read()
        except OSError:  # how Linux says that the other side has closed the terminal
            return self.process.wait()

    def _read(self) -> None:
        self.seen += os.read(self.terminal, 65_536).decode(errors="replace")


@contextmanager
def on_terminal(served: Running, *arguments: str) -> Iterator[OnTerminal]:
    """Run a command on a terminal of its own."""
    terminal, inner = pty.openpty()
    environment = {
        **os.environ,
        "NOMAFLOW_URL": served.url,
        "NOMAFLOW_TOKEN": served.token,
        "TERM": "xterm",
        "COLUMNS": "80",
        "LINES": "24",
    }
    command = [sys.executable, "-m", "nomaflow", *arguments]
    process = subprocess.Popen(
        command, stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True
    )
    os.close(inner)
    try:
        yield OnTerminal(process, terminal)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_a_run_is_watched_with_the_step_that_runs(tmp_path: Path) -> None:
    """Below the log stands which step of how many runs and how far it is; at the end the result."""
    progress = Progress(done=1200, total=4800)
    home = running(tmp_path / "home", load=hang("working", progress=progress))
    with home as served, on_terminal(served, "run", "load", "-f") as watched:
        watched.read_until("step 2/2 load")
        watched.read_until("1,200 / 4,800 rows")
        assert "working" in watched.seen
        with Client(served.url, served.token) as client:
            run = next(client.runs(job="load"))
        served.call(served.fake.release, run.id, "load")
        assert watched.end() == 0
        assert f"{run.id} of load SUCCEEDED" in watched.seen


def test_ctrl_c_stops_the_looking_and_not_the_run(tmp_path: Path) -> None:
    """It says how to stop the run, and ends as an interrupted command does."""
    with running(tmp_path / "home", load=hang("working")) as served:
        with on_terminal(served, "run", "load", "-f") as watched:
            watched.read_until("working")
            watched.process.send_signal(signal.SIGINT)
            assert watched.end() == 130
            assert "The run goes on; `nomaflow cancel run_" in watched.seen
            assert "Traceback" not in watched.seen
        with Client(served.url, served.token) as client:
            assert next(client.runs(job="load")).state is RunState.RUNNING


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """As `head` does."""
    with running(tmp_path / "home", hello=ok(*(f"line {n} {'x' * 100}" for n in range(3000)))) as served:
        with Client(served.url, served.token) as client:
            client.launch("hello")
        environment = {**os.environ, "NOMAFLOW_URL": served.url, "NOMAFLOW_TOKEN": served.token}
        process = subprocess.Popen(
            [sys.executable, "-m", "nomaflow", "logs", "hello"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait() == 1


def test_the_program_loads_little_before_it_knows_what_to_do() -> None:
    """Help and typing errors need no HTTP client, no loop, no database and no records."""
    script = "import nomaflow.cli, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"httpx", "trio", "duckdb", "fastapi", "sqlalchemy", "pydantic", "anyio"}
