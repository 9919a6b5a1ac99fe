"""What a stopped step may have left at work on a database server, and ending it from a connection of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import trio

from nomaflow.engine.cancel import Stop
from nomaflow.engine.own_step import own_step
from nomaflow.engine.ports import Workers
from nomaflow.wire import Rung
from nomaflow.worker.pool import WorkerError
from nomaflow.worker.protocol import Message

ASK_SECONDS = 1.0
"""How long a server is asked; a run is not kept CANCELING for one that does not answer."""


@dataclass(frozen=True)
class Backend:
    """The process of a server that served one connection of the step."""

    connector: str
    process: int

    @classmethod
    def of(cls, message: Any) -> Backend | None:
        """As a worker tells it; None of what is none, since a worker runs foreign code."""
        if isinstance(message, dict):
            connector, process = message.get("connector"), message.get("process")
            if isinstance(connector, str) and isinstance(process, int):
                return cls(connector, process)
        return None


def left_at_work(end: Message, opened: Collection[Backend]) -> list[Backend]:
    """Those that may go on after a step's last message; of a worker that was killed, all that it had."""
    if "died" in end:
        return sorted(opened, key=lambda backend: (backend.connector, backend.process))
    told = end.get("left")
    return [backend for each in (told if isinstance(told, list) else ()) if (backend := Backend.of(each))]


async def end_all(
    backends: Collection[Backend],
    stop: Stop,
    pool: Workers[Any],
    answer: Callable[[str], Message],
    *,
    home: str,
    now: Callable[[], datetime],
) -> None:
    """Ask the servers to end what is left; one rung of the ladder tells what came of it, `survivors` what may go on.

    Args:
        backends: what is left.
        stop: takes the rung and the survivors.
        pool: whose worker asks: the engine loads no drivers.
        answer: how the step was told to open a connector.
        home: the folder.
        now: the wall clock.
    """
    rung = Rung(rung="server-side terminate", started_at=now(), result="")
    stop.rungs.append(rung)
    has_ended: dict[Backend, bool] = {}

    async def ask(backend: Backend) -> None:
        ended = await _end(pool, _step(backend, answer(backend.connector), home))
        if ended is not None:
            has_ended[backend] = ended

    with trio.move_on_after(ASK_SECONDS):
        async with trio.open_nursery() as nursery:
            for backend in backends:
                nursery.start_soon(ask, backend)
    results = []
    for backend in backends:
        named = f"process {backend.process} of the server of {backend.connector!r}"
        if backend not in has_ended:
            results.append(f"nobody could ask {named} to end")
        else:
            results.append(f"{named} {'has ended' if has_ended[backend] else 'was asked to end and is still there'}")
        if not has_ended.get(backend):
            stop.survivors.append(f"{named} may go on until it finds that its client is gone")
    rung.ended_at, rung.result = now(), "; ".join(results)


def _step(backend: Backend, answer: Message, home: str) -> Message:
    options = {"connector": backend.connector, "process": backend.process, "name": ""}
    if "connector" in answer:  # not where the right to use it was taken away meanwhile
        options["name"] = name = answer["connector"]["application_name"]
        answer = {"connector": {**answer["connector"], "application_name": f"nomaflow ends {name}"}}
    return own_step("end_backend", options, {backend.connector: answer}, home)


async def _end(pool: Workers[Any], spec: Message) -> bool | None:
    """Run it; whether the backend has ended, None where nobody could say."""
    try:
        worker = await pool.acquire("")
    except WorkerError:
        return None
    end: Message = {}
    try:
        end = await worker.run_step(spec, lambda message: None)
    finally:
        with trio.CancelScope(shield=True):
            await pool.release(worker, clean="done" in end)
    return bool(end["done"]["output"]["ended"]) if "done" in end else None
