"""A real engine with a job for each way in which a step can be canceled, and a PostgreSQL server that can be frozen."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nomaflow.worker import process_group
from tests.servers.engine import Child
from tests.servers.postgresql import Server
from tests.servers.proxy import Proxy

WAIT_SECONDS = 20
GRACE_SECONDS = 1

SOFT, TERM, KILL, ON_SERVER = "soft cancel", "SIGTERM", "SIGKILL", "server-side terminate"

CODE = """
import asyncio, signal, subprocess, sys, time
import trio

DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"


def cooperative(ctx):
    print("at work")
    while True:
        ctx.checkpoint()


def sleeping(ctx):
    print("at work")
    time.sleep(600)


def sore(ctx):
    try:
        print("at work")
        time.sleep(600)
    finally:
        raise RuntimeError("the step was in the middle of something")


def deaf(ctx):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, start_new_session=True)
    child.stdout.readline()
    print("child", child.pid)
    print("at work")
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass


def in_transaction(ctx, connector):
    database = ctx.get_connector(connector).sync
    with database.transaction():
        database.execute("INSERT INTO t VALUES (1)")
        print("at work")
        database.execute("SELECT pg_sleep(600)")


def late(ctx):
    print("at work")
    while not ctx.is_cancelled():
        try:
            time.sleep(0.01)
        except BaseException:
            pass
    return {"rows_affected": 5}


async def asyncio_cooperative(ctx):
    print("at work")
    await asyncio.sleep(600)


async def asyncio_sleeping(ctx):
    print("at work")
    time.sleep(600)


async def asyncio_stubborn(ctx):
    print("at work")
    while True:
        try:
            await asyncio.sleep(600)
        except BaseException:
            pass


async def asyncio_statement(ctx, connector):
    print("at work")
    await ctx.get_connector(connector).execute("SELECT pg_sleep(600)")


async def trio_cooperative(ctx):
    print("at work")
    await trio.sleep(600)


async def trio_sleeping(ctx):
    print("at work")
    time.sleep(600)


async def trio_stubborn(ctx):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("at work")
    with trio.CancelScope(shield=True):
        await trio.sleep(600)
