"""A run store in memory, for engines whose clock is virtual: the real one's methods, transactions and keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from nomaflow.engine.change import Change, KeyRow, PauseRow, Row, ScheduleRow, SessionRow, SkipRow, WaitRow
from nomaflow.engine.model import Slot
from nomaflow.engine.rows import (
    NOT_LISTED,
    RUN_CHANGES,
    RUN_COLUMNS,
    aware,
    naive,
    run_summary,
    slot_row,
    wait_row,
    waited,
)
from nomaflow.engine.store.searching import Found
from nomaflow.history.search import Search
from nomaflow.history.search_facts import RunFacts, finds_run
from nomaflow.seams import run_id_of, run_number
from nomaflow.wire import RunSummary, SlotState
from tests.fakes.tables import EventRow, Tables

_RUN = {name: place for place, name in enumerate(RUN_COLUMNS)}
_CHANGES = [_RUN[name] for name in RUN_CHANGES]
_UNFINISHED = ("QUEUED", "RUNNING", "CANCELING")
_OVER = ("SUCCEEDED", "FAILED", "CANCELED")


class KeyTakenError(Exception):
    """There is a row of that key already; nothing was written."""


class NoCheckpoints:
    """Memory needs none."""

    commits = 0

    def is_due(self, *, quiet: bool) -> bool:
        return False


class MemoryStore:
    """An open store on some tables. `epoch` is one more than at the last opening; `seq` the newest event's number."""

    lost: str | None = None
    mended: Sequence[str] = ()

    def __init__(self, tables: Tables) -> None:
        self.checkpoints = NoCheckpoints()
        self.tables = tables
        tables.epoch += 1
        self.epoch = tables.epoch
        self.seq = tables.events[-1].seq if tables.events else 0

    def close(self) -> None:
        """What was committed stays in the tables."""

    def commit(self, changes: Sequence[Change], log_rows: Sequence[Row]) -> None:
        """Write all of it or nothing.

        Raises:
            KeyTakenError: a run or a slot of that number is there; nothing was written.
        """
        self._check_keys(changes)
        tables = self.tables
        for change in changes:
            self._delete(change)
        for change in changes:
            tables.runs |= {row[0]: row for row in change.inserted}
        for change in changes:
            for update in change.updated:
                self._update(update)
            for step in change.steps:
                tables.steps.setdefault(step[0], []).append(step)
            tables.waits += map(wait_row, change.waits)
            tables.slots |= {slot.slot_id: slot_row(slot, self.epoch) for slot in change.slots}
            tables.schedules += change.schedules
        cursors = {row.number: row for change in changes for row in change.cursors}
        if cursors:
            tables.schedules = [_moved(row, cursors.get(row.number)) for row in tables.schedules]
        for change in changes:
            tables.skips += change.skips
            tables.pauses += change.pauses
            tables.definitions |= {(row.job_id, row.etag): row.text for row in change.definitions}
            tables.keys += change.keys
            tables.sessions += change.sessions
            for event in change.events:
                self.seq += 1
                number = run_number(event.run_id) if event.run_id else None
                happened_at, kind, job_id = event.happened_at, event.kind, event.job_id
                tables.events.append(
                    EventRow(
                        self.seq,
                        self.epoch,
                        happened_at,
                        kind,
                        job_id,
                        number,
                        event.step,
                        event.state,
                        event.who,
                        event.reason,
                    )
                )
        for row in log_rows:
            tables.lines.setdefault(row[0], []).append(row)

    def probe(self) -> None:
        """Writing works."""

    def sync_mark(self) -> None:
        """There is no high-water mark."""

    def was_restored(self) -> bool:
        """Memory is no backup."""
        return False

    def forget(self, *, keys_before: datetime, sessions_before: datetime) -> None:
        """Delete keys and sessions that no longer count."""
        tables = self.tables
        tables.keys = [key for key in tables.keys if key.created_at >= keys_before]
        tables.sessions = [session for session in tables.sessions if session.expires_at >= sessions_before]

    def prune(self, before: datetime, failed_before: datetime, limit: int) -> int:
        """Delete the oldest ended runs and what is theirs; never the newest of a job."""
        tables = self.tables
        newest = {row[_RUN["job_id"]]: number for number, row in sorted(tables.runs.items())}
        gone = [number for number, row in sorted(tables.runs.items()) if _is_old(row, before, failed_before)]
        gone = [number for number in gone if number not in newest.values()][:limit]
        last = self.seq
        for number in gone:
            for table in (tables.runs, tables.steps, tables.lines):
                table.pop(number, None)
        lost = set(gone)
        tables.waits = [row for row in tables.waits if row[0] not in lost]
        tables.slots = {slot: row for slot, row in tables.slots.items() if row[6] not in lost}
        tables.events = [event for event in tables.events if event.run_number not in lost or event.seq == last]
        early = min(before, failed_before)
        loose = [event.seq for event in tables.events if event.run_number is None and event.happened_at < early]
        old = {seq for seq in loose[:limit] if seq != last}
        tables.events = [event for event in tables.events if event.seq not in old]
        stale = [number for number, row in tables.slots.items() if row[6] is None and row[10] < naive(before)]
        for number in sorted(stale)[:limit]:
            del tables.slots[number]
        return len(gone)

    def orphans(self) -> list[tuple[Row, list[Row]]]:
        """The runs that an earlier engine left unfinished, each with the rows of its ended steps."""
        epoch, state = _RUN["epoch"], _RUN["state"]
        rows = [row for row in self.tables.runs.values() if row[state] in _UNFINISHED and row[epoch] < self.epoch]
        return [(row, self.steps_of(row[0])) for row in rows]

    def step_starts(self, number: int) -> dict[str, tuple[datetime, datetime, int]]:
        """When each step of a run began: name → (first try, last try, how many)."""
        found: dict[str, tuple[datetime, datetime, int]] = {}
        for event in self.tables.events:
            if event.run_number != number or event.kind != "step" or event.state != "RUNNING" or event.reason:
                continue
            assert event.step is not None
            first, last, tries = found.get(event.step, (event.happened_at, event.happened_at, 0))
            found[event.step] = (min(first, event.happened_at), max(last, event.happened_at), tries + 1)
        return found

    def last_line(self, number: int) -> int:
        """The number of a run's last log line; 0 where it has none."""
        return max((row[1] for row in self.tables.lines.get(number, ())), default=0)

    def recent(self, per_job: int) -> list[Row]:
        """The newest runs of each job, newest first, as a list shows them."""
        counts: dict[str, int] = {}
        found = []
        for _, row in sorted(self.tables.runs.items(), reverse=True):
            job_id = row[_RUN["job_id"]]
            counts[job_id] = counts.get(job_id, 0) + 1
            if counts[job_id] <= per_job:
                found.append(_listed(row))
        return found

    def newest_run(self) -> int | None:
        """The greatest run number."""
        return max(self.tables.runs, default=None)

    def keys_since(self, since: datetime) -> list[KeyRow]:
        """The idempotency keys that still count."""
        return [key for key in self.tables.keys if key.created_at >= since]

    def sessions(self) -> list[SessionRow]:
        """Every sign-in that was not revoked."""
        return list(self.tables.sessions)

    def run(self, run_id: str) -> Row | None:
        """One run."""
        return self.tables.runs.get(run_number(run_id))

    def steps_of(self, number: int) -> list[Row]:
        """The ended steps of a run, in order."""
        return sorted(self.tables.steps.get(number, ()), key=lambda row: row[1])

    def search(
        self,
        search: Search,
        around: Any,
        *,
        jobs: Iterable[str] | None,
        without: Sequence[int],
        before: int | None,
        limit: int,
    ) -> Found:
        """A page of the runs that fit. Only what stands in the row of a run is known here: job, state, times."""
        wanted = [
            row
            for number, row in sorted(self.tables.runs.items(), reverse=True)
            if (before is None or number < before)
            and number not in without
            and (jobs is None or row[_RUN["job_id"]] in jobs)
        ]
        if search.terms:
            wanted = [row for row in wanted if finds_run(search, _facts(run_summary(row)))]
        kept = [_listed(row) for row in wanted[:limit]]
        return Found(kept, kept[-1][0] if len(wanted) > limit else None)

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
        rows = sorted(self.tables.lines.get(run_number(run_id), ()), key=lambda row: row[1])
        found = [
            row[1:]
            for row in rows
            if row[1] > after
            and (not levels or row[3] in levels)
            and (step is None or row[4] == step)
            and (not text or text.lower() in row[7].lower())
        ]
        return found[-tail:] if tail is not None else found[:limit]

    def schedules(self) -> list[ScheduleRow]:
        """Every schedule that was watched."""
        return list(self.tables.schedules)

    def last_number(self) -> int:
        """The greatest number that a schedule has or had."""
        numbers = [row.number for row in self.tables.schedules]
        return max([0, *numbers, max(self.tables.slots, default=0) >> 33])

    def newest_at(self) -> datetime | None:
        """When the last thing happened that is on record."""
        return self.tables.events[-1].happened_at if self.tables.events else None

    def skips(self) -> list[SkipRow]:
        """Every fire that is to be left out."""
        return list(self.tables.skips)

    def pauses(self) -> list[PauseRow]:
        """Why jobs are switched off."""
        return list(self.tables.pauses)

    def waits(self) -> dict[str, WaitRow]:
        """The newest wait of each run that is RUNNING."""
        newest: dict[int, Row] = {}
        for row in self.tables.waits:
            run = self.tables.runs.get(row[0])
            if run is not None and run[_RUN["state"]] == "RUNNING":
                known = newest.get(row[0])
                newest[row[0]] = row if known is None or row[3] > known[3] else known
        found = {}
        for number, position, attempts, due in newest.values():
            due_at = aware(due)
            assert due_at is not None
            found[run_id_of(number)] = waited(run_id_of(number), position, attempts, due_at)
        return found

    def definition(self, job_id: str, etag: str) -> str | None:
        """The text of a job as it was under that etag."""
        return self.tables.definitions.get((job_id, etag))

    def known_definitions(self) -> set[tuple[str, str]]:
        """(job, etag) of every text that is kept."""
        return set(self.tables.definitions)

    def newest_slots(self, since: datetime) -> list[Slot]:
        """The newest slot of each job that has any since then."""
        newest: dict[str, Row] = {}
        for row in self.tables.slots.values():
            known = newest.get(row[1])
            if row[10] >= naive(since) and (known is None or row[3] > known[3]):
                newest[row[1]] = row
        return list(map(_slot, newest.values()))

    def slots(
        self,
        *,
        since: datetime,
        until: datetime,
        jobs: Iterable[str] | None,
        after: tuple[datetime, int] | None,
        limit: int,
    ) -> list[Slot]:
        """Decided slots with a nominal time in [since, until), in order of time."""
        first, end = naive(since), naive(until)
        place = (naive(after[0]), after[1]) if after is not None else None
        wanted = set(jobs) if jobs is not None else None
        found = [
            (row[3], number)
            for number, row in self.tables.slots.items()
            if (row[9] or row[3]) >= first
            and row[3] < end
            and (wanted is None or row[1] in wanted)
            and (place is None or (row[3], number) > place)
        ]
        return [_slot(self.tables.slots[number]) for _, number in sorted(found)[:limit]]

    def _check_keys(self, changes: Sequence[Change]) -> None:
        runs = [row[0] for change in changes for row in change.inserted]
        slots = [slot.slot_id for change in changes for slot in change.slots]
        for kind, given, known in (("run", runs, self.tables.runs), ("slot", slots, self.tables.slots)):
            taken = next((number for number in given if number in known), None)
            if taken is not None or len(set(given)) < len(given):
                raise KeyTakenError(f"Duplicate key in {kind}: {taken if taken is not None else 'twice in one commit'}")

    def _delete(self, change: Change) -> None:
        tables = self.tables
        if change.revoked:
            tables.sessions = [row for row in tables.sessions if row.token_hash not in change.revoked]
        if change.gone_schedules:
            tables.schedules = [row for row in tables.schedules if row.number not in change.gone_schedules]
        if change.used_skips:
            used = {(row.job_id, row.schedule, row.scheduled_at) for row in change.used_skips}
            tables.skips = [row for row in tables.skips if (row.job_id, row.schedule, row.scheduled_at) not in used]
        gone = {*change.gone_pauses, *(pause.job_id for pause in change.pauses)}
        if gone:
            tables.pauses = [row for row in tables.pauses if row.job_id not in gone]

    def _update(self, update: Row) -> None:
        row = self.tables.runs.get(update[0])
        if row is None:
            return
        values = list(row)
        for place, value in zip(_CHANGES, update, strict=True):
            values[place] = value
        self.tables.runs[update[0]] = tuple(values)


