"""A real engine as a child process on a temporary home, and the plainest HTTP to talk to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROGRAM = [sys.executable, "-m", "nomaflow"]
READY_SECONDS = 60
STOP_SECONDS = 20


class ChildFailedError(Exception):
    """The engine ended or said nothing; the message holds its last output."""


class BusyError(ChildFailedError):
    """A run of the job is in flight."""


class Child:
    """A started `nomaflow` command. `start_seconds` is the time from its start to a green `/readyz`."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []
        self._log = home / "engine.out"
        began = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*PROGRAM, *arguments, "--home", str(home), "--api-port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        try:
            self.url = self._wait_for(self._printed_url)
            self._wait_for(lambda: self._get_ready() or None)
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.monotonic() - began
        self.token = (home / ".nomaflow" / "admin.token").read_text().strip()

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One call, over this thread's own connection; the answer's JSON.

        Raises:
            ChildFailedError: the answer is an error.
        """
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            self._connections.append(connection)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, f"/api/v1{path}", json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read()
        if response.status >= 400:
            refused = BusyError if b'"job_busy"' in text else ChildFailedError
            raise refused(f"{method} {path}: {response.status} {text[:500]!r}")
        return json.loads(text) if text else None

    @contextmanager
    def events(self) -> Iterator[Iterator[bytes]]:
        """The lines of the event stream from now on; open when the block begins."""
        connection = self._connect()
        try:
            connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {self.token}"})
            yield iter(connection.getresponse().readline, b"")
        finally:
            connection.close()

    def stop(self) -> None:
        """End it as Ctrl-C does, and its whole process group if that does not help."""
        for connection in self._connections:
            connection.close()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _connect(self) -> http.client.HTTPConnection:
        address = urlsplit(self.url)
        return http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=60)

    def _printed_url(self) -> str | None:
        for word in self._log.read_text(errors="replace").split():
            if word.startswith("http://127.0.0.1:"):
                return word.rstrip("/.,")
        return None

    def _get_ready(self) -> bool:
        connection = self._connect()
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _wait_for[T](self, look: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if (found := look()) is not None:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        raise ChildFailedError(f"the engine did not get ready:\n{self._log.read_text(errors='replace')[-2000:]}")


@contextmanager
def engine(home: Path, command: str = "serve") -> Iterator[Child]:
    """The command on a home, until the block ends."""
    child = Child(home, command)
    try:
        yield child
    finally:
        child.stop()


@contextmanager
def engine_on(files: Mapping[str, str]) -> Iterator[Child]:
    """An engine on a new home with these files; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="nomaflow-engine-") as folder:
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        with engine(Path(folder)) as child:
            yield child
