"""A run's parameters as a search finds them: `name=value`, each value once, whichever step has it."""

from __future__ import annotations

import json

from pydantic import JsonValue

from nomaflow.launch.plan import Plan

SEPARATOR = "\x1f"
"""Stands before, between and after the items, so that a whole item can be looked for in the joined text."""


def value_text(value: JsonValue) -> str:
    """A value as people type it: text as it is, everything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace(SEPARATOR, " ")


def param_items(plan: Plan) -> list[str]:
    """`name=value` for every value that a step of the plan runs with, sorted."""
    return sorted(
        {f"{name}={value_text(value)}" for step in plan.steps if step.runs for name, value in step.values().items()}
    )


def search_text(plan: Plan) -> str:
    """The items joined; empty where the plan has no values."""
    items = param_items(plan)
    return SEPARATOR + SEPARATOR.join(items) + SEPARATOR if items else ""
