"""A replay: an ended run again, with the values of then under the definition of today.

The whole old plan is copied: values, log level, which steps run. What the request says lies over that. A step that is
left out and had succeeded keeps its output, and its reason names the run that the output is from.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from pydantic import JsonValue

from nomaflow.definitions import tokens
from nomaflow.definitions.job import Job
from nomaflow.definitions.param import Param, same
from nomaflow.definitions.problems import near_miss
from nomaflow.definitions.steps import Step
from nomaflow.errors import Detail, InvalidError, JobChangedError
from nomaflow.launch.overrides import Replay
from nomaflow.launch.plan import (
    NOTHING_RUNS,
    SKIPPED_DISABLED,
    Plan,
    PlannedStep,
    PlannedValue,
    locked,
    merged,
    missing,
    not_allowed,
    problems,
    summary,
    type_of,
)

KEPT = "skipped: kept from "
"""How the reason of a left-out step begins whose output is kept; the id of the run that made it follows."""

_DAY = r"\d{4}-\d{2}-\d{2}"


class OldStep(Protocol):
    """How a step of the old run ended."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str | None: ...


class OldRun(Protocol):
    """The run that is replayed; it is over."""

    @property
    def id(self) -> str: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def steps(self) -> Sequence[OldStep]: ...


def replan(job: Job, old: OldRun, request: Replay, *, today: date, connectors: Collection[str]) -> Plan:
    """The plan of a replay.

    A value that is today's saved one has the origin `saved`, any other value of the old plan `replay`. Steps and
    parameters that the old plan did not have run as they are saved.

    Args:
        job: today's definition.
        old: the run; its plan holds the days that its date tokens meant, and they stay.
        request: how the replay is narrowed, and what it changes.
        today: the day that date tokens of saved and changed values count from.
        connectors: those that are there today.

    Raises:
        InvalidError: the request does not fit the job or the old run, or nothing would run.
        JobChangedError: a step or parameter that would run is gone, or its value no longer fits; one detail for each.
        NotAllowedError: a value of then is locked to another one now, or the request changes a locked one.
    """
    wrong = [*_narrowing_problems(job, old, request), *problems(job, request)]
    if wrong:
        raise InvalidError(summary(wrong), details=wrong)
    copy = _Copy(job, old, request, today, connectors)
    changed = [*copy.gone_steps(), *copy.misfits]
    if changed:
        raise JobChangedError(
            f"{job.id} has changed since {old.id}: {summary(changed)}; give other values, leave those steps out, "
            f"or launch the job anew",
            details=changed,
        )
    unmet = list(missing(job, copy.steps))
    if not any(step.runs for step in copy.steps):
        unmet = [{"message": NOTHING_RUNS}]
    if unmet:
        raise InvalidError(summary(unmet), details=unmet)
    if fixed := list(dict.fromkeys([*copy.locked, *locked(job, request)])):
        raise not_allowed(fixed)
    return Plan(log_level=request.log_level or old.plan.log_level, steps=copy.steps)


@dataclass(frozen=True)
class Shown:
    """What the form of a replay shows: the value of each field by its path, and what stands in the way."""

    values: Mapping[str, PlannedValue]
    problems: list[Detail]


def shown(job: Job, old: OldRun, *, today: date, connectors: Collection[str]) -> Shown:
    """The old run's values as the fields of today's form have them.

    A shared parameter that steps had with different values is shown as the first of them that runs; left as it is, each
    step keeps its own.
    """
    copy = _Copy(job, old, Replay(), today, connectors)
    values = {"log_level": _copied_switch(job.log_level, old.plan.log_level)}
    for name in job.params:
        values[f"params.{name}"] = _shared(job, name, copy.steps)
    for step, planned in zip(job.steps, copy.steps, strict=True):
        values[f"steps.{step.name}.enabled"] = _copied_switch(step.enabled, planned.runs)
        for name in job.op_kwargs(step):
            values[f"steps.{step.name}.op_kwargs.{name}"] = planned.kwargs[name]
    fixed: list[Detail] = [{"path": path, "message": "is locked to another value now"} for path in copy.locked]
    return Shown(values, [*copy.gone_steps(), *copy.misfits, *fixed])


def kept_from(reason: str | None) -> str | None:
    """The run whose output a left-out step keeps; None for any other step."""
    return reason.removeprefix(KEPT) if reason is not None and reason.startswith(KEPT) else None


def provenance(old: OldRun, request: Replay) -> str:
    """The first line of a replay's log: of which run, from where, and what was changed."""
    narrowed = f" from step {request.from_step}" if request.from_step else ""
    narrowed += f", only what was {request.only}" if request.only == "skipped" else ""
    narrowed += ", only what did not succeed" if request.only == "failed" else ""
    changed = ["log_level"] if request.log_level else []
    changed += [f"params.{name}" for name in request.params]
    for name, change in request.steps.items():
        changed += [f"steps.{name}.enabled"] if change.enabled is not None else []
        changed += [f"steps.{name}.op_kwargs.{kwarg}" for kwarg in change.op_kwargs]
    return f"replay of {old.id}{narrowed}" + (f", changed: {', '.join(changed)}" if changed else "")


