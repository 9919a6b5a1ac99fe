"""The step of the job `hello`: what a step can say while it runs."""

from __future__ import annotations

import asyncio
from typing import Any

from nomaflow import StepContext

COUNT = 20


async def say_hello(ctx: StepContext, **_: Any) -> dict[str, Any]:
    """Count to twenty, half a second each, and greet whoever started the run."""
    for number in range(1, COUNT + 1):
        # A cancel arrives at an await: the step ends here with CancelledError.
        await asyncio.sleep(0.5)
        ctx.log.debug("counted to %d", number)
        ctx.progress(number, COUNT, unit="counts")
    ctx.log.info("▶ Hello, %s", ctx.session_user)
    return {"greeted": ctx.session_user}
