"""An engine whose store has lost committed changes shows what is left, and starts and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from nomaflow.cli import main
from nomaflow.client import Client
from nomaflow.errors import NotReadyError
from nomaflow.home import Home
from nomaflow.serve import Serving, Stopping, serve
from tests.fakes.thread import opened_in_thread


@contextmanager
def engine(home: Home) -> Iterator[Client]:
    """An engine in this process, and the administrator's client."""

    @asynccontextmanager
    async def served() -> AsyncIterator[Serving]:
        stopping = Stopping()
        async with trio.open_nursery() as nursery:

            async def run(*, task_status: trio.TaskStatus[Serving]) -> None:
                await serve(home, host="127.0.0.1", port=0, stopping=stopping, task_status=task_status)

            yield await nursery.start(run)
            stopping.asked.set()

    with opened_in_thread(served) as inside, Client(inside.value.url, inside.value.admin_token) as client:
        yield client


def test_a_lost_log_stops_all_that_is_new(tmp_path: Path) -> None:
    """Readiness says how to go on; a person who accepts the loss lets it go on."""
    assert main(["init", str(tmp_path)]) == 0
    home = Home(tmp_path)
    with engine(home) as client:
        first = client.wait(client.launch("hello").id)
    home.store_file.with_name("runs.duckdb.wal").write_bytes(b"")
    with engine(home) as client:
        with pytest.raises(NotReadyError, match="--accept-loss"):
            client.health()
        assert list(client.runs()) == []
        with pytest.raises(NotReadyError, match="is missing"):
            client.launch("hello")
        with pytest.raises(NotReadyError, match="is missing"):
            client.disable("hello")
        assert client.me().account == "admin"
    assert main(["doctor", "--accept-loss", "--home", str(tmp_path)]) == 0
    with engine(home) as client:
        client.health()
        again = client.wait(client.launch("hello").id)
        assert again.id > first.id
        assert [run.id for run in client.runs()] == [again.id]
