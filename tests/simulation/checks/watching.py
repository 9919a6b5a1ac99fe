"""Which rule a schedule had when, as far as its file, the settings and the answers tell.

A file that was edited counts from some moment on: at the latest when somebody has had it read. In between nobody can
say which rule is in force, so such a window is a period of its own, with all rules that may be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tests.simulation.checks.facts import FAR, Facts, parsed
from tests.simulation.evidence import FileVersion

Rule = tuple[str, str] | Literal["off", "any"] | None
"""A cron expression and a zone, or that the schedule is off, or that there is none, or that nobody can say."""


WRITES = ("set_enabled", "save", "create", "delete")
READS = ("launch", "save")
"""What of the API writes and what reads a job's file."""


@dataclass
class Period:
    """A span of time in which a schedule had one rule that is known for sure, or one of some."""

    began: float
    ended: float
    rules: set[Rule]
    is_sure: bool

    @property
    def rule(self) -> Rule:
        """The rule of a period that is sure."""
        (rule,) = self.rules
        return rule


class Watching:
    """The periods of every schedule that ever was."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._versions = sorted(facts.evidence.files, key=lambda version: version.moment)
        self.places = sorted(set(self._all_places()))

    def periods(self, job_id: str, schedule: str) -> list[Period]:
        """The periods of a schedule, in order and without a gap."""
        first = self._facts.evidence.lives[0]
        periods = [Period(-1, first.began, {None}, is_sure=True)]
        zone, data = "", None
        for version in self._versions:
            if version.job_id not in (None, job_id):
                continue
            if version.job_id is None:
                zone = (parsed(version.text or "") or {})["engine"]["timezone"]
                if not periods[-1].is_sure:
                    periods[-1].rules.add("any")
                    continue
            elif is_spoiled(version):
                _doubt(periods, version.moment)
                continue
            else:
                data = parsed(version.text) if version.text is not None else None
            began = max(version.moment, first.began)
            taken = self._taken_by(version)
            if version.job_id is None:
                # Another zone counts for a job once the engine can read its file.
                taken = max([taken, *(until for since, until in self.asleep(job_id) if since <= taken < until)])
            _change(periods, began, max(began, taken), _rule(data, schedule, zone))
        return periods

    def asleep(self, job_id: str) -> list[tuple[float, float]]:
        """The spans in which an engine does not look at the job, since it began when its file could not be read.

        The cursors stay where they are meanwhile.
        """
        mine = [version for version in self._versions if version.job_id == job_id]
        spans: list[tuple[float, float]] = []
        for number, version in enumerate(mine):
            if not is_spoiled(version):
                continue
            mended = next((later for later in mine[number + 1 :] if not is_spoiled(later)), None)
            until = self._taken_by(mended) if mended is not None else FAR
            spans += [
                (life.began, min(until, life.ended))
                for life in self._facts.evidence.lives
                if version.order < life.order and (mended is None or life.order < mended.order)
            ]
        return spans

    def _all_places(self) -> Iterator[tuple[str, str]]:
        for version in self._versions:
            data = parsed(version.text) if version.job_id is not None and version.text is not None else None
            for schedule in (data or {}).get("schedules", []):
                yield version.job_id or "", schedule["name"]

    def _taken_by(self, version: FileVersion) -> float:
        """When the engine surely knows what was written."""
        return min(self._reads(version), default=FAR)

    def _reads(self, version: FileVersion) -> Iterator[float]:
        """When something ended that has surely read the version, and not the next one."""
        later = [each.order for each in self._versions if each.job_id == version.job_id and each.order > version.order]
        following = min(later, default=2**62)
        for life in self._facts.evidence.lives:
            if version.order < life.order < following and life.ready < FAR:
                yield life.ready
        for call in self._facts.evidence.calls:
            if call.answer != "done":
                continue
            if call.verb in WRITES and call.job_id == version.job_id and call.order < version.order < call.ended_order:
                yield call.ended
            reads = call.verb == "reload" or (call.verb in READS and call.job_id == version.job_id)
            if reads and version.order < call.order and call.ended_order < following:
                yield call.ended


def is_spoiled(version: FileVersion) -> bool:
    """Whether it is a job's file that cannot be read."""
    return version.job_id is not None and version.text is not None and parsed(version.text) is None


def _rule(data: dict[str, Any] | None, name: str, zone: str) -> Rule:
    schedule = next((each for each in (data or {}).get("schedules", []) if each["name"] == name), None)
    if data is None or schedule is None:
        return None
    if not data["enabled"] or not schedule["enabled"]:
        return "off"
    return schedule["cron"], schedule.get("timezone", zone)


def _change(periods: list[Period], began: float, taken: float, rule: Rule) -> None:
    """A rule that was written at a moment is in force at the latest at another."""
    last = periods[-1]
    if last.is_sure and last.rule == rule:
        return
    if last.is_sure and last.began <= began:
        last.ended = began
        periods.append(Period(began, taken, {last.rule, rule}, is_sure=False))
    else:
        # Nobody knows whether the version before was ever seen.
        if last.is_sure:
            periods.pop()
        periods[-1].rules.add(rule)
        periods[-1].ended = max(taken, periods[-1].began)
    periods.append(Period(periods[-1].ended, FAR, {rule}, is_sure=True))


def _doubt(periods: list[Period], moment: float) -> None:
    """The file is spoiled: what was written last and was not read yet is never seen, or was seen in time."""
    if periods[-1].is_sure and periods[-1].began > moment:
        periods.pop()
        periods[-1].ended = FAR


def wall_bounds(facts: Facts, began: float, ended: float) -> tuple[datetime, datetime]:
    """The least and the greatest that the wall clock said between two moments."""
    jumps = [jump.moment for jump in facts.evidence.jumps if began < jump.moment <= ended]
    least = min([facts.wall(began), *map(facts.wall, jumps)])
    most = max([facts.wall(ended), *map(facts.wall_before, jumps)])
    return least, most
