"""Open connections: one file for each database, so that a worker loads the driver that it uses and no other."""

from __future__ import annotations

import importlib
from typing import Any

from nomaflow.steps.databases.tables import TableDatabase

_CLASSES = {"sqlite": "SqliteDatabase", "duckdb": "DuckDbDatabase", "postgresql": "PostgresqlDatabase"}


def open_database(connector: dict[str, Any]) -> TableDatabase:
    """Open what the engine describes: `backend`, `host`, `port`, `username`, `password`, `database`, `query`.

    Raises:
        OpenError: the database does not answer, or refuses.
    """
    backend = connector["backend"]
    module = importlib.import_module(f"nomaflow.steps.databases.{backend}")
    database: TableDatabase = getattr(module, _CLASSES[backend])(connector)
    return database
