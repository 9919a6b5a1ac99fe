"""Many worlds, one after another."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator

from tests.simulation.evidence import Evidence
from tests.simulation.simulate import simulate

SEEDS = int(os.environ.get("NOMAFLOW_SEEDS", "300"))
"""How many worlds the tests look at; `make soak` says more."""

WORLDS_A_COLLECTION = 8


def worlds(seeds: Iterable[int]) -> Iterator[Evidence]:
    """The evidence of each; Python's collector looks at what they leave now and then only, and not in between."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        for number, seed in enumerate(seeds):
            yield simulate(seed)
            if number % WORLDS_A_COLLECTION == 0:
                gc.collect()
    finally:
        if was_on:
            gc.enable()
