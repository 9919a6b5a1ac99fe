"""`call_job`: another job is run, with values of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, JsonValue

from nomaflow.definitions import tokens
from nomaflow.definitions.record import JobId, LogLevel, ParamName, Record
from nomaflow.definitions.steps.common import StepCommon, StepName


def _with_tokens(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        tokens.check(value)
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            _with_tokens(item)
    return value


Values = Annotated[dict[ParamName, Annotated[JsonValue, AfterValidator(_with_tokens)]], Field(max_length=200)]
"""Values by parameter. `${…}` is replaced when the step starts; a text that is one token keeps its type."""


class CalledStep(Record):
    """What the call changes in one step of the job that is called."""

    enabled: Annotated[bool | None, Field(description="Whether the step runs; as its file says when left out.")] = None
    op_kwargs: Annotated[Values, Field(description="Values for this step alone.")] = {}


class CallJob(StepCommon):
    """Run another job, with other values for its parameters where the step gives some.

    The step waits for the run's end, and fails unless that is SUCCEEDED. Its output has `run_id`, `state` and what the
    job's last step gave. With `wait = false` it only starts the run.
    """

    runs_in_engine: ClassVar = True

    type: Literal["call_job"]
    job: Annotated[JobId, Field(description="The job to run.")]
    wait: Annotated[bool, Field(description="Wait for the run's end; if not, the step ends when it is started.")] = True
    log_level: Annotated[LogLevel | None, Field(description="As the job's file says when left out.")] = None
    params: Annotated[Values, Field(description="Values for parameters that all steps of the job share.")] = {}
    steps: Annotated[
        dict[StepName, CalledStep],
        Field(max_length=200, description="What changes in single steps of the job, by their names."),
    ] = {}

    @property
    def detail(self) -> str:
        """The job that is called."""
        return self.job if self.wait else f"{self.job}, without waiting for its end"

    @property
    def gives_up_place(self) -> bool:
        """It does nothing itself while the other run works."""
        return self.wait
