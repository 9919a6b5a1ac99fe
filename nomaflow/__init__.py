"""Nomaflow runs jobs on schedules and on demand, and keeps what happened.

`Client` and `AsyncClient` are the way in from Python. A step raises `NoRetry` or `RetryAfter(seconds)` to say whether
it is tried again; `StepContext` is what it is given, and `nomaflow.testing` has one for tests of your own. The rest is
below.
"""

# The map, from the ground up; a package imports only what stands above it here (pyproject.toml holds them to it):
#
#   errors         one tree: each has a code, an HTTP status, a sentence
#   definitions    what people write: jobs, steps, connectors, settings; in and out of their TOML files
#   home           the folder that holds all of it
#   schedule       when: the fires of a rule, what becomes of slots, the calendar                         (pure)
#   launch         with what: overrides, the merge with its origins, the form of every surface, replays   (pure)
#   history        what it meant: the search language, how long a run will take                           (pure)
#   wire           the records that travel as JSON
#   client         the API from Python: what front ends, notebooks and the command line use
#   worker         the process that runs a step; steps: one file for each type
#   testing        a step's context for tests of one's own
#   engine         what happens: scheduler, door, runner, cancel, recovery, store
#   access         who may do what; sessions; where secrets come from
#   api            the engine's verbs over HTTP
#   serve          builds an engine and stops it; supervise: `nomaflow up`
#   cli            the command line
#
# A launch goes api → engine.door → engine.capacity → engine.runner → worker, and a fire goes the same way from
# engine.scheduler on. What happens goes engine.recorder → engine.store → engine.feed: told once, when it is on disk.

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nomaflow.client import AsyncClient, Client, Reset
    from nomaflow.errors import NomaflowError, NoRetry, RetryAfter
    from nomaflow.worker.context import StepCanceled, StepContext

__all__ = [
    "AsyncClient",
    "Client",
    "NoRetry",
    "NomaflowError",
    "Reset",
    "RetryAfter",
    "StepCanceled",
    "StepContext",
]

# Loaded when they are asked for: a worker imports this package too, and needs none of them.
_HOMES = {
    "AsyncClient": "nomaflow.client",
    "Client": "nomaflow.client",
    "NoRetry": "nomaflow.errors",
    "NomaflowError": "nomaflow.errors",
    "Reset": "nomaflow.client",
    "RetryAfter": "nomaflow.errors",
    "StepCanceled": "nomaflow.worker.context",
    "StepContext": "nomaflow.worker.context",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nomaflow' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
