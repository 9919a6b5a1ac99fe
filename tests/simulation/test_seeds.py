"""Simulated worlds keep the invariants, whatever goes wrong in them; `NOMAFLOW_SEEDS` says how many worlds."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation import interesting
from tests.simulation.checks import breaches
from tests.simulation.seeds import SEEDS, worlds

SHOWN = 12

ENOUGH = 300
"""Among so many worlds everything happens at least once."""


@pytest.mark.limit(120 + SEEDS)
def test_whatever_goes_wrong_the_invariants_hold() -> None:
    """Each seed is a world of its own; one that breaks an invariant is named, with the command that replays it."""
    found: list[str] = []
    happened: Counter[str] = Counter()
    for evidence in worlds(range(SEEDS)):
        happened += interesting.happened(evidence)
        found += [f"python -m tests.simulation {evidence.seed}\n    {sentence}" for sentence in breaches(evidence)]
    assert not found, f"{len(found)} breaches:\n" + "\n".join(found[:SHOWN])
    if SEEDS >= ENOUGH:
        assert [what for what in interesting.EXPECTED if not happened[what]] == []
