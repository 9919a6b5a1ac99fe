"""MariaDB, as MySQL is spoken to: `sql_query`, cancel, what is tried again, copies."""

from __future__ import annotations

import datetime as dt
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pymysql
import pytest

from nomaflow.steps import end_backend, sql_copy, sql_query
from nomaflow.steps.databases import open_database
from nomaflow.steps.databases.errors import NoTransactionsError, OpenError, OutcomeUnknownError
from nomaflow.steps.databases.tables import Column, Relation, Table
from nomaflow.steps.sql_copy.errors import CopyError
from nomaflow.worker.context import StepCanceled
from nomaflow.worker.lasting import verdict
from tests.fakes.context import Told, step_context
from tests.servers import mariadb
from tests.servers import postgresql as private_postgresql
from tests.servers.proxy import Proxy
from tests.steps.copying import Bench

BUSY = "SELECT count(*) FROM seq_1_to_100000000 a, seq_1_to_100000 b WHERE a.seq * b.seq % 7 = 3"


@pytest.fixture(scope="module")
def server() -> Iterator[mariadb.Server]:
    with mariadb.running() as running:
        yield running


@pytest.fixture
def my(server: mariadb.Server) -> Iterator[mariadb.Server]:
    with server.new_database() as database:
        yield database


def options(query: str, **params: Any) -> dict[str, Any]:
    return {"connector": "my", "query": query, "params": params}


def query(server: mariadb.Server, sql: str, **params: Any) -> dict[str, Any]:
    ctx, _ = step_context({"my": server.connector()})
    return sql_query.run(ctx, options(sql, **params))


def rows(server: mariadb.Server, sql: str) -> list[Any]:
    with server.connect() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def until_busy(server: mariadb.Server, begin: str = "") -> int:
    while not (found := [number for number, text in server.busy() if begin in (text or "")]):
        time.sleep(0.01)
    return found[0]


def test_a_statement_is_counted_and_committed(my: mariadb.Server) -> None:
    """Writes count the rows they met, reads those they gave, and a value stays a value."""
    assert query(my, "CREATE TABLE t (a INT PRIMARY KEY, b TEXT)") == {"rows_affected": 0}
    given = "'; DROP TABLE t; -- \\ %s :b"
    assert query(my, "INSERT INTO t VALUES (1, :b), (2, :b), (3, 'it\\'s :c')", b=given) == {"rows_affected": 3}
    assert query(my, "UPDATE t SET b = :b WHERE a < 3", b=given) == {"rows_affected": 2}
    assert query(my, "SELECT * FROM t WHERE b LIKE '%'") == {"rows_affected": 3}
    assert query(my, "DELETE FROM t WHERE a = 3 RETURNING b") == {"rows_affected": 1}
    assert rows(my, "SELECT b FROM t") == [(given,), (given,)]


