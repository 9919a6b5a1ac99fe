"""What an `http` step tells a person, and whether it makes sense to try again: `lasting` says why not."""

from __future__ import annotations

from nomaflow.errors import RetryAfter


class RequestError(Exception):
    """The request cannot be made as it is written."""

    lasting = "the request stays as it is"


class AddressRefusedError(Exception):
    """The host has an address that steps may not reach."""

    lasting = "an address that is refused stays refused"


class NameUnknownError(Exception):
    """The host's name leads to no address."""


class ConnectError(Exception):
    """No connection came about."""


class ConnectTimeoutError(ConnectError):
    """No connection came about in time."""


class TlsError(ConnectError):
    """The connection could not be made secret."""


class CertificateError(TlsError):
    """The other side has no certificate that is to be trusted."""

    lasting = "a certificate that is not trusted stays so"


class AnswerLostError(Exception):
    """The connection ended before the answer did, or what came is not HTTP."""


class AnswerError(Exception):
    """The answer is not what the step can use."""


class TooLargeError(AnswerError):
    """The answer is larger than the step takes."""

    lasting = "the answer is larger than the step takes"


class RedirectError(Exception):
    """The answer leads to where the step does not go."""

    lasting = "it leads to the same place every time"


class StatusError(Exception):
    """The service answered with a status that the step does not expect."""

    def __init__(self, message: str, lasting: str | None = None) -> None:
        super().__init__(message)
        self.lasting = lasting


class BusyError(RetryAfter):
    """The service says when it is to be asked again."""


class OutcomeUnknownError(Exception):
    """The request was sent, and what came of it cannot be told; or it was done, and what followed failed."""

    def __init__(self, message: str, lasting: str) -> None:
        super().__init__(message)
        self.lasting = lasting