"""

BUSY_SHELL = "trap 'exit 3' TERM; echo at work; while :; do sleep 0.05; done"
DEAF_SHELL = "trap '' TERM; setsid sleep 600 & echo child $!; echo at work; while :; do sleep 600; done"

ENDLESS_SQLITE = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
DEAF_SQLITE = "SELECT instr(printf('%.*c', 6000000, 'a'), printf('%.*c', 3000000, 'a') || 'b')"
ENDLESS_DUCKDB = "INSERT INTO t SELECT a.range FROM range(1000000) a, range(1000000) b WHERE a.range * b.range % 7 = 8"
DEAF_DUCKDB = "SELECT levenshtein(repeat('a', 400000), repeat('b', 400000))"
# In the list of a SELECT a series is given row by row; in its FROM it would fill the disk first.
ENDLESS_PG = "INSERT INTO t SELECT max(i) FROM (SELECT generate_series(1, 1000000000000) AS i) AS s"


@dataclass(frozen=True)
class Case:
    """One row of the table: a step, what it does when it is asked to stop, and what the receipt then says.

    `frozen` names the connectors whose backends stand still from the moment the step is at work; `silent` says that the
    network to its server swallows everything from then on; `locked` that another connection holds the SQLite file.
    """

    step_type: str
    behaviour: str
    step: str
    rungs: tuple[str, ...] = (SOFT,)
    rolled_back: bool | str = "unknown"
    force: bool = False
    frozen: tuple[str, ...] = ()
    silent: bool = False
    locked: bool = False
    shows: str | None = "at work"

    @property
    def job_id(self) -> str:
        """The job that runs it."""
        text = f"{self.step_type} {self.behaviour}{' force' if self.force else ''}"
        return "".join(letter if letter.isalnum() else "-" for letter in text.lower())

    @property
    def is_on_server(self) -> bool:
        """Whether a backend of the server is at work when the step is."""
        return "pg" in self.step and self.shows is None


def _python(function: str, **fields: str) -> str:
    more = "".join(f'{key} = "{value}"\n' for key, value in fields.items() if key != "connector")
    given = f'[steps.op_kwargs]\nconnector = "{fields["connector"]}"\n' if "connector" in fields else ""
    return f'type = "python"\ncallable = "cases:{function}"\n{more}{given}'


def _shell(script: str) -> str:
    return f'type = "shell"\nargv = ["sh", "-c", """{script}"""]\n'


def _query(connector: str, sql: str) -> str:
    return f'type = "sql_query"\nconnector = "{connector}"\nquery = """{sql}"""\n'


COPY = """type = "sql_copy"
source = { connector = "pg", table = "endless" }
target = { connector = "pg2", table = "copied" }
"""

PG, PG_COPY, LITE, DUCK = "sql_query on PostgreSQL", "sql_copy PostgreSQL", "sql_query on SQLite", "sql_query on DuckDB"

CASES = (
    Case(PG, "computes", _query("pg", ENDLESS_PG), rolled_back=True, shows=None),
    Case(PG, "computes", _query("pg", ENDLESS_PG), rolled_back=True, shows=None, force=True),
    Case(PG, "sleeps", _query("pg", "SELECT pg_sleep(600)"), rolled_back=True, shows=None),
    Case(PG, "frozen", _query("pg", ENDLESS_PG), (SOFT, ON_SERVER), frozen=("pg",), shows=None),
    Case(PG, "frozen", _query("pg", ENDLESS_PG), (SOFT, ON_SERVER), frozen=("pg",), shows=None, force=True),
    Case(PG, "silent network", _query("pg_proxy", ENDLESS_PG), (SOFT, ON_SERVER), silent=True, shows=None),
    Case(PG, "silent from the start", _query("mute", "SELECT 1"), rolled_back=True, shows="▶"),
    Case(PG_COPY, "copies", COPY, rolled_back=True, shows=None),
    Case(PG_COPY, "copies", COPY, rolled_back=True, shows=None, force=True),
    Case(PG_COPY, "frozen source", COPY, (SOFT, ON_SERVER), rolled_back=True, frozen=("pg",), shows=None),
    Case(PG_COPY, "frozen target", COPY, (SOFT, ON_SERVER), frozen=("pg2",), shows=None),
    Case(PG_COPY, "frozen target", COPY, (SOFT, ON_SERVER), frozen=("pg2",), shows=None, force=True),
    Case(LITE, "computes", _query("lite", ENDLESS_SQLITE), rolled_back=True, shows=ENDLESS_SQLITE),
    Case(LITE, "waits for a lock", _query("lite", "DELETE FROM t"), rolled_back=True, locked=True, shows="DELETE"),
    Case(LITE, "deaf", _query("lite", DEAF_SQLITE), (SOFT, TERM), rolled_back=True, shows=DEAF_SQLITE),
    Case(DUCK, "computes", _query("duck", ENDLESS_DUCKDB), rolled_back=True, shows=ENDLESS_DUCKDB),
    Case(DUCK, "deaf", _query("duck", DEAF_DUCKDB), (SOFT, TERM), rolled_back=True, shows=DEAF_DUCKDB),
    Case(DUCK, "deaf", _query("duck", DEAF_DUCKDB), (SOFT, TERM), rolled_back=True, shows=DEAF_DUCKDB, force=True),
    Case("python", "cooperative", _python("cooperative")),
    Case("python", "sleeps", _python("sleeping")),
    Case("python", "raises", _python("sore")),
    Case("python", "ends well", _python("late"), rolled_back=False),
    Case("python", "in a transaction", _python("in_transaction", connector="pg")),
    Case("python", "frozen", _python("in_transaction", connector="pg"), (SOFT, ON_SERVER), frozen=("pg",)),
    Case("python", "deaf, with a child", _python("deaf"), (SOFT, TERM, KILL), force=True),
    Case("python asyncio", "cooperative", _python("asyncio_cooperative")),
    Case("python asyncio", "blocks in sleep", _python("asyncio_sleeping"), (SOFT, TERM)),
    Case("python asyncio", "stubborn", _python("asyncio_stubborn"), (SOFT, TERM), force=True),
    Case("python asyncio", "statement", _python("asyncio_statement", connector="pg")),
    Case("python trio", "cooperative", _python("trio_cooperative", flavour="trio")),
    Case("python trio", "blocks in sleep", _python("trio_sleeping", flavour="trio"), (SOFT, TERM)),
    Case("python trio", "stubborn", _python("trio_stubborn", flavour="trio"), (SOFT, TERM, KILL), force=True),
    Case("shell", "cooperative", _shell(BUSY_SHELL)),
    Case("shell", "sleeps", _shell("echo at work; sleep 600")),
    # Its worker is not deaf, and what SIGTERM leaves of the group is killed.
    Case("shell", "deaf, with a child", _shell(DEAF_SHELL), (SOFT, TERM), force=True),
)  # fmt: skip


@dataclass(frozen=True)
class Canceled:
    """What came of a cancel, and how long it took from the call to the recorded end."""

    run: dict[str, Any]
    seconds: float
    log: list[str]
    backends: list[int]


class Stage:
    """The engine, its home, and the servers."""

    def __init__(self, engine: Child, home: Path, server: Server, proxy: Proxy) -> None:
        self.engine, self.home, self.server, self.proxy = engine, home, server, proxy

    def cancel(self, case: Case) -> Canceled:
        """Launch the case's job, cancel it when its step is at work, and wait for its end.

        What was frozen runs again afterwards.
        """
        with ExitStack() as held:
            if case.locked:
                held.enter_context(_locked(self.home / "lite.db"))
            run_id = self._launch(case)
            backends = self._at_work(case, run_id)
            for connector, pid in backends.items():
                if connector in case.frozen:
                    held.callback(_wake, pid)
                elif case.silent:
                    # It would look for its client in some seconds.
                    held.callback(os.kill, pid, signal.SIGTERM)
            for connector in case.frozen:
                os.kill(backends[connector], signal.SIGSTOP)
            if case.silent:
                held.enter_context(self.proxy.silent())
            began = time.monotonic()
            self.engine.request("POST", f"/runs/{run_id}/cancel", {"force": case.force})
            run = self.ended(run_id)
            seconds = time.monotonic() - began
        lines = self.engine.request("GET", f"/runs/{run_id}/logs")["lines"]
        return Canceled(run, seconds, [line["text"] for line in lines], sorted(backends.values()))

    def launch(self, case: Case) -> str:
        """Launch the case's job and wait until its step is at work."""
        run_id = self._launch(case)
        self._at_work(case, run_id)
        return run_id

    def ended(self, run_id: str) -> dict[str, Any]:
        """The run when it is over."""

        def over() -> dict[str, Any] | None:
            run: dict[str, Any] = self.engine.request("GET", f"/runs/{run_id}")
            return run if run["finished_at"] is not None else None

        return wait_for(over)

    def backends(self) -> list[int]:
        """The processes of the server that serve steps."""
        with self.server.connect() as look:
            rows = look.execute("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'nomaflow %'").fetchall()
        return [pid for (pid,) in rows]

    def _launch(self, case: Case) -> str:
        run: dict[str, Any] = self.engine.request("POST", f"/jobs/{case.job_id}/runs", {"log_level": "DEBUG"})
        return str(run["id"])

    def _at_work(self, case: Case, run_id: str) -> dict[str, int]:
        """Wait until the step is in the middle of its work; the backends that serve it, by connector."""
        if case.shows is not None:

            def shown() -> bool:
                lines = self.engine.request("GET", f"/runs/{run_id}/logs")["lines"]
                return any(line["text"].startswith(case.shows) for line in lines)

            wait_for(shown)
            # Nobody can tell when a statement that was sent is being run.
            time.sleep(0.2)
        wanted = {"pg", "pg2"} if case.step_type == PG_COPY else {"pg"} if case.shows is None or case.frozen else set()

        def busy() -> dict[str, int] | None:
            with self.server.connect() as look:
                rows = look.execute(
                    "SELECT datname, pid FROM pg_stat_activity WHERE application_name LIKE %s AND state = 'active'",
                    [f"nomaflow {run_id}%"],
                ).fetchall()
            found = {"pg2" if name == "second" else "pg": pid for name, pid in rows}
            return found if wanted <= found.keys() else None

        return wait_for(busy) if wanted else {}


