"""What one launch changes, for that launch only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool

LogLevel = Literal["INFO", "DEBUG"]
Key = Annotated[str, Field(min_length=1, max_length=64)]
Reason = Annotated[str, Field(max_length=1000)]


class Sent(BaseModel):
    """A record that travels as JSON; what is not named in it is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StepOverrides(Sent):
    """The changes to one step. `enabled` false skips it."""

    enabled: StrictBool | None = None
    op_kwargs: Annotated[dict[Key, JsonValue], Field(max_length=200)] = {}


class Overrides(Sent):
    """The changes to a job. What is not named keeps its saved value."""

    log_level: LogLevel | None = None
    params: Annotated[dict[Key, JsonValue], Field(max_length=200)] = {}
    steps: Annotated[dict[Key, StepOverrides], Field(max_length=200)] = {}


class Launch(Overrides):
    """A request to run a job.

    `definition` is the etag of the job that the caller saw; the launch is refused when the job has changed since.
    """

    definition: Annotated[str, Field(max_length=128)] | None = None
    reason: Reason | None = None


class Replay(Launch):
    """A request to run an ended run again. What is not named here is as it was in that run.

    `from_step` begins with that step; `only` runs what did not succeed, or what was skipped. Steps that are left out
    keep what they gave in that run.
    """

    from_step: Key | None = None
    only: Literal["failed", "skipped"] | None = None
