"""The two worlds that must look the same through HTTP: the fake engine, and the real one on a home of its own."""

from __future__ import annotations

import functools
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import trio

from nomaflow import wire
from nomaflow.access.passwords import hash_password
from nomaflow.api.policy import V1
from nomaflow.client import AsyncClient
from nomaflow.home import Home
from nomaflow.serve import Serving, Stopping, serve
from tests.fakes.engine import FakeEngine
from tests.fakes.scripts import Script, fail, hang, ok
from tests.fakes.serving import serve_fake
from tests.fakes.thread import opened_in_thread

PASSWORD = "correct horse battery"
CONNECTOR_PASSWORD = "s3cret-of-the-archive"
LINES = 1200

SETTINGS = f"""\
[engine]
timezone = "Europe/Paris"
cancel_grace_seconds = 1
drain_seconds = 1
[connectors.warehouse]
kind = "sql"
url = "sqlite:///warehouse.db"
description = "Where everything ends up"
[connectors.archive]
kind = "sql"
url = "postgresql+psycopg://reader@127.0.0.1:1/archive"
password_env = "CONTRACT_ARCHIVE_PASSWORD"
[accounts.ana]
role = "operator"
password_hash = "{hash_password(PASSWORD)}"
[accounts.vic]
role = "viewer"
password_hash = "{hash_password(PASSWORD)}"
[accounts.joe]
grants = [{{ role = "viewer", jobs = ["joes-*"] }}]
password_hash = "{hash_password(PASSWORD)}"
"""

STEPS = f"""\
import asyncio
import time


def works(ctx):
    ctx.log.info("began")
    return {{"rows_affected": 3, "answer": 42}}


def goes_on(ctx):
    earlier = ctx.previous_step("extract")
    ctx.log.info("extract %s with %s", earlier.status, earlier.output["answer"])
    return {{"answer": earlier.output["answer"] + 1}}


def fails(ctx):
    ctx.log.info("began")
    raise ValueError("the cupboard is bare")


async def waits(ctx):
    ctx.log.info("began")
    await asyncio.sleep(600)


def waits_plainly(ctx):
    ctx.log.info("began")
    time.sleep(600)


def is_stubborn(ctx):
    ctx.log.info("began")
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass


def says_much(ctx):
    for number in range({LINES}):
        ctx.log.info("line %d", number)
    ctx.log.warning("that was all")
"""

CALLABLES: Mapping[str, Script] = {
    "contract_steps:works": ok("began", rows=3, output={"rows_affected": 3, "answer": 42}),
    "contract_steps:goes_on": ok("extract SUCCEEDED with 42", output={"answer": 43}),
    "contract_steps:fails": fail("the cupboard is bare", error="ValueError", log=("began",)),
    "contract_steps:waits": hang("began"),
    "contract_steps:waits_plainly": hang("began"),
    "contract_steps:is_stubborn": hang("began", stubborn=True),
    "contract_steps:says_much": ok(*(f"line {number}" for number in range(LINES)), warning="that was all"),
}
"""What `STEPS` does, for the fake."""


def one_step(callable_name: str) -> str:
    """A job with one step and nothing to ask for."""
    return f'[[steps]]\nname = "work"\ntype = "python"\ncallable = "contract_steps:{callable_name}"\n'


WITH_FORM = """\
# How the day's rows get in.
description = "Loads the day"
tags = ["etl", "nightly"]
enabled = true   # switched off in maintenance windows

[[schedules]]
cron = "30 2 * * *"

[params]
apps_id = 10
target_connector = "warehouse"

[[steps]]
name = "extract"
type = "python"
callable = "contract_steps:works"
[steps.op_kwargs]
full_refresh = false

[[steps]]
name = "clean"
type = "python"
callable = "contract_steps:works"

[[steps]]
name = "old"
type = "python"
callable = "contract_steps:works"
enabled = false
"""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class World:
    """One engine behind its API."""

    name: str
    home: Home
    url: str
    token: str = field(repr=False)

    def client(self, token: str | None = None, **options: str) -> AsyncClient:
        """The project's client; an admin's unless another token is given."""
        return AsyncClient(self.url, token or self.token, **options)  # type: ignore[arg-type]  # `surface` is text here

    def http(self, token: str | None = None) -> httpx.AsyncClient:
        """Plain HTTP below `/api/v1`; an admin's unless another token is given."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.AsyncClient(base_url=self.url + V1, headers=headers, timeout=20)

    def file(self, job_id: str) -> Path:
        """A job's file on disk."""
        return self.home.jobs_dir / f"{job_id}.toml"


def new_id(stem: str) -> str:
    """A job id that no other test uses: the worlds live as long as the session."""
    return f"{stem}-{next(_numbers)}"


async def new_job(client: AsyncClient, toml: str, stem: str = "job") -> str:
    """Make a job and give its id."""
    return (await client.create_job(new_id(stem), toml=toml)).id


async def begun(client: AsyncClient, job_id: str) -> str:
    """Launch, and return when the first step's code has begun."""
    run = await client.launch(job_id)
    async with aclosing(client.follow_logs(run.id)) as lines:
        async for line in lines:
            if line.text == "began":
                return run.id
    raise AssertionError("the run ended before its step began")


async def ended(client: AsyncClient, run_id: str) -> wire.Run:
    """The run as it is when it is over."""
    return await client.wait(run_id)


@asynccontextmanager
async def fake_world(folder: Path, jobs: Mapping[str, str]) -> AsyncIterator[World]:
    """The fake engine behind the real API."""
    fake = FakeEngine(folder, jobs, settings=SETTINGS, callables=CALLABLES, auto=True)
    async with serve_fake(fake) as served:
        yield World("fake", fake.home, served.url, served.token)


@asynccontextmanager
async def real_world(folder: Path, jobs: Mapping[str, str]) -> AsyncIterator[World]:
    """The real engine: workers, store and all."""
    home = Home(folder)
    home.settings_file.write_text(SETTINGS)
    home.jobs_dir.mkdir()
    for name, text in {"contract_steps.py": STEPS, **{f"{job_id}.toml": text for job_id, text in jobs.items()}}.items():
        (home.jobs_dir / name).write_text(text)
    stopping = Stopping()
    async with trio.open_nursery() as nursery:
        listen = functools.partial(serve, home, host="127.0.0.1", port=0, stopping=stopping)
        serving: Serving = await nursery.start(listen)
        try:
            yield World("real", home, serving.url, serving.admin_token)
        finally:
            stopping.asked.set()
            stopping.hurry.set()


Opening = Callable[[Path, Mapping[str, str]], AbstractAsyncContextManager[World]]

WORLDS: Mapping[str, Opening] = {"fake": fake_world, "real": real_world}


@contextmanager
def opened(name: str, folder: Path, jobs: Mapping[str, str] | None = None) -> Iterator[World]:
    """One of the worlds, in a thread of its own."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CONTRACT_ARCHIVE_PASSWORD", CONNECTOR_PASSWORD)
        with opened_in_thread(lambda: WORLDS[name](folder, jobs or {})) as inside:
            yield inside.value
