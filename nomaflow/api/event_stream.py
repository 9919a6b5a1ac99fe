"""Server-sent events: a stream that ends by itself when the engine stops, the client leaves or the token dies."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import cast

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

MAX_WAITING = 256
"""Frames that go out together when many come at once: a send costs more than what is in it."""

COMMENT_AFTER_SECONDS = 15.0
"""After so long a silence a comment is sent, so that neither side takes the connection for dead."""

CHECK_EVERY_SECONDS = 3.0
"""How soon a silent stream notices that its token was revoked."""

_COMMENT = b": nothing new\n\n"


def frame(data: str, *, event: str | None = None, event_id: str | None = None) -> bytes:
    """One event as it is sent; `data` is a line of JSON."""
    lines = [f"id: {event_id}"] if event_id is not None else []
    if event is not None:
        lines.append(f"event: {event}")
    return "\n".join([*lines, f"data: {data}", "", ""]).encode()


def closing[T](items: AsyncIterator[T]) -> AbstractAsyncContextManager[AsyncGenerator[T]]:
    """The items of a generator that is closed when the block is left, and not some time later."""
    return aclosing(cast("AsyncGenerator[T]", items))


class EventStream(Response):
    """The answer of a streaming route.

    FastAPI has one of its own, which knows neither a stop event nor a token that dies while the stream is open, and
    which would hold a shutdown for its whole grace.

    Args:
        frames: what to send, as it comes.
        stopping: set when the engine stops.
        may_go_on: asked before each frame and during silences.
    """

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncIterator[bytes], *, stopping: trio.Event, may_go_on: Callable[[], bool]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._frames, self._stopping, self._may_go_on = frames, stopping, may_go_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the frames end, the client leaves, the engine stops or the token dies."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        to_client, from_engine = trio.open_memory_channel[bytes](MAX_WAITING)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, to_client)
            nursery.start_soon(_when, self._stopping.wait, nursery.cancel_scope)
            nursery.start_soon(_when, _left(receive), nursery.cancel_scope)
            await self._send(from_engine, send)
            nursery.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, to_client: trio.MemorySendChannel[bytes]) -> None:
        async with to_client, closing(self._frames) as frames:
            async for each in frames:
                try:
                    # Without a turn of the loop for each: what happens together goes out together.
                    to_client.send_nowait(each)
                except trio.WouldBlock:
                    await to_client.send(each)

    async def _send(self, from_engine: trio.MemoryReceiveChannel[bytes], send: Send) -> None:
        silent_since = trio.current_time()
        while True:
            part = b""
            with trio.move_on_after(CHECK_EVERY_SECONDS):
                try:
                    part = await from_engine.receive()
                    while True:
                        part += from_engine.receive_nowait()
                except trio.WouldBlock:
                    pass
                except trio.EndOfChannel:
                    if not part:
                        return
            if not self._may_go_on():
                return
            if not part and trio.current_time() - silent_since >= COMMENT_AFTER_SECONDS:
                part = _COMMENT
            if part:
                await send({"type": "http.response.body", "body": part, "more_body": True})
                silent_since = trio.current_time()


async def _when(wait: Callable[[], object], scope: trio.CancelScope) -> None:
    await wait()  # type: ignore[misc]
    scope.cancel()


def _left(receive: Receive) -> Callable[[], object]:
    async def wait() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    return wait
