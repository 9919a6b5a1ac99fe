"""For tests of your own steps: a context without an engine around it.

from nomaflow.testing import build_fake_ctx

def test_old_rows_go():
    with build_fake_ctx(params={"days": 30}, connectors=["orders"]) as ctx:
        orders = ctx.get_connector("orders").sync
        orders.execute("create table orders (day text)")
        assert ctx.call(remove_old_rows) == {"rows_affected": 0}
        assert ctx.line("▶") == "INFO ▶ 0 rows removed"
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from nomaflow.definitions import database_url
from nomaflow.steps import python
from nomaflow.steps.databases import open_database
from nomaflow.worker.connector import in_thread
from nomaflow.worker.context import Canceler, ConnectorError, Database, PreviousStep, StepCanceled, StepContext

__all__ = ["FakeContext", "PreviousStep", "StepCanceled", "build_fake_ctx"]

MEMORY = "sqlite://"

_numbers = itertools.count(1)


class _Canceler(Canceler):
    """A cancel that waits until the code looks: there is no worker that could interrupt it."""

    def _interrupt(self) -> None:
        """Nothing: the signal for it would end the tests."""


@dataclass
class FakeContext(StepContext):
    """A `StepContext` that keeps what a step tells.

    `lines` are its log as `LEVEL text`, `reports` what it gave to `progress`. `on_line` and `on_progress` are called
    with each of them; a test of a cancel asks for one there: `ctx.on_progress = lambda report: ctx.cancel()`.
    """

    lines: list[str] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    on_line: Callable[[str], object] = field(default=lambda line: None, repr=False)
    on_progress: Callable[[dict[str, Any]], object] = field(default=lambda report: None, repr=False)

    def call(self, function: Callable[..., Any], *, flavour: str = "asyncio", **changed: Any) -> dict[str, Any] | None:
        """Call a function as its step does: with the context and the params, on its loop if it is async.

        Args:
            function: what the step's `callable` names.
            flavour: `asyncio` or `trio`.
            changed: values for this call alone, as from `op_kwargs`.

        Returns:
            The step's output, as later steps get it.

        Raises:
            TypeError: the function does not take what it is given, or gave back what is no output.
            StepCanceled: it ended because of `cancel`.
        """
        self.params = self.params | changed
        target = f"{function.__module__}:{function.__qualname__}"
        return python.call(function, target, self, self.params, own=frozenset(changed), flavour=flavour)

    def cancel(self, why: str = "canceled by user:test") -> None:
        """Ask the step to stop: async code is stopped at its next `await`, any other where it looks, with `checkpoint`,
        `is_cancelled` or a statement of a connector."""
        self.canceler.cancel(why)

    def line(self, begin: str) -> str:
        """The first line of the log whose text begins so, with its level.

        Raises:
            LookupError: there is none; the message has those that there are.
        """
        found = next((line for line in self.lines if line.partition(" ")[2].startswith(begin)), None)
        if found is None:
            raise LookupError(f"no line begins with {begin!r}: {self.lines}")
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def build_fake_ctx(
    *,
    params: Mapping[str, Any] | None = None,
    connectors: Mapping[str, str | None] | Iterable[str] = (),
    outputs: Mapping[str, Mapping[str, Any] | PreviousStep] | None = None,
    log_level: str = "INFO",
    session_user: str = "user:test",
    run_id: str = "run_0000000000001",
    job_id: str = "job",
    step_name: str = "step",
    attempt: int = 1,
    home: str = ".",
) -> FakeContext:
    """A context for one call of a step's function; close it, or use it in a `with`.

    Args:
        params: the merged values that the step would get.
        connectors: the names of those that there are, each an empty SQLite database in memory, or an address for each,
            such as `duckdb:////tmp/x.duckdb`; None is a database in memory.
        outputs: what earlier steps gave, by their names. They have SUCCEEDED, unless a `PreviousStep` says otherwise.
        log_level: of `DEBUG` and `INFO`.
        session_user: who started the run.
        run_id, job_id, step_name, attempt, home: as the context shows them.
    """
    urls = dict(connectors) if isinstance(connectors, Mapping) else dict.fromkeys(connectors)

    def open_one(name: str) -> Database:
        if name not in urls:
            known = f"it was given {', '.join(urls)}" if urls else "it was given none"
            raise ConnectorError(f"build_fake_ctx has no connector {name!r}; {known}")
        return open_database(_described(name, urls[name] or MEMORY))

    ctx = FakeContext(
        run_id=run_id,
        job_id=job_id,
        step_name=step_name,
        attempt=attempt,
        log_level=log_level,
        session_user=session_user,
        params=dict(params or {}),
        log=logging.Logger(f"nomaflow.testing.{next(_numbers)}", log_level),  # noqa: LOG001  # nobody else has it
        canceler=_Canceler(),
        emit_progress=lambda report: _keep(report, ctx.reports, ctx.on_progress),
        open_connector=open_one,
        in_thread=in_thread,
        outputs={
            name: given if isinstance(given, PreviousStep) else PreviousStep(dict(given), "SUCCEEDED")
            for name, given in (outputs or {}).items()
        },
        home=home,
    )
    ctx.log.addHandler(_Lines(ctx))
    return ctx


class _Lines(logging.Handler):
    def __init__(self, ctx: FakeContext) -> None:
        super().__init__()
        self._ctx = ctx

    def emit(self, record: logging.LogRecord) -> None:
        for text in self.format(record).split("\n"):
            _keep(f"{record.levelname} {text}", self._ctx.lines, self._ctx.on_line)


def _keep[T](told: T, kept: list[T], listener: Callable[[T], object]) -> None:
    kept.append(told)
    listener(told)


def _described(name: str, url: str) -> dict[str, Any]:
    """A database's address as the engine describes it to a worker."""
    parsed = database_url.parse(url)
    return {"name": name, "kind": "sql", **vars(parsed)}
