"""What SQL steps tell a person. The drivers' own errors pass as they are."""

from __future__ import annotations

from nomaflow.worker.context import first_line


class OpenError(Exception):
    """The connection could not be opened."""

    def __init__(self, connector: str, error: Exception) -> None:
        super().__init__(f"The connector {connector!r} could not be opened: {first_line(error)}")


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