def test_bound_values_keep_their_type(my: mariadb.Server) -> None:
    """An instant is bound in UTC, which is the session's zone."""
    values = {
        "i": 1 << 62,
        "d": Decimal("1.50"),
        "f": 0.1,
        "t": dt.datetime(2024, 3, 31, 2, 30, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        "u": uuid.UUID(int=1),
        "b": b"\x00'\\\xff",
        "n": None,
        "s": "é😀",
    }
    with closing(open_database(my.connector())) as database:
        (row,) = database.fetch("SELECT :i, :d, :f, :t, :u, :b, :n, :s", values)
        assert row == (
            1 << 62,
            Decimal("1.50"),
            0.1,
            "2024-03-31 00:30:00",
            "00000000-0000-0000-0000-000000000001",
            b"\x00'\\\xff",
            None,
            "é😀",
        )
        assert database.fetch("SELECT @@session.time_zone") == [("+00:00",)]


def test_a_failed_statement_changes_nothing(my: mariadb.Server) -> None:
    """The error is the driver's own."""
    query(my, "CREATE TABLE t (a INT NOT NULL)")
    query(my, "INSERT INTO t VALUES (1), (2)")
    with pytest.raises(pymysql.err.IntegrityError):
        query(my, "INSERT INTO t SELECT nullif(a, 2) FROM t")
    assert rows(my, "SELECT count(*) FROM t") == [(2,)]


def test_several_statements_are_refused_by_us_and_by_the_server(my: mariadb.Server) -> None:
    """What our reading of the text might miss, the server does not run either."""
    query(my, "CREATE TABLE t (a INT)")
    with pytest.raises(Exception, match="more than one statement"):
        query(my, "SELECT 'a\\\\'; DROP TABLE t -- '")
    with pytest.raises(pymysql.err.ProgrammingError):
        query(my, "SELECT 1 /*! ; DROP TABLE t */")
    assert rows(my, "SHOW TABLES") == [("t",)]


@pytest.mark.parametrize("sql", [BUSY, "INSERT INTO t SELECT sleep(60)", "SELECT a.seq FROM seq_1_to_1000000000 a"])
def test_a_canceled_statement_leaves_nothing_on_the_server(my: mariadb.Server, sql: str) -> None:
    """It ends within a second, its changes are gone, and the server works on nothing."""
    query(my, "CREATE TABLE t (a INT)")
    ctx, _ = step_context({"my": my.connector()})

    def cancel() -> None:
        until_busy(my, sql[:30])
        ctx.canceler.cancel("user:test")

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(StepCanceled):
        sql_query.run(ctx, options(sql))
    thread.join()
    assert ctx.rolled_back is True
    assert my.busy() == []
    assert rows(my, "SELECT count(*) FROM t") == [(0,)]


def test_a_change_of_a_definition_is_told_as_not_rolled_back(my: mariadb.Server) -> None:
    """The server commits it, whatever comes after."""
    with closing(open_database(my.connector())) as database:
        told: list[str] = []
        database.about_to_commit = lambda: told.append("commits")
        database.execute("CREATE TEMPORARY TABLE x (a INT)")
        assert told == []
        assert database.rollback() is True
        database.execute("CREATE TABLE t (a INT)")
        assert told == ["commits"]
        assert database.rollback() is False


def test_a_table_without_transactions_is_told_as_not_rolled_back(my: mariadb.Server) -> None:
    """MyISAM keeps what was written; a receipt that said otherwise would be wrong."""
    query(my, "CREATE TABLE t (a INT) ENGINE=MyISAM")
    with closing(open_database(my.connector())) as database:
        database.execute("INSERT INTO t VALUES (1)")
        assert database.rollback() is False


def test_the_connection_to_a_silent_server_is_cut(my: mariadb.Server) -> None:
    """A cancel does not wait for a network that swallows it, and says that nobody knows what became of the changes."""
    with closing(Proxy(my.host, my.port)) as proxy:
        ctx, _ = step_context({"my": my.connector(port=proxy.port, query={"connect_timeout": "1"})})

        def cancel() -> None:
            until_busy(my, "sleep")
            silent.enter_context(proxy.silent())
            ctx.canceler.cancel("user:test", 0.5)

        with ExitStack() as silent:
            thread = threading.Thread(target=cancel)
            thread.start()
            with pytest.raises(StepCanceled):
                sql_query.run(ctx, options("SELECT sleep(60)"))
            thread.join()
        assert ctx.rolled_back is None


def test_what_is_left_at_work_is_ended_from_another_connection(my: mariadb.Server) -> None:
    """By its number and its name; a number that serves another name stays."""
    with closing(open_database(my.connector(application_name="nomaflow run_1/step"))) as database:

        def sleep() -> None:
            with pytest.raises(pymysql.err.OperationalError):
                database.execute("SELECT sleep(60)")

        thread = threading.Thread(target=sleep)
        thread.start()
        until_busy(my, "sleep")
        ctx, _ = step_context({"my": my.connector()})
        asked = {"connector": "my", "process": database.server_process, "name": "nomaflow run_2/step"}
        end_backend.run(ctx, asked)
        assert until_busy(my, "sleep")
        assert end_backend.run(ctx, asked | {"name": "nomaflow run_1/step"}) == {"ended": True}
        thread.join()
        assert database.rollback() is None


def test_why_a_connection_cannot_be_opened_is_one_sentence(my: mariadb.Server) -> None:
    """With what to look at, for each of the usual reasons."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"host": "no-such-host.invalid"}, "no such host is known"),
            ({"port": 1}, "check the host and the port in its url"),
            ({"password": "wrong"}, "check the user in its url"),
            ({"database": "nowhere"}, "check the database at the end of its url"),
            ({"port": silent.getsockname()[1], "query": {"connect_timeout": "1"}}, "the server does not answer"),
        ]
        for changes, advice in cases:
            told = str(failure(my, "SELECT 1", **changes))
            assert told.startswith("The connector 'my' could not be opened: ")
            assert f"; {advice}" in told
            assert "\n" not in told


def test_a_deadlock_is_tried_again(my: mariadb.Server) -> None:
    """The one whom the server chooses may well succeed the next time."""
    query(my, "CREATE TABLE t (a INT PRIMARY KEY, b INT)")
    query(my, "INSERT INTO t VALUES (1, 0), (2, 0)")
    with closing(open_database(my.connector())) as one, closing(open_database(my.connector())) as two:
        one.execute("UPDATE t SET b = 1 WHERE a = 1")
        two.execute("UPDATE t SET b = 2 WHERE a = 2")
        found: list[BaseException] = []

        def cross() -> None:
            try:
                one.execute("UPDATE t SET b = 1 WHERE a = 2")
            except pymysql.Error as error:
                found.append(error)

        thread = threading.Thread(target=cross)
        thread.start()
        until_busy(my, "WHERE a = 2")
        try:
            two.execute("UPDATE t SET b = 2 WHERE a = 1")
        except pymysql.Error as error:
            found.append(error)
        two.rollback()
        thread.join()
    assert [error.args[0] for error in found] == [1213]
    assert verdict(found[0]).may_retry


def failure(my: mariadb.Server, sql: str, **changes: Any) -> BaseException:
    """The error of a statement."""
    try:
        with closing(open_database(my.connector(**changes))) as database:
            database.execute(sql)
    except (pymysql.err.Error, OpenError) as error:
        return error
    raise AssertionError(f"{sql} does not fail")


def test_locks_and_lost_connections_are_tried_again(my: mariadb.Server) -> None:
    """They may be gone the next time."""
    query(my, "CREATE TABLE t (a INT PRIMARY KEY)")
    query(my, "INSERT INTO t VALUES (1)")
    with my.connect(autocommit=False) as holder:
        holder.execute("SELECT * FROM t FOR UPDATE")
        waited = failure(my, "SELECT * FROM t FOR UPDATE", query={"init_command": "SET innodb_lock_wait_timeout = 1"})
    timed_out = failure(my, "SET STATEMENT max_statement_time = 0.05 FOR SELECT sleep(10)")
    killed = failure(my, "KILL CONNECTION_ID()")
    refused = failure(my, "SELECT 1", port=1)
    assert [error.args[0] for error in (waited, timed_out)] == [1205, 1969]
    assert isinstance(refused, OpenError)
    assert all(verdict(error).may_retry for error in (waited, timed_out, killed, refused))


def test_what_stays_as_it_is_is_not_tried_again(my: mariadb.Server) -> None:
    """Syntax, names, rights, constraints, values and a wrong password."""
    query(my, "CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(2), c DATE)")
    query(my, "INSERT INTO t VALUES (1, 'x', NULL)")
    with my.connect() as cursor:
        cursor.execute("CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'reads-only'")
        cursor.execute(f"GRANT SELECT ON {my.database}.* TO reader@'127.0.0.1'")
    reader = {"username": "reader", "password": "reads-only"}
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("SELEC 1", {}, "the text"),
        ("SELECT * FROM nowhere", {}, "what is missing"),
        ("SELECT nothing FROM t", {}, "what is missing"),
        ("DELETE FROM t", reader, "a right"),
        ("INSERT INTO t VALUES (1, 'y', NULL)", {}, "the values violate a constraint"),
        ("INSERT INTO t VALUES (2, 'long', NULL)", {}, "the values"),
        ("INSERT INTO t VALUES (2, 'y', '2024-02-30')", {}, "the values"),
        ("SELECT 1", {"password": "wrong"}, "a name or a password"),
        ("SELECT 1", {"database": "nowhere"}, "what is missing"),
    ]
    for sql, changes, why in cases:
        found = verdict(failure(my, sql, **changes))
        assert (found.may_retry, (found.why or "").startswith(why)) == (False, True), sql


def test_a_commit_whose_answer_is_lost_is_of_unknown_outcome(my: mariadb.Server) -> None:
    """It is not tried again: the changes may be there."""
    query(my, "CREATE TABLE t (a INT)")
    with closing(Proxy(my.host, my.port)) as proxy, closing(open_database(my.connector(port=proxy.port))) as database:
        database.execute("INSERT INTO t VALUES (1)")
        with proxy.silent(only_answers=True):
            threading.Timer(0.3, proxy.cut).start()
            with pytest.raises(OutcomeUnknownError) as caught:
                database.commit()
        assert not verdict(caught.value).may_retry
        assert database.rollback() is None


def test_tables_and_queries_are_described(my: mariadb.Server) -> None:
    """A copy knows the types of both, what has a default and what is computed."""
    query(
        my,
        "CREATE TABLE t (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, d DECIMAL(9,2) DEFAULT 1, "
        "g INT AS (d + 1) STORED, s VARCHAR(9))",
    )
    with closing(open_database(my.connector())) as database:
        assert database.columns(Table(None, "t")) == (
            Column("id", "int(10) unsigned", nullable=False, filled=True),
            Column("d", "decimal(9,2)", filled=True),
            Column("g", "int(11)", generated=True),
            Column("s", "varchar(9)"),
        )
        assert database.columns(Table(None, "u")) == ()
        assert database.primary_key(Table(my.database, "t")) == ("id",)
        found = database.columns_of(
            Relation.of_query("SELECT id, d, s, CAST(s AS BINARY) b FROM t WHERE id > :a", {"a": 1})
        )
        assert [column.declared for column in found] == ["int unsigned", "decimal(9,2)", "longtext", "longblob"]


@pytest.fixture
def bench(tmp_path: Path, my: mariadb.Server, pg: private_postgresql.Server) -> Bench:
    """`my`, `pg` and a file of `duck`."""
    made = Bench(tmp_path)
    made.add("pg", "postgresql", pg)
    made.connectors["my"] = my.connector("my")
    made.add("duck", "duckdb")
    made.add("lite", "sqlite")
    return made


TYPES = {
    "id": "bigint PRIMARY KEY",
    "small": "smallint",
    "i": "integer",
    "amount": "numeric(12,3)",
    "wide": "numeric(38,10)",
    "free": "numeric",
    "f4": "real",
    "f8": "double precision",
    "ok": "boolean",
    "txt": "text",
    "v": "varchar(20)",
    "d": "date",
    "tm": "time",
    "ts": "timestamp",
    "tz": "timestamptz",
    "b": "bytea",
    "j": "json",
    "u": "uuid",
    "iv": "interval",
}


def test_every_type_that_both_have_comes_back_as_it_was(bench: Bench) -> None:
    """PostgreSQL to MariaDB into a table that the copy makes, and back into the first one's like."""
    columns = ", ".join(f"{name} {declared}" for name, declared in TYPES.items())
    bench.sql(
        "pg",
        f"CREATE TABLE t ({columns})",
        f"CREATE TABLE back ({columns})",
        "INSERT INTO t (id) VALUES (0)",
        r"""INSERT INTO t VALUES (1, -32768, 2147483647, 123456789.100, 1234567890123456789012345678.0123456789,
            12345678901234567890.012345678901234567, 0.1, 0.1, true, E'a\tb\\n''"%s é😀', 'é', '0001-01-01',
            '23:59:59.999999', '9999-12-31 23:59:59.999999', '2024-03-31 01:30:00.5+02', '\x00ff27', '{"a": 1.50}',
            '12345678-1234-5678-1234-567812345678', '1 year -2 mons +3 days')""",
        """INSERT INTO t VALUES (-9223372036854775808, 0, -1, -0.001, -0.0000000001, 0.000000000000000001, '1e-37',
            '1e308', false, '', ' ', '2024-02-29', '00:00', '2024-02-29 00:00', '1970-01-01 00:00+00', '', 'null',
            '00000000-0000-0000-0000-000000000000', '0')""",
    )
    assert bench.copy("pg.t", "my.t")["target_rows"] == 3
    assert bench.copy("my.t", "pg.back")["target_rows"] == 3
    texts = ", ".join(f"{name}::text" for name in TYPES)
    assert bench.sql("pg", f"SELECT {texts} FROM t EXCEPT SELECT {texts} FROM back") == []
    assert bench.sql("my", "SHOW TABLES") == [("t",)]
    assert bench.copy("my.t", "duck.t")["target_rows"] == 3
    assert bench.copy("my.t", "lite.t")["target_rows"] == 3
    assert bench.sql("duck", "SELECT f4, amount, ok, tz FROM t WHERE id = 1")[0][:2] == (
        pytest.approx(0.1),
        Decimal("123456789.100"),
    )


def test_mariadbs_own_types_keep_their_values(bench: Bench) -> None:
    """What has no partner goes as text, and digits that a FLOAT does not show are not lost."""
    bench.sql(
        "my",
        "CREATE TABLE t (a TINYINT UNSIGNED, b BIGINT UNSIGNED, c ENUM('x', 'it''s'), d YEAR, e FLOAT, f TIMESTAMP(6), "
        "g TIME, h MEDIUMINT, i BINARY(3), j INET6)",
        "INSERT INTO t VALUES (255, 18446744073709551615, 'it''s', 2024, 16777217, '2024-01-02 03:04:05.123456', "
        "'23:59:59', -8388608, 'a', '::1')",
    )
    bench.copy("my.t", "pg.t")
    assert bench.sql("pg", "SELECT a, b, c, d, e, f AT TIME ZONE 'UTC', g, h, i, j FROM t") == [
        (
            255,
            Decimal(18446744073709551615),
            "it's",
            2024,
            16777216.0,
            dt.datetime.fromisoformat("2024-01-02 03:04:05.123456"),
            dt.time(23, 59, 59),
            -8388608,
            b"a\x00\x00",
            "::1",
        )
    ]


def test_rows_are_replaced_added_and_merged(bench: Bench) -> None:
    """The three modes, in one transaction each; other columns of a merged row stay."""
    bench.sql("pg", "CREATE TABLE t (k text PRIMARY KEY, v int)", "INSERT INTO t VALUES ('a', 1), ('A', 2), ('a ', 3)")
    bench.sql("my", "CREATE TABLE t (k VARCHAR(9) COLLATE utf8mb4_nopad_bin PRIMARY KEY, v INT, kept INT DEFAULT 7)")
    bench.sql("my", "INSERT INTO t VALUES ('a', 0, 1), ('z', 0, 1)")
    assert bench.copy("pg.t", "my.t", "upsert")["target_rows"] == 3
    everything = "SELECT * FROM t ORDER BY k"
    assert bench.sql("my", everything) == [("A", 2, 7), ("a", 1, 1), ("a ", 3, 7), ("z", 0, 1)]
    assert bench.copy("pg.t", "my.t")["target_rows"] == 3
    assert bench.sql("my", everything) == [("A", 2, 7), ("a", 1, 7), ("a ", 3, 7)]
    bench.sql("my", "DELETE FROM t WHERE v = 1")
    assert bench.copy("pg.t", "my.t", "append", where="v < :v", params={"v": 2})["target_rows"] == 1
    assert bench.copy("my.t", "my.u")["target_rows"] == 3
    assert bench.copy("my.t", "pg.back", query="SELECT k, v + 0.5 AS v FROM t WHERE k <> 'z'")["target_rows"] == 3


def test_zero_is_no_next_number(bench: Bench) -> None:
    """MySQL would make a new number of a key that is 0."""
    bench.sql("pg", "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (0), (5)")
    bench.sql("my", "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY)")
    bench.copy("pg.t", "my.t")
    assert bench.sql("my", "SELECT id FROM t ORDER BY id") == [(0,), (5,)]


def test_a_copy_that_fails_leaves_the_old_rows_and_no_new_table(bench: Bench) -> None:
    """A target that is there keeps its rows; one that would be new is not there, nor what it was to be made of."""
    bench.sql("pg", "CREATE TABLE t (a text)", "INSERT INTO t SELECT repeat('x', n) FROM generate_series(1, 30) n")
    bench.sql("my", "CREATE TABLE t (a VARCHAR(20))", "INSERT INTO t VALUES ('old')")
    with pytest.raises(CopyError, match="Row 21, column 'a' holds a text of more than 20 characters"):
        bench.copy("pg.t", "my.t", batch_size=10)
    assert bench.ctx.rolled_back is True
    assert bench.sql("my", "SELECT * FROM t") == [("old",)]
    bench.sql("pg", "CREATE TABLE n (a numeric PRIMARY KEY)", "INSERT INTO n VALUES (1), ('NaN')")
    bench.sql("pg", "CREATE TABLE k (a text PRIMARY KEY)", "INSERT INTO k VALUES ('a'), (repeat('x', 300))")
    with pytest.raises(CopyError, match="more than 255 characters"):
        bench.copy("pg.k", "my.k")
    assert bench.ctx.rolled_back is True
    assert bench.sql("my", "SHOW TABLES") == [("t",)]


def test_a_reader_sees_old_rows_or_new_ones(bench: Bench, my: mariadb.Server) -> None:
    """While rows are loaded the old ones are there; a new table is not there before it is full."""
    bench.sql("pg", "CREATE TABLE t (a int)", "INSERT INTO t SELECT generate_series(1, 3000)")
    bench.sql("my", "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (-1)")
    seen: list[Any] = []

    def look(progress: dict[str, Any]) -> None:
        seen.append(rows(my, "SELECT count(*) FROM t"))
        seen.append(rows(my, "SHOW TABLES LIKE 'u'"))

    told = Told(on_progress=look)
    bench.copy("pg.t", "my.t", batch_size=1000, told=told)
    assert seen == [[(1,)], []] * 3
    seen.clear()
    bench.copy("pg.t", "my.u", batch_size=1000, told=told)
    assert seen == [[(3000,)], []] * 3
    assert rows(my, "SELECT count(*) FROM u") == [(3000,)]


def test_a_target_without_transactions_is_refused(bench: Bench) -> None:
    """Half a copy could not be taken back."""
    bench.sql("pg", "CREATE TABLE t (a int)")
    bench.sql("my", "CREATE TABLE t (a INT) ENGINE=MyISAM")
    with pytest.raises(NoTransactionsError, match="ENGINE=InnoDB"):
        bench.copy("pg.t", "my.t")


def test_a_canceled_copy_leaves_the_old_rows(bench: Bench, my: mariadb.Server) -> None:
    """And nothing at work on the server."""
    bench.sql("pg", "CREATE TABLE t (a int)", "INSERT INTO t SELECT generate_series(1, 100000)")
    bench.sql("my", "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (-1)")
    ctx, heard = step_context(bench.connectors)
    heard.on_progress = lambda progress: ctx.canceler.cancel("user:test")
    place = {"schema": None, "table": "t"}
    with pytest.raises(StepCanceled):
        sql_copy.run(
            ctx,
            {
                "mode": "overwrite",
                "key": [],
                "batch_size": 1000,
                "source": {"connector": "pg", **place},
                "target": {"connector": "my", **place},
            },
        )
    assert ctx.rolled_back is True
    assert rows(my, "SELECT a FROM t") == [(-1,)]
    assert my.busy() == []


def test_a_frozen_server_does_not_keep_a_cancel(server: mariadb.Server) -> None:
    """A process that is stopped answers nobody; the connection is cut and the step ends."""
    with mariadb.running() as frozen:
        ctx, _ = step_context({"my": frozen.connector(query={"connect_timeout": "1"})})

        def cancel() -> None:
            until_busy(frozen, "sleep")
            os.kill(frozen.process, signal.SIGSTOP)
            ctx.canceler.cancel("user:test", 0.5)

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            with pytest.raises(StepCanceled):
                sql_query.run(ctx, options("SELECT sleep(60)"))
            assert ctx.rolled_back is None
        finally:
            thread.join()
            os.kill(frozen.process, signal.SIGCONT)
