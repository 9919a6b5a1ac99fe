"""A store whose commits break, at a chosen one and a chosen moment."""

from __future__ import annotations

from typing import Any, Literal

import duckdb

from nomaflow.engine.store import Store

Moment = Literal["before", "after"]


class BreakingConnection:
    """DuckDB's connection, but commits fail as they do when an fsync fails: before or after all was written.

    What it was before it broke cannot be used any more, as with DuckDB's own.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, moment: Moment, healthy_commits: int) -> None:
        self._db, self._moment, self._healthy_commits = db, moment, healthy_commits
        self._is_broken = False

    def begin(self) -> None:
        if self._is_broken:
            raise duckdb.FatalException("FATAL Error: database has been invalidated because of a previous fatal error")
        self._db.begin()

    def commit(self) -> None:
        if self._healthy_commits > 0:
            self._healthy_commits -= 1
            self._db.commit()
            return
        self._is_broken = True
        if self._moment == "after":
            self._db.commit()
        raise duckdb.FatalException("FATAL Error: fsync failed!\nand more")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def break_commits(store: Store, moment: Moment, healthy_commits: int = 0) -> None:
    """Let commits break after so many that do not; the store is well again when it was opened anew."""
    connection = store._connection
    connection.db = BreakingConnection(connection.db, moment, healthy_commits)  # type: ignore[assignment]
