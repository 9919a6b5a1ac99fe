"""The step of the job `hello`."""

from __future__ import annotations

from typing import Any

from nomaflow import StepContext


def say_hello(ctx: StepContext, whom: str) -> dict[str, Any]:
    """Greet somebody. The parameters of the job come in by name; what is returned is the step's output."""
    ctx.log.info("Hello, %s", whom)
    return {"greeted": whom}
