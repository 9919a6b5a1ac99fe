"""A private MariaDB on loopback, for tests."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pymysql

SCRIPTS = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
"""What the server's own tables are made by, in Debian's folder."""

START_SECONDS = 30.0


class NotInstalledError(Exception):
    """The machine has no MariaDB server."""


@dataclass(frozen=True)
class Server:
    """Where the server listens and who may sign in."""

    host: str
    port: int
    username: str
    password: str
    process: int
    database: str = "mysql"

    def connector(self, name: str = "my", **changes: Any) -> dict[str, Any]:
        """The server as the engine describes a connector to a worker."""
        given = {
            "name": name,
            "kind": "sql",
            "backend": "mariadb",
            "host": self.host,
            "port": self.port,
            "username": self.username,
            "password": self.password,
            "database": self.database,
            "query": {},
        }
        return given | changes

    @contextmanager
    def connect(self, **options: Any) -> Iterator[pymysql.cursors.Cursor]:
        """A connection of the test's own, which commits each statement unless told otherwise."""
        given = {"autocommit": True, "database": self.database} | options
        connection = pymysql.connect(
            host=self.host, port=self.port, user=self.username, password=self.password, **given
        )
        with connection, connection.cursor() as cursor:
            yield cursor

    def busy(self) -> list[tuple[int, str]]:
        """The number and the text of the statements that work now, but for this look."""
        with self.connect() as look:
            look.execute(
                "SELECT id, info FROM information_schema.processlist "
                "WHERE command = 'Query' AND id <> connection_id() AND db = %s",
                (self.database,),
            )
            return list(look.fetchall())

    @contextmanager
    def new_database(self) -> Iterator[Server]:
        """A database that lives as long as the block."""
        name = f"test_{secrets.token_hex(4)}"
        with self.connect() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        try:
            yield replace(self, database=name)
        finally:
            with self.connect() as cursor:
                cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
                for (left,) in cursor.fetchall():
                    with suppress(pymysql.Error):  # it has gone by itself
                        cursor.execute(f"KILL {left}")
                cursor.execute(f"DROP DATABASE {name}")


@contextmanager
def running(*settings: str) -> Iterator[Server]:
    """Start a server on a free port and stop it at the end; `settings` are options of the server.

    Root hands it to the account `nobody`.

    Raises:
        NotInstalledError: there is no server on this machine.
    """
    program = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or not Path("/usr/share/mysql", SCRIPTS[0]).exists():
        raise NotInstalledError(
            "MariaDB is not installed; run: apt-get install --no-install-recommends mariadb-server-core"
        )
    with tempfile.TemporaryDirectory(prefix="nomaflow-my-") as folder:
        data, log = Path(folder, "data"), Path(folder, "log")
        data.mkdir()
        as_owner = []
        if os.geteuid() == 0:
            for path in (folder, data):
                shutil.chown(path, "nobody", "nogroup")
            as_owner = ["--user=nobody"]
        small = ["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--innodb-flush-method=nosync"]
        command = [program, "--no-defaults", f"--datadir={data}", f"--tmpdir={folder}", *as_owner, *small]
        scripts = "".join(Path("/usr/share/mysql", script).read_text() for script in SCRIPTS)
        # mariadb-install-db does the same, with programs of a package that is ten times as large.
        done = subprocess.run(
            [*command, "--bootstrap"],
            input=f"CREATE DATABASE mysql;\nUSE mysql;\n{scripts}",
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"making the private MariaDB failed: {done.stderr}")
        password, port = secrets.token_urlsafe(16), _free_port()
        first = Path(folder, "first.sql")
        first.write_text(
            f"CREATE USER nomaflow@'127.0.0.1' IDENTIFIED BY '{password}';\n"
            "GRANT ALL ON *.* TO nomaflow@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        if as_owner:
            shutil.chown(first, "nobody", "nogroup")
        listening = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket", "--skip-name-resolve"]
        with log.open("w") as output:
            process = subprocess.Popen(
                [*command, *listening, f"--init-file={first}", *settings], stdout=output, stderr=output
            )
        try:
            server = Server("127.0.0.1", port, "nomaflow", password, process.pid)
            _wait(server, process, log)
            first.unlink()
            yield server
        finally:
            process.kill()
            process.wait()


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            with server.connect():
                return
        except pymysql.Error:
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"the private MariaDB does not start: {log.read_text()}") from None
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