@dataclass
class _Copy:
    """The old plan under today's job, with the request's changes over it, and what does not go together.

    `misfits` are values that today's job does not take, `locked` the paths of those that it has fixed to another value;
    both of steps that run only, since nothing else is used.
    """

    job: Job
    old: OldRun
    request: Replay
    today: date
    connectors: Collection[str]
    steps: list[PlannedStep] = field(default_factory=list)
    misfits: list[Detail] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        planned = {step.name: step for step in self.old.plan.steps}
        wanted = _wanted(self.job, self.old, self.request)
        ends = {step.name: step for step in self.old.steps}
        for step in self.job.steps:
            asked = self.request.steps.get(step.name)
            runs = asked.enabled if asked and asked.enabled is not None else wanted[step.name]
            kwargs = self._values(step, planned.get(step.name), runs=runs)
            reason = None if runs else _left_out(self.old, ends.get(step.name))
            self.steps.append(PlannedStep(name=step.name, type=type_of(step), runs=runs, reason=reason, kwargs=kwargs))

    def gone_steps(self) -> Iterator[Detail]:
        """The steps of the old plan that would run and are no longer there."""
        ends = {step.name: step for step in self.old.steps}
        names = [step.name for step in self.job.steps]
        first = names.index(self.request.from_step) if self.request.from_step in names else 0
        # Where the replay begins in the old plan's order; past its end, when it begins behind all that it had.
        begins = next((n for n, step in enumerate(self.old.plan.steps) if step.name in names[first:]), len(ends))
        for position, planned in enumerate(self.old.plan.steps):
            is_behind = position >= begins or self.request.from_step is None
            if planned.name not in names and is_behind and _is_asked_for(planned, ends[planned.name], self.request):
                yield {"path": f"steps.{planned.name}", "message": f"the step {planned.name!r} is gone"}

    def _values(self, step: Step, then: PlannedStep | None, *, runs: bool) -> dict[str, PlannedValue]:
        declared = {**self.job.params, **self.job.op_kwargs(step)}
        asked = self.request.steps.get(step.name)
        changed = {**self.request.params, **(asked.op_kwargs if asked else {})}
        kwargs = {}
        for name, param in declared.items():
            value = saved = merged(None, param.default, "saved", self.today)
            if then is not None and name in then.kwargs:
                value = self._copied(step, name, param, then.kwargs[name], saved, matters=runs and name not in changed)
            if name in changed:
                value = merged(value, changed[name], "override", self.today)
                value = saved if same(value.value, saved.value) else value
            kwargs[name] = value
        for name in then.kwargs if then is not None and runs else ():
            if name not in declared:
                self._tell_gone(step, name)
        return kwargs

    def _copied(
        self, step: Step, name: str, param: Param, then: PlannedValue, saved: PlannedValue, *, matters: bool
    ) -> PlannedValue:
        """The value of then; today's saved one where it does not fit and does not matter."""
        if same(then.value, saved.value):
            return saved
        path = f"steps.{step.name}.op_kwargs.{name}" if name in self.job.op_kwargs(step) else f"params.{name}"
        written = _written(self.job, step, name, param, then.value)
        shared = self.job.params.get(name, param)
        is_fixed = (param.is_locked or shared.is_locked) and written is None
        unfit = _unfit(name, param, then, written, self.connectors)
        if matters and unfit and {"path": path, "message": unfit} not in self.misfits:
            self.misfits.append({"path": path, "message": unfit})
        elif matters and is_fixed and path not in self.locked:
            self.locked.append(path)
        if not matters and (unfit or is_fixed):
            return saved
        # What is looked up when the step starts is looked up only in what the file itself says.
        looked_up = param.type == "secret" or _has_lookup(then.value)
        return PlannedValue(value=then.value, origin=written.origin if written and looked_up else "replay")

    def _tell_gone(self, step: Step, name: str) -> None:
        everywhere = len(self.old.plan.steps) > 1 and all(name in each.kwargs for each in self.old.plan.steps)
        where = "" if everywhere else f" of the step {step.name!r}"
        path = f"params.{name}" if everywhere else f"steps.{step.name}.op_kwargs.{name}"
        detail: Detail = {"path": path, "message": f"the parameter {name!r}{where} is gone"}
        if detail not in self.misfits:
            self.misfits.append(detail)


def _narrowing_problems(job: Job, old: OldRun, request: Replay) -> Iterator[Detail]:
    if request.from_step is not None and request.only is not None:
        yield {"path": "only", "message": "from_step and only exclude each other; give one of them"}
        return
    if (first := request.from_step) is not None:
        yield from _first_step_problems(job, old, request, first)
    if request.only is not None and not any(_is_left(request.only, end) for end in old.steps):
        what, mend = {
            "failed": ("every step that ran succeeded", "leave `only` out to replay all of it"),
            "skipped": ("no step was skipped", "leave `only` out to replay all of it"),
        }[request.only]
        yield {"path": "only", "message": f"there is nothing to do: {what} in {old.id}; {mend}"}


