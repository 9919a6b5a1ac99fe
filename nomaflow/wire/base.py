"""What every record is made of: instants, pages, states, errors."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, PlainSerializer


def _as_utc(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


def iso(instant: datetime) -> str:
    """An instant as every surface sends it: UTC, milliseconds, `Z`."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return instant.isoformat(timespec="milliseconds")[:-6] + "Z"


Instant = Annotated[datetime, BeforeValidator(_as_utc), PlainSerializer(iso, return_type=str, when_used="json")]


def _written_out(value: object) -> object:
    # A bare number would be taken for seconds since 1970, which nobody means.
    if not isinstance(value, datetime) and not (isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]", value)):
        raise ValueError("must be an instant with its zone, like 2026-01-31T02:30:00Z")
    return value


def _storable(value: datetime) -> datetime:
    # Within a day of either end of the calendar a change of zone overflows.
    if not 1900 <= value.year <= 9000:
        raise ValueError("must lie between the years 1900 and 9000")
    return value


SentInstant = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_storable)]
"""An instant that somebody sends: written out with its zone, from 1900 to 9000."""


class Given(BaseModel):
    """A record that the engine sends."""

    model_config = ConfigDict(extra="ignore")


class Page[T](Given):
    """One page of a list, newest first where there is a time."""

    items: list[T]
    next_cursor: str | None = None


class ProblemAt(Given):
    """What is wrong with a definition, and where; `message` is a whole sentence with the field's name."""

    message: str
    path: str = ""
    line: int | None = None


class RunState(StrEnum):
    """QUEUED → RUNNING → SUCCEEDED | FAILED; QUEUED → CANCELED; RUNNING → CANCELING → CANCELED. Terminal is final."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    CANCELING = "CANCELING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @property
    def is_terminal(self) -> bool:
        """Whether the run is over."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED)


class StepState(StrEnum):
    """PENDING → RUNNING → SUCCEEDED | FAILED | CANCELED; PENDING → CANCELED with a reason."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class ErrorDetail(Given):
    """One thing that is wrong: a sentence, and where it stands."""

    message: str
    path: str | None = None
    line: int | None = None
    position: int | None = None
    run_id: str | None = None
    current: str | None = None
    given: str | None = None


class ErrorInfo(Given):
    """What went wrong: a stable code and a sentence."""

    code: str
    message: str
    details: list[ErrorDetail] = []


class ErrorBody(Given):
    """Every answer that is not a success."""

    error: ErrorInfo


class Health(Given):
    """Whether the engine turns, and whether it may run jobs; `reasons` say why not."""

    ok: bool
    reasons: list[str] = []
