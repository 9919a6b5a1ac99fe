"""How many worlds are simulated."""

from __future__ import annotations

import os

# Read when the tests are collected, from what the caller of `make soak` said: tests/conftest.py takes the names of the
# real world away, and this is none of them.
SEEDS = int(os.environ.get("NOMAFLOW_SEEDS", "300"))
