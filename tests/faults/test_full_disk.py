"""A disk that is full for a while costs what could not be written, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_a_store_heals_when_the_disk_has_room_again(tmp_path: Path) -> None:
    """By itself, also after a checkpoint that broke DuckDB; what was acknowledged is there, what was refused is not."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.full_disk", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["failed"] is not None
    assert found["refused"]
    assert "File too large" in found["errors"][0]
    assert found["checkpoint"].startswith("StoreBrokenError: ")
    assert {"before 19", "room again", "after the checkpoint"} <= set(found["acknowledged"])
    assert found["stored"] == found["acknowledged"]
    assert found["read"] == len(found["acknowledged"])
    assert found["lost"] is None
