"""The evidence of one seed, put in the order in which the checks ask for it."""

from __future__ import annotations

import hashlib
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from nomaflow.wire import Run
from tests.simulation.evidence import Call, Dump, Effect, Evidence

FAR = float("inf")


class Facts:
    """What all checks know of a world."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.dump = evidence.dumps[-1] if evidence.dumps else Dump(0, evidence.start)
        self.runs: dict[str, Run] = self.dump.runs

    @property
    def look_seconds(self) -> float:
        """A healthy engine has looked at what is due at least once in so many seconds."""
        return self.evidence.look_seconds * 31 / 30 + 5

    @cached_property
    def effects(self) -> dict[str, list[Effect]]:
        """The tries of each run, in order of time."""
        found: dict[str, list[Effect]] = defaultdict(list)
        for effect in sorted(self.evidence.effects, key=lambda effect: effect.began):
            found[effect.run_id].append(effect)
        return found

    @cached_property
    def definitions(self) -> dict[str, dict[str, Any]]:
        """Every version of every job's file that could be read, by its etag."""
        found = {}
        for version in self.evidence.files:
            if version.job_id is not None and version.text is not None:
                data = parsed(version.text)
                if data is not None:
                    found[hashlib.sha256(version.text.encode()).hexdigest()[:32]] = data
        return found

    def definition(self, run: Run) -> dict[str, Any]:
        """What a run was made from."""
        return self.definitions[run.etag]

    @cached_property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """A readable version of each job; its locks and its overlap never change."""
        found: dict[str, dict[str, Any]] = {}
        for version in self.evidence.files:
            if version.job_id is not None and version.text is not None and version.job_id not in found:
                data = parsed(version.text)
                if data is not None:
                    found[version.job_id] = data
        return found

    def overlap(self, job_id: str) -> str:
        """The job's overlap."""
        overlap: str = self.jobs[job_id]["overlap"]
        return overlap

    def calls(self, *verbs: str) -> Iterator[Call]:
        """What was asked, of these kinds."""
        return (call for call in self.evidence.calls if call.verb in verbs)

    @cached_property
    def has_gone_back(self) -> bool:
        """Whether the wall clock was ever set back."""
        return any(jump.seconds < 0 for jump in self.evidence.jumps)

    def wall(self, moment: float) -> datetime:
        """What the wall clock said at a moment."""
        return self.evidence.wall(moment)

    def wall_before(self, moment: float) -> datetime:
        """What the wall clock said just before it was set at a moment."""
        jumped = sum(jump.seconds for jump in self.evidence.jumps if jump.moment == moment)
        return self.wall(moment) - timedelta(seconds=jumped)

    def settings_taken_by(self, moment: float) -> float:
        """When settings that were written at a moment are surely in force: after a reload, or in the next life."""
        reloads = [call.ended for call in self.calls("reload") if call.answer == "done" and call.began > moment]
        starts = [life.ready for life in self.evidence.lives if life.began > moment]
        return min([*reloads, *starts], default=FAR)

    def in_trouble(self, kind: str, began: float, ended: float) -> bool:
        """Whether there was trouble of a kind in some span of time."""
        return any(each.kind == kind and each.began < ended and began < each.ended for each in self.evidence.troubles)

    def life_changed(self, began: float, ended: float) -> bool:
        """Whether an engine ended between two moments."""
        return any(began <= life.ended < ended for life in self.evidence.lives)


def parsed(text: str) -> dict[str, Any] | None:
    """A job's file, read by Python's own parser; None for one that was spoiled."""
    if "no_such_key" in text or "LOUD" in text:
        return None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
