"""Every due slot of every schedule has exactly one row, by another's cron: the matcher of targets.

What has to be there: the fires of a rule that is surely in force, after all that its cursor may have been at its start,
up to what the engine has surely looked at. What may be there: the fires of any rule that may have been in force, after
the least that the cursor may have been then. Between the two lie the seconds around a change of a rule, the time in
which no healthy engine looked before such a change, and what a clock says that was far ahead once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from nomaflow.wire import Slot, SlotState
from tests.simulation import oracle
from tests.simulation.checks.facts import FAR, Facts
from tests.simulation.checks.watching import Period, Rule, Watching, wall_bounds

GRACE_SECONDS = 60.0
HELD = timedelta(hours=24)
MANY = 5000
"""More targets than this in one span are counted, and looked at one by one at its ends only."""

Place = tuple[str, str]
Span = tuple[datetime, datetime]


def one_row_for_each(facts: Facts) -> Iterator[str]:
    """3, 20: what is due has one row, and there is no row of what was not."""
    watching = Watching(facts)
    rows: dict[Place, list[Slot]] = defaultdict(list)
    for slot in facts.dump.slots:
        rows[slot.job_id, slot.schedule].append(slot)
    healthy = list(looks(facts))
    for place in sorted({*watching.places, *rows}):
        periods, asleep = watching.periods(*place), watching.asleep(place[0])
        name = " ".join(place)
        single = Counter(slot.scheduled_at for slot in rows[place] if slot.count == 1)
        ranges = [slot for slot in rows[place] if slot.count > 1]
        for instant, count in single.items():
            if count > 1 and not (facts.has_gone_back and was_made_anew(periods)):
                yield f"{name}: {count} rows for {instant}"
        chains = list(_chains(facts, periods))
        for slot in rows[place]:
            yield from _misplaced(name, slot, chains, single)
        for rule, (after, until) in _due(facts, periods, healthy, asleep):
            facts.evidence.saw("slots were due")
            yield from _missing(name, rule, after, until, single, ranges)


def _missing(
    name: str, rule: Rule, after: datetime, until: datetime, single: Counter[datetime], ranges: list[Slot]
) -> Iterator[str]:
    assert isinstance(rule, tuple)
    reach = until
    if oracle.count(*rule, after, until) > MANY:
        # A row that stands for many is counted below; here its two ends are looked at.
        reach = min(until, after + timedelta(hours=1))
        yield from _missing(name, rule, until - timedelta(hours=1), until, single, ranges)
    for fire in oracle.fires(*rule, after, reach):
        if not single[fire] and not any(_stands_for(row, fire) for row in ranges):
            yield f"{name}: no row for {fire}, due by {rule} in {after} … {until}"
            return


def _stands_for(row: Slot, fire: datetime) -> bool:
    return row.last_at is not None and row.scheduled_at <= fire <= row.last_at


def _misplaced(name: str, slot: Slot, chains: list[tuple[Rule, Span]], single: Counter[datetime]) -> Iterator[str]:
    for rule, (after, until) in chains:
        if rule == "any" and after < slot.scheduled_at <= until:
            return
        if not isinstance(rule, tuple) or not after < slot.scheduled_at <= until:
            continue
        if not oracle.is_fire(*rule, slot.scheduled_at):
            continue
        if slot.last_at is None:
            return
        begins = slot.scheduled_at - timedelta(seconds=1)
        inside = sum(begins < instant <= slot.last_at for instant in single)
        if oracle.count(*rule, begins, slot.last_at) - inside == slot.count:
            return
    yield f"{name}: a row of {slot.count} for {slot.scheduled_at} {slot.state}, when none was due by {chains}"


def was_made_anew(periods: list[Period]) -> bool:
    return any(None in period.rules for period in periods[2:])


def _chains(facts: Facts, periods: list[Period]) -> Iterator[tuple[Rule, Span]]:
    """For each rule and each time that it may have been in force: behind which instant, and up to which, rows are."""
    open_since: dict[Rule, Period] = {}
    for number, period in enumerate(periods):
        following = periods[number + 1].rules if number + 1 < len(periods) else set()
        may_be_new = not period.is_sure and None in period.rules
        for rule in {*open_since, *period.rules}:
            first = open_since.setdefault(rule, period)
            if rule in following and not may_be_new:
                continue
            # A schedule that was made anew may have a cursor that is behind the one before.
            yield from _chain(facts, rule, first, period)
            open_since[rule] = period
            if rule not in following:
                yield from _chain(facts, rule, period, period)
                del open_since[rule]


def _chain(facts: Facts, rule: Rule, first: Period, last: Period) -> Iterator[tuple[Rule, Span]]:
    if isinstance(rule, tuple) or rule == "any":
        end = min(last.ended, facts.dump.moment)
        least, _ = wall_bounds(facts, max(first.began, 0), min(first.ended, end))
        _, most = wall_bounds(facts, max(first.began, 0), end)
        yield rule, (least, most)


def _due(
    facts: Facts, periods: list[Period], looks: list[tuple[float, float]], asleep: list[tuple[float, float]]
) -> Iterator[tuple[Rule, Span]]:
    """For each period with a rule that is sure: behind which instant and up to which every fire has its row."""
    for number, period in enumerate(periods):
        if not period.is_sure or not isinstance(period.rule, tuple) or number == 0:
            continue
        window = periods[number - 1]
        # A job that was away and is there again may never have been seen to be away: then its cursor stays.
        is_new = window.rules == {None, period.rule} and periods[number - 2].rules == {None}
        since = window.began if is_new else 0
        _, after = wall_bounds(facts, max(since, 0), min(window.ended, facts.dump.moment))
        until = _looked_at(facts, period, looks, asleep)
        if until is not None and until > after:
            yield period.rule, (after, until)


def _looked_at(
    facts: Facts, period: Period, looks: list[tuple[float, float]], asleep: list[tuple[float, float]]
) -> datetime | None:
    """The greatest instant up to which a healthy engine has surely looked in a period."""
    newest: datetime | None = None
    for began, ended in looks:
        for first, last in _without(max(began, period.began), min(ended, period.ended), asleep):
            if last - first >= facts.look_seconds:
                seen = facts.wall(last - facts.look_seconds)
                newest = seen if newest is None else max(newest, seen)
    return newest


def _without(began: float, ended: float, holes: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    for first, last in sorted(holes):
        if last <= began or first >= ended:
            continue
        if first > began:
            yield began, first
        began = max(began, last)
    if began < ended:
        yield began, ended


def looks(facts: Facts) -> Iterator[tuple[float, float]]:
    """The spans in which a healthy engine fires what is due, cut where the wall clock was set."""
    evidence = facts.evidence
    troubles = [(each.began, each.ended + facts.look_seconds) for each in evidence.troubles if each.kind != "workers"]
    cuts = sorted(jump.moment for jump in evidence.jumps)
    for life in evidence.lives:
        if life.ready == FAR:
            continue
        end = min(life.stop_asked, life.ended, facts.dump.moment)
        for began, ended in _without(life.ready, end, troubles):
            for first, last in _cut(began, ended, cuts):
                _, newest = wall_bounds(facts, 0, first)
                if newest - facts.wall(first) < HELD:
                    yield first, last


def _cut(began: float, ended: float, cuts: list[float]) -> Iterator[tuple[float, float]]:
    for cut in cuts:
        if began < cut < ended:
            yield began, cut
            began = cut
    yield began, ended


def rows_say_what_became(facts: Facts) -> Iterator[str]:
    """A row that fired has its run, and the other way round; one that did not has a reason."""
    fired = {}
    rows = {(slot.job_id, slot.schedule, slot.scheduled_at): slot for slot in facts.dump.slots}
    for slot in facts.dump.slots:
        place = f"{slot.job_id} {slot.schedule} {slot.scheduled_at}"
        late = slot.late_seconds or 0
        if late < 0:
            yield f"{place} was decided {-late} s before it was due"
        if slot.state is SlotState.FIRED:
            fired[slot.run_id] = slot
            run = facts.runs.get(slot.run_id or "")
            if run is None or (run.job_id, run.schedule, run.scheduled_at) != (
                slot.job_id,
                slot.schedule,
                slot.scheduled_at,
            ):
                yield f"{place} fired {slot.run_id}, which is {run and (run.job_id, run.schedule, run.scheduled_at)}"
            elif late > GRACE_SECONDS:
                yield from _too_late(facts, slot, place)
        elif not slot.reason:
            yield f"{place} is {slot.state} and does not say why"
        if slot.state in (SlotState.MISSED, SlotState.COALESCED) and late <= GRACE_SECONDS:
            yield f"{place} is {slot.state} although it was only {late} s late"
        if slot.state is SlotState.COALESCED:
            into = rows.get((slot.job_id, slot.schedule, slot.into)) if slot.into is not None else None
            if into is None or into.scheduled_at <= slot.scheduled_at or into.run_id != slot.run_id:
                yield f"{place} is COALESCED into {slot.into}, which is {into}"
    for run in facts.runs.values():
        if run.via == "cron" and (run.id not in fired or run.schedule is None or run.scheduled_at is None):
            yield f"{run.id} of {run.job_id} {run.schedule} {run.scheduled_at} has no slot that fired it"


def _too_late(facts: Facts, slot: Slot, place: str) -> Iterator[str]:
    data = facts.definition(facts.runs[slot.run_id or ""])
    schedule = next(each for each in data["schedules"] if each["name"] == slot.schedule)
    window = _seconds(schedule["catchup_window"])
    if schedule["misfire"] == "skip":
        yield f"{place} fired {slot.late_seconds} s late, and what is late is to be skipped"
    elif (slot.late_seconds or 0) > window:
        yield f"{place} fired {slot.late_seconds} s late, which is more than its window of {window} s"


def _seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    return 0 if text == "0" else float(text[:-1]) * units[text[-1]]


def skips_are_kept(facts: Facts) -> Iterator[str]:
    """1: a fire that somebody left out, and was told so, does not run, as long as its schedule stands."""
    taken_back = [(call.job_id, call.given["choice"]) for call in facts.calls("unskip") if call.answer != "refused"]
    watching = Watching(facts)
    for call in facts.calls("skip"):
        choice = call.given["choice"]
        if call.answer != "done" or (call.job_id, choice) in taken_back or call.job_id is None:
            continue
        periods = watching.periods(call.job_id, choice.schedule)
        is_gone_later = any(None in period.rules and period.ended > call.began for period in periods)
        if is_gone_later or (facts.has_gone_back and was_made_anew(periods)):
            continue
        later = {rule for period in periods if period.ended > call.began for rule in period.rules}
        if not all(oracle.is_fire(*rule, choice.scheduled_at) for rule in later if isinstance(rule, tuple)):
            continue
        for slot in facts.dump.slots:
            is_it = (slot.job_id, slot.schedule) == (call.job_id, choice.schedule)
            if is_it and slot.scheduled_at == choice.scheduled_at and slot.state is not SlotState.SKIPPED:
                yield f"{slot.job_id} {slot.schedule} {slot.scheduled_at} was to be left out, and is {slot.state}"
            if is_it and slot.last_at is not None and _stands_for(slot, choice.scheduled_at):
                yield from _swallowed(facts, slot, choice.scheduled_at)


def _swallowed(facts: Facts, row: Slot, instant: datetime) -> Iterator[str]:
    mine = [slot for slot in facts.dump.slots if (slot.job_id, slot.schedule) == (row.job_id, row.schedule)]
    if not any(slot.scheduled_at == instant and slot.state is SlotState.SKIPPED for slot in mine):
        yield f"{row.job_id} {row.schedule} {instant} was to be left out, and is among {row.count} that were missed"
