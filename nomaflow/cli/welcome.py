"""What `nomaflow up` says when everything is ready, and the first run of a new home."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio
import typer

from nomaflow.errors import NomaflowError

if TYPE_CHECKING:
    from nomaflow.serve import Serving
    from nomaflow.supervise import FrontEnd


async def welcome(front_ends: Sequence[FrontEnd], ready: Serving) -> None:
    """Print the addresses; on a new home start its first run and show it as it goes."""
    from nomaflow.client import AsyncClient

    run_id = None
    async with AsyncClient(ready.url, ready.admin_token, surface="cli") as client:
        typer.echo(f"engine     {ready.url}   (API: {ready.url}/docs)")
        for front_end in front_ends:
            if front_end.address is None:
                continue
            link = await client.sign_in_link()
            # The code signs in once, within ten minutes; the token itself never stands in an address.
            address = front_end.address.removesuffix("/nomaflow") + link.path
            typer.echo(f"{front_end.name:<10} {front_end.address}   (sign in: {address})")
        if ready.is_new and ready.first_run:
            try:
                run_id = (await client.launch(ready.first_run, reason="first run of a new home")).id
                typer.echo(f"first run  {run_id} of {ready.first_run}")
            except NomaflowError as error:
                typer.echo(f"The first run of {ready.first_run} could not be started: {error.message}", err=True)
        typer.echo("Ctrl-C stops everything.")
        sys.stdout.flush()
    if run_id is not None:
        await trio.to_thread.run_sync(partial(_follow, ready, run_id), abandon_on_cancel=True)


def _follow(ready: Serving, run_id: str) -> None:
    from nomaflow.cli.follow import follow_run
    from nomaflow.client import Client

    with Client(ready.url, ready.admin_token, surface="cli") as client:
        try:
            follow_run(client, run_id)
        except NomaflowError as error:
            typer.echo(f"The first run can no longer be followed: {error.message}", err=True)
