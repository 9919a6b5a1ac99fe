"""`sql_copy` from and to a real PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nomaflow.steps.sql_copy.errors import CopyError
from nomaflow.worker.context import StepCanceled
from tests.fakes.context import Told
from tests.servers.postgresql import Server
from tests.steps.copying import Bench

Connection = psycopg.Connection[tuple[Any, ...]]

EVERYTHING = """
    CREATE TYPE mood AS ENUM ('sad', 'ok "x"');
    CREATE TABLE t (
        id bigint PRIMARY KEY, small smallint, i integer, amount numeric(12, 3), free numeric, f4 real,
        f8 double precision, ok boolean, txt text, v varchar(20), c char(4), d date, tm time, ts timestamp,
        tz timestamptz, iv interval, b bytea, j json, jb jsonb, u uuid, m mood, arr integer[], moods mood[], ip inet
    );
    INSERT INTO t (id) VALUES (0);
    INSERT INTO t VALUES (
        1, -32768, 2147483647, 123456789.125, 12345678901234567890.012345678901234567, 0.1, 0.1, true, '', 'é', 'ab',
        '0001-01-01', '23:59:59.999999', '9999-12-31 23:59:59.999999', '2024-03-31 01:30:00+02',
        '1 year -2 mons +3 days -04:05:06.789', '\\x00ff', '{"a": 1.50, "a": null}', '{"a": 1.50}',
        '12345678-1234-5678-1234-567812345678', 'ok "x"', '{1,NULL,3}', '{sad,"ok \\"x\\""}', '10.0.0.1/8'
    );
    INSERT INTO t VALUES (
        9223372036854775807, 0, -1, -0.001, 0.000000000000000001, '1e-37', '1e308', false, E'a\\tb\\n\\\\N\\r''"', ' ',
        '', '2024-02-29', '00:00', '2024-02-29 00:00', '1970-01-01 00:00+00', '0', '', 'null', '"\\u00e9"',
        '00000000-0000-0000-0000-000000000000', 'sad', '{}', '{}', '::1'
    );
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """No connectors yet."""
    return Bench(tmp_path)


@pytest.fixture
def two(bench: Bench, postgresql: Server) -> Iterator[tuple[Bench, Connection, Connection]]:
    """Two databases, `s` and `d`, and a connection of the test's own to each."""
    with (
        postgresql.new_database() as source,
        postgresql.new_database() as target,
        source.connect() as at_source,
        target.connect() as at_target,
    ):
        bench.add("s", "postgresql", source)
        bench.add("d", "postgresql", target)
        yield bench, at_source, at_target


def content(connection: Connection, table: str = "t") -> list[tuple[Any, ...]]:
    """Every row in PostgreSQL's own text, which shows every digit."""
    return connection.execute(f"SELECT x::text FROM {table} x ORDER BY 1".encode()).fetchall()


def test_between_servers_every_type_is_exact(two: tuple[Bench, Connection, Connection]) -> None:
    """A type of the user's own goes as text, since its bytes hold numbers of one database."""
    bench, at_source, at_target = two
    at_source.execute(EVERYTHING.encode())
    at_target.execute(EVERYTHING.encode())
    at_target.execute("DELETE FROM t WHERE id > 0")
    told = Told()
    assert bench.copy("s.t", "d.t", told=told)["target_rows"] == 3
    assert content(at_target) == content(at_source)
    assert told.line("s.t → d.t").endswith("postgresql to postgresql by COPY")
    at_source.execute("ALTER TABLE t DROP COLUMN m, DROP COLUMN moods")
    at_target.execute("DROP TABLE t")
    bench.copy("s.t", "d.t")
    assert content(at_target) == content(at_source)


@pytest.mark.parametrize("backend", ["sqlite", "duckdb"])
def test_through_a_file_and_back_every_type_is_exact(two: tuple[Bench, Connection, Connection], backend: str) -> None:
    """PostgreSQL to a file, and from the file into a table of the same types."""
    bench, at_source, at_target = two
    at_source.execute(EVERYTHING.encode())
    at_target.execute(EVERYTHING.encode())
    bench.add("file", backend)
    bench.copy("s.t", "file.t")
    assert bench.copy("file.t", "d.t")["target_rows"] == 3
    assert content(at_target) == content(at_source)


