"""The checks find bugs: each of some that are planted, within a few worlds that keep the invariants without it."""

from __future__ import annotations

import random

import pytest

from tests.simulation import homes
from tests.simulation.checks import breaches
from tests.simulation.planted import BUGS
from tests.simulation.seeds import worlds

WORLDS = 40
"""In so many worlds a bug shows itself at the latest. They are all among those that `test_seeds` looks at."""


def _dense(count: int) -> list[int]:
    """The first seeds of worlds in which much happens in little time."""
    found = [seed for seed in range(300) if homes.home(random.Random(f"{seed} home")).pace.name == "dense"]
    return found[:count]


@pytest.mark.limit(120)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    """The world that has shown it before comes first."""
    seeds = _dense(WORLDS)
    assert len(seeds) == WORLDS
    seeds.sort(key=lambda seed: seed != BUGS[bug].shown_by)
    with BUGS[bug].planted():
        for evidence in worlds(seeds):
            if next(breaches(evidence), None) is not None:
                return
    raise AssertionError(f"no check found, in {WORLDS} worlds, that {bug}")
