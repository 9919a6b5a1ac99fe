"""What of a run is stored beside it for searches: its parameters, what became of its steps, what was wrong.

Each is one text in small letters, of items between separators, so that a whole item can be looked for in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from nomaflow.launch.plan import Plan

SEPARATOR = "\x1f"
"""Stands before, between and after the items. No search can hold it."""

BEGAN, FAILED, SKIPPED = "began", "failed", "skipped"
"""What can be true of a step. Of one that failed in the middle, two of them are."""

MAX_ERRORS = 10
"""So many of a run's errors are looked through."""

_FIRST_LINE = re.compile(r"[^\r\n]{1,500}")


@dataclass(frozen=True)
class StepFacts:
    """One step of a run; `error` is `type: message`."""

    name: str
    has_begun: bool = False
    has_failed: bool = False
    is_skipped: bool = False
    error: str | None = None


def param_items(plan: Plan) -> list[str]:
    """`name=value` for every value that a step of the plan runs with, sorted, each once, whichever step has it."""
    return sorted(
        {f"{name}={value_text(value)}" for step in plan.steps if step.runs for name, value in step.values().items()}
    )


def value_text(value: JsonValue) -> str:
    """A value as people type it: text as it is, everything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace(SEPARATOR, " ")


def step_items(steps: Iterable[StepFacts]) -> list[str]:
    """`name=began` and so on: what is true of each step, in order."""
    return [
        f"{step.name}={what}"
        for step in steps
        for what, is_true in ((BEGAN, step.has_begun), (FAILED, step.has_failed), (SKIPPED, step.is_skipped))
        if is_true
    ]


def error_lines(errors: Iterable[str | None]) -> list[str]:
    """The first line of each error that there is, cut where it is long."""
    found = (_FIRST_LINE.search(error) for error in errors if error)
    return [line[0].replace(SEPARATOR, " ") for line in found if line is not None][:MAX_ERRORS]


def joined(items: Sequence[str]) -> str:
    """The items as they are stored; empty where there are none."""
    return SEPARATOR + SEPARATOR.join(items).lower() + SEPARATOR if items else ""