@pytest.mark.parametrize("backend", ["sqlite", "duckdb"])
def test_every_character_arrives(two: tuple[Bench, Connection, Connection], backend: str) -> None:
    """All code points but NUL, which PostgreSQL's text cannot hold, and surrogates, which are none."""
    bench, _, at_target = two
    bench.add("file", backend)
    numbers = [number for number in range(1, 0x110000) if not 0xD800 <= number < 0xE000]
    texts = ["".join(map(chr, numbers[start : start + 0x1000])) for start in range(0, len(numbers), 0x1000)]
    at_target.execute("CREATE TABLE given (id int, t text)")
    with at_target.cursor() as cursor, cursor.copy("COPY given FROM STDIN") as copying:
        for row in enumerate(texts):
            copying.write_row(row)
    bench.copy("d.given", "file.given")
    bench.copy("file.given", "d.back")
    assert at_target.execute("SELECT t FROM back ORDER BY id").fetchall() == [(text,) for text in texts]


def test_types_that_differ_go_by_rows_and_are_checked(two: tuple[Bench, Connection, Connection]) -> None:
    """COPY would round without a word."""
    bench, at_source, at_target = two
    at_source.execute("CREATE TABLE t (id int, n numeric(10, 4))")
    at_source.execute("INSERT INTO t VALUES (1, 1.5), (2, 1.0001)")
    at_target.execute("CREATE TABLE t (id bigint, n numeric(10, 2))")
    told = Told()
    with pytest.raises(CopyError, match="Row 2, column 'n' holds a number of more than 2 decimals"):
        bench.copy("s.t", "d.t", told=told)
    assert told.line("s.t → d.t").endswith("postgresql to postgresql by rows")
    at_source.execute("UPDATE t SET n = 1.5")
    bench.copy("s.t", "d.t")
    assert at_target.execute("SELECT id, n::text FROM t ORDER BY 1").fetchall() == [(1, "1.50"), (2, "1.50")]


def test_overwrite_keeps_what_hangs_on_the_table(two: tuple[Bench, Connection, Connection]) -> None:
    """Views, grants, indexes, defaults, constraints and comments: it is the same table before and after."""
    bench, at_source, at_target = two
    at_source.execute("CREATE TABLE t (id int, n text)")
    at_source.execute("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 10) i")
    at_target.execute("CREATE TABLE t (id int PRIMARY KEY, n text, at_ timestamptz DEFAULT now())")
    at_target.execute("CREATE INDEX by_n ON t (n)")
    at_target.execute("CREATE VIEW v AS SELECT count(*) FROM t")
    at_target.execute("GRANT SELECT ON t TO PUBLIC")
    at_target.execute("ALTER TABLE t ADD CHECK (id > 0)")
    at_target.execute("COMMENT ON COLUMN t.n IS 'a name'")
    identity = at_target.execute("SELECT oid, relacl::text FROM pg_class WHERE relname = 't'").fetchone()
    bench.copy("s.t", "d.t")
    assert at_target.execute("SELECT oid, relacl::text FROM pg_class WHERE relname = 't'").fetchone() == identity
    assert at_target.execute("SELECT * FROM v").fetchone() == (10,)
    assert at_target.execute("SELECT col_description('t'::regclass, 2)").fetchone() == ("a name",)
    with pytest.raises(psycopg.errors.CheckViolation):
        at_target.execute("INSERT INTO t (id) VALUES (0)")
    at_source.execute("INSERT INTO t VALUES (0)")
    with pytest.raises(psycopg.errors.CheckViolation):
        bench.copy("s.t", "d.t")
    assert content(at_target, "v") == [("(10)",)]
    assert at_target.execute("SELECT count(*) FROM pg_indexes WHERE tablename = 't'").fetchone() == (2,)


def test_readers_see_the_old_rows_until_the_swap(two: tuple[Bench, Connection, Connection]) -> None:
    """Never an empty table, never a mixed one, and never a wait, whatever their transaction began with."""
    bench, at_source, at_target = two
    at_source.execute("CREATE TABLE t (id int)")
    at_source.execute("INSERT INTO t SELECT generate_series(1, 1000)")
    at_target.execute("CREATE TABLE t (id int)")
    at_target.execute("INSERT INTO t SELECT generate_series(1, 7)")
    seen: list[Any] = []

    def look(line: str) -> None:
        seen.append(at_target.execute("SELECT count(*) FROM t").fetchone())

    with psycopg.connect(at_target.info.dsn, password=at_target.info.password) as old_reader:
        old_reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old_reader.execute("SELECT 1")
        bench.copy("s.t", "d.t", told=Told(on_line=look), batch_size=100)
        assert old_reader.execute("SELECT count(*) FROM t").fetchone() == (7,)
    assert len(seen) >= 4
    assert set(seen[:-1]) == {(7,)}
    assert seen[-1] == (1000,)


