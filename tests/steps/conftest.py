"""The servers that tests of steps share."""

from __future__ import annotations

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
