"""A fake engine behind the real API: on a port of its own, or in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import trio

from nomaflow.api.app import create_app
from nomaflow.api.server import serve
from tests.fakes.engine import ADMIN_TOKEN, FakeEngine
from tests.fakes.thread import Inside, opened_in_thread

if TYPE_CHECKING:
    from fastapi import FastAPI


@dataclass(frozen=True)
class Served:
    """Where a fake engine answers, and an admin's token for it."""

    fake: FakeEngine
    url: str
    token: str = field(default=ADMIN_TOKEN, repr=False)


def app_of(fake: FakeEngine, stopping: trio.Event) -> FastAPI:
    """The real API over the fake; the event ends the streams."""
    return create_app(fake, fake.access, fake.seams, stopping=stopping)


def in_memory(fake: FakeEngine) -> httpx.AsyncClient:
    """A client that calls the API without a network, under trio. It holds answers back until they are whole, so it
    cannot follow a stream."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    transport = httpx.ASGITransport(app_of(fake, trio.Event()))
    return httpx.AsyncClient(transport=transport, base_url="http://fake", headers=headers)


@asynccontextmanager
async def serve_fake(fake: FakeEngine) -> AsyncIterator[Served]:
    """Serve it on a free port of loopback, under trio, until the block ends."""
    stopping = trio.Event()
    async with trio.open_nursery() as nursery:
        app = app_of(fake, stopping)

        async def listen(*, task_status: trio.TaskStatus[str]) -> None:
            await serve(app, "127.0.0.1", 0, stop=stopping, task_status=task_status)

        url = await nursery.start(listen)
        try:
            yield Served(fake, url)
        finally:
            fake.stop()
            stopping.set()


@contextmanager
def in_thread(fake: FakeEngine) -> Iterator[Inside[Served]]:
    """Serve it in a thread, for tests that are not trio's: browsers, asyncio. Move runs on through `call`."""
    with opened_in_thread(lambda: serve_fake(fake)) as inside:
        yield inside
