"""A private PostgreSQL on loopback, for tests and benchmarks."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg


class NotInstalledError(Exception):
    """The machine has no PostgreSQL server."""


@dataclass(frozen=True)
class Server:
    """Where the server listens and who may sign in."""

    host: str
    port: int
    username: str
    password: str
    database: str = "postgres"

    @property
    def url(self) -> str:
        """The address as a connector writes it, without the password."""
        return f"postgresql+psycopg://{self.username}@{self.host}:{self.port}/{self.database}"

    def connector(self, name: str = "pg", **changes: Any) -> dict[str, Any]:
        """The server as the engine describes a connector to a worker."""
        given = {
            "name": name,
            "kind": "sql",
            "backend": "postgresql",
            "host": self.host,
            "port": self.port,
            "username": self.username,
            "password": self.password,
            "database": self.database,
            "query": {},
        }
        return given | changes

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of the test's own, which commits each statement."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.username,
            password=self.password,
            dbname=self.database,
            client_encoding="utf8",
            autocommit=True,
        )

    @contextmanager
    def new_database(self) -> Iterator[Server]:
        """A database that lives as long as the block."""
        name = f"test_{secrets.token_hex(4)}"
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield replace(self, database=name)
        finally:
            with self.connect() as connection:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@contextmanager
def running(*settings: str) -> Iterator[Server]:
    """Start a server on a free port and stop it at the end; `settings` are `name=value`.

    The server refuses to run as root, so root hands it to the account `postgres`.

    Raises:
        NotInstalledError: there is no server on this machine.
    """
    binaries = _binaries()
    with tempfile.TemporaryDirectory(prefix="nomaflow-pg-") as folder:
        as_owner: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        data, password, port = Path(folder, "data"), secrets.token_urlsafe(16), _free_port()
        password_file = Path(folder, "password")
        password_file.write_text(password)
        if as_owner:
            shutil.chown(password_file, "postgres", "postgres")
        options = [f"-p {port}", "-c listen_addresses=127.0.0.1", f"-c unix_socket_directories={folder}"]
        options += [f"-c {setting}" for setting in ("fsync=off", "log_min_messages=fatal", *settings)]
        initdb = [binaries / "initdb", "-D", data, "-U", "nomaflow", "-A", "scram-sha-256", "--locale=C.UTF-8"]
        _run([*as_owner, *initdb, "-E", "UTF8", "--no-sync", f"--pwfile={password_file}"], folder)
        password_file.unlink()
        control = [*as_owner, binaries / "pg_ctl", "-D", data, "-w", "-t", "30"]
        _run([*control, "-l", Path(folder, "log"), "-o", " ".join(options), "start"], folder)
        try:
            yield Server("127.0.0.1", port, "nomaflow", password)
        finally:
            _run([*control, "-m", "immediate", "stop"], folder)


def _binaries() -> Path:
    """The folder of the newest server's programs."""
    with suppress(ValueError):
        folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
        return max(folders, key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))]).parent
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise NotInstalledError("PostgreSQL is not installed; run: apt-get install --no-install-recommends postgresql")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(command: list[Any], folder: str) -> None:
    # Output goes to a file: the server inherits it, and a pipe would stay open as long as the server lives.
    with Path(folder, "output").open("a+") as output:
        done = subprocess.run([str(part) for part in command], cwd=folder, stdout=output, stderr=output, check=False)
        if done.returncode:
            output.seek(0)
            raise RuntimeError(f"{Path(str(command[-1])).name} of the private PostgreSQL failed: {output.read()}")
