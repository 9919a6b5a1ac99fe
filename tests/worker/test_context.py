"""What a step is given: cancels that are never lost, and connections that commit, roll back and close."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import pytest

from nomaflow.worker.connector import ConnectorBusyError
from nomaflow.worker.context import CUT_SECONDS, Canceler, PreviousStep, Row, StepCanceled, unheard
from tests.fakes.context import step_context


class FakeDatabase:
    """A connection that tells what was done with it."""

    backend = "fake"
    server_process: int | None = None
    may_go_on = False

    def __init__(self, name: str = "db", *, closes: bool = True) -> None:
        self.name, self.fails, self._closes = name, False, closes
        self.done: list[str] = []
        self.about_to_commit: Callable[[], None] = unheard

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        self.done.append(sql)
        if self.fails:
            raise RuntimeError("no such table")
        return 3

    def fetch(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        self.done.append(sql)
        return [(1, "a"), (2, "b")] if "rows" in sql else []

    def stream(
        self, sql: str, params: Mapping[str, Any] | None = None, *, size: int = 1000
    ) -> Generator[Sequence[Row], None, None]:
        rows = self.fetch(sql, params)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    def commit(self) -> None:
        self.done.append("commit")

    def rollback(self) -> bool | None:
        self.done.append("rollback")
        return True

    def cancel(self, cut_seconds: float = CUT_SECONDS) -> None:
        self.done.append(f"cancel {cut_seconds:g}")

    def close(self) -> None:
        self.done.append("close")
        if not self._closes:
            raise OSError("the server is gone")


def test_a_cancel_calls_what_is_armed() -> None:
    """The newest first; what is no longer armed is left alone; the first reason stays."""
    canceler, called = Canceler(), list[str]()
    with canceler.armed(lambda: called.append("outer")), canceler.armed(lambda: called.append("inner")):
        with canceler.armed(lambda: called.append("over")):
            pass
        canceler.cancel("user:ana")
        canceler.cancel("timeout")
    canceler.cancel("late")
    assert called == ["inner", "outer"] * 2
    assert canceler.why == "user:ana"


def test_what_is_armed_too_late_is_called_at_once() -> None:
    """A cancel between two pieces of work is not lost."""
    canceler, called = Canceler(), list[str]()
    canceler.cancel("user:ana")
    with canceler.armed(lambda: called.append("at once")):
        assert called == ["at once"]


def test_a_hook_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """It is told, and the others are called."""
    canceler, called = Canceler(), list[str]()

    def broken() -> None:
        raise OSError("the server is gone")

    with canceler.armed(lambda: called.append("first")), canceler.armed(broken), caplog.at_level(logging.WARNING):
        canceler.cancel("user:ana")
    assert called == ["first"]
    assert "asking the step to stop failed: the server is gone" in caplog.text


def test_a_cancel_may_come_from_any_thread() -> None:
    """However they meet, a hook that is armed when or after a cancel comes is called."""
    for _ in range(200):
        canceler, called = Canceler(), threading.Event()
        thread = threading.Thread(target=canceler.cancel, args=("user:ana",))
        thread.start()
        with canceler.armed(called.set):
            thread.join()
            assert called.is_set()


def test_each_statement_commits_by_itself() -> None:
    """And one that fails is rolled back."""
    database = FakeDatabase()
    ctx, _ = step_context(open_connector=lambda name: database)
    connector = ctx.get_connector("db").sync
    assert connector.execute("insert") == 3
    database.fails = True
    with pytest.raises(RuntimeError):
        connector.execute("bad")
    assert database.done == ["insert", "commit", "bad", "rollback"]


def test_a_transaction_is_all_or_nothing() -> None:
    """One commit at its end, or one rollback."""
    database = FakeDatabase()
    ctx, _ = step_context(open_connector=lambda name: database)
    connector = ctx.get_connector("db").sync
    with connector.transaction():
        connector.execute("one")
        connector.execute("two")

    def canceled_after_three() -> None:
        with connector.transaction():
            connector.execute("three")
            raise StepCanceled

    with pytest.raises(StepCanceled):
        canceled_after_three()
    assert database.done == ["one", "two", "commit", "three", "rollback"]
    assert connector.execute("four") == 3
    assert database.done[-1] == "commit"


def test_rows_and_scalars() -> None:
    """The first column of the first row; None where there is none."""
    ctx, _ = step_context(open_connector=lambda name: FakeDatabase())
    connector = ctx.get_connector("db").sync
    assert connector.fetch("rows") == [(1, "a"), (2, "b")]
    assert (connector.scalar("rows"), connector.scalar("nothing")) == (1, None)


def test_a_statement_that_is_canceled_is_no_error() -> None:
    """What the driver raises because it was canceled ends the step as canceled."""
    database = FakeDatabase()
    ctx, _ = step_context(open_connector=lambda name: database)
    connector = ctx.get_connector("db").sync
    database.fails = True
    ctx.canceler.cancel("user:ana", 5)
    with pytest.raises(StepCanceled):
        connector.execute("slow")
    assert database.done == ["cancel 2.5", "slow", "rollback"]


def test_a_connector_is_opened_once_and_closed_at_the_end() -> None:
    """At its first use, not when it is named; one that cannot be closed keeps no other open."""
    opened: dict[str, FakeDatabase] = {}

    def open_one(name: str) -> FakeDatabase:
        return opened.setdefault(name, FakeDatabase(name, closes=name != "b"))

    ctx, _ = step_context(open_connector=open_one)
    connectors = {name: ctx.get_connector(name) for name in "abc"}
    assert opened == {}
    for name in "aabc":
        connectors[name].sync.execute("x")
    with pytest.raises(OSError, match="the server is gone"):
        ctx.close()
    assert [database.done.count("close") for database in opened.values()] == [1, 1, 1]
    ctx.close()
    assert [database.done.count("close") for database in opened.values()] == [1, 1, 1]


def test_a_checkpoint_ends_a_step_that_is_asked_to_stop() -> None:
    """And is nothing otherwise."""
    ctx, _ = step_context()
    ctx.checkpoint()
    assert not ctx.is_cancelled()
    ctx.canceler.cancel("user:ana")
    assert ctx.is_cancelled()
    with pytest.raises(StepCanceled):
        ctx.checkpoint()


def test_except_exception_does_not_swallow_a_cancel() -> None:
    """Code that catches its own errors is stopped all the same."""
    assert not issubclass(StepCanceled, Exception)


def test_an_unknown_earlier_step_is_a_key_error() -> None:
    """There is no output to read; the message names the steps that there are."""
    ctx, _ = step_context()
    with pytest.raises(KeyError) as caught:
        ctx.previous_step("gone")
    assert str(caught.value) == "there is no earlier step 'gone'; this one is the first"
    ctx.outputs = {"a": PreviousStep({}, "SUCCEEDED"), "b": PreviousStep({}, "SUCCEEDED")}
    with pytest.raises(KeyError, match="those before this one are a, b"):
        ctx.previous_step("gone")


def test_rows_come_in_batches() -> None:
    """The transaction ends with the last of them, and with an early end it is dropped."""
    database = FakeDatabase()
    ctx, _ = step_context(open_connector=lambda name: database)
    connector = ctx.get_connector("db").sync
    assert list(connector.stream("rows", size=1)) == [[(1, "a")], [(2, "b")]]
    for _ in connector.stream("rows"):
        break
    with connector.transaction():
        assert len(list(connector.stream("rows"))) == 1
    assert database.done == ["rows", "commit", "rows", "rollback", "rows", "commit"]


def test_a_connector_that_streams_runs_nothing_else() -> None:
    """On no database, though some could: what works on one home's should work on another's."""
    database = FakeDatabase()
    ctx, _ = step_context(open_connector=lambda name: database)
    connector = ctx.get_connector("db").sync
    rows = connector.stream("rows", size=1)
    next(rows)
    for call in (connector.execute, connector.fetch, lambda sql: next(connector.stream(sql))):
        with pytest.raises(ConnectorBusyError, match="'db' is still giving the rows of a stream"):
            call("other")
    rows.close()
    assert connector.execute("other") == 3


def test_a_cancel_ends_a_stream() -> None:
    """Between two batches, as in the middle of one."""
    database = FakeDatabase()
    ctx, _ = step_context(open_connector=lambda name: database)
    batches = ctx.get_connector("db").sync.stream("rows", size=1)
    next(batches)
    ctx.checkpoint()
    ctx.canceler.cancel("user:ana", 5)
    with pytest.raises(StepCanceled):
        ctx.checkpoint()
    batches.close()
    assert database.done == ["rows", "rollback"]


def test_threads_share_a_connector() -> None:
    """Their statements run one after another; drivers take no two at once."""
    inside, most = [0], [0]

    class Slow(FakeDatabase):
        def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            threading.Event().wait(0.002)
            inside[0] -= 1
            return 1

    ctx, _ = step_context(open_connector=lambda name: Slow())
    connector = ctx.get_connector("db").sync
    threads = [threading.Thread(target=connector.execute, args=("x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
