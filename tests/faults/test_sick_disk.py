"""A disk that fails once costs at most the one change that met it, and the engine goes on by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.engine.stores import opened, reasons
from tests.faults.sick_disk import EVENTS
from tests.faults.system_calls import NotInstalledError

LOG, DATABASE = "runs.duckdb.wal", "runs.duckdb"


@pytest.mark.parametrize(
    ("file", "call", "error", "at_call"),
    [
        (LOG, "fdatasync", "EIO", 2),
        (LOG, "fdatasync", "EIO", 7),
        (LOG, "write", "ENOSPC", 5),
        (LOG, "write", "EIO", 6),
        (LOG, "unlink", "EACCES", 1),
        (DATABASE, "pwrite64", "EIO", 1),
        (DATABASE, "pwrite64", "ENOSPC", 2),
        (DATABASE, "fdatasync", "EIO", 1),
        (DATABASE, "fdatasync", "EIO", 2),
    ],
)
def test_a_failed_call_loses_nothing_that_was_acknowledged(
    tmp_path: Path, file: str, call: str, error: str, at_call: int
) -> None:
    """Each acknowledged change is there once, and one that was refused is not."""
    fault = ["-P", str(tmp_path / file), "-e", f"inject={call}:error={error}:when={at_call}"]
    program = [sys.executable, "-m", "tests.faults.sick_disk", str(tmp_path)]
    output = outcome(["strace", "-f", "-o", str(tmp_path / "calls"), "-e", f"trace={call}", *fault, *program])
    assert "(INJECTED)" in (tmp_path / "calls").read_text()
    found = json.loads(output)
    store = opened(tmp_path)
    assert reasons(store) == found["acknowledged"]
    assert (store.lost, store.mended) == (None, [])
    store.close()
    assert len(found["acknowledged"]) + len(found["refused"]) == 2 * EVENTS
    assert len(found["refused"]) <= 1


def outcome(command: list[str]) -> str:
    """What a program writes; it and its children are gone afterwards."""
    root = Path(__file__).parents[2]
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, cwd=root, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    except FileNotFoundError:
        raise NotInstalledError("this needs strace: sudo apt-get install --no-install-recommends strace") from None
    try:
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        return output
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
