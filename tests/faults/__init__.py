"""What goes wrong in the real world, done to real processes and files, and what must hold then.

Engines that are killed at random moments, checked from outside:

    home        a home whose schedules fire each second, whose steps leave marks in a file
    process     one life of an engine; people: those who launch, cancel, switch and skip, and note what was answered
    kills       lives one after another, then quiet: evidence
    checks      the invariants, from the evidence alone

Disks that are full, fail or lose their power under a store: `full_disk`, `sick_disk` and `power_cut_load` are the
programs, `system_calls` is what they did to their files, `disk_model` what may be left of it.
"""

from __future__ import annotations