def test_two_overwrites_at_once_leave_the_rows_of_one(two: tuple[Bench, Connection, Connection]) -> None:
    """The second one waits until the first has committed; without that, both would add their rows."""
    bench, at_source, at_target = two
    at_source.execute("CREATE TABLE t (id int)")
    at_source.execute("INSERT INTO t SELECT generate_series(1, 1000)")
    at_target.execute("CREATE TABLE t (id int)")
    at_target.execute("INSERT INTO t VALUES (0)")
    other = Bench(bench.folder, bench.connectors)
    thread = threading.Thread(target=other.copy, args=("s.t", "d.t"))
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"

    def start_the_other(line: str) -> None:
        if "swap" in line:
            thread.start()
            while at_target.execute(waits).fetchone() == (0,):
                pass

    bench.copy("s.t", "d.t", told=Told(on_line=start_the_other))
    thread.join()
    assert at_target.execute("SELECT count(*), count(DISTINCT id) FROM t").fetchone() == (1000, 1000)


@pytest.mark.parametrize("mode", ["overwrite", "append", "upsert"])
def test_a_canceled_copy_leaves_the_target_as_it_was(two: tuple[Bench, Connection, Connection], mode: str) -> None:
    """Also one that waits for another's lock; the server goes on with nothing."""
    bench, at_source, at_target = two
    at_source.execute("CREATE TABLE t (id int)")
    at_source.execute("INSERT INTO t SELECT generate_series(1, 300000)")
    at_target.execute("CREATE TABLE t (id int)")
    at_target.execute("INSERT INTO t VALUES (0)")
    canceling: list[threading.Thread] = []

    def cancel(progress: dict[str, Any]) -> None:
        if not canceling:
            canceling.append(threading.Thread(target=bench.ctx.canceler.cancel, args=["user:test"]))
            canceling[0].start()

    with pytest.raises(StepCanceled):
        bench.copy("s.t", "d.t", mode, key=["id"], told=Told(on_progress=cancel))
    canceling[0].join()
    assert at_target.execute("SELECT count(*) FROM t").fetchone() == (1,)
    assert at_target.execute("SELECT count(*) FROM pg_class WHERE relname LIKE '%stash%'").fetchone() == (0,)


def test_a_copy_that_waits_for_a_lock_can_be_canceled(two: tuple[Bench, Connection, Connection]) -> None:
    """Somebody else holds the target; the wait ends at once."""
    bench, at_source, at_target = two
    at_source.execute("CREATE TABLE t (id int)")
    at_target.execute("CREATE TABLE t (id int)")
    with at_target.transaction():
        at_target.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        timer = threading.Timer(0.3, lambda: bench.ctx.canceler.cancel("user:test"))
        timer.start()
        with pytest.raises(StepCanceled):
            bench.copy("s.t", "d.t")
        timer.join()


def test_a_slow_source_can_be_canceled_whatever_the_target_does(two: tuple[Bench, Connection, Connection]) -> None:
    """Both connections are stopped together: the target only waits for rows and cannot hear anything."""
    bench, _, at_target = two
    bench.add("file", "sqlite")
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    bench.sql("file", f"CREATE VIEW t AS {count} SELECT i FROM n WHERE i < 0")
    at_target.execute("CREATE TABLE t (i bigint)")
    timer = threading.Timer(0.3, lambda: bench.ctx.canceler.cancel("user:test"))
    timer.start()
    begun = time.monotonic()
    with pytest.raises(StepCanceled):
        bench.copy("file.t", "d.t")
    assert time.monotonic() - begun < 0.8


