"""A job as a person writes it in `jobs/<id>.toml`."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, Field, JsonValue, model_validator

from nomaflow.definitions import cron
from nomaflow.definitions.param import Param, Params
from nomaflow.definitions.problems import Found, LocatedError, near_miss
from nomaflow.definitions.record import JobId, LogLevel, Name, Number, ParamName, Record, Tag, Text
from nomaflow.definitions.steps import Step
from nomaflow.definitions.steps.call_job import CallJob
from nomaflow.definitions.steps.common import Retry, StepName

Overlap = Literal["skip", "queue_one", "cancel_running", "allow"]
Misfire = Literal["latest", "all", "skip"]

MAX_STEPS = 200
MAX_SCHEDULES = 50
MAX_TOLD = 20
"""Problems between the parts of one job; to look for the name that was meant takes some milliseconds each."""


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def check_timezone(name: str) -> str:
    """The name, if the IANA database has it.

    The name is looked up in a list and never used as a path.

    Raises:
        ValueError: unknown; with the nearest known name.
    """
    if name not in _zones():
        raise ValueError(f"names an unknown time zone {name[:80]!r}" + near_miss(name[:80], _zones()))
    return name


Timezone = Annotated[str, AfterValidator(check_timezone)]


def _check_duration(text: str) -> str:
    if text != "0" and not re.fullmatch(r"[1-9]\d{0,5}[smhd]", text):
        raise ValueError(f'must be a duration like "30m", "1h" or "0", not {text!r}')
    return text


class ScheduleStep(Record):
    """What one schedule changes in one step."""

    enabled: bool | None = None
    op_kwargs: Annotated[dict[ParamName, JsonValue], Field(max_length=200)] = {}


class StepChange(Protocol):
    """What a schedule or a launch changes in one step."""

    @property
    def op_kwargs(self) -> Mapping[str, JsonValue]: ...


class Change(Protocol):
    """What a schedule or a launch changes in a job."""

    @property
    def params(self) -> Mapping[str, JsonValue]: ...
    @property
    def steps(self) -> Mapping[str, StepChange]: ...


class Schedule(Record):
    """When the job fires by itself, and with which changed values."""

    name: Name = "default"
    cron: Annotated[str, AfterValidator(lambda text: cron.normalise(text) and text)]
    timezone: Timezone | None = None
    enabled: bool = True
    misfire: Misfire = "latest"
    catchup_window: Annotated[str, AfterValidator(_check_duration)] = "1h"
    params: Annotated[dict[ParamName, JsonValue], Field(max_length=200)] = {}
    steps: dict[StepName, ScheduleStep] = {}
    log_level: LogLevel | None = None


class Alerts(Record):
    """Who hears of what."""

    on_failure: bool = True
    on_success: bool = False
    on_long_run_minutes: Annotated[Number, Field(gt=0, le=44_640)] | None = None
    recipients: Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=100)] = []


class Job(Record):
    """One job. Its id is the file's stem, not a key of the file."""

    id: JobId
    description: Text = ""
    tags: Annotated[list[Tag], Field(max_length=50)] = []
    enabled: bool = True
    log_level: LogLevel = "INFO"
    overlap: Overlap = "skip"
    locks: Annotated[list[Name], Field(max_length=20)] = []
    schedules: Annotated[list[Schedule], Field(max_length=MAX_SCHEDULES)] = []
    params: Params = {}
    retry: Retry = Retry()
    alerts: Alerts | None = None
    steps: Annotated[list[Step], Field(min_length=1, max_length=MAX_STEPS)]

    @model_validator(mode="before")
    @classmethod
    def _one_schedule(cls, data: Any) -> Any:
        """`[schedule]` is accepted for a single `[[schedules]]`."""
        if isinstance(data, Mapping) and "schedule" in data:
            if "schedules" in data:
                raise ValueError("has both [schedule] and [[schedules]]; keep one of them")
            data = {**data, "schedules": [data["schedule"]]}
            del data["schedule"]
        return data

    @model_validator(mode="after")
    def _hangs_together(self) -> Job:
        found = chain(self._double_names(), self._schedule_problems(), self._missing_params(), self._calls_of_itself())
        if problems := list(islice(found, MAX_TOLD)):
            raise LocatedError(problems)
        return self

    def step(self, name: str) -> Step | None:
        """The step of that name."""
        return next((step for step in self.steps if step.name == name), None)

    def op_kwargs(self, step: Step) -> dict[str, Param]:
        """The step's own parameters; only python steps have any."""
        return getattr(step, "op_kwargs", {})

    def connectors(self) -> set[str]:
        """Every connector that the file names: in options, in saved values and in what schedules change.

        What `${env:X}` stands for is not known here.
        """
        in_options = {name for step in self.steps for name in step.connectors()}
        declared = [self.params, *map(self.op_kwargs, self.steps)]
        values: list[tuple[str, Any]] = [(name, param.default) for params in declared for name, param in params.items()]
        for schedule in self.schedules:
            for changed in (schedule.params, *(step.op_kwargs for step in schedule.steps.values())):
                values += changed.items()
        picked = {str(value) for name, value in values if value and self._names_connector(name, in_options)}
        return {name for name in in_options | picked if "${" not in name}

    def declared(self, name: str, step: Step | None = None) -> list[Param]:
        """What a changed value of that name has to fit; nothing where no such parameter exists.

        A value for one step fits the step's own declaration, or else the job's. A value for all steps reaches the ones
        with a declaration of their own too, so it has to fit them all.
        """
        if step is not None:
            param = self.op_kwargs(step).get(name, self.params.get(name))
            return [] if param is None else [param]
        declarations = [self.params, *map(self.op_kwargs, self.steps)]
        return [params[name] for params in declarations if name in params]

    def unfit(self, change: Change) -> Iterator[tuple[str, str]]:
        """What does not fit in the values that a schedule or a launch changes: the form's path, and a sentence."""
        for unfit in self._unfit(change):
            yield ".".join(unfit.keys), unfit.message

    def _unfit(self, change: Change) -> Iterator[_Unfit]:
        names = {*self.params, *(name for step in self.steps for name in self.op_kwargs(step))}
        for name, value in change.params.items():
            yield from _unfit_value(("params", name), self.declared(name), value, names)
        for step_name, changed in change.steps.items():
            step = self.step(step_name)
            if step is None:
                hint = near_miss(step_name, [step.name for step in self.steps])
                yield _Unfit(("steps", step_name), "", f"unknown step {step_name!r}{hint}")
                continue
            names = {*self.params, *self.op_kwargs(step)}
            for name, value in changed.op_kwargs.items():
                keys = ("steps", step_name, "op_kwargs", name)
                yield from _unfit_value(keys, self.declared(name, step), value, names)

    def _names_connector(self, param: str, in_options: set[str]) -> bool:
        """Whether the parameter's value is taken for a connector's name, whatever type it is declared with."""
        return f"${{kw:{param}}}" in in_options or any(each.type == "connector" for each in self.declared(param))

    def _double_names(self) -> Iterator[Found]:
        yield from double_names("steps", [step.name for step in self.steps])
        yield from double_names("schedules", [schedule.name for schedule in self.schedules])

    def called(self) -> Iterator[CallJob]:
        """The steps that run other jobs."""
        yield from (step for step in self.steps if isinstance(step, CallJob))

    def _calls_of_itself(self) -> Iterator[Found]:
        for number, step in enumerate(self.steps):
            if isinstance(step, CallJob) and step.job == self.id:
                yield ("steps", number, "job"), "calls the job that it is a step of, which would never end"

    def _schedule_problems(self) -> Iterator[Found]:
        for number, schedule in enumerate(self.schedules):
            for unfit in self._unfit(schedule):
                message = unfit.what if unfit.subject else f"is an {unfit.what}"
                yield ("schedules", number, *unfit.keys), message

    def _missing_params(self) -> Iterator[Found]:
        mend = "give it a default, or a value in the schedule"
        for number, schedule in enumerate(self.schedules):
            for name, param in self.params.items():
                if not param.has_value and name not in schedule.params:
                    yield ("schedules", number), f"has no value for the required parameter {name!r}; {mend}"
            for step in self.steps:
                changed = schedule.steps.get(step.name, ScheduleStep())
                for name, param in self.op_kwargs(step).items():
                    if not param.has_value and name not in changed.op_kwargs and name not in schedule.params:
                        message = f"has no value for the required parameter {name!r} of the step {step.name!r}; {mend}"
                        yield ("schedules", number), message


def double_names(kind: str, names: Sequence[object]) -> Iterator[Found]:
    """Each name that an earlier one of the same list has too; steps and schedules are told apart by their names."""
    seen: set[object] = set()
    for number, name in enumerate(names):
        if isinstance(name, str) and name in seen:
            yield (kind, number, "name"), f"is {name!r}, as an earlier one's is; give each its own name"
        elif isinstance(name, str):
            seen.add(name)


@dataclass(frozen=True)
class _Unfit:
    """A changed value that does not fit: where it is in the change, and subject and rest of a sentence about it."""

    keys: tuple[str, ...]
    subject: str
    what: str

    @property
    def message(self) -> str:
        return f"{self.subject} {self.what}".strip()


def _unfit_value(keys: tuple[str, ...], declared: list[Param], value: JsonValue, known: set[str]) -> Iterator[_Unfit]:
    name = keys[-1]
    if not declared:
        yield _Unfit(keys, "", f"unknown parameter {name!r}" + near_miss(name, known))
    for param in declared:
        try:
            param.check(value)
        except ValueError as error:
            yield _Unfit(keys, name, str(error))
            return
