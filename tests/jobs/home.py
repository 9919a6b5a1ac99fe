"""Runs single steps of the sample's jobs, on real databases."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from nomaflow.definitions.job import Job
from nomaflow.definitions.steps.python import Python
from nomaflow.steps import python
from nomaflow.steps.databases import open_database
from nomaflow.testing import FakeContext, build_fake_ctx
from nomaflow.worker.context import Database, Row

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
        self.lines: list[str] = []

    def open(self, connector: str) -> Database:
        """A new connection."""
        file = self._files[connector]
        return open_database({"name": connector, "backend": _backend(file), "database": str(file)})

    def fetch(self, connector: str, sql: str) -> list[Row]:
        """All rows of a query, on a connection of its own."""
        with closing(self.open(connector)) as database:
            return database.fetch(sql)

    def run(
        self,
        step: str,
        *,
        on_progress: Callable[[FakeContext], None] = lambda ctx: None,
        outputs: Mapping[str, Mapping[str, Any]] | None = None,
        **changed: Any,
    ) -> dict[str, Any]:
        """Run one step with its saved values, except those that are changed; its output.

        `on_progress` is called whenever the step tells how far it is; `outputs` are those of earlier steps. What the
        step logged is then in `lines`.
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
        urls = {name: f"{_backend(file)}:///{file}" for name, file in self._files.items()}
        with build_fake_ctx(params=kwargs, connectors=urls, job_id=self.job.id, step_name=step, outputs=outputs) as ctx:
            ctx.on_progress = lambda report: on_progress(ctx)
            self.lines = ctx.lines
            return python.run(ctx, options) or {}


def _backend(file: Path) -> str:
    """A file that ends in .duckdb is one of DuckDB, any other one of SQLite."""
    return "duckdb" if file.suffix == ".duckdb" else "sqlite"
