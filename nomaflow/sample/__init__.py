"""The sample home's source databases, made when they are missing, and its web API (`sample.tracker`).

The connectors `flights-source` and `jde` name two SQLite files; nothing else of the home is touched. The tables are the
same on every machine: the flights come from a package, the JDE-shaped ones from a seeded generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nomaflow.definitions import database_url
from nomaflow.definitions.connector import SqlConnector
from nomaflow.sample import flights, jde
from nomaflow.sample.database import Table, write_database

if TYPE_CHECKING:
    from nomaflow.definitions.settings import Settings

# The flights last: they may be missing, and the JDE jobs do not need them.
_SOURCES: dict[str, Callable[[], Iterable[Table]]] = {"jde": jde.tables, "flights-source": flights.tables}


def make_databases(home: Path, settings: Settings) -> list[Path]:
    """Make the missing source databases of the sample jobs; the files that were made.

    Nothing is made unless `[sample] enabled = true`. A database that exists is left as it is, and so is a connector
    that is gone from the settings or names anything but a SQLite file.

    Raises:
        NotReadyError: the package that holds the flights is not installed.
        OSError: the folder cannot be written.
    """
    if not settings.sample.enabled:
        return []
    made = []
    for name, tables in _SOURCES.items():
        path = _sqlite_file(home, settings, name)
        if path is not None and not path.exists():
            write_database(path, tables())
            made.append(path)
    return made


def _sqlite_file(home: Path, settings: Settings, name: str) -> Path | None:
    connector = settings.connectors.get(name)
    if not isinstance(connector, SqlConnector) or connector.backend != "sqlite":
        return None
    file = database_url.parse(connector.url).file
    return home / file if file else None
