"""Real engines that are killed at random moments, and what must hold then, told from outside.

home      a home whose schedules fire each second, whose steps leave marks in a file
process   one life of an engine
people    those who launch, cancel, switch and skip, and note what was answered
kills     lives one after another, then quiet; what is seen is evidence
checks    the invariants, from the evidence alone
"""

from __future__ import annotations
