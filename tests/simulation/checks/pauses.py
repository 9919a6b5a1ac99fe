"""A job that was switched off for a while is off so long, and then on again by itself."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.checks.facts import Facts
from tests.simulation.checks.slots import looks
from tests.simulation.evidence import Call, FileVersion


def they_end_in_time(facts: Facts) -> Iterator[str]:
    """1: not before its time, and when a healthy engine has looked at a clock that is past it."""
    healthy = list(looks(facts))
    for call in facts.calls("set_enabled"):
        until = call.given.get("until")
        if call.answer != "done" or until is None:
            continue
        written, following = _versions(facts, call)
        if written is None or _is_overruled(facts, call, following):
            continue
        ended_by_itself = following is not None and following.by_engine and not _is_asked_for(facts, following)
        if following is not None and ended_by_itself and facts.wall(following.moment) < until:
            yield f"{call.job_id} was to be off until {until}, and was on at {facts.wall(following.moment)}"
        seen = [
            ended
            for began, ended in healthy
            if began > call.ended
            and ended - began > facts.look_seconds
            and facts.wall(ended - facts.look_seconds) > until
        ]
        if seen and (following is None or following.moment > min(seen)):
            yield f"{call.job_id} was to be off until {until}, and was still off at {facts.wall(min(seen))}"


def _versions(facts: Facts, call: Call) -> tuple[FileVersion | None, FileVersion | None]:
    """What the call wrote, and what came after it."""
    mine = [version for version in facts.evidence.files if version.job_id == call.job_id]
    written = next((each for each in mine if call.order < each.order < call.ended_order and each.by_engine), None)
    if written is None:
        return None, None
    return written, next((each for each in mine if each.order > written.order), None)


def _is_overruled(facts: Facts, call: Call, following: FileVersion | None) -> bool:
    """Whether somebody switched the job once more: another pause counts then."""
    end = following.order if following is not None else 2**62
    return any(
        other.job_id == call.job_id and other is not call and other.ended_order > call.order and other.order < end
        for other in facts.calls("set_enabled")
    )


def _is_asked_for(facts: Facts, version: FileVersion) -> bool:
    return any(
        call.job_id == version.job_id and call.order < version.order < call.ended_order
        for call in facts.calls("set_enabled", "save", "create", "delete")
    )
