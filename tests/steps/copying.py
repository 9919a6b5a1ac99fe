"""What the tests of `sql_copy` share: databases by a short name, and one call of the step."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nomaflow.steps import sql_copy
from nomaflow.steps.databases import open_database
from nomaflow.worker.context import Row
from tests.fakes.context import Told, file_connector, step_context
from tests.servers.postgresql import Server


@dataclass
class Bench:
    """Connectors of one test: files are made at their first use."""

    folder: Path
    connectors: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, backend: str, server: Server | None = None) -> str:
        """A database of its own under that name."""
        path = self.folder / f"{name}.{backend}"
        self.connectors[name] = server.connector(name) if server is not None else file_connector(backend, path, name)
        return name

    def sql(self, name: str, *statements: str) -> list[Row]:
        """Run and commit statements; the rows of the last one."""
        rows: list[Row] = []
        with closing(open_database(self.connectors[name])) as database:
            for statement in statements:
                rows = database.fetch(statement)
            database.commit()
        return rows

    def copy(
        self, source: str, target: str, mode: str = "overwrite", *, told: Told | None = None, **options: Any
    ) -> dict[str, Any]:
        """Copy `connector.table` to `connector.table`; what the step says is added to `told`."""
        ctx, heard = step_context(self.connectors)
        if told is not None:
            heard.lines, heard.progress = told.lines, told.progress
            heard.on_line, heard.on_progress = told.on_line, told.on_progress
        ends = {end: _end(place) for end, place in (("source", source), ("target", target))}
        for name in ("where", "query", "params"):
            if name in options:
                ends["source"][name] = options.pop(name)
        self.ctx = ctx
        output: dict[str, Any] = sql_copy.run(ctx, {"mode": mode, "key": [], "batch_size": 10_000, **ends, **options})
        return output


def _end(place: str) -> dict[str, Any]:
    connector, *schema, table = place.split(".")
    return {"connector": connector, "schema": schema[0] if schema else None, "table": table}
