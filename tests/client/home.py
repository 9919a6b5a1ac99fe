"""A small home for tests of clients: `hello` fires at once, `load` has a form, the viewer bea signs in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from tests.fakes.engine import FakeEngine
from tests.fakes.scripts import Script
from tests.fakes.serving import in_thread

PASSWORD = "correct horse battery staple"

SETTINGS = """\
[connectors.jde]
kind = "sql"
url = "sqlite:///jde.db"
[accounts.bea]
role = "viewer"
password_hash = "{password_hash}"
"""

HELLO = """\
description = "Says hello."
[[steps]]
name = "hello"
type = "python"
callable = "hello:main"
"""

LOAD = """\
description = "Loads one day."
tags = ["etl"]
[params]
apps_id = 10
period = { type = "date", default = "2026-01-31" }
mode = { type = "choice", default = "fast", choices = ["fast", "slow"] }
[[steps]]
name = "extract"
type = "sql_query"
connector = "jde"
query = "select 1"
[[steps]]
name = "load"
type = "python"
callable = "load:main"
[steps.op_kwargs]
full_refresh = false
options = { type = "json", default = {} }
"""


def engine(folder: Path, *, auto: bool = True, **steps: Script) -> FakeEngine:
    """An engine over it; `steps` say what the steps do, by name."""
    folder.mkdir(exist_ok=True)
    settings = SETTINGS.format(password_hash=PasswordHasher(1, 8, 1).hash(PASSWORD))
    scripts = {"hello": steps, "load": steps}
    return FakeEngine(folder, {"hello": HELLO, "load": LOAD}, settings=settings, scripts=scripts, auto=auto)


@dataclass(frozen=True)
class Running:
    """The engine as it runs in a thread; `call` runs a coroutine function of it there."""

    fake: FakeEngine
    url: str
    token: str = field(repr=False)
    call: Callable[..., Any]


@contextmanager
def running(folder: Path, *, auto: bool = True, **steps: Script) -> Iterator[Running]:
    """The engine behind the real API on a port of this machine, until the block ends."""
    with in_thread(engine(folder, auto=auto, **steps)) as inside:
        yield Running(inside.value.fake, inside.value.url, inside.value.token, inside.call)
