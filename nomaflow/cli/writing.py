"""What one can write into a job: `step-types` and `callables`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nomaflow.cli.options import AsJson, HomeFolder, Token, Url, open_client, print_json, print_json_list
from nomaflow.cli.show import Listing, folded, shown
from nomaflow.errors import NotFoundError

if TYPE_CHECKING:
    from nomaflow.wire import CallableInfo, CallableParameter, StepTypeInfo


def step_types(
    kind: Annotated[str | None, typer.Argument(metavar="TYPE", help="One type: all its options.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """List the types of steps; with one of them, its options."""
    from nomaflow.definitions.problems import near_miss

    with open_client(url, token, home) as client:
        types = client.step_types()
    if kind is not None and not (one := [each for each in types if each.type == kind]):
        hint = near_miss(kind, [each.type for each in types])
        raise NotFoundError(f"there is no step type {kind!r}{hint or ';'} `nomaflow step-types` lists them")
    if as_json:
        print_json(one[0]) if kind is not None else print_json_list(types)
    elif kind is not None:
        _print_options(one[0])
    else:
        rows = Listing("TYPE", "WHAT IT DOES", whole=["TYPE"])
        for each in types:
            rows.add(each.type, shown(each.description))
        rows.print()


def callables(
    module: Annotated[str | None, typer.Argument(metavar="MODULE", help="Only functions of this module.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> int:
    """List the functions of the jobs folder that a python step can name, found without running them."""
    with open_client(url, token, home) as client:
        found = client.callables()
    if module is not None:
        found.items = [each for each in found.items if each.callable.partition(":")[0] == module]
    if as_json:
        print_json(found)
        return 0
    rows = Listing("CALLABLE", "PARAMETERS", "WHAT IT DOES", whole=["CALLABLE"])
    for function in found.items:
        rows.add(function.callable, shown(_parameters(function)), shown(function.description))
    if found.items:
        rows.print()
    else:
        typer.echo("No functions.")
    for problem in found.problems:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        typer.echo(folded(f"{place} {shown(problem.message)}"), err=True)
    return 0


def _print_options(step_type: StepTypeInfo) -> None:
    options: Any = step_type.options
    typer.echo(folded(f"{step_type.type}: {step_type.description}"))
    rows = Listing("OPTION", "DEFAULT", "WHAT IT SAYS", whole=["OPTION"])
    needed = options.get("required", [])
    for name, described in options["properties"].items():
        default = "(needed)" if name in needed else _text(described.get("default"))
        rows.add(name, shown(default), shown(described.get("description", "")))
    rows.print()


def _parameters(function: CallableInfo) -> str:
    texts = [_parameter(each) for each in function.parameters]
    return ", ".join([*texts, "**"] if function.takes_all else texts)


def _parameter(parameter: CallableParameter) -> str:
    return parameter.name if parameter.required else f"{parameter.name}={parameter.default_text}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


COMMANDS = (step_types, callables)
