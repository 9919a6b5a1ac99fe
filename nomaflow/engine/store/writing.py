"""Writing changes: many rows a statement, all of a commit or nothing.

Writing goes through appenders, which cost about a millisecond for a hundred rows where a statement costs half a one for
each. DuckDB has no savepoints: a commit that fails is rolled back whole, and the appenders are cleared, or they would
write their rows at the next flush.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from nomaflow.engine.change import (
    Change,
    DefinitionRow,
    KeyRow,
    PauseRow,
    Row,
    ScheduleRow,
    SessionRow,
    SkipRow,
)
from nomaflow.engine.rows import RUN_CHANGES, RUN_COLUMNS, naive, slot_row, wait_row
from nomaflow.engine.store.connection import Connection
from nomaflow.seams import run_number

_TABLES = (
    "run",
    "step_run",
    "retry_wait",
    "slot",
    "schedule",
    "skip",
    "pause",
    "definition",
    "event",
    "log_line",
    "idempotency",
    "session",
)


_COUNT = "UPDATE meta SET value = ? WHERE name = 'commits'"


@dataclass(frozen=True)
class Proof:
    """By what a commit is known again: its last event, its last log line, or a count that it writes where it has
    neither."""

    event: int | None = None
    line: tuple[int, int] | None = None
    commits: int | None = None

    @classmethod
    def of(cls, changes: Sequence[Change], log_rows: Sequence[Row], *, seq: int, commits: int) -> Proof:
        """The proof of a commit after event `seq`; `commits` is the next count."""
        if events := sum(len(change.events) for change in changes):
            return cls(event=seq + events)
        return cls(line=log_rows[-1][:2]) if log_rows else cls(commits=commits)

    def is_in(self, connection: Connection) -> bool:
        """Whether the commit was written."""
        values: list[Any]
        if self.event is not None:
            sql, values = "SELECT 1 FROM event WHERE seq = ?", [self.event]
        elif self.line is not None:
            sql, values = "SELECT 1 FROM log_line WHERE run_id = ? AND seq = ?", list(self.line)
        else:
            sql, values = "SELECT 1 FROM meta WHERE name = 'commits' AND value = ?", [str(self.commits)]
        return bool(connection.all(sql, values))


def begin(db: duckdb.DuckDBPyConnection, epoch: int) -> int:
    """Say in the store which epoch it is; the count of its last commit that had neither event nor line."""
    db.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", [str(epoch)]).fetchall()
    found = db.execute("SELECT value FROM meta WHERE name = 'commits'").fetchall()
    if not found:
        db.execute("INSERT INTO meta VALUES ('commits', '0')").fetchall()
    return int(found[0][0]) if found else 0


_CHANGED = [RUN_COLUMNS.index(name) for name in RUN_CHANGES]
"""Where in the row of a run is what changes of it."""


class Writing:
    """The appenders of an open store."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self._appenders = {
            **{table: db.appender(table) for table in _TABLES},
            "run changes": db.appender("run", columns=RUN_CHANGES, action="update", key=["id"]),
            "cursors": db.appender("schedule", columns=["number", "rule", "cursor"], action="update", key=["number"]),
        }
        self._newest_run: int = db.execute("SELECT coalesce(max(id), 0) FROM run").fetchall()[0][0]

    def close(self) -> None:
        """Let the appenders go; needed before the connection is closed."""
        self._appenders.clear()

    def write(
        self,
        db: duckdb.DuckDBPyConnection,
        changes: Sequence[Change],
        log_rows: Sequence[Row],
        *,
        epoch: int,
        seq: int,
        proof: Proof,
    ) -> None:
        """Write all of it within a transaction that was begun; events are numbered after `seq`, in the order given."""
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
        cursors = {
            row.number: (row.number, row.rule, naive(row.cursor)) for change in changes for row in change.cursors
        }
        try:
            if proof.commits is not None:
                db.execute(_COUNT, [str(proof.commits)]).fetchall()
            for sql, values in (deletion for change in changes for deletion in _deletions(change)):
                db.execute(sql, values).fetchall()
            # One that is made and begins in the same commit is written once; an update costs as much as an insert.
            inserted = [row for change in changes for row in change.inserted]
            self._look_for_twins(db, [row[0] for row in inserted])
            self._append("run", [_updated(row, updates.pop(row[0], ())) for row in inserted])
            self._append("run changes", updates.values())
            self._append("step_run", [row for change in changes for row in change.steps])
            self._append("retry_wait", [wait_row(wait) for change in changes for wait in change.waits])
            self._append("slot", [slot_row(slot, epoch) for change in changes for slot in change.slots])
            self._append("schedule", [_schedule_row(row) for change in changes for row in change.schedules])
            self._append("cursors", cursors.values())
            self._append("skip", [_skip_row(row) for change in changes for row in change.skips])
            self._append("pause", [_pause_row(row) for change in changes for row in change.pauses])
            self._append("definition", [_definition_row(row) for change in changes for row in change.definitions])
            self._append("event", events)
            self._append("log_line", log_rows)
            self._append("idempotency", [_key_row(key) for change in changes for key in change.keys])
            self._append("session", [_session_row(session) for change in changes for session in change.sessions])
        except BaseException:
            for appender in self._appenders.values():
                appender.clear()
            raise

    def _look_for_twins(self, db: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> None:
        """Refuse a second run of a number, as a key of the table would; numbers grow, so the table is seldom asked."""
        if not numbers:
            return
        is_twin = len(set(numbers)) < len(numbers)
        if min(numbers) <= self._newest_run and not is_twin:
            is_twin = bool(db.execute("SELECT 1 FROM run WHERE list_contains(?, id)", [numbers]).fetchall())
        if is_twin:
            raise duckdb.ConstraintException("a run of the same number is on record already")
        self._newest_run = max(self._newest_run, *numbers)

    def _append(self, table: str, rows: Iterable[Row]) -> None:
        if rows := list(rows):
            self._appenders[table].append_rows(rows)
            self._appenders[table].flush()


def _updated(run: Row, update: Row) -> Row:
    """The row of a new run with what changes of it, if anything does."""
    if not update:
        return run
    changes = dict(zip(_CHANGED, update, strict=True))
    return tuple(changes.get(place, value) for place, value in enumerate(run))


def _deletions(change: Change) -> Iterator[tuple[str, list[Any]]]:
    """What a change deletes; what it adds is added afterwards."""
    for token_hash in change.revoked:
        yield "DELETE FROM session WHERE token_hash = ?", [token_hash]
    for number in change.gone_schedules:
        yield "DELETE FROM schedule WHERE number = ?", [number]
    for skip in change.used_skips:
        values = [skip.job_id, skip.schedule, naive(skip.scheduled_at)]
        yield "DELETE FROM skip WHERE job_id = ? AND schedule = ? AND scheduled_at = ?", values
    for job_id in {*change.gone_pauses, *(pause.job_id for pause in change.pauses)}:
        yield "DELETE FROM pause WHERE job_id = ?", [job_id]


def _schedule_row(row: ScheduleRow) -> Row:
    return row.number, row.job_id, row.name, row.rule, naive(row.cursor)


def _skip_row(row: SkipRow) -> Row:
    return row.job_id, row.schedule, naive(row.scheduled_at), row.who, naive(row.created_at)


def _pause_row(row: PauseRow) -> Row:
    return row.job_id, row.reason, row.who, naive(row.until_at), naive(row.paused_at)


def _definition_row(row: DefinitionRow) -> Row:
    return row.job_id, row.etag, row.text, naive(row.seen_at)


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
