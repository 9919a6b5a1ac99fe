"""`ask_directory`: sign in to a directory and ask it one thing. The engine's own; no job can name it."""

from __future__ import annotations

from typing import Any

from nomaflow.steps.ldap_sync.directory import Directory
from nomaflow.worker.context import StepContext


def run(ctx: StepContext, options: dict[str, Any]) -> dict[str, Any]:
    """Test the connector `connector`.

    Raises:
        DirectoryError: what is wrong with it, in a sentence.
    """
    with ctx.canceler.interrupting_main_thread():
        directory = Directory(ctx.describe_connector(options["connector"], "ldap"))
    try:
        with ctx.canceler.armed(directory.cut):
            directory.answers()
    finally:
        directory.close()
    return {}
