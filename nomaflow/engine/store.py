"""The run store: every SQL statement of ours, synchronous.

One connection writes, from one thread at a time; readers take cursors of it. Writing goes through appenders, which cost
about a millisecond for a hundred rows where a statement costs half a one for each. DuckDB has no savepoints: a commit
that fails is rolled back whole, and the appenders are cleared, or they would write their rows at the next flush.

The engine never opens the file by other means than DuckDB: closing any descriptor of it would drop DuckDB's lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from nomaflow.engine.change import Change, KeyRow, Row, SessionRow
from nomaflow.engine.rows import RUN_CHANGES, RUN_COLUMNS, STEP_COLUMNS, aware, naive
from nomaflow.seams import run_id_of, run_number

SCHEMA_VERSION = 2
_CONFIG: dict[str, Any] = {"threads": 1, "memory_limit": "1GB", "enable_external_access": False}

_RUNS = f"SELECT {', '.join(RUN_COLUMNS)} FROM run"
_LINE = "seq, ts, level, step, attempt, stream, text"


class StoreError(Exception):
    """The file cannot be used; the message says why and what to do."""


class Store:
    """An open store. `epoch` is one more than at the last start; `seq` is the newest event's number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = _connect(path)
        self._idle_cursors: list[duckdb.DuckDBPyConnection] = []
        self._check_version()
        self.epoch = self._next_epoch()
        self.seq: int = self._one("SELECT coalesce(max(seq), 0) FROM event")[0]
        self._appenders = {
            "run": self._db.appender("run"),
            "run changes": self._db.appender("run", columns=RUN_CHANGES, action="update", key=["id"]),
            "step_run": self._db.appender("step_run"),
            "event": self._db.appender("event"),
            "log_line": self._db.appender("log_line"),
            "idempotency": self._db.appender("idempotency"),
            "session": self._db.appender("session"),
        }

    def close(self) -> None:
        """Close the file; what was committed is in it."""
        self._appenders.clear()
        while self._idle_cursors:
            self._idle_cursors.pop().close()
        self._db.close()

    def commit(self, changes: Sequence[Change], log_rows: Sequence[Row]) -> None:
        """Write all of it in one transaction; events are numbered in the order given.

        Raises:
            duckdb.Error: nothing was written.
        """
        seq = self.seq
        events = []
        for change in changes:
            for event in change.events:
                seq += 1
                events.append(
                    (
                        seq,
                        self.epoch,
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
        self._db.begin()
        try:
            self._append("run", [row for change in changes for row in change.inserted])
            self._append("run changes", updates.values())
            self._append("step_run", [row for change in changes for row in change.steps])
            self._append("event", events)
            self._append("log_line", log_rows)
            self._append("idempotency", [_key_row(key) for change in changes for key in change.keys])
            self._append("session", [_session_row(session) for change in changes for session in change.sessions])
            for token_hash in [token_hash for change in changes for token_hash in change.revoked]:
                self._db.execute("DELETE FROM session WHERE token_hash = ?", [token_hash]).fetchall()
            self._db.commit()
        except BaseException:
            for appender in self._appenders.values():
                appender.clear()
            self._db.rollback()
            raise
        self.seq = seq

    def probe(self) -> None:
        """Write something that changes nothing, to see whether writing works."""
        self._db.execute("UPDATE meta SET value = value WHERE name = 'epoch'").fetchall()

    def orphans(self) -> list[tuple[Row, list[Row]]]:
        """The runs that an earlier engine left unfinished, each with the rows of its ended steps."""
        runs = self._all(f"{_RUNS} WHERE state IN ('QUEUED', 'RUNNING', 'CANCELING') AND epoch < ?", [self.epoch])
        return [(row, self.steps_of(row[0])) for row in runs]

    def step_starts(self, run_number: int) -> dict[str, tuple[datetime, datetime, int]]:
        """From its events, when each step of a run began: name → (first try, last try, how many)."""
        rows = self._all(
            "SELECT step, min(happened_at), max(happened_at), count(*) FROM event "
            "WHERE run_id = ? AND kind = 'step' AND state = 'RUNNING' AND reason IS NULL GROUP BY step",
            [run_number],
        )
        return {name: (_instant(first), _instant(last), tries) for name, first, last, tries in rows}

    def last_line(self, run_number: int) -> int:
        """The number of a run's last log line; 0 where it has none."""
        number: int = self._one("SELECT coalesce(max(seq), 0) FROM log_line WHERE run_id = ?", [run_number])[0]
        return number

    def switches(self) -> dict[str, tuple[str, str | None, str | None]]:
        """The last time each job was switched on or off here: job → (state, who, reason)."""
        rows = self._all(
            "SELECT job_id, state, who, reason FROM event WHERE kind = 'job' AND state IN ('enabled', 'disabled') "
            "QUALIFY row_number() OVER (PARTITION BY job_id ORDER BY seq DESC) = 1"
        )
        return {job_id: (state, who, reason) for job_id, state, who, reason in rows}

    def recent(self, per_job: int) -> list[Row]:
        """The newest runs of each job, newest first."""
        return self._all(
            f"{_RUNS} QUALIFY row_number() OVER (PARTITION BY job_id ORDER BY id DESC) <= ? ORDER BY id DESC", [per_job]
        )

    def newest_run(self) -> int | None:
        """The greatest run number."""
        number: int | None = self._one("SELECT max(id) FROM run")[0]
        return number

    def keys_since(self, since: datetime) -> list[KeyRow]:
        """The idempotency keys that still count."""
        rows = self._all(
            "SELECT account, route, key, body_hash, run_id, created_at FROM idempotency WHERE created_at >= ?",
            [naive(since)],
        )
        return [
            KeyRow(account, route, key, body_hash, run_id_of(number), _instant(created_at))
            for account, route, key, body_hash, number, created_at in rows
        ]

    def forget(self, *, keys_before: datetime, sessions_before: datetime) -> None:
        """Delete keys and sessions that no longer count."""
        self._db.execute("DELETE FROM idempotency WHERE created_at < ?", [naive(keys_before)]).fetchall()
        self._db.execute("DELETE FROM session WHERE expires_at < ?", [naive(sessions_before)]).fetchall()

    def sessions(self) -> list[SessionRow]:
        """Every sign-in that was not revoked."""
        rows = self._all("SELECT token_hash, account, surface, credential, created_at, expires_at FROM session")
        return [
            SessionRow(token_hash, account, surface, credential, _instant(created_at), _instant(expires_at))
            for token_hash, account, surface, credential, created_at, expires_at in rows
        ]

    def run(self, run_id: str) -> Row | None:
        """One run."""
        rows = self._all(f"{_RUNS} WHERE id = ?", [run_number(run_id)])
        return rows[0] if rows else None

    def steps_of(self, number: int) -> list[Row]:
        """The ended steps of a run, in order."""
        return self._all(f"SELECT {', '.join(STEP_COLUMNS)} FROM step_run WHERE run_id = ? ORDER BY position", [number])

    def runs(
        self,
        *,
        job: str | None,
        jobs: Iterable[str] | None,
        states: Sequence[str],
        since: datetime | None,
        until: datetime | None,
        before: int | None,
        limit: int,
    ) -> list[Row]:
        """A page of runs, newest first: of one job or of some, queued in a span of time, older than a run."""
        conditions: list[tuple[str, Any]] = []
        if job is not None:
            conditions.append(("job_id = ?", job))
        if jobs is not None:
            conditions.append(("list_contains(?, job_id)", sorted(jobs)))
        if states:
            conditions.append(("list_contains(?, state)", list(states)))
        if since is not None:
            conditions.append(("queued_at >= ?", naive(since)))
        if until is not None:
            conditions.append(("queued_at < ?", naive(until)))
        if before is not None:
            conditions.append(("id < ?", before))
        where = f" WHERE {' AND '.join(text for text, _ in conditions)}" if conditions else ""
        return self._all(f"{_RUNS}{where} ORDER BY id DESC LIMIT ?", [*(value for _, value in conditions), limit])

    def log(
        self,
        run_id: str,
        *,
        after: int,
        limit: int,
        tail: int | None,
        levels: Sequence[str],
        step: str | None,
        text: str | None,
    ) -> list[Row]:
        """Lines of a run in order: those after a number, or the last `tail`."""
        conditions: list[tuple[str, Any]] = [("run_id = ?", run_number(run_id)), ("seq > ?", after)]
        if levels:
            conditions.append(("list_contains(?, level)", list(levels)))
        if step is not None:
            conditions.append(("step = ?", step))
        if text:
            conditions.append(("contains(lower(text), lower(?))", text))
        where = " AND ".join(condition for condition, _ in conditions)
        values = [value for _, value in conditions]
        if tail is not None:
            newest = f"SELECT {_LINE} FROM log_line WHERE {where} ORDER BY seq DESC LIMIT ?"
            return self._all(f"SELECT * FROM ({newest}) ORDER BY seq", [*values, tail])
        return self._all(f"SELECT {_LINE} FROM log_line WHERE {where} ORDER BY seq LIMIT ?", [*values, limit])

    def _append(self, table: str, rows: Iterable[Row]) -> None:
        if rows := list(rows):
            self._appenders[table].append_rows(rows)
            self._appenders[table].flush()

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        # Each reader has a cursor to itself for as long as it reads.
        try:
            cursor = self._idle_cursors.pop()
        except IndexError:
            cursor = self._db.cursor()
        rows: list[Row] = cursor.execute(sql, values).fetchall()
        self._idle_cursors.append(cursor)
        return rows

    def _one(self, sql: str, values: Sequence[Any] = ()) -> Row:
        return self._all(sql, values)[0]

    def _check_version(self) -> None:
        found = int(self._one("SELECT value FROM meta WHERE name = 'schema_version'")[0])
        if found != SCHEMA_VERSION:
            self._db.close()
            raise StoreError(
                f"{self.path} has schema version {found} and this program knows {SCHEMA_VERSION}; "
                f"start it with the program that wrote it"
            )

    def _next_epoch(self) -> int:
        epoch = int(self._one("SELECT value FROM meta WHERE name = 'epoch'")[0]) + 1
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", [str(epoch)]).fetchall()
        return epoch


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
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


def _instant(value: datetime) -> datetime:
    instant = aware(value)
    assert instant is not None
    return instant
