"""What SQL steps tell a person. The drivers' own errors pass as they are."""

from __future__ import annotations

import re

from nomaflow.worker.connector import first_line

_AT_THE_DOOR = (
    (
        r"password|access denied|ora-01017|login failed|no pg_hba|dpy-4001",
        "check the user in its url, and what password_env or password_file names",
    ),
    (
        r"could not translate host|resolve|getaddrinfo|name or service not known|name resolution|nodename",
        "no such host is known; check the host in its url",
    ),
    (
        r"database \S+ does not exist|unknown database|cannot open database|ora-12514|ora-12505|dpy-600[13]",
        "check the database at the end of its url",
    ),
    (r"refused", "check the host and the port in its url, and whether the server runs"),
    (r"\bssl|\btls|certificate", "check what its url says about TLS, and the certificates"),
    (r"time(d )?out|timeout expired", "the server does not answer; check the host, and the firewalls on the way"),
    (r"set lock on file", "another process has the file open; close it there, or copy the file"),
    (r"not a database|not a valid duckdb", "check the file that its url names"),
    (
        r"unable to open|cannot open file|no such file|cannot access",
        "check the file that its url names, its folder and who may read it",
    ),
    (r"can't open lib|data source name not found", "install the ODBC driver that `driver=` in its url names"),
)
"""What a driver says when it cannot open a connection, and what to look at; the first that is found counts."""


def _advice(said: str) -> str:
    return next((f"; {advice}" for pattern, advice in _AT_THE_DOOR if re.search(pattern, said, re.IGNORECASE)), "")


class OpenError(Exception):
    """The connection could not be opened."""

    def __init__(self, connector: str, error: Exception) -> None:
        super().__init__(f"The connector {connector!r} could not be opened: {first_line(error)}{_advice(str(error))}")


class StatementCanceledError(Exception):
    """The statement was not started, because the connection is asked to stop."""


class OutcomeUnknownError(Exception):
    """The connection was lost inside a commit: the change is there, or it is not."""

    lasting = "its changes may be there already"


class RefusedValueError(Exception):
    """The database does not take a value. It tells where it stands, not the value, which may be a secret."""

    lasting = "the values stay as they are"

    def __init__(self, row: int | None, column: str, told: str) -> None:
        where = "One of the rows" if row is None else f"Row {row}"
        super().__init__(f"{where}, column {column!r} holds a value that the target's column does not take: {told}")


class DriverMissingError(Exception):
    """The database's driver is not installed where the workers run."""

    lasting = "what is missing stays missing"

    def __init__(self, connector: str, extra: str, error: ImportError) -> None:
        super().__init__(
            f"The connector {connector!r} needs a driver that is not installed ({error}); "
            f"install it with: pip install 'nomaflow[{extra}]'"
        )


class NoTransactionsError(Exception):
    """The table cannot take its changes back."""

    lasting = "the table stays as it is"
