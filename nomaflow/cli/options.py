"""What commands share: which engine, and tables or JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from nomaflow.client import Client

ENGINE = "Which engine"

Url = Annotated[
    str | None,
    typer.Option(
        "--url", help="The engine's address; else $NOMAFLOW_URL, else port 8600 here.", rich_help_panel=ENGINE
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token", help="Whose rights count; better in $NOMAFLOW_TOKEN, which no `ps` shows.", rich_help_panel=ENGINE
    ),
]
HomeFolder = Annotated[
    Path,
    typer.Option("--home", help="The home's folder; this one when left out.", file_okay=False, rich_help_panel=ENGINE),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the engine sent, as JSON.")]


def open_client(url: str | None, token: str | None, home: Path) -> Client:
    """The client of a command."""
    from nomaflow.client import Client

    return Client(url, token, surface="cli", home=home)


def print_json(record: BaseModel) -> None:
    """One record as the API sends it."""
    _print(record.model_dump(mode="json"))


def print_json_list(records: list[Any]) -> None:
    """A list as the API sends it when it is complete."""
    _print({"items": [record.model_dump(mode="json") for record in records], "next_cursor": None})


def _print(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
