"""`shell`: a program with its arguments."""

from __future__ import annotations

import shlex
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from nomaflow.definitions.record import spelled
from nomaflow.definitions.steps.common import OptionText, StepCommon

VariableName = Annotated[
    str, spelled(r"^[A-Za-z_][A-Za-z0-9_]*$", "the name of an environment variable: A-Z, a-z, 0-9 and `_`")
]


def _below_home(path: str) -> str:
    # What is put in later is looked at when the step starts.
    if "${" not in path and (path.startswith("/") or ".." in path.split("/")):
        raise ValueError(f"must be a folder below the home, such as scripts, not {path[:200]!r}")
    return path


class Shell(StepCommon):
    """`argv` is run as it stands, without a shell between; each item is one argument, whatever is in it.

    The program sees `env` and a short list of the engine's own variables (PATH, HOME, LANG, TZ), nothing else.
    It runs in the home, or in `cwd` below it, with its input closed, and has succeeded with one of `exit_codes`.
    Only with `[shell] enabled = true` in the settings.
    """

    starts_processes: ClassVar = True

    type: Literal["shell"]
    argv: Annotated[list[OptionText], Field(min_length=1, max_length=1000)]
    cwd: Annotated[OptionText, AfterValidator(_below_home)] | None = None
    env: Annotated[dict[VariableName, str], Field(max_length=200)] = {}
    exit_codes: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=1, max_length=256)] = [0]

    @property
    def detail(self) -> str:
        """The command as one would type it."""
        return shlex.join(self.argv)[:200]
