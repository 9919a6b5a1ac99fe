"""Writing changes: many rows a statement, all of a commit or nothing.

Writing goes through appenders, which cost about a millisecond for a hundred rows where a statement costs half a one for
each. DuckDB has no savepoints: a commit that fails is rolled back whole, and the appenders are cleared, or they would
write their rows at the next flush.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nomaflow.engine.change import Change, KeyRow, Row, SessionRow
from nomaflow.engine.rows import RUN_CHANGES, naive
from nomaflow.engine.store.connection import Connection
from nomaflow.seams import run_number


class Writing:
    """The appenders of an open store."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        db = connection.db
        self._appenders = {
            "run": db.appender("run"),
            "run changes": db.appender("run", columns=RUN_CHANGES, action="update", key=["id"]),
            "step_run": db.appender("step_run"),
            "event": db.appender("event"),
            "log_line": db.appender("log_line"),
            "idempotency": db.appender("idempotency"),
            "session": db.appender("session"),
        }

    def close(self) -> None:
        """Let the appenders go; needed before the connection is closed."""
        self._appenders.clear()

    def commit(self, changes: Sequence[Change], log_rows: Sequence[Row], *, epoch: int, seq: int) -> int:
        """Write all of it in one transaction; events are numbered after `seq`, in the order given.

        Returns the number of the last event.

        Raises:
            duckdb.Error: nothing was written.
        """
        db = self._connection.db
        events = []
        for change in changes:
            for event in change.events:
                seq += 1
                events.append(
                    (
                        seq,
                        epoch,
                        naive(event.happened_at),
                        event.kind,
                        event.job_id,
                        run_number(event.run_id) if event.run_id else None,
                        event.step,
                        event.state,
                        event.who,
                        event.reason,
                    )
                )
        # A run that changes twice in one commit is updated once, to what it is last.
        updates = {row[0]: row for change in changes for row in change.updated}
        db.begin()
        try:
            self._append("run", [row for change in changes for row in change.inserted])
            self._append("run changes", updates.values())
            self._append("step_run", [row for change in changes for row in change.steps])
            self._append("event", events)
            self._append("log_line", log_rows)
            self._append("idempotency", [_key_row(key) for change in changes for key in change.keys])
            self._append("session", [_session_row(session) for change in changes for session in change.sessions])
            for token_hash in [token_hash for change in changes for token_hash in change.revoked]:
                db.execute("DELETE FROM session WHERE token_hash = ?", [token_hash]).fetchall()
            db.commit()
        except BaseException:
            for appender in self._appenders.values():
                appender.clear()
            db.rollback()
            raise
        return seq

    def _append(self, table: str, rows: Iterable[Row]) -> None:
        if rows := list(rows):
            self._appenders[table].append_rows(rows)
            self._appenders[table].flush()


def _key_row(key: KeyRow) -> Row:
    return key.account, key.route, key.key, key.body_hash, run_number(key.run_id), naive(key.created_at)


def _session_row(session: SessionRow) -> Row:
    return (
        session.token_hash,
        session.account,
        session.surface,
        session.credential,
        naive(session.created_at),
        naive(session.expires_at),
    )
