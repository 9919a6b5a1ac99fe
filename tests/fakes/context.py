"""A `StepContext` without a worker around it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from nomaflow.steps.databases import open_database
from nomaflow.worker.context import Canceler, Database, StepContext


@dataclass
class Told:
    """What a step said: log records as `LEVEL text`, and its progress."""

    lines: list[str] = field(default_factory=list)
    progress: list[dict[str, Any]] = field(default_factory=list)
    on_line: Callable[[str], object] = lambda line: None
    on_progress: Callable[[dict[str, Any]], object] = lambda progress: None

    def line(self, begin: str) -> str:
        """The first line whose text begins so.

        Raises:
            LookupError: there is none.
        """
        found = [line for line in self.lines if line.partition(" ")[2].startswith(begin)]
        if not found:
            raise LookupError(f"no line begins with {begin!r}: {self.lines}")
        return found[0]

    def add_progress(self, progress: dict[str, Any]) -> None:
        """Keep one report of progress."""
        self.progress.append(progress)
        self.on_progress(progress)


class _Handler(logging.Handler):
    def __init__(self, told: Told) -> None:
        super().__init__()
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{record.levelname} {record.getMessage()}"
        self._told.lines.append(line)
        self._told.on_line(line)


_numbers = itertools.count(1)


def step_context(
    connectors: dict[str, dict[str, Any]] | None = None,
    *,
    params: dict[str, Any] | None = None,
    log_level: str = "INFO",
    open_connector: Callable[[str], Database] | None = None,
) -> tuple[StepContext, Told]:
    """A context whose connectors are those given, as the engine would describe them, and what the step tells it."""
    given = connectors or {}
    told = Told()
    log = logging.getLogger(f"tests.step.{next(_numbers)}")
    log.setLevel(log_level)
    log.addHandler(_Handler(told))
    ctx = StepContext(
        run_id="run_0000000000001",
        job_id="job",
        step_name="step",
        attempt=1,
        log_level=log_level,
        session_user="user:test",
        params=params or {},
        log=log,
        canceler=Canceler(),
        emit_progress=told.add_progress,
        open_connector=open_connector or (lambda name: open_database(given[name])),
        describe_connector=lambda name, kind: given[name],
        in_thread=_in_thread,
    )
    return ctx, told


def file_connector(backend: str, path: object, name: str = "db", **query: str) -> dict[str, Any]:
    """A database file as the engine describes it to a worker."""
    return {
        "name": name,
        "kind": "sql",
        "backend": backend,
        "host": None,
        "port": None,
        "username": None,
        "password": None,
        "database": None if path is None else str(path),
        "query": query,
    }


def _in_thread(call: Callable[..., Any]) -> Awaitable[Any]:
    return asyncio.to_thread(call)
