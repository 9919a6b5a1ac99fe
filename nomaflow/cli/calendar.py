"""Fires as a table: day by day, each at its time on the clock of its schedule's zone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from nomaflow.cli.show import Listing, duration, is_watched, relative, shown, state_text
from nomaflow.cli.times import clock, heading, is_elsewhere, wall
from nomaflow.seams import system_timezone

if TYPE_CHECKING:
    from rich.text import Text

    from nomaflow.wire import JobCard, Slot

DENSE = 24
"""More past fires of a schedule on one day are told together."""

LATE_SECONDS = 60

DEFAULT = "default"


@dataclass(frozen=True)
class Zones:
    """In which zone each schedule is read, by its job and name; `main` is the one of most of them."""

    main: ZoneInfo
    known: Mapping[tuple[str, str], ZoneInfo]

    def of(self, slot: Slot) -> ZoneInfo:
        """The zone of the schedule; the main one where it is gone."""
        return self.known.get((slot.job_id, slot.schedule), self.main)


def zones_of(cards: Iterable[JobCard]) -> Zones:
    """The zones of the jobs' schedules; without any, the main one is this machine's."""
    names = {(card.id, schedule.name): schedule.timezone for card in cards for schedule in card.schedules}
    [(main, _)] = Counter(names.values()).most_common(1) or [(system_timezone(), 0)]
    return Zones(ZoneInfo(main), {place: ZoneInfo(name) for place, name in names.items()})


def condensed(slots: Iterable[Slot], zones: Zones) -> list[Slot]:
    """The slots with one for each state in the place of very many past fires of a schedule on one day."""
    days: dict[tuple[date, str, str], list[Slot]] = defaultdict(list)
    for slot in slots:
        days[slot.scheduled_at.astimezone(zones.of(slot)).date(), slot.job_id, slot.schedule].append(slot)
    found: list[Slot] = []
    for those in days.values():
        past = [slot for slot in those if slot.state != "DUE"]
        if len(past) <= DENSE:
            found += those
            continue
        found += [slot for slot in those if slot.state == "DUE"]
        for state in {slot.state for slot in past}:
            found.append(_together([slot for slot in past if slot.state == state]))
    return sorted(found, key=lambda slot: (slot.scheduled_at, slot.job_id, slot.schedule, slot.state))


def _together(slots: Sequence[Slot]) -> Slot:
    if len(slots) == 1:
        return slots[0]
    first, last = slots[0], slots[-1]
    return last.model_copy(
        update={
            "scheduled_at": first.scheduled_at,
            "last_at": last.last_at or last.scheduled_at,
            "count": sum(slot.count for slot in slots),
        }
    )


def print_calendar(slots: Sequence[Slot], zones: Zones, now: datetime, *, is_one_job: bool) -> None:
    """The table. For a person it has a heading for each day, for a program a date in each row."""
    watched = is_watched()
    names = ["TIME", "SCHEDULE" if is_one_job else "JOB", "STATE"]
    if is_one_job and all(slot.schedule == DEFAULT for slot in slots):
        names.remove("SCHEDULE")
    rows = Listing(*names, "NOTE", whole=names, folds=is_one_job)
    today, day = now.astimezone(zones.main).date(), None
    for slot in slots:
        its_day, zone = slot.scheduled_at.astimezone(zones.main).date(), zones.of(slot)
        if watched and its_day != day:
            rows.begin(_title(slot, its_day, today, zones, is_first=day is None))
            day = its_day
        cells: dict[str, str | Text] = {
            "TIME": _time(slot, zone, zones.main, its_day) if watched else _instant(slot.scheduled_at, zone),
            "JOB": slot.job_id if slot.schedule == DEFAULT else f"{slot.job_id} ({slot.schedule})",
            "SCHEDULE": slot.schedule,
            "STATE": _state(slot),
        }
        rows.add(*(cells[name] for name in names), shown(note(slot, now, zone)))
    rows.print()


def note(slot: Slot, now: datetime, zone: ZoneInfo) -> str:
    """What there is to say of a slot, or of several that are told together."""
    parts = []
    if slot.count > 1 and slot.last_at is not None:
        is_same_day = slot.last_at.astimezone(zone).date() == slot.scheduled_at.astimezone(zone).date()
        parts.append(f"to {clock(slot.last_at, zone) if is_same_day else wall(slot.last_at, now, zone)}")
    newest = "the newest: " if slot.count > 1 and slot.state != "MISSED" else ""
    if slot.state == "DUE":
        parts.append(slot.reason or (relative(slot.scheduled_at, now) if slot.count == 1 else ""))
    elif slot.state == "FIRED":
        is_late = slot.late_seconds is not None and slot.late_seconds >= LATE_SECONDS
        late = f", {duration(slot.late_seconds or 0)} late" if is_late else ""
        parts.append(f"{newest}{slot.run_id or ''}{late}")
    else:
        run = f" ({slot.run_id})" if slot.run_id else ""
        parts.append(f"{newest}{slot.reason or ''}{run}")
    return "; ".join(part for part in (*parts, slot.note) if part)


def _title(slot: Slot, day: date, today: date, zones: Zones, *, is_first: bool) -> Text:
    from rich.text import Text

    title = Text(heading(day, today), style="bold")
    if is_first and is_elsewhere(slot.scheduled_at, zones.main):
        title.append(f"  {zones.main.key}", style="not bold bright_black")
    return title


def _time(slot: Slot, zone: ZoneInfo, main: ZoneInfo, day: date) -> str:
    """The time below the heading of a day, which may be another day in the schedule's own zone."""
    there = slot.scheduled_at.astimezone(zone)
    named = f" {there:%Z}" if there.utcoffset() != slot.scheduled_at.astimezone(main).utcoffset() else ""
    return f"  {'' if there.date() == day else f'{there:%a} '}{clock(slot.scheduled_at, zone)}{named}"


def _instant(instant: datetime, zone: ZoneInfo) -> str:
    return instant.astimezone(zone).isoformat(sep=" ", timespec="seconds")


def _state(slot: Slot) -> Text:
    is_left_out = slot.state == "DUE" and slot.reason is not None
    text = state_text("SKIPPED" if is_left_out else slot.state)
    text.plain = slot.state.value
    return text.append(f" ×{slot.count:,}", style="default") if slot.count > 1 else text
