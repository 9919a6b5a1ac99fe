"""What the steps of a fake engine's runs do, said beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nomaflow.wire import Progress, StepError

if TYPE_CHECKING:
    from pydantic import JsonValue


@dataclass(frozen=True)
class Does:
    """One try of one step: what it says, and how it ends.

    A `hang` ends well once the test releases it. A `stubborn` step takes no notice of a soft cancel: it ends when it
    is released, or by force.
    """

    end: Literal["ok", "fail", "hang"] = "ok"
    log: tuple[str, ...] = ()
    warning: str | None = None
    rows: int | None = None
    output: Mapping[str, JsonValue] = field(default_factory=dict)
    progress: Progress | None = None
    error: StepError | None = None
    stubborn: bool = False


def ok(
    *log: str, warning: str | None = None, rows: int | None = None, output: Mapping[str, JsonValue] | None = None
) -> Does:
    """A try that ends well."""
    return Does(log=log, warning=warning, rows=rows, output=output or {})


def fail(message: str, *, error: str = "RuntimeError", log: tuple[str, ...] = ()) -> Does:
    """A try that raises."""
    traceback = f'Traceback (most recent call last):\n  File "step.py", line 1\n{error}: {message}\n'
    return Does(end="fail", log=log, error=StepError(type=error, message=message, traceback=traceback))


def hang(*log: str, progress: Progress | None = None, stubborn: bool = False) -> Does:
    """A try that works until it is released or canceled."""
    return Does(end="hang", log=log, progress=progress, stubborn=stubborn)


type Script = Does | tuple[Does, ...]
"""What a step does; of several, one for each try, and the last one for the tries after it."""


def nth_try(script: Script, attempt: int) -> Does:
    """What the step does at its `attempt`-th try, counted from 1."""
    return script if isinstance(script, Does) else script[min(attempt, len(script)) - 1]
