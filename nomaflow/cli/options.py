"""What commands share: which engine, and tables or JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nomaflow.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from nomaflow.client import Client

ENGINE = "Which engine"

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="The engine's address; else $NOMAFLOW_URL, else where the home's engine runs.",
        rich_help_panel=ENGINE,
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
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, the last 4 or more characters of it, or a job's id.")
]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the engine sent, as JSON.")]
LocalJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def open_client(url: str | None, token: str | None, home: Path) -> Client:
    """The client of a command.

    Raises:
        InvalidError: nothing says which engine is meant.
    """
    from nomaflow.client import Client

    named = (url, token, os.environ.get("NOMAFLOW_URL"), os.environ.get("NOMAFLOW_TOKEN"))
    if not any(named) and not (home / "nomaflow.toml").exists():
        raise InvalidError(
            f"{home.resolve()} is no home: no nomaflow.toml there; name one with --home, "
            f"or make one with `nomaflow init`"
        )
    return Client(url, token, surface="cli", home=home)


@contextmanager
def known_job(client: Client, job: str) -> Iterator[None]:
    """What is not found inside is the job; the error tells which there are."""
    from nomaflow.definitions.problems import near_miss

    try:
        yield
    except NotFoundError:
        known = [card.id for card in client.jobs()]
        if job in known:
            raise
        raise NotFoundError(
            f"there is no job {job!r}{near_miss(job, known) or ';'} `nomaflow jobs` lists them"
        ) from None


def print_json(record: BaseModel) -> None:
    """One record as the API sends it."""
    _print(record.model_dump(mode="json"))


def print_json_list(records: list[Any]) -> None:
    """A list as the API sends it when it is complete."""
    _print({"items": [record.model_dump(mode="json") for record in records], "next_cursor": None})


def _print(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
