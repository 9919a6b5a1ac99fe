"""The store's file: made, opened, and what it is opened with.

The engine never opens the file by other means than DuckDB: closing any descriptor of it would drop DuckDB's lock.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

SCHEMA_VERSION = 1
_CONFIG: dict[str, Any] = {"threads": 1, "memory_limit": "1GB", "enable_external_access": False}


class StoreError(Exception):
    """The file cannot be used; the message says why and what to do."""


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """The store at a path, made if there is none.

    Raises:
        StoreError: it cannot be opened.
    """
    if not path.exists():
        _create(path)
    try:
        db = duckdb.connect(str(path), config=_CONFIG)
    except duckdb.Error as error:
        raise StoreError(f"{path} cannot be opened as the run store: {error}") from None
    db.execute("SET TimeZone = 'UTC'").fetchall()
    return db


def _create(path: Path) -> None:
    """Make an empty store under another name and rename it: a kill in the middle of creating a DuckDB file can leave
    one that never opens again."""
    making = path.with_name(f".{path.name}.new")
    for leftover in (making, making.with_name(making.name + ".wal")):
        leftover.unlink(missing_ok=True)
    schema = resources.files("nomaflow.engine").joinpath("schema.sql").read_text()
    with duckdb.connect(str(making), config=_CONFIG) as db:
        db.execute(schema).fetchall()
        db.execute("INSERT INTO meta VALUES ('schema_version', ?), ('epoch', '0')", [str(SCHEMA_VERSION)]).fetchall()
        db.execute("CHECKPOINT").fetchall()
    os.chmod(making, 0o600)
    os.rename(making, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
