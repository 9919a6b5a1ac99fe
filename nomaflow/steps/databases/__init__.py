"""Open connections: one file for each database, so that a worker loads the driver that it uses and no other."""

from __future__ import annotations

import importlib
from typing import Any

from nomaflow.steps.databases.errors import DriverMissingError
from nomaflow.steps.databases.tables import TableDatabase

_CLASSES = {
    "sqlite": ("sqlite", "SqliteDatabase"),
    "duckdb": ("duckdb", "DuckDbDatabase"),
    "postgresql": ("postgresql", "PostgresqlDatabase"),
    "mysql": ("mysql", "MysqlDatabase"),
    "mariadb": ("mysql", "MysqlDatabase"),
    "oracle": ("oracle", "OracleDatabase"),
    "mssql": ("mssql", "MssqlDatabase"),
}
"""The module and the class of each database."""

_EXTRAS = {"mysql": "mysql", "mariadb": "mysql", "oracle": "oracle", "mssql": "mssql"}
"""The optional dependencies of this package that bring the driver."""


def open_database(connector: dict[str, Any]) -> TableDatabase:
    """Open what the engine describes: `backend`, `host`, `port`, `username`, `password`, `database`, `query`.

    Raises:
        DriverMissingError: the database's driver is not installed.
        OpenError: the database does not answer, or refuses.
    """
    backend = connector["backend"]
    name, class_name = _CLASSES[backend]
    try:
        module = importlib.import_module(f"nomaflow.steps.databases.{name}")
    except ImportError as error:
        if backend not in _EXTRAS:
            raise
        raise DriverMissingError(connector["name"], _EXTRAS[backend], error) from error
    database: TableDatabase = getattr(module, class_name)(connector)
    return database
