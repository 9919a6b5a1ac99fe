"""The launch plan: what one run will do, with every value and where it comes from.

Merge order, later wins: job params < step op_kwargs < the schedule's overrides < the launch's params < the launch's
op_kwargs. Seed: "Run with parameters". A run stores its plan as the snapshot of its parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Literal

from pydantic import JsonValue

from nomaflow.definitions import tokens
from nomaflow.definitions.job import Job, Schedule
from nomaflow.definitions.param import Param, same
from nomaflow.definitions.steps.common import StepCommon
from nomaflow.errors import Detail, InvalidError, NotAllowedError
from nomaflow.launch.overrides import LogLevel, Overrides, Sent

Origin = Literal["saved", "schedule", "override", "replay"]

SKIPPED_DISABLED = "skipped: disabled"
"""The reason of a step that is switched off, in its definition or for this run. Seed: "Per-step enable toggle"."""

NOTHING_RUNS = "every step is switched off, so nothing would run; leave at least one on"


class PlannedValue(Sent):
    """One merged value and the layer that gave it."""

    value: JsonValue
    origin: Origin


class PlannedStep(Sent):
    """One step: whether it runs, why not, and with which kwargs."""

    name: str
    type: str
    runs: bool
    reason: str | None = None
    kwargs: dict[str, PlannedValue] = {}

    def values(self) -> dict[str, JsonValue]:
        """The kwargs without their origins."""
        return {name: planned.value for name, planned in self.kwargs.items()}


class Plan(Sent):
    """What a run does, in order."""

    log_level: LogLevel
    steps: list[PlannedStep]


def resolve(job: Job, overrides: Overrides, *, today: date, schedule: Schedule | None = None) -> Plan:
    """Merge a job with what a launch changes.

    Args:
        job: the saved definition.
        overrides: the changes of this launch.
        today: the day that date tokens such as `${yesterday}` count from, in the schedule's or home's zone.
        schedule: the schedule that fires, with its own changes.

    Raises:
        InvalidError: an unknown step or parameter, a value that does not fit, a required one that is missing, or a
            plan in which nothing runs; one detail for each.
        NotAllowedError: a locked parameter is changed.
    """
    details = list(problems(job, overrides))
    layers = _layers(job, overrides, schedule)
    steps = [_planned(job, step, layers, overrides, schedule, today) for step in job.steps]
    if not details:
        details = list(missing(job, steps))
    if not details and not any(step.runs for step in steps):
        details = [{"message": NOTHING_RUNS}]
    if details:
        raise InvalidError(summary(details), details=details)
    if fixed := list(locked(job, overrides)):
        raise not_allowed(fixed)
    level = overrides.log_level or (schedule.log_level if schedule else None) or job.log_level
    return Plan(log_level=level, steps=steps)


def problems(job: Job, overrides: Overrides) -> Iterator[Detail]:
    """What does not fit the job; each with the form's path of the field."""
    for path, message in job.unfit(overrides):
        yield {"path": path, "message": message}


def missing(job: Job, steps: list[PlannedStep]) -> Iterator[Detail]:
    """The required parameters of steps that run which have no value."""
    for planned in steps:
        if not planned.runs:
            continue
        step = job.step(planned.name)
        assert step is not None
        for scope, params in (("params", job.params), (f"steps.{planned.name}.op_kwargs", job.op_kwargs(step))):
            for name, param in params.items():
                if param.required and not param.nullable and planned.kwargs[name].value is None:
                    yield {"path": f"{scope}.{name}", "message": f"{name} is required and has no saved value"}


type Layer = tuple[Origin, Mapping[str, JsonValue], Mapping[str, Mapping[str, JsonValue]]]


def _layers(job: Job, overrides: Overrides, schedule: Schedule | None) -> list[Layer]:
    """(origin, values for all steps, values by step), earliest first."""
    saved: Layer = (
        "saved",
        {name: param.default for name, param in job.params.items()},
        {step.name: {name: param.default for name, param in job.op_kwargs(step).items()} for step in job.steps},
    )
    layers = [saved]
    if schedule:
        by_step = {name: change.op_kwargs for name, change in schedule.steps.items()}
        layers.append(("schedule", schedule.params, by_step))
    layers.append(("override", overrides.params, {name: change.op_kwargs for name, change in overrides.steps.items()}))
    return layers


def _planned(
    job: Job,
    step: StepCommon,
    layers: list[Layer],
    overrides: Overrides,
    schedule: Schedule | None,
    today: date,
) -> PlannedStep:
    kwargs: dict[str, PlannedValue] = {}
    for origin, shared, by_step in layers:
        own = by_step.get(step.name, {})
        for name, value in {**shared, **own}.items():
            # A shared change of a value that only other steps know is none of this step's.
            if origin == "saved" or name in kwargs:
                kwargs[name] = merged(kwargs.get(name), value, origin, today)
    enabled = step.enabled
    if schedule and (change := schedule.steps.get(step.name)) and change.enabled is not None:
        enabled = change.enabled
    if (asked := overrides.steps.get(step.name)) and asked.enabled is not None:
        enabled = asked.enabled
    reason = None if enabled else SKIPPED_DISABLED
    return PlannedStep(name=step.name, type=type_of(step), runs=enabled, reason=reason, kwargs=kwargs)


def merged(before: PlannedValue | None, value: JsonValue, origin: Origin, today: date) -> PlannedValue:
    """A value laid over the one of the layers below, with its dates put in."""
    if isinstance(value, str):
        value = tokens.resolve_dates(value, today)
    if before is not None and origin != "saved" and same(before.value, value):
        # Sending the saved value changes nothing, so it is no override.
        return before
    return PlannedValue(value=value, origin=origin)


def type_of(step: StepCommon) -> str:
    """The step's type, by the name that its file gives it."""
    return str(getattr(step, "type"))  # noqa: B009  # every member of the union has one, the common base has not


def locked(job: Job, overrides: Overrides) -> Iterator[str]:
    """The paths of locked parameters that would change. Sending the saved value changes nothing."""
    for name, value in overrides.params.items():
        if _would_change(job.declared(name), value):
            yield f"params.{name}"
    for step_name, change in overrides.steps.items():
        for name, value in change.op_kwargs.items():
            own = job.declared(name, job.step(step_name))
            shared = [job.params[name]] if name in job.params else []
            if _would_change([*own, *shared], value):
                yield f"steps.{step_name}.op_kwargs.{name}"


def _would_change(params: list[Param], value: JsonValue) -> bool:
    return any(param.is_locked and not same(param.default, value) for param in params)


def not_allowed(paths: list[str]) -> NotAllowedError:
    """The refusal to change locked parameters."""
    return NotAllowedError(
        f"{', '.join(paths)} cannot be changed for a run: locked in the job's file",
        details=[{"path": path, "message": "is locked"} for path in paths],
    )


def summary(details: list[Detail]) -> str:
    """The first of them, and how many more there are."""
    first = details[0]["message"]
    return first if len(details) == 1 else f"{first} (and {len(details) - 1} more)"
