"""What is left out of simulated worlds, since it takes most of the time and has tests of its own.

Real waiting for a disk, logs about errors that are the point, a text that is parsed twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any
from unittest import mock

import trio

from nomaflow.definitions import catalogue
from nomaflow.definitions.settings import Settings
from nomaflow.engine import recorder, scheduler

DAY = 86_400.0


@contextmanager
def shortened(look_seconds: float) -> Iterator[None]:
    """Without all that, for the time of a world in which the scheduler looks at the clock as often as said."""
    parse, settings_of = catalogue.parse, dict[str, Settings]()

    @lru_cache(maxsize=1000)
    def parsed(job_id: str, text: str, file: str, settings: str) -> Any:
        return parse(job_id, text, file, settings_of[settings])

    def known(job_id: str, text: str, file: str, settings: Settings) -> Any:
        key = settings.model_dump_json()
        settings_of.setdefault(key, settings)
        return parsed(job_id, text, file, key)

    logging.disable(logging.CRITICAL)
    try:
        with ExitStack() as stack:
            for each in (
                mock.patch("os.fsync", return_value=None),
                mock.patch.object(catalogue, "parse", known),
                mock.patch.multiple(scheduler, LOOK_SECONDS=look_seconds, HOLD_SECONDS=look_seconds / 30),
                # Memory has no high-water mark that would be lost.
                mock.patch.object(recorder, "MARK_SECONDS", DAY),
            ):
                stack.enter_context(each)
            yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def in_order(seed: int) -> Iterator[None]:
    """Which of the tasks that can go on does so first is trio's chance: the seed's, for the time of a world."""
    core: Any = trio._core._run
    was, state = core._ALLOW_DETERMINISTIC_SCHEDULING, core._r.getstate()
    core._ALLOW_DETERMINISTIC_SCHEDULING = True
    core._r.seed(seed)
    try:
        yield
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING = was
        core._r.setstate(state)
