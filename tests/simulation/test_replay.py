"""A seed is one replay: the same world in any process, whatever Python's own chance says."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.simulate import simulate
from tests.simulation.story import story

DIGEST = "from tests.simulation.test_replay import digest; print(digest({seed}))"


def digest(seed: int) -> str:
    """A world's story, in one line; without the folder's name, which the system chose."""
    lines = (line.split("simulated-")[0] for line in story(simulate(seed)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("seed", [3, 22])
def test_a_seed_is_the_same_world_in_another_process(seed: int) -> None:
    """Also where sets have another order, as they have in every process."""
    told = {digest(seed)}
    for chance in ("1", "2"):
        environment, root = {**os.environ, "PYTHONHASHSEED": chance}, Path(__file__).parents[2]
        command = [sys.executable, "-c", DIGEST.format(seed=seed)]
        done = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, text=True)
        told.add(done.stdout.strip())
    assert len(told) == 1