def _first_step_problems(job: Job, old: OldRun, request: Replay, first: str) -> Iterator[Detail]:
    if job.step(first) is None:
        is_gone = any(step.name == first for step in old.plan.steps)
        hint = near_miss(first, [step.name for step in job.steps])
        message = f"the step {first!r} of {old.id} is gone" if is_gone else f"unknown step {first!r}"
        yield {"path": "from_step", "message": message + hint}
        return
    asked = request.steps.get(first)
    if not _wanted(job, old, request)[first] and not (asked and asked.enabled):
        message = (
            f"{first} was skipped in {old.id}, so a replay cannot begin with it; switch it on, or name another step"
        )
        yield {"path": "from_step", "message": message}


def _wanted(job: Job, old: OldRun, request: Replay) -> dict[str, bool]:
    """Whether each step runs, before the request's own switches."""
    planned = {step.name: step for step in old.plan.steps}
    ends = {step.name: step for step in old.steps}
    names = [step.name for step in job.steps]
    first = names.index(request.from_step) if request.from_step in names else 0
    wanted = {}
    for position, step in enumerate(job.steps):
        if (then := planned.get(step.name)) is not None:
            wanted[step.name] = position >= first and _is_asked_for(then, ends[step.name], request)
        else:
            # One that the old plan did not have has not succeeded either, and nobody skipped it.
            wanted[step.name] = position >= first and step.enabled and request.only != "skipped"
    return wanted


def _is_asked_for(then: PlannedStep, end: OldStep, request: Replay) -> bool:
    """Whether a step of the old plan runs again; where `from_step` stands in the order does not count here."""
    if request.only is not None:
        return _is_left(request.only, end)
    # To begin with a step means to make anew what an earlier replay had kept behind it.
    return then.runs or (request.from_step is not None and kept_from(end.reason) is not None)


def _is_left(only: str, end: OldStep) -> bool:
    if only == "skipped":
        return end.reason == SKIPPED_DISABLED
    return end.state != "SUCCEEDED" and end.reason != SKIPPED_DISABLED and kept_from(end.reason) is None


def _left_out(old: OldRun, end: OldStep | None) -> str:
    """Why a step does not run."""
    if end is not None and (older := kept_from(end.reason)):
        return KEPT + older
    return KEPT + old.id if end is not None and end.state == "SUCCEEDED" else SKIPPED_DISABLED


def _unfit(
    name: str, param: Param, then: PlannedValue, written: PlannedValue | None, connectors: Collection[str]
) -> str | None:
    """Why today's job does not take a value of then."""
    if then.value is None:
        # No value is passed then, as it was then; whether one is required is looked at for the whole plan.
        return None
    if _has_lookup(then.value) and then.origin in ("saved", "schedule") and written is None:
        return f"{name} was {then.value!r} in the job's file, which says something else now"
    try:
        param.check(then.value)
    except ValueError as error:
        return f"{name} {error}"
    if param.type == "connector" and then.value not in connectors and not _has_lookup(then.value):
        return f"{name} names the connector {then.value!r}, which is not there" + near_miss(str(then.value), connectors)
    return None


def _written(job: Job, step: Step, name: str, param: Param, value: JsonValue) -> PlannedValue | None:
    """What the job's file says that the value may have come from, with whichever day its date tokens meant."""
    if _can_mean(param.default, value):
        return PlannedValue(value=param.default, origin="saved")
    for schedule in job.schedules:
        own = schedule.steps.get(step.name)
        preset = {**schedule.params, **(own.op_kwargs if own else {})}
        if name in preset and _can_mean(preset[name], value):
            return PlannedValue(value=preset[name], origin="schedule")
    return None


def _can_mean(written: JsonValue, value: JsonValue) -> bool:
    if not isinstance(written, str) or not isinstance(value, str):
        return same(written, value)
    pattern = ""
    position = 0
    for token in tokens.TOKEN.finditer(written):
        pattern += re.escape(written[position : token.start()])
        pattern += _DAY if token[1] in tokens.DATES else re.escape(token[0])
        position = token.end()
    return re.fullmatch(pattern + re.escape(written[position:]), value) is not None


def _has_lookup(value: JsonValue) -> bool:
    return isinstance(value, str) and any(word.startswith("env:") for word in tokens.TOKEN.findall(value))


def _shared(job: Job, name: str, steps: list[PlannedStep]) -> PlannedValue:
    """The value of a shared parameter: that of the steps without one of their own, and of one that runs if any does."""
    own = {step.name for step in job.steps if name in job.op_kwargs(step)}
    taking = [step for step in steps if step.name not in own] or steps
    return next((step for step in taking if step.runs), taking[0]).kwargs[name]


def _copied_switch(saved: JsonValue, value: JsonValue) -> PlannedValue:
    return PlannedValue(value=value, origin="saved" if same(saved, value) else "replay")
