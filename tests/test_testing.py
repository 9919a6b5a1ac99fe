"""The context for tests of one's own steps."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from nomaflow import StepContext
from nomaflow.testing import PreviousStep, StepCanceled, build_fake_ctx
from nomaflow.worker.context import ConnectorError


def plain(ctx: StepContext, *, days: int, unit: str = "rows") -> dict[str, Any]:
    """A step as people write them."""
    ctx.log.info("▶ %d days", days)
    ctx.log.debug("%s", "details")
    for done in range(3):
        ctx.progress(done, 3, unit=unit)
        ctx.checkpoint()
    return {"days": days, "by": ctx.session_user}


async def on_asyncio(ctx: StepContext) -> dict[str, Any]:
    """One that waits."""
    ctx.log.info("begun")
    await asyncio.sleep(0.001)
    db = await ctx.get_connector("db")
    return {"n": await db.scalar("select count(*) from t")}


async def on_trio(ctx: StepContext) -> None:
    """The same on trio."""
    ctx.log.info("begun")
    await trio.sleep(60)


def test_a_function_is_called_as_its_step_calls_it() -> None:
    """With the values that it names, and what it gave as later steps get it."""
    with build_fake_ctx(params={"days": 30, "apps_id": 10}, session_user="cron:nightly") as ctx:
        assert ctx.call(plain) == {"days": 30, "by": "cron:nightly"}
        assert ctx.lines == ["INFO ▶ 30 days"]
        assert ctx.line("▶ 30") == "INFO ▶ 30 days"
        assert ctx.reports[0] == {"done": 0, "total": 3, "unit": "rows", "text": ""}
        with pytest.raises(LookupError, match="no line begins with 'gone'"):
            ctx.line("gone")
        with pytest.raises(TypeError, match=r"plain\(ctx, \*, days, unit='rows'\) takes no day, which"):
            ctx.call(plain, day=1)
    with build_fake_ctx() as ctx, pytest.raises(TypeError, match="missing a required keyword-only argument: 'days'"):
        ctx.call(plain)


def test_debug_lines_are_kept_where_the_run_has_them() -> None:
    """A step's log is its own: what the tests log is not in it."""
    with build_fake_ctx(params={"days": 1}, log_level="DEBUG") as ctx:
        logging.getLogger("another").error("not the step's")
        ctx.call(plain)
    assert ctx.lines[1:] == ["INFO ▶ 1 days", "DEBUG details"]


def test_connectors_are_databases_of_the_test(tmp_path: Path) -> None:
    """In memory by their names, or where an address says; each keeps its rows as long as the context."""
    with build_fake_ctx(connectors=["db", "other"]) as ctx:
        db = ctx.get_connector("db").sync
        db.execute("create table t (a integer)")
        db.execute("insert into t values (:a)", {"a": 1})
        assert ctx.call(on_asyncio) == {"n": 1}
        assert ctx.get_connector("other").sync.fetch("select name from sqlite_master") == []
        with pytest.raises(ConnectorError, match="has no connector 'gone'; it was given db, other"):
            ctx.get_connector("gone").sync.execute("select 1")
    for url in (f"sqlite:///{tmp_path}/a.db", f"duckdb:///{tmp_path}/a.duckdb"):
        for expected in (0, 1):
            with build_fake_ctx(connectors={"db": url}) as ctx:
                ctx.get_connector("db").sync.execute("create table if not exists t (a integer)")
                assert ctx.call(on_asyncio) == {"n": expected}
                ctx.get_connector("db").sync.execute("insert into t values (1)")


def test_earlier_steps_are_given() -> None:
    """They have succeeded, unless the test says otherwise."""
    outputs = {"decide": {"go": True}, "later": PreviousStep({}, "FAILED")}
    ctx = build_fake_ctx(outputs=outputs)
    assert ctx.previous_step("decide") == PreviousStep({"go": True}, "SUCCEEDED")
    assert ctx.previous_step("later").status == "FAILED"


def test_a_plain_function_is_canceled_where_it_looks() -> None:
    """No signal is sent: it would end the tests."""
    ctx = build_fake_ctx(params={"days": 1})
    ctx.on_progress = lambda report: ctx.cancel()
    with pytest.raises(StepCanceled):
        ctx.call(plain)
    for thread in threading.enumerate():
        if thread.name == "interrupt":
            thread.join()
    assert len(ctx.reports) == 1
    assert ctx.is_cancelled()


@pytest.mark.parametrize(("function", "flavour"), [(on_asyncio, "asyncio"), (on_trio, "trio")])
def test_an_async_function_is_canceled_at_its_next_await(function: Any, flavour: str) -> None:
    """As on a worker, on either loop."""
    ctx = build_fake_ctx()
    ctx.on_line = lambda line: ctx.cancel()
    with pytest.raises(StepCanceled):
        ctx.call(function, flavour=flavour)
