"""Connectors: the databases, HTTP services and directories that steps talk to, by name."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from nomaflow.definitions import database_url
from nomaflow.definitions.problems import near_miss
from nomaflow.definitions.record import Number, Record, Text, spelled

DRIVERS = {
    "sqlite": ("pysqlite",),
    "duckdb": (),
    "postgresql": ("psycopg",),
    "mysql": ("pymysql",),
    "mariadb": ("pymysql",),
    "oracle": ("oracledb",),
    "mssql": ("pyodbc",),
}
"""The databases that SQL steps can talk to, and the drivers that a URL may name behind a `+`."""

BACKENDS = tuple(DRIVERS)

_NAMES_A_PASSWORD = re.compile("password|passwd|pwd", re.IGNORECASE)
"""In what the drivers call it when it stands behind the `?`."""


def _check_sql_url(url: str) -> str:
    parsed = database_url.parse(url)
    if parsed.backend not in BACKENDS:
        known = ", ".join(BACKENDS)
        hint = near_miss(parsed.backend, BACKENDS)
        raise ValueError(f"names an unknown database {parsed.backend!r}; known: {known}{hint}")
    driver = url.partition("://")[0].partition("+")[2]
    if driver and driver not in DRIVERS[parsed.backend]:
        known = " or ".join(f"{parsed.backend}+{one}://" for one in DRIVERS[parsed.backend]) or f"{parsed.backend}://"
        raise ValueError(f"names a driver that is not used here, {driver!r}; write {known}")
    if parsed.password is not None or any(_NAMES_A_PASSWORD.search(key) for key in parsed.query):
        raise ValueError("must not hold a password; name it with password_env or password_file")
    return url


def _check_server_url(url: str, schemes: tuple[str, str]) -> str:
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        # The error's own text may show the URL, and a URL may hold a password.
        port_is_valid = False
    if not url.startswith(tuple(f"{scheme}://" for scheme in schemes)) or not port_is_valid or not parts.hostname:
        raise ValueError(f"must be an address that begins with {schemes[0]}:// or {schemes[1]}://")
    if "@" in parts.netloc:
        raise ValueError("must not hold a name or password; the connector has its own fields for them")
    return url


def _check_web_url(url: str) -> str:
    return _check_server_url(url, ("http", "https"))


def _check_ldap_url(url: str) -> str:
    return _check_server_url(url, ("ldap", "ldaps"))


EnvName = Annotated[
    str,
    spelled(r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", "the name of an environment variable: A-Z, a-z, 0-9 and `_`"),
]
FilePath = Annotated[str, Field(min_length=1, max_length=1024)]
MaxRuns = Annotated[int, Field(ge=1, le=1000)]


class _WithPassword(Record):
    password_env: EnvName | None = None
    password_file: FilePath | None = None
    max_runs: MaxRuns | None = None
    description: Text = ""

    @model_validator(mode="after")
    def _one_password(self) -> _WithPassword:
        if self.password_env and self.password_file:
            raise ValueError("has both password_env and password_file; keep one of them")
        return self


class SqlConnector(_WithPassword):
    """A database by its SQLAlchemy URL; a relative file path is relative to the home."""

    kind: Literal["sql"]
    url: Annotated[str, AfterValidator(_check_sql_url)]

    @property
    def backend(self) -> str:
        """One of `BACKENDS`."""
        return database_url.parse(self.url).backend


class HttpAuth(Record):
    """How requests are signed."""

    type: Literal["none", "basic", "bearer"] = "none"
    username: str | None = None
    password_env: EnvName | None = None
    token_env: EnvName | None = None

    @model_validator(mode="after")
    def _complete(self) -> HttpAuth:
        if self.type == "bearer" and not self.token_env:
            raise ValueError("of type bearer needs token_env")
        if self.type == "basic" and not (self.username and self.password_env):
            raise ValueError("of type basic needs username and password_env")
        return self


class HttpConnector(Record):
    """An HTTP service. `ca_file` holds the authorities whose certificates it may have, if not the system's."""

    kind: Literal["http"]
    url: Annotated[str, AfterValidator(_check_web_url)]
    auth: HttpAuth = HttpAuth()
    allow_private: bool = False
    ca_file: FilePath | None = None
    max_runs: MaxRuns | None = None
    description: Text = ""


class LdapConnector(_WithPassword):
    """A directory. `ca_file` holds the certificates that are trusted, in PEM form, instead of the system's.

    `start_tls` begins TLS on an `ldap://` address. Without TLS a password goes over the network as it is, so that has
    to be asked for with `allow_plaintext`, unless the directory is on this machine.
    """

    kind: Literal["ldap"]
    url: Annotated[str, AfterValidator(_check_ldap_url)]
    bind_dn: Annotated[str, Field(max_length=4096)] = ""
    ca_file: FilePath | None = None
    start_tls: bool = False
    allow_plaintext: bool = False
    connect_timeout_seconds: Annotated[Number, Field(gt=0, le=300)] = 10
    receive_timeout_seconds: Annotated[Number, Field(gt=0, le=3600)] = 60

    @model_validator(mode="after")
    def _signs_in_safely(self) -> LdapConnector:
        parts = urlsplit(self.url)
        if self.bind_dn and not (self.password_env or self.password_file):
            raise ValueError("has bind_dn and no password; name it with password_env or password_file")
        if self.start_tls and parts.scheme == "ldaps":
            raise ValueError("has start_tls, and ldaps:// begins with TLS anyway; leave one of them out")
        is_safe = parts.scheme == "ldaps" or self.start_tls or parts.hostname in ("localhost", "127.0.0.1", "::1")
        if self.bind_dn and not (is_safe or self.allow_plaintext):
            raise ValueError(
                "sends its password unencrypted; write ldaps:// or start_tls = true, or allow it with "
                "allow_plaintext = true"
            )
        return self


Connector = Annotated[SqlConnector | HttpConnector | LdapConnector, Field(discriminator="kind")]
