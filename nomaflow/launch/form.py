"""The Run-with-parameters form that every surface draws, and the difference that its answers make.

Seed: "What's in the modal", "How it diffs". Panel, Slack, CLI and notebook draw these fields and give back answers by
path; none of them decides what a field is or what changed. The form of a replay shows the values of the run that it
replays; its answers go to that run's replay, and again only what differs from what was shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any, Literal

from pydantic import JsonValue, ValidationError, model_validator

from nomaflow.definitions.job import Job
from nomaflow.definitions.param import Param, ParamType, same
from nomaflow.definitions.problems import dotted, near_miss, sentence
from nomaflow.errors import Detail, InvalidError
from nomaflow.launch.overrides import Overrides, Sent
from nomaflow.launch.replay import OldRun, shown


class Field(Sent):
    """One input. `path` is `log_level`, `params.<k>`, `steps.<name>.enabled` or `steps.<name>.op_kwargs.<k>`.

    `value` is what is shown first and what runs where it is left as it is: the `saved` one, or in the form of a replay
    the old run's.
    """

    path: str
    label: str
    help: str = ""
    type: ParamType
    saved: JsonValue = None
    value: JsonValue = None
    origin: Literal["saved", "schedule", "override", "replay"] = "saved"
    choices: list[JsonValue] | None = None
    choices_from: Literal["connectors"] | None = None
    required: bool = False
    nullable: bool = False
    min: int | float | None = None
    max: int | float | None = None
    multiline: bool = False
    locked: bool = False

    @model_validator(mode="before")
    @classmethod
    def _shows_saved(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "value" not in data:
            return {**data, "value": data.get("saved")}
        return data


class FormProblem(Sent):
    """Why the form of a replay is refused as it stands: a field's path, or that of a step or parameter that is gone."""

    path: str = ""
    message: str


class StepForm(Sent):
    """One step's box: its switch, and its own parameters where it is a python step."""

    name: str
    type: str
    detail: str
    enabled: Field
    fields: list[Field] = []


class Form(Sent):
    """All inputs of one job, with the etag of the definition that they were made from.

    `replay_of` is the run whose values the form of a replay shows; `problems` is what has to be changed or left out
    before they go together with today's definition.
    """

    job_id: str
    etag: str
    fires_at_once: bool
    busy_run_id: str | None = None
    replay_of: str | None = None
    problems: list[FormProblem] = []
    log_level: Field
    fields: list[Field] = []
    steps: list[StepForm] = []

    def all_fields(self) -> dict[str, Field]:
        """Every input by its path."""
        inputs = [self.log_level, *self.fields]
        for step in self.steps:
            inputs += [step.enabled, *step.fields]
        return {field.path: field for field in inputs}


def fires_at_once(job: Job) -> bool:
    """Whether Run now needs no form: exactly one step, no params, no op_kwargs. Seed: "Run now"."""
    return len(job.steps) == 1 and not job.params and not any(job.op_kwargs(step) for step in job.steps)


def form(job: Job, *, etag: str, busy_run_id: str | None = None) -> Form:
    """The form of a job as it is saved."""
    return Form(
        job_id=job.id,
        etag=etag,
        fires_at_once=fires_at_once(job),
        busy_run_id=busy_run_id,
        log_level=Field(
            path="log_level",
            label="Log level",
            help="INFO shows row counts and progress; DEBUG adds the full SQL.",
            type="choice",
            saved=job.log_level,
            choices=["INFO", "DEBUG"],
        ),
        fields=[_field(f"params.{name}", name, param) for name, param in job.params.items()],
        steps=[
            StepForm(
                name=step.name,
                type=step.type,
                detail=step.detail,
                enabled=Field(
                    path=f"steps.{step.name}.enabled", label="enabled (run this step)", type="bool", saved=step.enabled
                ),
                fields=[
                    _field(f"steps.{step.name}.op_kwargs.{name}", name, param)
                    for name, param in job.op_kwargs(step).items()
                ],
            )
            for step in job.steps
        ],
    )


def replay_form(
    job: Job,
    old: OldRun,
    *,
    today: date,
    connectors: Collection[str],
    etag: str,
    busy_run_id: str | None = None,
) -> Form:
    """The form of a job with the values of a run that is over; today's definition says what the fields are."""
    saved = form(job, etag=etag, busy_run_id=busy_run_id)
    before = shown(job, old, today=today, connectors=connectors)

    def filled(field: Field) -> Field:
        then = before.values[field.path]
        origin = "saved" if then.origin == "saved" else "replay"
        return field.model_copy(update={"value": then.value, "origin": origin})

    steps = [
        step.model_copy(update={"enabled": filled(step.enabled), "fields": [filled(field) for field in step.fields]})
        for step in saved.steps
    ]
    return saved.model_copy(
        update={
            "replay_of": old.id,
            "problems": [FormProblem(path=one.get("path", ""), message=one["message"]) for one in before.problems],
            "log_level": filled(saved.log_level),
            "fields": [filled(field) for field in saved.fields],
            "steps": steps,
        }
    )


def overrides(form: Form, answers: Mapping[str, JsonValue]) -> Overrides:
    """Only what differs from the values that were shown; a form that was not touched gives no overrides at all.

    Raises:
        InvalidError: an answer to a field that the form has not, or one that no such field can have.
    """
    fields = form.all_fields()
    unknown: list[Detail] = [
        {"path": path, "message": f"the form of {form.job_id} has no field {path!r}" + near_miss(path, fields)}
        for path in answers
        if path not in fields
    ]
    if unknown:
        raise InvalidError(unknown[0]["message"], details=unknown)
    changed = {path: value for path, value in answers.items() if not same(value, fields[path].value)}
    params = {path.removeprefix("params."): value for path, value in changed.items() if path.startswith("params.")}
    steps: dict[str, dict[str, JsonValue]] = {}
    for path, value in changed.items():
        parts = path.split(".")
        if parts[0] != "steps":
            continue
        step = steps.setdefault(parts[1], {})
        if parts[2] == "enabled":
            step["enabled"] = value
        else:
            kwargs = step.setdefault("op_kwargs", {})
            assert isinstance(kwargs, dict)
            kwargs[parts[3]] = value
    try:
        return Overrides.model_validate({"log_level": changed.get("log_level"), "params": params, "steps": steps})
    except ValidationError as error:
        wrong: list[Detail] = [
            {"path": (path := dotted(one["loc"])), "message": f"{path} {sentence(one, Overrides)}"}
            for one in error.errors()
        ]
        raise InvalidError(wrong[0]["message"], details=wrong) from None


def _field(path: str, name: str, param: Param) -> Field:
    return Field(
        path=path,
        label=param.label or name,
        help=param.help or param.description,
        type=param.type,
        saved=param.default,
        choices=param.choices,
        choices_from="connectors" if param.type == "connector" and param.choices is None else None,
        required=param.required,
        nullable=param.nullable,
        min=param.min,
        max=param.max,
        multiline=param.multiline,
        locked=param.is_locked,
    )
