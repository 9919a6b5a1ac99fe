"""Stores for tests: events in them, checkpoints of them, damage to their files."""

from __future__ import annotations

from pathlib import Path

from nomaflow.engine.change import Change, Happened
from nomaflow.engine.store import Store
from tests.engine.world import START


def event(reason: str) -> Change:
    """A change that can be told from others."""
    return Change(events=[Happened(START, "job", "job", reason=reason)])


def opened(folder: Path) -> Store:
    """The store of a folder."""
    return Store(folder / "runs.duckdb", lambda: START)


def add_events(store: Store, count: int) -> None:
    """So many commits of one event; each is named after its number."""
    for _ in range(count):
        store.commit([event(str(store.seq + 1))], [])


def checkpoint(store: Store) -> None:
    """Checkpoint it now."""
    copy = store.checkpoints.begin()
    assert copy is not None, store.checkpoints.postponed
    store.finish_checkpoint(copy)


def reasons(store: Store) -> list[str]:
    """The recorded events, in order, without those about mending."""
    return [row[0] for row in store._all("SELECT reason FROM event WHERE kind <> 'alert' ORDER BY seq")]


def numbers(last: int, first: int = 1) -> list[str]:
    """What `reasons` gives for events that are all there."""
    return [str(number) for number in range(first, last + 1)]


def flip(path: Path, position: int) -> None:
    """Turn one bit of a byte; a negative position counts from the end."""
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1
    path.write_bytes(raw)
