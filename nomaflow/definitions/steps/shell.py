"""`shell`: a program with its arguments."""

from __future__ import annotations

import shlex
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from nomaflow.definitions.record import spelled
from nomaflow.definitions.steps.common import OptionText, StepCommon

VariableName = Annotated[
    str, spelled(r"^[A-Za-z_][A-Za-z0-9_]*$", "the name of an environment variable: A-Z, a-z, 0-9 and `_`")
]


class Shell(StepCommon):
    """`argv` is run as it stands, without a shell between; each item is one argument, whatever is in it.

    The program sees `env` and a short list of the engine's own variables (PATH, HOME, LANG, TZ), nothing else.
    Only with `[shell] enabled = true` in the settings.
    """

    starts_processes: ClassVar = True

    type: Literal["shell"]
    argv: Annotated[list[OptionText], Field(min_length=1, max_length=1000)]
    cwd: OptionText | None = None
    env: Annotated[dict[VariableName, str], Field(max_length=200)] = {}

    @property
    def detail(self) -> str:
        """The command as one would type it."""
        return shlex.join(self.argv)[:200]