@contextmanager
def stage(home: Path, server: Server) -> Iterator[Stage]:
    """A stage on an empty folder; `server` is a database of its own with a second one, `second`, beside it."""
    with ExitStack() as opened:
        proxy = Proxy(server.host, server.port)
        opened.callback(proxy.close)
        mute = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        _prepare(home, server, {"pg_proxy": proxy.port, "mute": mute.getsockname()[1]})
        engine = Child(home, "serve")
        opened.callback(engine.stop)
        yield Stage(engine, home, server, proxy)


def wait_for[T](look: Callable[[], T | None]) -> T:
    """What `look` finds; a process outside has no event to wait for."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.005)
    raise AssertionError(f"it did not come about within {WAIT_SECONDS} s")


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    return bool(process_group.living([pid]))


def _prepare(home: Path, server: Server, ports: dict[str, int]) -> None:
    (home / "jobs").mkdir()
    (home / "secrets").mkdir()
    password = home / "secrets" / "pg"
    password.touch(mode=0o600)
    password.write_text(server.password)
    with server.connect() as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'second'").fetchone():
            connection.execute("CREATE DATABASE second")
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute("CREATE TABLE t (a bigint)")
        connection.execute("CREATE OR REPLACE VIEW endless AS SELECT generate_series(1, 1000000000000) AS a")
    urls = {name: server.url.replace(f":{server.port}/", f":{port}/") for name, port in ports.items()}
    urls |= {"pg": server.url, "pg2": server.url.rpartition("/")[0] + "/second"}
    urls |= {"lite": "sqlite:///lite.db", "duck": "duckdb:///duck.db"}
    with closing(sqlite3.connect(home / "lite.db")) as lite:
        lite.execute("CREATE TABLE t (a INTEGER)")
    import duckdb

    with duckdb.connect(str(home / "duck.db")) as duck:
        duck.execute("CREATE TABLE t (a BIGINT)")
    connectors = "".join(
        f'[connectors.{name}]\nkind = "sql"\nurl = "{url}"\n'
        + ('password_file = "secrets/pg"\n' if url.startswith("postgresql") else "")
        for name, url in urls.items()
    )
    engine = f"[engine]\ntimezone = 'UTC'\ndrain_seconds = 0.1\ncancel_grace_seconds = {GRACE_SECONDS}\n"
    (home / "nomaflow.toml").write_text(f"{engine}[shell]\nenabled = true\n{connectors}")
    (home / "jobs" / "cases.py").write_text(CODE)
    for case in CASES:
        retry = "[retry]\nattempts = 3\nbase_seconds = 0.1\n"
        (home / "jobs" / f"{case.job_id}.toml").write_text(f'{retry}[[steps]]\nname = "one"\n{case.step}')


def _wake(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold a SQLite file's write lock."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
