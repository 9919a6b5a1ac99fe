"""One life of an engine as a process of its own, and plain HTTP to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from nomaflow.worker.process_group import HOME_MARK, WORKER_MARK, mark_of
from tests.faults.evidence import Life
from tests.servers.engine import PROGRAM

READY_SECONDS = 60
STOP_SECONDS = 30
NO_ANSWER = (OSError, http.client.HTTPException)


class NotReadyError(Exception):
    """The engine ended by itself, or did not get ready in time."""


class Answer(NamedTuple):
    """What the engine says."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Engine:
    """A started engine."""

    def __init__(self, home: Path, number: int, how: str) -> None:
        self.life = Life(number, time.time(), how)
        self.url = ""
        self.token = ""
        self._home, self._output = home, home / f"engine.{number}.out"
        self._local = threading.local()
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*PROGRAM, "serve", "--home", str(home), "--api-port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Return when it takes requests and runs jobs.

        Raises:
            NotReadyError: it does not.
        """
        ends = time.monotonic() + READY_SECONDS
        while time.monotonic() < ends and self.process.poll() is None:
            if not self.url:
                self.url = self._printed_url()
            elif self._is_green():
                self.life.ready_at = time.time()
                self.token = (self._home / ".nomaflow" / "admin.token").read_text().strip()
                return
            time.sleep(0.005)
        raise NotReadyError(f"engine {self.life.number} did not get ready: {self.output()[-2000:]}")

    def kill(self) -> None:
        """End it at once; its workers are left to themselves."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.life.ended_at = time.time()

    def stop(self) -> int:
        """End it as an operator does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL
        finally:
            self.life.ended_at = time.time()

    def output(self) -> str:
        """What it printed so far."""
        return self._output.read_text(errors="replace")

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One call over this thread's own connection.

        Raises:
            OSError, http.client.HTTPException: no answer came.
        """
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(headers or {})}
        try:
            connection.request(method, f"/api/v1{path}", json.dumps(body) if body is not None else None, sent)
            response = connection.getresponse()
            text = response.read()
        except NO_ANSWER:
            connection.close()
            raise
        return Answer(response.status, dict(response.headers), json.loads(text) if text else None)

    def close(self) -> None:
        """Let this thread's connection go."""
        if (connection := getattr(self._local, "connection", None)) is not None:
            connection.close()

    def get(self, path: str) -> Any:
        """The JSON of an answer that must be one."""
        answer = self.request("GET", path)
        assert answer.status == 200, f"GET {path}: {answer.status} {answer.body}"
        return answer.body

    def pages(self, path: str) -> Iterator[Any]:
        """All items of a list, page by page."""
        cursor = ""
        while True:
            page = self.get(path + cursor)
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            cursor = "&cursor=" + page["next_cursor"].replace(" ", "%20")

    def events(self, after: str | None) -> Iterator[bytes]:
        """The lines of the event stream behind a cursor, until the engine ends."""
        connection = self._connect()
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Last-Event-ID": after} if after else {})
        try:
            connection.request("GET", "/api/v1/events", headers=headers)
            yield from iter(connection.getresponse().readline, b"")
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        address = urlsplit(self.url)
        return http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=30)

    def _printed_url(self) -> str:
        words = self.output().split()
        return next((word for word in words if word.startswith("http://127.0.0.1:")), "")

    def _is_green(self) -> bool:
        connection = self._connect()
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except NO_ANSWER:
            return False
        finally:
            connection.close()


def workers_of(home: Path) -> dict[int, int]:
    """The living processes that carry the mark of the home's workers, each with the process of its engine."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            environment = dict(
                pair.split("=", 1) for pair in (entry / "environ").read_text().split("\0") if "=" in pair
            )
            if environment.get(HOME_MARK) == mark_of(home):
                found[int(entry.name)] = int(environment[WORKER_MARK].split(".")[1])
    return found
