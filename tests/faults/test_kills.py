"""Engines that are killed with kill -9 under load; `make soak` does it longer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.faults.checks import problems
from tests.faults.kills import Kills

KILLS = int(os.environ.get("NOMAFLOW_KILLS", "12"))
SEED = 20261124


@pytest.mark.limit(150 if KILLS <= 12 else 60 + 20 * KILLS)
def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """However often an engine is killed: what it acknowledged holds, each due second has one slot, no run is stuck."""
    evidence = Kills(tmp_path, SEED, has_outage=KILLS >= 100).run(KILLS)
    sys.stdout.write("\n".join(evidence.summary()) + "\n")
    assert problems(evidence) == []
    assert len(evidence.kills()) == KILLS
    # The load was there.
    assert {call.verb for call in evidence.calls if call.is_done} >= {"launch", "cancel", "toggle", "skip"}
    assert {"FIRED", "SKIPPED"} <= {slot["state"] for slot in evidence.slots}
