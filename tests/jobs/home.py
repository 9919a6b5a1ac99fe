"""Runs single steps of the sample's jobs, on real databases."""

from __future__ import annotations

import asyncio
import logging
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from nomaflow.definitions.job import Job
from nomaflow.definitions.steps.python import Python
from nomaflow.steps import python
from nomaflow.steps.databases import open_database
from nomaflow.worker.context import Canceler, Database, Row, StepContext

ROOT = Path(__file__).parents[2]


def read_job(job_id: str) -> Job:
    """A job of the sample."""
    text = (ROOT / "jobs" / f"{job_id}.toml").read_text(encoding="utf-8")
    return Job.model_validate({**tomllib.loads(text), "id": job_id})


class StepsAtHome:
    """The python steps of one job, with a database file for each connector."""

    def __init__(self, job_id: str, files: Mapping[str, Path]) -> None:
        self.job = read_job(job_id)
        self._files = files

    def open(self, connector: str) -> Database:
        """A new connection; a file that ends in .duckdb is one of DuckDB, any other one of SQLite."""
        file = self._files[connector]
        backend = "duckdb" if file.suffix == ".duckdb" else "sqlite"
        return open_database({"name": connector, "backend": backend, "database": str(file)})

    def fetch(self, connector: str, sql: str) -> list[Row]:
        """All rows of a query, on a connection of its own."""
        with closing(self.open(connector)) as database:
            return database.fetch(sql)

    def run(
        self,
        step: str,
        *,
        on_progress: Callable[[StepContext], None] = lambda ctx: None,
        **changed: Any,
    ) -> dict[str, Any]:
        """Run one step with its saved values, except those that are changed; its output.

        `on_progress` is called whenever the step tells how far it is.
        """
        definition = self.job.step(step)
        assert isinstance(definition, Python)
        declared = self.job.params | definition.op_kwargs
        options = {
            "callable": definition.callable,
            "import_root": str(ROOT / "jobs"),
            "types": {name: param.type for name, param in declared.items()},
        }
        kwargs = {name: param.default for name, param in declared.items()} | changed
        with self._context(step, kwargs, on_progress) as ctx:
            return python.run(ctx, options) or {}

    @contextmanager
    def _context(
        self, step: str, params: dict[str, Any], on_progress: Callable[[StepContext], None]
    ) -> Iterator[StepContext]:
        async def in_thread(call: Callable[[], Any]) -> Any:
            return await asyncio.to_thread(call)

        ctx = StepContext(
            run_id="run_1",
            job_id=self.job.id,
            step_name=step,
            attempt=1,
            log_level="INFO",
            session_user="user:ana",
            params=params,
            log=logging.getLogger("nomaflow.step"),
            canceler=Canceler(),
            emit_progress=lambda progress: on_progress(ctx),
            open_connector=self.open,
            in_thread=in_thread,
        )
        try:
            yield ctx
        finally:
            ctx.close()
