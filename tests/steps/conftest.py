"""The servers that tests of steps share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.servers import postgresql as server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[server.Server]:
    """A private PostgreSQL, started once."""
    with server.running() as running:
        yield running


@pytest.fixture
def pg(postgresql: server.Server) -> Iterator[server.Server]:
    """An empty database of that server, for one test."""
    with postgresql.new_database() as database:
        yield database


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """A worker's main thread listens to this signal; here a cancel in mid-connect must not end the tests."""
    usual = signal.signal(signal.SIGUSR1, lambda *_: None)
    yield
    signal.signal(signal.SIGUSR1, usual)
