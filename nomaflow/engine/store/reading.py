"""What is asked of the store: by the API, and by an engine that starts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from nomaflow.engine.change import KeyRow, Row, SessionRow
from nomaflow.engine.rows import NOT_LISTED, RUN_COLUMNS, STEP_COLUMNS, aware, naive
from nomaflow.engine.store.connection import Reader
from nomaflow.seams import run_id_of, run_number

_RUNS = f"SELECT {', '.join(RUN_COLUMNS)} FROM run"
LISTED_RUNS = f"SELECT {', '.join(f'NULL AS {name}' if name in NOT_LISTED else name for name in RUN_COLUMNS)} FROM run"
"""Rows in the order of `RUN_COLUMNS`, without the values of those that are `NOT_LISTED`: they are large to read."""

_LINE = "seq, ts, level, step, attempt, stream, text"


class Reading(Reader):
    """The queries of a store."""

    epoch: int

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
        return {name: (instant(first), instant(last), tries) for name, first, last, tries in rows}

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
        """The newest runs of each job, newest first, as a list shows them."""
        of_each_job = "row_number() OVER (PARTITION BY job_id ORDER BY id DESC)"
        return self._all(f"{LISTED_RUNS} QUALIFY {of_each_job} <= ? ORDER BY id DESC", [per_job])

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
            KeyRow(account, route, key, body_hash, run_id_of(number), instant(created_at))
            for account, route, key, body_hash, number, created_at in rows
        ]

    def sessions(self) -> list[SessionRow]:
        """Every sign-in that was not revoked."""
        rows = self._all("SELECT token_hash, account, surface, credential, created_at, expires_at FROM session")
        return [
            SessionRow(token_hash, account, surface, credential, instant(created_at), instant(expires_at))
            for token_hash, account, surface, credential, created_at, expires_at in rows
        ]

    def run(self, run_id: str) -> Row | None:
        """One run."""
        rows = self._all(f"{_RUNS} WHERE id = ?", [run_number(run_id)])
        return rows[0] if rows else None

    def steps_of(self, number: int) -> list[Row]:
        """The ended steps of a run, in order."""
        return self._all(f"SELECT {', '.join(STEP_COLUMNS)} FROM step_run WHERE run_id = ? ORDER BY position", [number])

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


def instant(value: datetime) -> datetime:
    """A stored instant that is never missing."""
    found = aware(value)
    assert found is not None
    return found
