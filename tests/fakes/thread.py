"""Something of trio's in a thread of its own, for those who are not in a trio loop themselves."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import trio


@dataclass(frozen=True)
class Inside[T]:
    """What was opened in the thread."""

    value: T
    token: trio.lowlevel.TrioToken

    def call[R](self, verb: Callable[..., Awaitable[R]], *given: Any) -> R:
        """Run a coroutine function in the thread's loop."""
        return trio.from_thread.run(verb, *given, trio_token=self.token)


@contextmanager
def opened_in_thread[T](opening: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[Inside[T]]:
    """Open it in a thread's loop, and close it there when the block ends."""
    ready, stop = threading.Event(), trio.Event()
    inside: list[Inside[T]] = []

    async def main() -> None:
        async with opening() as value:
            inside.append(Inside(value, trio.lowlevel.current_trio_token()))
            ready.set()
            await stop.wait()

    with ThreadPoolExecutor(1, "trio") as threads:
        running = threads.submit(trio.run, main)
        running.add_done_callback(lambda _: ready.set())
        ready.wait()
        if not inside:
            running.result()
        try:
            yield inside[0]
        finally:
            if not running.done():
                inside[0].token.run_sync_soon(stop.set)
            running.result()
