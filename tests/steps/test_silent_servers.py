"""PostgreSQL servers and networks that fall silent: what a cancel then does, and what is known of the changes."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest

from nomaflow.steps import end_backend, sql_query
from nomaflow.steps.databases import open_database
from nomaflow.steps.databases.errors import OutcomeUnknownError
from nomaflow.worker.context import StepCanceled
from nomaflow.worker.lasting import verdict
from tests.fakes.context import step_context
from tests.servers.postgresql import Server
from tests.servers.proxy import Proxy

BUSY = "SELECT pg_sleep(60)"


@pytest.fixture
def proxy(pg: Server) -> Iterator[Proxy]:
    with closing(Proxy(pg.host, pg.port)) as made:
        yield made


def options(query: str) -> dict[str, Any]:
    return {"connector": "pg", "query": query, "params": {}}


def backends(server: Server) -> list[tuple[int, str]]:
    with server.connect() as look:
        found: list[tuple[int, str]] = look.execute(
            "SELECT pid, state FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'nomaflow run_1/step'"
        ).fetchall()
        return found


def until_busy(server: Server) -> None:
    """Return when `BUSY` is at work; what opens a connection is a statement, too."""
    with server.connect() as look:
        sleeping = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        while look.execute(sleeping).fetchone() is None:
            # Else the transaction goes on seeing what it saw.
            look.rollback()
            time.sleep(0.01)


def until_row(server: Server) -> None:
    with server.connect() as look:
        while look.execute("SELECT count(*) FROM t").fetchone() == (0,):
            time.sleep(0.01)


def test_the_connection_to_a_silent_server_is_cut(pg: Server, proxy: Proxy) -> None:
    """The step ends although nobody answers; what became of its changes is not known, and the backend is named."""
    opened = []
    connector = pg.connector(port=proxy.port, application_name="nomaflow run_1/step")

    def open_one(name: str) -> Any:
        opened.append(open_database(connector))
        return opened[0]

    ctx, told = step_context(open_connector=open_one)

    with ExitStack() as silence:

        def cancel() -> None:
            until_busy(pg)
            silence.enter_context(proxy.silent())
            ctx.canceler.cancel("user:test", 0.4)

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(StepCanceled):
            sql_query.run(ctx, options(BUSY))
        thread.join()
        (database,) = opened
        assert ctx.rolled_back is None
        assert database.may_go_on
        assert backends(pg) == [(database.server_process, "active")]
    assert any(line.startswith("INFO stopped: ") for line in told.lines)


def test_a_server_that_answers_is_not_cut(pg: Server) -> None:
    """It confirms the rollback, and nothing goes on."""
    opened = []

    def open_one(name: str) -> Any:
        opened.append(open_database(pg.connector(application_name="nomaflow run_1/step")))
        return opened[0]

    ctx, _ = step_context(open_connector=open_one)
    thread = threading.Thread(target=lambda: (until_busy(pg), ctx.canceler.cancel("user:test", 10)))
    thread.start()
    with pytest.raises(StepCanceled):
        sql_query.run(ctx, options(BUSY))
    thread.join()
    assert ctx.rolled_back is True
    assert not opened[0].may_go_on


def test_a_server_that_lets_nobody_in_does_not_hold_up_a_cancel(pg: Server) -> None:
    """The driver waits for an answer in mid-connect; nothing was begun then."""
    with socket.create_server(("127.0.0.1", 0)) as mute, ExitStack() as held:
        ctx, _ = step_context({"pg": pg.connector(port=mute.getsockname()[1])})

        def interrupt(*_: object) -> None:
            # As a worker does.
            if ctx.canceler.interruptible:
                ctx.canceler.interruptible = False
                raise StepCanceled

        def cancel() -> None:
            held.enter_context(mute.accept()[0])
            ctx.canceler.cancel("user:test", 10)

        held.callback(signal.signal, signal.SIGUSR1, signal.signal(signal.SIGUSR1, interrupt))
        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(StepCanceled):
            sql_query.run(ctx, options("SELECT 1"))
        thread.join()
    assert ctx.rolled_back is True


def test_a_commit_whose_answer_is_lost_has_no_known_outcome(pg: Server, proxy: Proxy) -> None:
    """The error says so in words, and is never tried again: the change may be there."""
    with pg.connect() as observer:
        observer.execute("CREATE TABLE t (a int)")
    database = open_database(pg.connector(port=proxy.port))
    heard = []
    database.about_to_commit = lambda: heard.append("about to commit")
    with closing(database):
        assert database.execute("INSERT INTO t VALUES (1)") == 1
        with proxy.silent(only_answers=True):
            cutting = threading.Thread(target=lambda: (until_row(pg), proxy.cut()))
            cutting.start()
            with pytest.raises(OutcomeUnknownError, match="the outcome of the commit is unknown") as lost:
                database.commit()
            cutting.join()
        assert database.rollback() is None
    assert heard == ["about to commit"]
    assert not verdict(lost.value).may_retry
    with pg.connect() as observer:
        assert observer.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_lost_connection_in_a_statement_may_be_tried_again(pg: Server) -> None:
    """Nothing is there yet, since nothing was committed."""
    ctx, _ = step_context({"pg": pg.connector()})
    with pytest.raises(psycopg.OperationalError) as lost:
        sql_query.run(ctx, options("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert verdict(lost.value).may_retry


def test_a_frozen_backend_is_asked_to_end_and_does_so_when_it_wakes(pg: Server) -> None:
    """`end_backend` says truly that it is still there; one that runs ends at once; a foreign one is left alone."""
    named = {"connector": "pg", "name": "nomaflow run_1/step"}
    ctx, _ = step_context({"pg": pg.connector(application_name="nomaflow ends it")})
    with closing(open_database(pg.connector(application_name="nomaflow run_1/step"))) as database:
        process = database.server_process
        assert process is not None
        foreign = {**named, "process": process, "name": "another"}
        assert end_backend.run(ctx, foreign) == {"ended": True}
        assert [pid for pid, _ in backends(pg)] == [process]
        os.kill(process, signal.SIGSTOP)
        try:
            assert end_backend.run(ctx, {**named, "process": process}) == {"ended": False}
        finally:
            os.kill(process, signal.SIGCONT)
        assert end_backend.run(ctx, {**named, "process": process}) == {"ended": True}
        assert backends(pg) == []
