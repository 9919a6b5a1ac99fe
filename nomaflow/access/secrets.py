"""Where secret values come from: the engine's environment and files of mode 0600. They are read when a step starts,
go to the worker through its pipe, and are kept nowhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nomaflow.definitions import database_url
from nomaflow.definitions.connector import HttpConnector, LdapConnector, SqlConnector
from nomaflow.definitions.problems import near_miss
from nomaflow.engine.model import InForce
from nomaflow.engine.ports import ResolvedConnector

MAX_SECRET_BYTES = 65_536


class SecretSource:
    """Resolves connectors and named secrets of one home.

    Args:
        resolve: a path of the settings as an absolute one.
        in_force: the settings that hold now.
        environment: the engine's variables.
    """

    def __init__(
        self,
        resolve: Callable[[str], Path],
        in_force: InForce,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._resolve, self._in_force, self._environment = resolve, in_force, environment

    def connector(self, name: str) -> ResolvedConnector:
        """A connector with its password.

        Raises:
            LookupError: no such connector, or its password cannot be read.
        """
        connectors = self._in_force.settings.connectors
        if name not in connectors:
            raise LookupError(f"there is no connector {name!r} in nomaflow.toml" + near_miss(name, connectors))
        connector = connectors[name]
        if isinstance(connector, SqlConnector):
            return self._sql(name, connector)
        if isinstance(connector, LdapConnector):
            return self._ldap(name, connector)
        return self._http(name, connector)

    def secret(self, name: str) -> str:
        """A named secret: an environment variable of that name, else the file `secrets/<name>` of the home.

        Raises:
            LookupError: there is neither, or the file cannot be used.
        """
        if name in self._environment:
            return self._environment[name]
        if "/" in name or name.startswith("."):
            raise LookupError(f"{name!r} is no name of a secret")
        return self._file(f"secrets/{name}", f"the secret {name!r}")

    def environment(self, name: str) -> str | None:
        """A variable of the engine."""
        return self._environment.get(name)

    def _sql(self, name: str, connector: SqlConnector) -> ResolvedConnector:
        url = database_url.parse(connector.url)
        password = self._password(name, connector.password_env, connector.password_file)
        database = str(self._resolve(url.file)) if url.file else url.database
        spec: dict[str, Any] = {
            "name": name,
            "kind": "sql",
            "backend": connector.backend,
            "host": url.host,
            "port": url.port,
            "username": url.username,
            "password": password,
            "database": database,
            "query": url.query,
        }
        return ResolvedConnector(spec, (password,) if password else ())

    def _ldap(self, name: str, connector: LdapConnector) -> ResolvedConnector:
        password = self._password(name, connector.password_env, connector.password_file)
        told = {"kind", "url", "bind_dn", "start_tls", "connect_timeout_seconds", "receive_timeout_seconds"}
        spec: dict[str, Any] = {
            "name": name,
            **connector.model_dump(mode="json", include=told),
            "password": password,
            "ca_file": str(self._resolve(connector.ca_file)) if connector.ca_file else None,
        }
        return ResolvedConnector(spec, (password,) if password else ())

    def _http(self, name: str, connector: HttpConnector) -> ResolvedConnector:
        auth = connector.auth
        secret = self._variable(name, auth.token_env or auth.password_env)
        spec = {
            "name": name,
            "kind": "http",
            "url": connector.url,
            "allow_private": connector.allow_private,
            "ca_file": str(self._resolve(connector.ca_file)) if connector.ca_file else None,
            "auth": {"type": auth.type, "username": auth.username, "secret": secret},
        }
        return ResolvedConnector(spec, (secret,) if secret else ())

    def _password(self, name: str, variable: str | None, file: str | None) -> str | None:
        if file is not None:
            return self._file(file, f"the password of the connector {name!r}")
        return self._variable(name, variable)

    def _variable(self, name: str, variable: str | None) -> str | None:
        if variable is None:
            return None
        if variable not in self._environment:
            raise LookupError(
                f"the connector {name!r} takes its secret from the variable {variable}, which the engine's environment "
                f"has not; set it and start the engine again"
            )
        return self._environment[variable]

    def _file(self, file: str, what: str) -> str:
        path = self._resolve(file)
        try:
            if path.stat().st_mode & 0o077:
                raise LookupError(f"{what} is in {file}, which others may read; run chmod 600 on it")
            with path.open("rb") as stream:
                return stream.read(MAX_SECRET_BYTES).decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise LookupError(f"{what} cannot be read from {file}: {reason}") from None
