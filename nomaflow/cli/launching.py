"""`run`, `plan` and `replay`: values from text, by the types of the form; the form itself says what has changed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nomaflow.cli.naming import resolve
from nomaflow.cli.options import AsJson, HomeFolder, JobName, RunName, Token, Url, known_job, open_client, print_json
from nomaflow.cli.show import Listing, folded, shown, state_text, why_skipped
from nomaflow.errors import InvalidError

if TYPE_CHECKING:
    from nomaflow.launch.form import Field, Form
    from nomaflow.launch.overrides import Overrides
    from nomaflow.wire import Plan, Run

Params = Annotated[list[str] | None, typer.Option("-p", "--param", metavar="NAME=VALUE", help="Change a parameter.")]
StepParams = Annotated[
    list[str] | None, typer.Option("--step", metavar="STEP.NAME=VALUE", help="Change a parameter of one step.")
]
Skip = Annotated[list[str] | None, typer.Option("--skip", metavar="STEP", help="Leave a step out.")]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="STEP", help="Run this step alone; may be repeated.")]
Level = Annotated[str | None, typer.Option("--log-level", metavar="INFO|DEBUG", help="How much this run logs.")]

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show the log until the run is over.")]
Reason = Annotated[str | None, typer.Option(help="Why; kept with the run.")]
From = Annotated[str | None, typer.Option("--from", metavar="STEP", help="Begin with this step; keep those before it.")]
OnlyThose = Annotated[
    str | None,
    typer.Option(
        "--only", metavar="failed|skipped", help="Run what did not succeed, or what was skipped; keep the rest."
    ),
]

NARROWINGS = ("failed", "skipped")

_BOOLS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def run(
    job: JobName,
    param: Params = None,
    step: StepParams = None,
    skip: Skip = None,
    only: Only = None,
    log_level: Level = None,
    follow: Follow = False,
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and run nothing.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> int:
    """Run a job now. What is not named keeps its saved value."""
    if dry_run:
        plan(job, param, step, skip, only, log_level, as_json, url, token, home)
        return 0
    with open_client(url, token, home) as client:
        with known_job(client, job):
            form = client.form(job)
        changes = changes_of(form, param, step, skip, only, log_level)
        started = client.launch(job, changes, definition=form.etag, reason=reason)
        if follow:
            from nomaflow.cli.follow import follow_run

            return follow_run(client, started.id, as_json=as_json)
    if as_json:
        print_json(started)
    else:
        typer.echo(folded(f"{started.id} of {job} is {started.state}; see it with `nomaflow logs -f {started.id}`"))
    return 0


def plan(
    job: JobName,
    param: Params = None,
    step: StepParams = None,
    skip: Skip = None,
    only: Only = None,
    log_level: Level = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """Show what a run would do, with every value and where it comes from; nothing runs."""
    with open_client(url, token, home) as client:
        with known_job(client, job):
            form = client.form(job)
        planned = client.plan(job, changes_of(form, param, step, skip, only, log_level))
    if as_json:
        print_json(planned)
    else:
        _print_plan(planned)


def replay(
    run: RunName,
    from_step: From = None,
    only: OnlyThose = None,
    param: Params = None,
    step: StepParams = None,
    skip: Skip = None,
    log_level: Level = None,
    follow: Follow = False,
    reason: Reason = None,
    dry_run: Annotated[
        bool, typer.Option("--plan", "--dry-run", help="Show what would run and what is kept, and run nothing.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> int:
    """Run an ended run again, with its values. What is left out keeps the output that it had."""
    if only is not None and only not in NARROWINGS:
        raise InvalidError(f"--only must be one of {', '.join(NARROWINGS)}, not {only!r}")
    with open_client(url, token, home) as client:
        old = client.run(resolve(client, run))
        form = client.form(old.job_id, replay_of=old.id)
        changes = changes_of(form, param, step, skip, None, log_level)
        narrowed: Any = {"from_step": from_step, "only": only}
        if dry_run:
            planned = client.replay_plan(old.id, changes, **narrowed)
            print_json(planned) if as_json else _print_plan(planned)
            return 0
        started = client.replay(old.id, changes, definition=form.etag, reason=reason, **narrowed)
        if not as_json:
            _print_replay(started)
        if follow:
            from nomaflow.cli.follow import follow_run

            return follow_run(client, started.id, as_json=as_json)
    if as_json:
        print_json(started)
    else:
        typer.echo(folded(f"see it with `nomaflow logs -f {started.id}`"))
    return 0


def changes_of(
    form: Form,
    params: list[str] | None,
    step_params: list[str] | None,
    skip: list[str] | None,
    only: list[str] | None,
    log_level: str | None,
) -> Overrides:
    """What the options change, by the form that every surface fills in.

    Raises:
        InvalidError: an unknown name, with the known ones; a value that is none of its type.
    """
    from nomaflow.launch.form import overrides

    answers: dict[str, Any] = {}
    fields = form.all_fields()
    for name, text in map(_assignment, params or []):
        for path in _paths_of(form, name):
            answers[path] = _value(fields[path], text)
    for target, text in map(_assignment, step_params or []):
        step_name, dot, name = target.partition(".")
        if not dot:
            raise InvalidError(
                f"--step takes STEP.NAME=VALUE, not {target!r}; a parameter of all steps is -p NAME=VALUE"
            )
        field = fields[_known(name, _step_fields(form, step_name), f"parameter of {step_name}")]
        answers[field.path] = _value(field, text)
    steps = {each.name: each.enabled.path for each in form.steps}
    wanted = {_known(name, steps, "step") for name in only or []}
    for path in steps.values() if only else ():
        answers[path] = path in wanted
    for name in skip or []:
        answers[_known(name, steps, "step")] = False
    if log_level is not None:
        answers[form.log_level.path] = _value(form.log_level, log_level.upper())
    return overrides(form, answers)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidError(f"write NAME=VALUE, not {text!r}")
    return name.strip(), value


def _paths_of(form: Form, name: str) -> list[str]:
    """The fields that a name means: the job's parameter, else that of every step which has one."""
    shared = {field.path.removeprefix("params."): field.path for field in form.fields}
    if name in shared:
        return [shared[name]]
    of_steps = [path for step in form.steps for key, path in _step_fields(form, step.name).items() if key == name]
    own = {field.path.rpartition(".")[2]: field.path for step in form.steps for field in step.fields}
    return of_steps or [_known(name, shared | own, "parameter")]


