"""The client for programs on trio or asyncio."""

from __future__ import annotations

import copy
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any, Concatenate, Self, Unpack

import anyio
import httpx

from nomaflow import wire
from nomaflow.client import calls, launches, schedules
from nomaflow.client.blocking import method_signature
from nomaflow.client.calls import RunFilter
from nomaflow.client.connection import TIMEOUT, Surface, connect
from nomaflow.client.request import Call
from nomaflow.client.schedules import SlotFilter
from nomaflow.client.stream import (
    SILENCE_SECONDS,
    Following,
    OnLost,
    Reset,
    follow_events,
    follow_logs,
    ignore_loss,
)
from nomaflow.errors import EngineUnreachableError, NotReadyError


def _verb[**P, T](describe: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    @functools.wraps(describe)
    async def verb(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._send(describe(*args, **kwargs))

    verb.__signature__ = method_signature(describe)  # type: ignore[attr-defined]  # what help() shows
    return verb


class AsyncClient:
    """The engine from Python, for trio and asyncio; what `Client` says holds here too.

    Every call may be canceled; a launch, a cancel or a save that was sent by then may have happened. Leave an iterator
    early only inside `contextlib.aclosing`, which closes its connection.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        surface: Surface = "api",
        home: Path = Path(),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connection = connect(url, token, surface, home)
        self._http = httpx.AsyncClient(transport=transport, **self._connection.http_options())

    def __repr__(self) -> str:
        return f"AsyncClient({self._connection.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def with_token(self, token: str) -> Self:
        """The same engine for another person, over the same connections."""
        other = copy.copy(self)
        other._connection = connect(self._connection.url, token, self._connection.surface, Path())
        return other

    jobs = _verb(calls.jobs)
    job = _verb(calls.job)
    create_job = _verb(calls.create_job)
    save_job = _verb(calls.save_job)
    delete_job = _verb(calls.delete_job)
    check_job = _verb(calls.check_job)
    enable = _verb(calls.enable)
    disable = _verb(calls.disable)
    form = _verb(launches.form)
    plan = _verb(launches.plan)
    launch = _verb(launches.launch)
    replay = _verb(launches.replay)
    replay_plan = _verb(launches.replay_plan)
    why = _verb(calls.why)
    schedule_page = _verb(schedules.schedule_page)
    preview = _verb(schedules.preview)
    what_if = _verb(schedules.what_if)
    skip = _verb(schedules.skip)
    unskip = _verb(schedules.unskip)
    durations = _verb(calls.durations)
    runs_page = _verb(calls.runs_page)
    run = _verb(calls.run)
    cancel = _verb(calls.cancel)
    logs = _verb(calls.logs)
    connectors = _verb(calls.connectors)
    test_connector = _verb(calls.test_connector)
    step_types = _verb(calls.step_types)
    callables = _verb(calls.callables)
    backups = _verb(calls.backups)
    backup = _verb(calls.backup)
    reload = _verb(calls.reload)
    me = _verb(calls.me)
    sign_in = _verb(calls.sign_in)
    sign_out = _verb(calls.sign_out)
    sign_in_link = _verb(calls.sign_in_link)
    health = _verb(calls.health)

    async def runs(self, **only: Unpack[RunFilter]) -> AsyncGenerator[wire.RunSummary]:
        """All runs that fit, newest first, fetched as they are asked for; `limit` is a page's."""
        cursor: str | None = None
        while True:
            page = await self.runs_page(**only, cursor=cursor)
            for summary in page.items:
                yield summary
            cursor = page.next_cursor
            if cursor is None:
                return

    async def schedule(self, **only: Unpack[SlotFilter]) -> AsyncGenerator[wire.Slot]:
        """All fires that fit, in order of time, fetched as they are asked for; `limit` is a page's."""
        cursor: str | None = None
        while True:
            page = await self.schedule_page(**only, cursor=cursor)
            for slot in page.items:
                yield slot
            cursor = page.next_cursor
            if cursor is None:
                return

    async def wait(self, run_id: str) -> wire.Run:
        """Wait until a run is over; the run as it ended."""
        page = await self.logs(run_id, tail=1)
        async with aclosing(self.follow_logs(run_id, after=page.next)) as lines:
            async for _ in lines:
                pass
        return await self.run(run_id)

    def follow_logs(
        self, run_id: str, *, after: int = 0, patience_seconds: float = 60, on_lost: OnLost = ignore_loss
    ) -> AsyncGenerator[wire.LogLine]:
        """The lines of a run's log as they come, until the run is over; arguments as `Client.follow_logs`."""
        return self._follow(follow_logs(run_id, after=after, patience_seconds=patience_seconds, on_lost=on_lost))

    def events(self, *, patience_seconds: float = float("inf")) -> AsyncGenerator[wire.Event | Reset]:
        """What happens from now on; what `Client.events` says of `Reset` holds here too."""
        return self._follow(follow_events(patience_seconds=patience_seconds))

    async def _send[T](self, call: Call[T]) -> T:
        request = self._connection.request(call)
        try:
            try:
                response = await self._http.request(**request)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                # The connection broke on the way, as it does when the engine closes an idle one.
                if not call.is_repeatable:
                    raise
                response = await self._http.request(**request)
        except httpx.TransportError as error:
            raise self._connection.unreachable(error) from None
        if not response.is_success:
            raise self._connection.refusal(response)
        return call.read(response.content)

    async def _follow[T](self, following: Following[T]) -> AsyncGenerator[T]:
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=TIMEOUT.connect)
        while not following.is_over:
            headers = {**self._connection.headers(), **following.headers()}
            lost: EngineUnreachableError | NotReadyError | None = None
            try:
                async with self._http.stream("GET", following.path, headers=headers, timeout=timeout) as response:
                    if not response.is_success:
                        await response.aread()
                        raise self._connection.refusal(response)
                    for item in following.connected():
                        yield item
                    async for chunk in response.aiter_bytes():
                        for item in following.feed(chunk):
                            yield item
                        if following.is_over:
                            return
            except httpx.TransportError as error:
                lost = self._connection.unreachable(error)
            except NotReadyError as error:
                lost = error
            await anyio.sleep(following.lost(lost))
