"""What `nomaflow up` says when everything is ready and when it stops, and the first run of a new home."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio
import typer

from nomaflow.cli.show import folded
from nomaflow.errors import NomaflowError

if TYPE_CHECKING:
    from nomaflow.client import AsyncClient
    from nomaflow.serve import Serving, Stopping
    from nomaflow.supervise import FrontEnd


FOLLOW_ENDS_SECONDS = 2.0


class _EngineStopsError(Exception):
    """The connection is gone because the engine stops."""


async def welcome(front_ends: Sequence[FrontEnd], ready: Serving, stopping: Stopping) -> None:
    """Print the addresses, show the first run of a new home as it goes, and say what the end waits for."""
    run_id = await _say_ready(front_ends, ready, stopping)
    followed = trio.Event()

    async def follow() -> None:
        if run_id is not None:
            await trio.to_thread.run_sync(partial(_follow, ready, run_id, stopping), abandon_on_cancel=True)
        followed.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await stopping.asked.wait()
        runs = ", ".join(f"{run_id} of {job_id}" for run_id, job_id in ready.active())
        # Two writers on one terminal would write into each other's lines.
        with trio.move_on_after(FOLLOW_ENDS_SECONDS):
            await followed.wait()
        await _say_stopping(runs, ready, stopping)
        nursery.cancel_scope.cancel()


async def _say_ready(front_ends: Sequence[FrontEnd], ready: Serving, stopping: Stopping) -> str | None:
    """Print the addresses and what is wrong; the first run, if there is one."""
    from nomaflow.client import AsyncClient

    run_id, is_launching = None, False
    async with AsyncClient(ready.url, ready.admin_token, surface="cli") as client:
        typer.echo(f"engine     {ready.url}   (API: {ready.url}/docs)")
        try:
            await _print_front_ends(client, front_ends)
            if ready.is_new and ready.first_run:
                is_launching = True
                run_id = (await client.launch(ready.first_run, reason="first run of a new home")).id
                typer.echo(f"first run  {run_id} of {ready.first_run}")
        except NomaflowError as error:
            if stopping.asked.is_set():
                return None
            what = f"The first run of {ready.first_run} could not be started" if is_launching else "No link to sign in"
            typer.echo(f"{what}: {error.message}", err=True)
        if bad := len(ready.bad_jobs):
            typer.echo(f"{bad} job file{'s have' if bad > 1 else ' has'} problems; `nomaflow check` lists them")
        typer.echo("Ctrl-C stops everything.")
        sys.stdout.flush()
    return run_id


async def _say_stopping(runs: str, ready: Serving, stopping: Stopping) -> None:
    """Say what the end waits for, and that a second Ctrl-C does not wait."""
    if not runs:
        typer.echo("stopping")
        return
    typer.echo(folded(f"stopping: waiting up to {ready.drain_seconds:g} s for {runs}; Ctrl-C again stops it now"))
    sys.stdout.flush()
    await stopping.hurry.wait()
    typer.echo(folded(f"stopping now: {runs} will be canceled"))
    sys.stdout.flush()


async def _print_front_ends(client: AsyncClient, front_ends: Sequence[FrontEnd]) -> None:
    for front_end in front_ends:
        if front_end.address is None:
            continue
        link = await client.sign_in_link()
        # The code signs in once, within ten minutes; the token itself never stands in an address.
        address = front_end.address.removesuffix("/nomaflow") + link.path
        typer.echo(f"{front_end.name:<10} {front_end.address}   (sign in: {address})")


def _follow(ready: Serving, run_id: str, stopping: Stopping) -> None:
    from nomaflow.cli.follow import follow_run
    from nomaflow.client import Client

    def lost() -> None:
        if stopping.asked.is_set():
            raise _EngineStopsError

    with Client(ready.url, ready.admin_token, surface="cli") as client:
        try:
            follow_run(client, run_id, on_lost=lost)
        except _EngineStopsError:
            return
        except NomaflowError as error:
            if not stopping.asked.is_set():
                typer.echo(f"The first run can no longer be followed: {error.message}", err=True)
