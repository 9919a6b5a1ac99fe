"""One error tree for the whole program.

    NomaflowError
      BadRequestError  NotSignedInError  NotAllowedError  NotFoundError
      JobBusyError  JobChangedError  JobExistsError  RunFinishedError
      TooLargeError  UnsupportedMediaError  InvalidError  IdempotencyMismatchError
      PreconditionRequiredError  TooManyRequestsError  NotBuiltError  NotReadyError
      EngineUnreachableError  EngineFailedError          raised by the client only
      HomeHeldError  PortTakenError                      raised before anything is served

Each class has a stable `code` and an HTTP `status`; the engine sends both and the client raises the same class again.
What a step raises is not in this tree: it is data of its run. Two of those errors are ours: a step raises `NoRetry` or
`RetryAfter` to say whether it is tried again.
"""

from __future__ import annotations

from typing import Any, ClassVar, NotRequired, TypedDict


class Detail(TypedDict):
    """One thing that is wrong: a sentence, and where it stands. `position` is a character of a search, from 1 on."""

    message: str
    path: NotRequired[str]
    line: NotRequired[int]
    position: NotRequired[int]
    run_id: NotRequired[str]
    current: NotRequired[str]
    given: NotRequired[str]


class NomaflowError(Exception):
    """Something a person can read and act on: one sentence that says what is wrong, where, and how to mend it."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, details: list[Detail] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: list[Detail] = details or []

    def body(self) -> dict[str, Any]:
        """The error as the API sends it."""
        return {"error": {"code": self.code, "message": self.message, "details": self.details}}


class BadRequestError(NomaflowError):
    """The request is not what HTTP or JSON allow; nothing was read from it."""

    code, status = "bad_request", 400


class NotSignedInError(NomaflowError):
    """No token, or one that is unknown, expired or revoked."""

    code, status = "not_signed_in", 401


class NotAllowedError(NomaflowError):
    """The person is known and may not do this."""

    code, status = "not_allowed", 403


class NotFoundError(NomaflowError):
    """There is no such thing, or the person may not know of it."""

    code, status = "not_found", 404


class JobBusyError(NomaflowError):
    """A run of the job is in flight; `run_id` says which."""

    code, status = "job_busy", 409

    @property
    def run_id(self) -> str:
        """The run in flight."""
        return self.details[0]["run_id"]


class JobChangedError(NomaflowError):
    """The job's file is no longer the one that the caller saw; the details hold both versions."""

    code, status = "job_changed", 409


class JobExistsError(NomaflowError):
    """A job of that id stands already."""

    code, status = "job_exists", 409


class RunFinishedError(NomaflowError):
    """The run is over, so it cannot be canceled."""

    code, status = "run_finished", 409


class TooLargeError(NomaflowError):
    """The body is larger than the limit that the message names."""

    code, status = "too_large", 413


class UnsupportedMediaError(NomaflowError):
    """The body is not JSON."""

    code, status = "unsupported_media_type", 415


class InvalidError(NomaflowError):
    """The values do not fit; one detail for each of them."""

    code, status = "invalid", 422


class IdempotencyMismatchError(NomaflowError):
    """The idempotency key was used for another body."""

    code, status = "idempotency_mismatch", 422


class PreconditionRequiredError(NomaflowError):
    """A change of a job must say in `If-Match` which version it changes."""

    code, status = "precondition_required", 428


class TooManyRequestsError(NomaflowError):
    """Too many tries in a short time."""

    code, status = "too_many_requests", 429


class NotBuiltError(NomaflowError):
    """The route is part of the contract and its feature does not exist yet."""

    code, status = "not_built", 501


class NotReadyError(NomaflowError):
    """The engine cannot do this now: it starts, stops, or its store does not take changes."""

    code, status = "not_ready", 503


class EngineUnreachableError(NomaflowError):
    """Nothing answers at the engine's address."""

    code, status = "unreachable", 503


class EngineFailedError(NomaflowError):
    """The engine answered with an error that this client does not know."""

    code, status = "error", 500


class HomeHeldError(NomaflowError):
    """Another engine holds this home's lock."""

    code, status = "home_held", 503


class PortTakenError(NomaflowError):
    """Something else listens on the port."""

    code, status = "port_taken", 503


class NoRetry(Exception):
    """A step raises it where another try would not help: it has failed, whatever its `retry` says.

    raise nomaflow.NoRetry("the period is closed")
    """


class RetryAfter(Exception):
    """A step raises it where another try makes sense, but not before so many seconds.

        raise nomaflow.RetryAfter(120, "the service is being updated")

    The job's `retry` says how many tries there are, and its `max_seconds` how long the wait may be.
    """

    def __init__(self, seconds: float, message: str = "") -> None:
        super().__init__(message or f"to be tried again after {seconds:g} s")
        self.seconds = float(seconds)


def by_code() -> dict[str, type[NomaflowError]]:
    """Every error that the engine may send, by its code."""
    return {error.code: error for error in NomaflowError.__subclasses__()}
