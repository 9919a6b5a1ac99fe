"""The engine's core in a simulated world, where a seed decides what goes wrong and when, and what is checked then.

    homes       a random home: jobs, schedules, settings
    world       time, the disk, workers, lives of the engine one after another; evidence: what is seen from outside
    actor       what people do; faults: what goes wrong
    simulate    one seed, from the home to the evidence
    oracle      when schedules fire, by another's cron
    checks      the invariants, from the evidence alone
    planted     bugs that the checks must find

One seed is one replay: `python -m tests.simulation SEED`.
"""

from __future__ import annotations