def _step_fields(form: Form, step_name: str) -> dict[str, str]:
    steps = {step.name: step for step in form.steps}
    step = steps[_known(step_name, {name: name for name in steps}, "step")]
    return {field.path.rpartition(".")[2]: field.path for field in step.fields}


def _known(name: str, known: dict[str, str], what: str) -> str:
    from nomaflow.definitions.problems import near_miss

    if name not in known:
        listed = f"there are {', '.join(known)}" if known else "there is none"
        raise InvalidError(f"unknown {what} {name!r}; {listed}{near_miss(name, known)}")
    return known[name]


def _value(field: Field, text: str) -> Any:
    """The text as a value of the field's type; whether it fits is the engine's to say."""
    if field.nullable and text == "null":
        return None
    name = field.path.rpartition(".")[2]
    match field.type:
        case "int" if re.fullmatch(r"[+-]?\d{1,20}", text):
            return int(text)
        case "int":
            raise InvalidError(f"{name} must be a whole number, not {text!r}")
        case "float":
            try:
                return float(text)
            except ValueError:
                raise InvalidError(f"{name} must be a number, not {text!r}") from None
        case "bool":
            if text.lower() not in _BOOLS:
                raise InvalidError(f"{name} must be yes or no, not {text!r}")
            return _BOOLS[text.lower()]
        case "choice":
            choices = {str(choice): choice for choice in field.choices or []}
            if text not in choices:
                raise InvalidError(f"{name} must be one of {', '.join(choices)}, not {text!r}")
            return choices[text]
        case "json":
            try:
                return json.loads(text)
            except ValueError as error:
                raise InvalidError(f"{name} must be JSON: {error}") from None
    return text


def _print_plan(planned: Plan) -> None:
    typer.echo(f"log level {planned.log_level}")
    rows = Listing("STEP", "TYPE", "PARAMETER", "VALUE", "FROM", whole=["STEP", "TYPE", "PARAMETER", "FROM"])
    for step in planned.steps:
        state = step.type if step.runs else state_text("Skipped")
        kwargs = list(step.kwargs.items()) if step.runs else []
        first = True
        for name, value in kwargs:
            text = json.dumps(value.value, ensure_ascii=False)
            rows.add(step.name if first else "", state if first else "", name, shown(text), value.origin)
            first = False
        if first:
            rows.add(step.name, state, "", why_skipped(step.reason), "")
    rows.print()


def _print_replay(run: Run) -> None:
    """What a replay runs, with which values other than the saved ones, and what it keeps."""
    typer.echo(folded(f"{run.id} of {run.job_id} is {run.state}, a replay of {run.replay_of}"))
    rows = Listing("STEP", "TYPE", "NOTE", whole=["STEP", "TYPE"])
    for step in run.plan.steps:
        values = [
            f"{name}={json.dumps(planned.value, ensure_ascii=False)} ({planned.origin})"
            for name, planned in step.kwargs.items()
            if planned.origin != "saved"
        ]
        note = shown(", ".join(values)) if step.runs else why_skipped(step.reason)
        rows.add(step.name, step.type if step.runs else state_text("Skipped"), note)
    rows.print()


COMMANDS = (run, plan, replay)
