"""Replays seeds: `python -m tests.simulation 17`, or a range of them, `python -m tests.simulation 0 20000`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation import interesting
from tests.simulation.checks import breaches
from tests.simulation.seeds import worlds


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def main() -> int:
    """Replay, and print what was found; 1 where an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("first", type=int, help="the seed, or the first one")
    parser.add_argument("end", type=int, nargs="?", help="the seed behind the last one")
    given = parser.parse_args()
    end = given.first + 1 if given.end is None else given.end
    happened: Counter[str] = Counter()
    began, broken = time.perf_counter(), 0
    for evidence in worlds(range(given.first, end)):
        happened += interesting.happened(evidence)
        found = list(breaches(evidence))
        broken += bool(found)
        for sentence in found:
            _say(f"{evidence.seed}: {sentence}")
    for what in sorted({*interesting.EXPECTED, *happened}):
        _say(f"{happened[what]:6} {what}")
    seconds = time.perf_counter() - began
    _say(f"{end - given.first} seeds in {seconds:.1f} s, {broken} of them with breaches")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