def _listed(row: Row) -> Row:
    return tuple(None if name in NOT_LISTED else row[_RUN[name]] for name in RUN_COLUMNS)


def _facts(run: RunSummary) -> RunFacts:
    return RunFacts(run.id, run.job_id, run.state.value, run.queued_at, started_at=run.started_at)


def _is_old(row: Row, before: datetime, failed_before: datetime) -> bool:
    state, finished_at = row[_RUN["state"]], row[_RUN["finished_at"]]
    return state in _OVER and finished_at < naive(failed_before if state == "FAILED" else before)


def _moved(row: ScheduleRow, moved: ScheduleRow | None) -> ScheduleRow:
    if moved is None:
        return row
    return ScheduleRow(row.number, row.job_id, row.name, moved.rule, moved.cursor)


def _slot(row: Row) -> Slot:
    scheduled_at, decided_at = aware(row[3]), aware(row[10])
    assert scheduled_at is not None
    assert decided_at is not None
    return Slot(
        number=row[0] >> 33,
        job_id=row[1],
        schedule=row[2],
        scheduled_at=scheduled_at,
        state=SlotState(row[4]),
        decided_at=decided_at,
        reason=row[5],
        run_id=run_id_of(row[6]) if row[6] is not None else None,
        into_at=aware(row[7]),
        count=row[8],
        last_at=aware(row[9]),
    )
