"""`nomaflow up`: the engine, and beside it each front end that is installed, started again when it ends.

The engine lives in this process, so there is nothing to supervise it; if it fails, the front ends go with it. A front
end that hangs or dies hurts no run.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from nomaflow.errors import PortTakenError
from nomaflow.home import Home
from nomaflow.serve import Serving, Stopping, exit_code, serve, stop_on_signals

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
"""A front end that cannot start is tried again for ever, and does not keep a core busy doing so."""

STOP_SECONDS = 5.0

type WhenReady = Callable[[Serving, Stopping], Awaitable[None]]


@dataclass(frozen=True)
class FrontEnd:
    """A program that works the engine through its API. The address and a token are in its environment."""

    name: str
    argv: Sequence[str]
    address: str | None = None


def installed_front_ends(
    host: str, *, dashboard_port: int, simulator_port: int, dashboard: bool, bot: bool
) -> list[FrontEnd]:
    """Those whose package is there and that are wanted."""
    wanted = []
    if dashboard and importlib.util.find_spec("dashboards"):
        argv = [sys.executable, "-m", "dashboards", "--host", host, "--port", str(dashboard_port)]
        wanted.append(FrontEnd("dashboard", argv, f"http://{host}:{dashboard_port}/nomaflow"))
    if bot and importlib.util.find_spec("bot"):
        wanted.append(FrontEnd("bot", [sys.executable, "-m", "bot", "--simulator-port", str(simulator_port)]))
    return wanted


async def keep_running(
    front_end: FrontEnd, environment: dict[str, str], *, first_wait: float = FIRST_WAIT_SECONDS
) -> None:
    """Start it, and again when it ends; canceled, it is asked to end and killed if it does not."""
    wait = first_wait
    while True:
        began = trio.current_time()
        process = await trio.lowlevel.open_process(list(front_end.argv), env=environment, stdin=subprocess.DEVNULL)
        try:
            await process.wait()
        finally:
            await _stop(process)
        if trio.current_time() - began > LONGEST_WAIT_SECONDS:
            wait = first_wait
        log.warning(
            "the %s ended with exit code %s; it starts again in %.0f s", front_end.name, process.returncode, wait
        )
        await trio.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT_SECONDS)


async def _stop(process: trio.Process) -> None:
    if process.returncode is not None:
        return
    with trio.CancelScope(shield=True):
        process.terminate()
        with trio.move_on_after(STOP_SECONDS):
            await process.wait()
            return
        process.kill()
        await process.wait()


async def up(
    home: Home,
    *,
    host: str,
    port: int,
    front_ends: Sequence[FrontEnd],
    when_ready: WhenReady,
    stopping: Stopping,
) -> None:
    """Run until told to stop.

    Args:
        home: the folder.
        host: where the engine listens.
        port: its port.
        front_ends: what to run beside it.
        when_ready: called once with what is known of the engine; canceled when the engine has stopped.
        stopping: set its events to stop.
    """
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(stop_on_signals, stopping))
        async with trio.open_nursery() as engine:
            ready: Serving = await engine.start(partial(serve, home, host=host, port=port, stopping=stopping))
            environment = {**os.environ, "NOMAFLOW_URL": ready.url, "NOMAFLOW_TOKEN": ready.admin_token}
            for front_end in front_ends:
                nursery.start_soon(keep_running, front_end, environment)
            nursery.start_soon(when_ready, ready, stopping)
        nursery.cancel_scope.cancel()


def main(
    home: Path,
    host: str,
    api_port: int,
    dashboard_port: int,
    simulator_port: int,
    no_dashboard: bool,
    no_bot: bool,
    welcome: Callable[[Sequence[FrontEnd], Serving, Stopping], Awaitable[None]],
) -> int:
    """`nomaflow up`; its exit code. `welcome` tells the person what runs where, and what the end waits for."""
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(message)s")
    front_ends = installed_front_ends(
        host, dashboard_port=dashboard_port, simulator_port=simulator_port, dashboard=not no_dashboard, bot=not no_bot
    )
    try:
        trio.run(
            partial(
                up,
                Home(home),
                host=host,
                port=api_port,
                front_ends=front_ends,
                when_ready=partial(welcome, front_ends),
                stopping=Stopping(),
            )
        )
    except BaseException as error:
        only = error
        while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
            only = only.exceptions[0]
        if isinstance(only, PortTakenError):
            raise only from None  # the command line knows which of its options names another port
        return exit_code(error)
    print("stopped", flush=True)
    return 0
