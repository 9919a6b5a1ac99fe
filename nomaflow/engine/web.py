"""The step `http` and the test of its connectors: what they need is loaded when the first of them runs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from nomaflow.engine.inside import Done, OwnStep
from nomaflow.seams import Seams


class Web:
    """Requests of the engine's own."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams

    async def http(self, own: OwnStep) -> Done:
        """One `http` step."""
        steps = await self._seams.in_thread(importlib.import_module, "nomaflow.steps.http")
        return Done(await steps.run(own, own.options))

    async def probe(self, spec: Mapping[str, Any], seconds: float) -> tuple[bool, str]:
        """Whether the service of a connector answers, and a sentence about it."""
        steps = await self._seams.in_thread(importlib.import_module, "nomaflow.steps.http.probe")
        is_ok, message = await steps.probe(spec, seconds)
        return bool(is_ok), str(message)
