"""A database as a step's code uses it: statements, rows and transactions, plain or awaited."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nomaflow.worker.context import Canceler, Database, Row

log = logging.getLogger("nomaflow.worker.context")


class ConnectorBusyError(RuntimeError):
    """A statement while the rows of another one are still being read."""

    lasting = "the code stays as it is"


def first_line(error: Exception) -> str:
    """What an error says first; drivers add hints over several lines."""
    return str(error).strip().partition("\n")[0]


def dropped(database: Database) -> bool | None:
    """Roll back after an error, which is the one to raise; what `rollback` gives, None where that failed too."""
    try:
        return database.rollback()
    except Exception as error:  # closing drops the changes as well
        log.warning("rolling back failed: %s", first_line(error))
        return None


class SyncConnector:
    """A connector for plain functions: each statement commits by itself, unless it is inside `transaction()`.

    Threads may share it: their statements run one after another.
    """

    def __init__(self, name: str, database: Database, canceler: Canceler) -> None:
        self.name = name
        self._database, self._canceler = database, canceler
        self._lock = threading.RLock()
        self._in_transaction = self._streams = False

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run one statement, with `:name` for each of the values; the number of rows it affected."""
        return self._run(lambda: self._database.execute(sql, params))

    def fetch(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """All rows."""
        return self._run(lambda: self._database.fetch(sql, params))

    def scalar(self, sql: str, params: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row; None where there is no row."""
        rows = self.fetch(sql, params)
        return rows[0][0] if rows else None

    def stream(
        self, sql: str, params: Mapping[str, Any] | None = None, *, size: int = 1000
    ) -> Generator[Sequence[Row], None, None]:
        """The rows in batches of `size`, so that a table of any length passes through little memory.

        Until the last batch is taken, or the generator is closed, this connector runs no other statement.

        Raises:
            ConnectorBusyError: the rows of another statement are still being read.
        """
        self._refuse_if_streaming()
        self._streams = True
        batches = self._database.stream(sql, params, size=size)
        try:
            while (batch := self._asked(lambda: next(batches, None), commits=False)) is not None:
                yield batch
            if not self._in_transaction:
                self._asked(self._database.commit, commits=False)  # a statement that gives rows may write, too
        except BaseException:
            batches.close()
            if not self._in_transaction:
                dropped(self._database)
            raise
        finally:
            self._streams = False

    @contextmanager
    def transaction(self) -> Iterator[SyncConnector]:
        """All statements of the block, or none of them."""
        self._in_transaction = True
        try:
            yield self
        except BaseException:
            dropped(self._database)
            raise
        else:
            self._database.commit()
        finally:
            self._in_transaction = False

    def _run[T](self, statement: Callable[[], T]) -> T:
        self._refuse_if_streaming()
        return self._asked(statement, commits=not self._in_transaction)

    def _asked[T](self, call: Callable[[], T], *, commits: bool) -> T:
        with self._lock, self._canceler.stopping(self._database):
            try:
                result = call()
                if commits:
                    self._database.commit()
            except Exception as error:
                if not self._in_transaction:
                    dropped(self._database)
                if self._canceler.why is not None:
                    log.info("stopped: %s", first_line(error))
                    raise self._canceler.stop() from error
                raise
        return result

    def _refuse_if_streaming(self) -> None:
        if self._streams:
            raise ConnectorBusyError(
                f"the connector {self.name!r} is still giving the rows of a stream; read them to their end first, or "
                f"use fetch, or let the statement do the work in the database"
            )


class Batches:
    """The rows of a statement for `async for`, in batches."""

    def __init__(self, batches: Generator[Sequence[Row], None, None], in_thread: Callable[..., Awaitable[Any]]) -> None:
        self._batches, self._in_thread = batches, in_thread

    def __aiter__(self) -> Batches:
        return self

    async def __anext__(self) -> Sequence[Row]:
        # The thread may keep the call for a moment: a loop that is left frees the connector at once all the same.
        batches = weakref.ref(self._batches)
        batch: Sequence[Row] | None = await self._in_thread(lambda: _next_of(batches()))
        if batch is None:
            raise StopAsyncIteration
        return batch

    async def aclose(self) -> None:
        """Let the connector run other statements, before the last batch."""
        await self._in_thread(self._batches.close)


def _next_of(batches: Generator[Sequence[Row], None, None] | None) -> Sequence[Row] | None:
    return next(batches, None) if batches is not None else None


class Connector:
    """A connector for `async def` steps: the same verbs, awaited; `sync` is the plain form.

    `ctx.get_connector(name)` gives one with or without `await`.
    """

    def __init__(self, open_sync: Callable[[], SyncConnector], in_thread: Callable[..., Awaitable[Any]]) -> None:
        self._open_sync, self._in_thread = open_sync, in_thread

    def __await__(self) -> Generator[Any, Any, Connector]:
        yield from self._in_thread(self._open_sync).__await__()
        return self

    @property
    def sync(self) -> SyncConnector:
        """The plain form; opens the connection if it is not open."""
        return self._open_sync()

    async def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run one statement, with `:name` for each of the values; the number of rows it affected."""
        result: int = await self._in_thread(lambda: self._open_sync().execute(sql, params))
        return result

    async def fetch(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """All rows."""
        rows: list[Row] = await self._in_thread(lambda: self._open_sync().fetch(sql, params))
        return rows

    async def scalar(self, sql: str, params: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row; None where there is no row."""
        return await self._in_thread(lambda: self._open_sync().scalar(sql, params))

    def stream(self, sql: str, params: Mapping[str, Any] | None = None, *, size: int = 1000) -> Batches:
        """The rows in batches of `size`: `async for rows in connector.stream("select …"):`.

        As in `SyncConnector.stream`, this connector runs no other statement before the last batch is taken.
        """

        def batches() -> Generator[Sequence[Row], None, None]:
            yield from self._open_sync().stream(sql, params, size=size)

        return Batches(batches(), self._in_thread)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connector]:
        """All statements of the block, or none of them."""
        connector = await self._in_thread(self._open_sync)
        with ExitStack() as stack:
            stack.enter_context(connector.transaction())
            yield self
            await self._in_thread(stack.pop_all().close)


async def in_thread(call: Any) -> Any:
    """Run a blocking call beside the loop that runs now, asyncio's or trio's."""
    import sniffio

    if sniffio.current_async_library() == "trio":
        import trio

        return await trio.to_thread.run_sync(call, abandon_on_cancel=True)
    import asyncio

    return await asyncio.to_thread(call)
