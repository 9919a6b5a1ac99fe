"""The cancel table with its times: every type of step, and every way in which it takes a cancel."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.acceptance.cancel_cases import CASES, Case
from tests.acceptance.cancel_stage import GRACE_SECONDS, Canceled, stage
from tests.servers.postgresql import running

MIN_WIDTH = 140
"""Characters of a line, so that no row is broken."""


def table() -> Iterator[tuple[Case, Canceled]]:
    """Each case once, on one engine, from the call to the recorded CANCELED.

    Raises:
        NotInstalledError: there is no PostgreSQL on this machine.
    """
    with (
        running() as server,
        server.new_database() as database,
        tempfile.TemporaryDirectory() as folder,
        stage(Path(folder), database) as made,
    ):
        for case in CASES:
            yield case, made.cancel(case)


def main() -> None:
    """Print the table."""
    console = Console()
    console.width = max(console.width, MIN_WIDTH)
    title = f"cancel, with a grace of {GRACE_SECONDS} s"
    printed = Table("step", "what it does", "seconds", "rungs", "rolled back", "may go on", title=title)
    for case, canceled in table():
        receipt = canceled.run["receipt"]
        printed.add_row(
            case.step_type,
            case.behaviour + (", force" if case.force else ""),
            f"{canceled.seconds:.2f}",
            " → ".join(rung["rung"] for rung in receipt["rungs"]),
            str(receipt["rolled_back"]).lower(),
            str(len(receipt["survivors"]) or ""),
        )
        if canceled.run["state"] != "CANCELED":
            console.print(f"{case.job_id} ended {canceled.run['state']}: {canceled.run['reason']}")
    console.print(printed)


if __name__ == "__main__":
    main()
