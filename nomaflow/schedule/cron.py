"""A cron expression in a zone: made once and kept, and shown to the person who writes it."""

from __future__ import annotations

from functools import lru_cache

from nomaflow.schedule.fires import Cron

__all__ = ["Cron", "compiled"]


@lru_cache(maxsize=4096)
def compiled(cron: str, timezone: str) -> Cron:
    """The expression in the zone, ready to fire; the same object each time.

    Args:
        cron: what `definitions.cron` accepts.
        timezone: an IANA name.

    Raises:
        ValueError: it does not; the text is the rest of a sentence that begins with "cron" or "timezone".
    """
    return Cron(cron, timezone)
