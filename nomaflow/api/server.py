"""The listening side: hypercorn's protocols on trio, with an end to everything that a client could hold up."""

from __future__ import annotations

import errno
from functools import partial

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app
from starlette.types import ASGIApp

from nomaflow.errors import PortTakenError

SEND_WITHIN_SECONDS = 20.0
"""A client that takes nothing for so long is dropped."""

GRACE_SECONDS = 2.0
"""How long requests in flight may go on once the server stops."""

_UNLIMITED = 2**62


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    stop: trio.Event,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop` is set, then finish within the grace, whatever the clients do.

    `task_status.started` gives the address, as in `http://127.0.0.1:8600`; port 0 takes any free one.

    Raises:
        PortTakenError: something else listens there.
    """
    listeners = await _listen(host, port)
    context = WorkerContext(None)
    live: set[PatientStream] = set()
    wrapped = wrap_app(app, 0, "asgi")  # type: ignore[arg-type]  # hypercorn and starlette each have their own types

    async def connection(socket: trio.SocketStream) -> None:
        stream = PatientStream(socket)
        live.add(stream)
        try:
            await TCPServer(wrapped, _config(), context, ConnectionState({}), stream)  # type: ignore[arg-type]
        finally:
            live.discard(stream)

    async with trio.open_nursery() as deadline:
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(partial(trio.serve_listeners, connection, listeners, handler_nursery=connections))
                task_status.started(_url(listeners[0]))
                await stop.wait()
                accepting.cancel_scope.cancel()
            await context.terminated.set()
            deadline.start_soon(_end, live, connections.cancel_scope)
        deadline.cancel_scope.cancel()


class PatientStream(trio.abc.HalfCloseableStream):
    """A connection that waits for its client to read, but not for ever.

    hypercorn shields its sends from cancellation. Without a deadline below that shield, one client that stops reading
    keeps the server from ever ending.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.socket = stream.socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or drop the client.

        Raises:
            BrokenResourceError: the client did not take it in time.
        """
        with trio.move_on_after(SEND_WITHIN_SECONDS) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            await self.drop()
            raise trio.BrokenResourceError("the client stopped reading")

    async def drop(self) -> None:
        """Close at once; a send that waits ends with an error."""
        await trio.aclose_forcefully(self._stream)

    async def wait_send_all_might_not_block(self) -> None:
        """As the socket says."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What has come."""
        return await self._stream.receive_some(max_bytes)

    async def send_eof(self) -> None:
        """Nothing more will be sent."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()


async def _end(live: set[PatientStream], connections: trio.CancelScope) -> None:
    """Let requests end by themselves for a while, then end them, the shielded ones too."""
    await trio.sleep(GRACE_SECONDS)
    connections.cancel()
    for stream in list(live):
        await stream.drop()


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTakenError(
            f"something else listens on port {port} of {host}; stop it, or choose another port"
        ) from None


def _url(listener: trio.SocketListener) -> str:
    host, port, *_ = listener.socket.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    # hypercorn closes a connection after 1,000 requests, which a client sees as an error in the middle of its work.
    config.keep_alive_max_requests = _UNLIMITED
    config.keep_alive_timeout = 60.0
    # A body that nobody reads waits here; where it is full, hypercorn stops reading and never notices that the client
    # has gone. 256 parts of at most 64 KiB are more than any body that is read.
    config.max_app_queue_size = 256
    return config
