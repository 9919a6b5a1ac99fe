"""Why a job does not run now: one sentence, the same on every surface, and what can be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from nomaflow.definitions.catalogue import Entry
from nomaflow.engine.active import WAITS, ActiveRun
from nomaflow.engine.change import PauseRow
from nomaflow.engine.model import Slot
from nomaflow.engine.timetable import Watched
from nomaflow.wire import SlotState, Why


def why(
    entry: Entry,
    *,
    now: datetime,
    timezone: str,
    active: Sequence[ActiveRun],
    pause: PauseRow | None,
    watched: Sequence[tuple[Watched, str | None]],
    next_fires: Mapping[str, datetime | None],
    last_slot: Slot | None,
    not_ready: Sequence[str],
    held: str | None,
) -> Why:
    """The sentence for a job.

    Args:
        entry: its file.
        now: the time.
        timezone: the home's zone, for times that no schedule gives one.
        active: its runs in flight, oldest first.
        pause: why it is switched off, if that is known.
        watched: its schedules, each with who wants its next fire left out.
        next_fires: when each of them really fires next, by its name.
        last_slot: what became of its newest fire, if that is known.
        not_ready: why the engine takes no runs.
        held: why no schedule fires now, if none does.
    """
    if active:
        run = active[0].run
        waits = active[0].wait_reason
        if waits is not None and waits.startswith(f"{WAITS} at "):
            zones = [each.cron.timezone for each, _ in watched if each.row.name == run.schedule]
            waits = _next_try(waits, now, zones[0] if zones else timezone)
        more = f", and {len(active) - 1} more of its runs wait or go" if len(active) > 1 else ""
        return Why(why=f"{run.id} is {run.state}" + (f": it {waits}" if waits else "") + more, action="cancel")
    if entry.problems:
        return Why(why=f"its file has a problem: {entry.problems[0]}", action="edit")
    if not_ready:
        return Why(why=f"no run can start: {'; '.join(not_ready)}")
    job = entry.job
    assert job is not None, "a file without problems holds a job"
    if not job.enabled:
        zones = [each.cron.timezone for each, _ in watched]
        return Why(why=_paused(pause, zones[0] if zones else timezone), action="enable")
    if not job.schedules:
        return Why(why="it is manual-only: it has no schedule", action="run")
    if held is not None:
        return Why(why=f"no schedule fires now: {held}", action="run")
    return Why(why=_next_fire(now, watched, next_fires) + _newest_fire(last_slot, watched, timezone), action="run")


def _next_try(waits: str, now: datetime, timezone: str) -> str:
    """The same wait as people of a zone read it; the day is said where it is another one."""
    zone = ZoneInfo(timezone)
    due = datetime.fromisoformat(waits.removeprefix(f"{WAITS} at ")).astimezone(zone)
    return f"{WAITS} at {due:%H:%M:%S}" if due.date() == now.astimezone(zone).date() else f"{WAITS} at {due:%F %T}"


def local(instant: datetime, timezone: str) -> str:
    """An instant as people of a zone read it."""
    there = instant.astimezone(ZoneInfo(timezone))
    return f"{there:%Y-%m-%d %H:%M:%S}" if there.second else f"{there:%Y-%m-%d %H:%M}"


def span(length: timedelta) -> str:
    """How long something is, in its two largest units."""
    seconds = max(0, round(length.total_seconds()))
    for name, size, smaller, small in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // small
            return f"{seconds // size} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"


def _paused(pause: PauseRow | None, timezone: str) -> str:
    by = f" by {pause.who}" if pause else ""
    until = f" until {local(pause.until_at, timezone)} {timezone}" if pause and pause.until_at else ""
    reason = f": {pause.reason}" if pause and pause.reason else ""
    return f"it is disabled{by}{until}{reason}; it can still be run by hand"


def _next_fire(
    now: datetime, watched: Sequence[tuple[Watched, str | None]], next_fires: Mapping[str, datetime | None]
) -> str:
    coming = [each for each in watched if each[0].next_at is not None]
    if not coming:
        off = all(not each.schedule.enabled for each, _ in watched)
        return "all its schedules are off" if off else "none of its schedules fires again"
    each, skipped_by = min(coming, key=lambda pair: (pair[0].next_at, pair[0].place))
    assert each.next_at is not None
    zone = each.cron.timezone
    name = f" ({each.row.name})" if len(watched) > 1 else ""
    text = f"{local(each.next_at, zone)} {zone}{name}, in {span(each.next_at - now)}"
    if skipped_by is None:
        return f"it waits for its next fire: {text}"
    after = next_fires.get(each.row.name)
    then = f"; the next that happens is {local(after, zone)}" if after is not None else ""
    return f"its next fire is left out as {skipped_by} asked: {text}{then}"


def _newest_fire(slot: Slot | None, watched: Sequence[tuple[Watched, str | None]], timezone: str) -> str:
    """What kept the newest fire from running, if something did."""
    if slot is None or slot.state is SlotState.FIRED:
        return ""
    zone = next((each.cron.timezone for each, _ in watched if each.row.name == slot.schedule), timezone)
    return f"; its fire of {local(slot.last_at or slot.scheduled_at, zone)} was {slot.state}: {slot.reason}"
