"""The listening side, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import trio
import trio.testing

from nomaflow.api import server
from nomaflow.api.policy import V1
from nomaflow.errors import PortTakenError
from tests.api.scripted import event, run_id
from tests.api.stand import ADMIN_TOKEN, Stand

AS_ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


@asynccontextmanager
async def serving(stand: Stand) -> AsyncIterator[httpx.AsyncClient]:
    """A server on a free port; it has ended when the block has."""
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[str]) -> None:
            await server.serve(stand.app, "127.0.0.1", 0, stop=stand.stopping, task_status=task_status)

        url = await nursery.start(run)
        async with httpx.AsyncClient(base_url=url, headers=AS_ADMIN, timeout=10, trust_env=False) as client:
            yield client
        stand.stopping.set()


async def test_it_says_where_it_listens(stand: Stand) -> None:
    """Port 0 takes a free one; the address is a URL."""
    async with serving(stand) as client:
        assert str(client.base_url).startswith("http://127.0.0.1:")
        answer = await client.get("/healthz")
        assert answer.json()["ok"]
        assert "Server" not in answer.headers


async def test_a_taken_port_is_one_sentence(stand: Stand) -> None:
    """It names the port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} of 127.0.0.1; stop it, or choose another"):
            await server.serve(stand.app, "127.0.0.1", port, stop=stand.stopping)


async def test_the_port_is_free_again_at_once(stand: Stand) -> None:
    """A restart does not wait for the last connections' ghosts."""
    async with serving(stand) as client:
        port = client.base_url.port
        await client.get("/healthz")
    assert port is not None
    again = Stand()
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[str]) -> None:
            await server.serve(again.app, "127.0.0.1", port, stop=again.stopping, task_status=task_status)

        await nursery.start(run)
        again.stopping.set()


async def test_one_connection_serves_many_requests(stand: Stand) -> None:
    """A front end keeps its connection for days."""
    async with serving(stand) as client:
        reached = set()
        for _ in range(1100):
            answer = await client.get("/healthz")
            reached.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
        assert len(reached) == 1


async def test_an_event_arrives_when_it_happens(stand: Stand) -> None:
    """Nothing holds it back until the stream ends."""
    stand.engine.endless = True
    stand.engine.events = [event(8, "jde-nightly")]
    async with serving(stand) as client, client.stream("GET", f"{V1}/events") as answer:
        received = ""
        async for text in answer.aiter_text():
            received += text
            if "id: 3.8" in received:
                stand.stopping.set()


async def test_open_streams_end_with_the_server(stand: Stand) -> None:
    """They end by themselves, well within the grace."""
    stand.engine.endless = True
    async with (
        serving(stand) as client,
        client.stream("GET", f"{V1}/events") as events,
        client.stream("GET", f"{V1}/runs/{run_id(2)}/logs/stream") as log,
    ):
        stopped_at = trio.current_time()
        stand.stopping.set()
        await events.aread()
        await log.aread()
    assert trio.current_time() - stopped_at < server.GRACE_SECONDS


async def test_a_client_that_stops_reading_does_not_hold_up_the_end(stand: Stand) -> None:
    """Its buffers are full and a send waits for it; the server ends all the same."""
    stand.engine.endless = True
    stand.engine.events = [event(8 + n, "jde-nightly", "run", text="x" * 10_000) for n in range(2000)]
    async with serving(stand) as client:
        stalled = await stalled_stream(client)
        await until_nothing_moves(stand)
        stopped_at = trio.current_time()
    took = trio.current_time() - stopped_at
    await stalled.aclose()
    assert took < server.GRACE_SECONDS + 1


async def test_a_client_that_stops_reading_is_dropped(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not keep a stream of the engine's for ever."""
    monkeypatch.setattr(server, "SEND_WITHIN_SECONDS", 0.3)
    stand.engine.endless = True
    stand.engine.events = [event(8 + n, "jde-nightly", "run", text="x" * 10_000) for n in range(2000)]
    async with serving(stand) as client:
        stalled = await stalled_stream(client)
        await stand.engine.left.wait()
        await stalled.aclose()


@pytest.mark.parametrize("length", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
async def test_a_large_body_is_refused_and_forgotten(stand: Stand, length: str) -> None:
    """The server neither reads it to its end nor hangs on what nobody reads."""
    async with serving(stand) as client:
        assert (await endless_body(client, length)).startswith(b"HTTP/1.1 413")
        assert (await client.get("/healthz")).status_code == 200
        stopped_at = trio.current_time()
    assert trio.current_time() - stopped_at < server.GRACE_SECONDS


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nCookie: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nCookie: " + b"x" * 40_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n",
        b"GET /healthz\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00",
        b"nonsense\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_and_hung_up(stand: Stand, request_: bytes) -> None:
    """No malformed head gets an answer other than a refusal, and the next client is served."""
    async with serving(stand) as client:
        stream = await trio.open_tcp_stream("127.0.0.1", client.base_url.port or 0)
        await stream.send_all(request_)
        await stream.send_eof()
        received = b""
        with trio.fail_after(10):
            while part := await stream.receive_some():
                received += part
        assert received == b"" or received.startswith(b"HTTP/1.1 4"), received[:200]
        await stream.aclose()
        assert (await client.get("/healthz")).status_code == 200


async def endless_body(client: httpx.AsyncClient, length: str) -> bytes:
    """The answer to a body that never ends."""
    lines = [
        f"POST {V1}/jobs/jde-nightly/runs HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {ADMIN_TOKEN}",
        "Content-Type: application/json",
        length,
    ]
    stream = await trio.open_tcp_stream("127.0.0.1", client.base_url.port or 0)
    async with stream, trio.open_nursery() as nursery:

        async def send() -> None:
            await stream.send_all("\r\n".join([*lines, "", ""]).encode())
            with suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

        nursery.start_soon(send)
        received = bytes(await stream.receive_some())
        nursery.cancel_scope.cancel()
    return received


async def stalled_stream(client: httpx.AsyncClient) -> trio.SocketStream:
    """An event stream that its client has asked for and does not read."""
    stream = await trio.open_tcp_stream("127.0.0.1", client.base_url.port or 0)
    request = f"GET {V1}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n"
    await stream.send_all(request.encode())
    return stream


async def until_nothing_moves(stand: Stand) -> None:
    """Wait until the client's buffers are full, so that the server's send waits for it."""
    await stand.engine.followed.wait()
    await trio.testing.wait_all_tasks_blocked(0.2)
    assert stand.engine.given < len(stand.engine.events)
