"""A real engine with a job for each way in which a step can be canceled, servers that can be frozen, and a web service
that misbehaves."""

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
from tests.acceptance.cancel_cases import CASES, CODE, PG_COPY, Case
from tests.servers import slapd
from tests.servers.engine import Child
from tests.servers.misbehaving import Service, service
from tests.servers.postgresql import Server
from tests.servers.proxy import Proxy

WAIT_SECONDS = 20
GRACE_SECONDS = 1
PEOPLE = "SELECT count(*) FROM people"
COLUMNS = "login VARCHAR(80) PRIMARY KEY, name VARCHAR(80)"


@dataclass(frozen=True)
class Canceled:
    """What came of a cancel, and how long it took from the call to the recorded end."""

    run: dict[str, Any]
    seconds: float
    log: list[str]
    backends: list[int]


class Stage:
    """The engine, its home, and the servers."""

    def __init__(
        self, engine: Child, home: Path, server: Server, proxy: Proxy, web: Service, directory: slapd.Directory
    ) -> None:
        self.engine, self.home, self.server, self.proxy = engine, home, server, proxy
        self.web, self.directory = web, directory

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
            if case.stands:
                held.enter_context(self.directory.frozen())
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

    def wait_at_work(self, case: Case, run_id: str) -> None:
        """Wait until the step of a run of the case's job is in the middle of its work."""
        self._at_work(case, run_id)

    def ended(self, run_id: str) -> dict[str, Any]:
        """The run when it is over."""

        def over() -> dict[str, Any] | None:
            run: dict[str, Any] = self.engine.request("GET", f"/runs/{run_id}")
            return run if run["finished_at"] is not None else None

        return wait_for(over)

    def people(self) -> list[int]:
        """How many rows of the directory there are in each database."""
        import duckdb

        with closing(sqlite3.connect(self.home / "lite.db")) as lite, self.server.connect() as pg:
            found = [lite.execute(PEOPLE).fetchone()[0], *(pg.execute(PEOPLE.encode()).fetchone() or ())]
        with duckdb.connect(str(self.home / "duck.db"), read_only=True) as duck:
            return [*found, *duck.execute(PEOPLE).fetchall()[0]]

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
                    "SELECT datname, pid FROM pg_stat_activity "
                    "WHERE application_name LIKE %s AND state = 'active' AND query ~ '^(INSERT|COPY|SELECT pg_sleep)'",
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
        web = opened.enter_context(service())
        directory = opened.enter_context(slapd.running(5000))
        _prepare(home, server, {"pg_proxy": proxy.port, "mute": mute.getsockname()[1]}, web, directory)
        engine = Child(home, "serve")
        opened.callback(engine.stop)
        yield Stage(engine, home, server, proxy, web, directory)


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


def _prepare(home: Path, server: Server, ports: dict[str, int], web: Service, directory: slapd.Directory) -> None:
    (home / "jobs").mkdir()
    (home / "secrets").mkdir()
    for name, secret in (("pg", server.password), ("ldap", slapd.PASSWORD)):
        password = home / "secrets" / name
        password.touch(mode=0o600)
        password.write_text(secret)
    with server.connect() as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'second'").fetchone():
            connection.execute("CREATE DATABASE second")
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute("CREATE TABLE t (a bigint)")
        connection.execute(f"CREATE TABLE people ({COLUMNS})".encode())
        connection.execute("CREATE OR REPLACE VIEW endless AS SELECT generate_series(1, 1000000000000) AS a")
    urls = {name: server.url.replace(f":{server.port}/", f":{port}/") for name, port in ports.items()}
    urls |= {"pg": server.url, "pg2": server.url.rpartition("/")[0] + "/second"}
    urls |= {"lite": "sqlite:///lite.db", "duck": "duckdb:///duck.db"}
    with closing(sqlite3.connect(home / "lite.db")) as lite:
        lite.execute("CREATE TABLE t (a INTEGER)")
        lite.execute(f"CREATE TABLE people ({COLUMNS})")
    import duckdb

    with duckdb.connect(str(home / "duck.db")) as duck:
        duck.execute("CREATE TABLE t (a BIGINT)")
        duck.execute(f"CREATE TABLE people ({COLUMNS})")
    connectors = "".join(
        f'[connectors.{name}]\nkind = "sql"\nurl = "{url}"\n'
        + ('password_file = "secrets/pg"\n' if url.startswith("postgresql") else "")
        for name, url in urls.items()
    )
    connectors += f'[connectors.web]\nkind = "http"\nurl = "{web.url}"\nallow_private = true\n'
    directories = {
        "directory": f'url = "{directory.url}"',
        "directory_tls": f'url = "{directory.tls_url}"\nca_file = "{directory.ca_file}"',
        "mute_ldap": f'url = "ldap://127.0.0.1:{ports["mute"]}"',
    }
    connectors += "".join(
        f'[connectors.{name}]\nkind = "ldap"\n{text}\nbind_dn = "{slapd.BIND_DN}"\npassword_file = "secrets/ldap"\n'
        for name, text in directories.items()
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