def test_a_failure_at_the_source_leaves_the_target_as_it_was(two: tuple[Bench, Connection, Connection]) -> None:
    """The source breaks after it has sent rows."""
    bench, at_source, at_target = two
    at_source.execute("CREATE VIEW t AS SELECT 1000 / (500 - i) AS id FROM generate_series(1, 1000) i")
    at_target.execute("CREATE TABLE t (id int)")
    at_target.execute("INSERT INTO t VALUES (0)")
    with pytest.raises(psycopg.errors.DivisionByZero):
        bench.copy("s.t", "d.t")
    assert at_target.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_trigger_that_drops_rows_fails_the_copy(two: tuple[Bench, Connection, Connection]) -> None:
    """Rows in = rows out, as both servers counted them."""
    bench, at_source, at_target = two
    at_source.execute("CREATE TABLE t (id int)")
    at_source.execute("INSERT INTO t VALUES (1), (2)")
    at_target.execute("CREATE TABLE t (id int)")
    at_target.execute("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    at_target.execute("CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW WHEN (new.id = 2) EXECUTE FUNCTION f()")
    with pytest.raises(CopyError, match=r"s\.t gave 2 rows and d\.t took 1"):
        bench.copy("s.t", "d.t")


def test_overwrite_does_not_cascade_into_other_tables(two: tuple[Bench, Connection, Connection]) -> None:
    """Replacing parents must not delete their children."""
    bench, at_source, at_target = two
    at_source.execute("CREATE TABLE t (id int PRIMARY KEY)")
    at_target.execute("CREATE TABLE t (id int PRIMARY KEY)")
    at_target.execute("CREATE TABLE child (id int REFERENCES t ON DELETE CASCADE)")
    with pytest.raises(CopyError, match="would change rows of child"):
        bench.copy("s.t", "d.t")
    bench.copy("s.t", "d.t", "upsert")


def test_an_identity_column_takes_the_sources_numbers(two: tuple[Bench, Connection, Connection]) -> None:
    """Also one that is GENERATED ALWAYS, in every mode."""
    bench, at_source, at_target = two
    at_source.execute("CREATE TABLE t (id int PRIMARY KEY, n text)")
    at_source.execute("INSERT INTO t VALUES (5, 'x')")
    at_target.execute("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n text)")
    for mode in ("overwrite", "upsert"):
        bench.copy("s.t", "d.t", mode)
        assert at_target.execute("SELECT * FROM t").fetchall() == [(5, "x")]


def test_inside_one_server_it_copies_by_itself(two: tuple[Bench, Connection, Connection]) -> None:
    """Between schemas of one database, by one connector."""
    bench, _, at_target = two
    at_target.execute("CREATE SCHEMA other")
    at_target.execute("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, n text)")
    at_target.execute("INSERT INTO t (n) VALUES ('x'), ('y')")
    for mode in ("overwrite", "overwrite", "upsert"):
        bench.copy("d.t", "d.other.t", mode, key=["id"])
        assert content(at_target, "other.t") == content(at_target)
    with pytest.raises(CopyError, match="same table"):
        bench.copy("d.t", "d.public.t")


def test_upsert_over_many_rows_is_exact(two: tuple[Bench, Connection, Connection]) -> None:
    """Updated and added rows together are the source's."""
    bench, at_source, at_target = two
    at_source.execute("CREATE TABLE t (a int, b text, n int, PRIMARY KEY (a, b))")
    at_source.execute("INSERT INTO t SELECT i, 'k' || i % 7, i FROM generate_series(1, 5000) i")
    at_target.execute("CREATE TABLE t (a int, b text, n int, PRIMARY KEY (a, b))")
    at_target.execute("INSERT INTO t SELECT i, 'k' || i % 7, 0 FROM generate_series(2500, 7500) i")
    assert bench.copy("s.t", "d.t", "upsert")["target_rows"] == 5000
    assert at_target.execute("SELECT count(*), sum(n) FROM t").fetchone() == (7500, 5000 * 5001 // 2)


def test_names_with_quotes_and_colons_are_names(two: tuple[Bench, Connection, Connection]) -> None:
    """Identifiers are quoted, never pasted; schemas, too."""
    bench, at_source, at_target = two
    name = '"we""ird :t; DROP"'
    at_source.execute(f'CREATE TABLE {name} ("a :b" int PRIMARY KEY, "c""d" text, "E" int)'.encode())
    at_source.execute(f"INSERT INTO {name} VALUES (1, 'x', 2)".encode())
    at_target.execute('CREATE SCHEMA "o.ther"')
    bench.add("file", "duckdb")
    for mode in ("overwrite", "upsert"):
        bench.copy('s.we"ird :t; DROP', 'd.we"ird :t; DROP', mode)
        bench.copy('s.we"ird :t; DROP', 'file.we"ird :t; DROP', mode)
    assert at_target.execute(f"SELECT * FROM {name}".encode()).fetchall() == [(1, "x", 2)]
    assert bench.sql("file", f"SELECT * FROM {name}") == [(1, "x", 2)]


def test_columns_that_the_target_fills_are_left_to_it(two: tuple[Bench, Connection, Connection]) -> None:
    """A computed one always, a serial one where the source has no such column."""
    bench, at_source, at_target = two
    at_source.execute("CREATE TABLE t (n int, twice int)")
    at_source.execute("INSERT INTO t VALUES (4, 0), (5, 0)")
    at_target.execute("CREATE TABLE t (id serial, n bigint, twice bigint GENERATED ALWAYS AS (n * 2) STORED)")
    bench.copy("s.t", "d.t")
    assert at_target.execute("SELECT * FROM t ORDER BY n").fetchall() == [(1, 4, 8), (2, 5, 10)]
