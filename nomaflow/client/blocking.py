"""The client for programs and notebooks."""

from __future__ import annotations

import copy
import functools
import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Concatenate, Self, Unpack

import httpx

from nomaflow import wire
from nomaflow.client import calls, launches, schedules
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


def _verb[**P, T](describe: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    @functools.wraps(describe)
    def verb(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(describe(*args, **kwargs))

    verb.__signature__ = method_signature(describe)  # type: ignore[attr-defined]  # what help() shows
    return verb


def method_signature(describe: Callable[..., Any]) -> inspect.Signature:
    """The signature of a description as the method of a client has it."""
    signature = inspect.signature(describe)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    answer = str(signature.return_annotation).removeprefix("Call[").removesuffix("]")
    return signature.replace(parameters=[own, *signature.parameters.values()], return_annotation=answer)


class Client:
    """The engine from Python: each method is one verb of its API.

    Every method raises `NomaflowError`s alone: those that the engine raised, and `EngineUnreachableError`.

    Args:
        url: the engine's address; else NOMAFLOW_URL, else where the engine of `home` runs, else port 8600 here.
        token: whose rights count; else NOMAFLOW_TOKEN, else, at its own engine or at port 8600, the admin token of
            `home`.
        surface: what runs are said to be triggered from.
        home: the home of the engine on this machine; this folder when left out.
        transport: how requests travel, for tests.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        surface: Surface = "api",
        home: Path = Path(),
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = connect(url, token, surface, home)
        self._http = httpx.Client(transport=transport, **self._connection.http_options())

    def __repr__(self) -> str:
        return f"Client({self._connection.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

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

    def runs(self, **only: Unpack[RunFilter]) -> Iterator[wire.RunSummary]:
        """All runs that fit, newest first, fetched as they are asked for; `limit` is a page's."""
        cursor: str | None = None
        while True:
            page = self.runs_page(**only, cursor=cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def schedule(self, **only: Unpack[SlotFilter]) -> Iterator[wire.Slot]:
        """All fires that fit, in order of time, fetched as they are asked for; `limit` is a page's."""
        cursor: str | None = None
        while True:
            page = self.schedule_page(**only, cursor=cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def wait(self, run_id: str) -> wire.Run:
        """Wait until a run is over; the run as it ended."""
        for _ in self.follow_logs(run_id, after=self.logs(run_id, tail=1).next):
            pass
        return self.run(run_id)

    def follow_logs(
        self, run_id: str, *, after: int = 0, patience_seconds: float = 60, on_lost: OnLost = ignore_loss
    ) -> Iterator[wire.LogLine]:
        """The lines of a run's log as they come, until the run is over; a lost connection is taken up again.

        Args:
            run_id: the run.
            after: begin behind the line of this number.
            patience_seconds: how long the engine may be away, at a stretch.
            on_lost: called whenever the connection is gone, before the next try; what it raises ends the following.
        """
        return self._follow(follow_logs(run_id, after=after, patience_seconds=patience_seconds, on_lost=on_lost))

    def events(self, *, patience_seconds: float = float("inf")) -> Iterator[wire.Event | Reset]:
        """What happens from now on.

        The first item is a `Reset`, as is every one where something may have been missed: whoever reads the lists
        again at each of them, and then applies the events, is never out of date.
        """
        return self._follow(follow_events(patience_seconds=patience_seconds))

    def _send[T](self, call: Call[T]) -> T:
        request = self._connection.request(call)
        try:
            try:
                response = self._http.request(**request)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                # The connection broke on the way, as it does when the engine closes an idle one.
                if not call.is_repeatable:
                    raise
                response = self._http.request(**request)
        except httpx.TransportError as error:
            raise self._connection.unreachable(error) from None
        if not response.is_success:
            raise self._connection.refusal(response)
        return call.read(response.content)

    def _follow[T](self, following: Following[T]) -> Iterator[T]:
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=TIMEOUT.connect)
        while not following.is_over:
            headers = {**self._connection.headers(), **following.headers()}
            lost: EngineUnreachableError | NotReadyError | None = None
            try:
                with self._http.stream("GET", following.path, headers=headers, timeout=timeout) as response:
                    if not response.is_success:
                        response.read()
                        raise self._connection.refusal(response)
                    yield from following.connected()
                    for chunk in response.iter_bytes():
                        yield from following.feed(chunk)
                        if following.is_over:
                            return
            except httpx.TransportError as error:
                lost = self._connection.unreachable(error)
            except NotReadyError as error:
                lost = error
            time.sleep(following.lost(lost))
