"""What every test stands on: a clean environment, a time limit, and the servers that tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests.servers import postgresql as private_postgresql

pytest_plugins = ["tests.time_limit"]

# How long one example takes says more about the machine than about the code.
hypothesis.settings.register_profile("nomaflow", deadline=None)
hypothesis.settings.load_profile("nomaflow")


LENGTHS = ("NOMAFLOW_KILLS", "NOMAFLOW_SEEDS")
"""How long the long forms of some tests are; `make soak` sets them."""


def pytest_configure() -> None:
    """Forget what the caller's environment says to Nomaflow: engines, tokens and proxies of the real world."""
    for name in set(os.environ) - set(LENGTHS):
        if name.startswith(("NOMAFLOW_", "SLACK_")) or name.lower().endswith("_proxy"):
            del os.environ[name]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[private_postgresql.Server]:
    """A PostgreSQL server of this session's own; `new_database()` gives a test a database to itself."""
    with private_postgresql.running() as server:
        yield server
