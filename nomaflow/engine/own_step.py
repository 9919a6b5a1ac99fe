"""Steps of the engine's own: what it wants done in a worker, since it loads no drivers itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nomaflow.worker.protocol import Message


def own_step(kind: str, options: dict[str, Any], connectors: Mapping[str, Any], home: str) -> Message:
    """What a worker needs for a step that belongs to no run.

    Args:
        kind: the module of `nomaflow.steps`.
        options: its options.
        connectors: what `protocol` calls an answer, for each connector that the options name.
        home: the folder.
    """
    return {
        "type": kind,
        "runs_code": False,
        "starts_processes": False,
        "run_id": "",
        "job_id": "",
        "step": "",
        "attempt": 1,
        "log_level": "INFO",
        "session_user": "",
        "kwargs": {},
        "options": options,
        "outputs": {},
        "connectors": dict(connectors),
        "home": home,
        "import_root": home,
    }
