"""When jobs fire: the calendar, a rule before it is saved, and one fire left out."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer
from typer.core import TyperGroup

from nomaflow.cli.options import (
    AsJson,
    HomeFolder,
    JobName,
    Token,
    Url,
    known_job,
    open_client,
    print_json,
    print_json_list,
)
from nomaflow.cli.show import count, duration, folded, relative, shown
from nomaflow.cli.times import DAY, moment, wall
from nomaflow.errors import InvalidError, NotFoundError
from nomaflow.seams import utc_now

if TYPE_CHECKING:
    from nomaflow.cli.calendar import Zones
    from nomaflow.client import Client
    from nomaflow.wire import CardSchedule, JobCard, Slot, WhatIf

MOST = 5000
"""So many fires are listed at most."""

YEAR = 366 * DAY

Cron = Annotated[str, typer.Argument(metavar="CRON", help='The rule, as in "30 2 * * *".')]
Timezone = Annotated[str | None, typer.Option(metavar="ZONE", help="As in Europe/Paris.")]
Name = Annotated[
    str | None, typer.Option("--schedule", metavar="NAME", help="Which of its schedules, where it has more than one.")
]


class _ListsByItself(TyperGroup):
    """`schedule` alone, with a job or with options, lists."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, "-h", "--help"}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


schedule_app = typer.Typer(
    cls=_ListsByItself,
    help="When jobs fire, and what became of past fires; `nomaflow schedule [JOB]` lists them.",
)


@schedule_app.command("list")
def list_fires(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Only this job's.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="From when; else now.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="To when; else tomorrow, or 7 days for one JOB.")
    ] = None,
    past: Annotated[bool, typer.Option("--past", help="What became of the last day's, or 7 days' of one JOB.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """List fires: those to come, or what became of those that are past.

    A TIME is 06:00, today, tomorrow 06:00, 2026-01-31, a length from now such as 2h or 3d, or an instant.
    """
    from nomaflow.cli.calendar import condensed, print_calendar, zones_of

    now = utc_now()
    with open_client(url, token, home) as client:
        cards = client.jobs()
        chosen = [card for card in cards if job is None or card.id == job]
        zones = zones_of(chosen)
        begin, end = _window(since, until, now, zones.main, past=past, is_one_job=job is not None)
        found = client.schedule(job=job, since=begin, until=end, limit=500)
        slots = list(found if as_json else islice(found, MOST + 1))
        if job is not None and not slots and not chosen:
            with known_job(client, job):
                raise NotFoundError(job)
    if as_json:
        print_json_list(slots)
    elif not slots:
        typer.echo(folded(_nothing(chosen, job, begin, end, now, zones)))
    else:
        print_calendar(condensed(slots[:MOST], zones), zones, now, is_one_job=job is not None)
        if len(slots) > MOST:
            typer.echo(folded(f"These are the first {MOST:,}; a JOB, --since or --until narrows them."), err=True)


@schedule_app.command("preview")
def preview_rule(
    cron: Cron,
    timezone: Timezone = None,
    number: Annotated[int, typer.Option("--count", help="How many fires.", min=1, max=100)] = 5,
    after: Annotated[str | None, typer.Option(metavar="TIME", help="Those after this; else those after now.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """Say when a rule would fire, in words and as times, and what may surprise about it."""
    now = utc_now()
    with open_client(url, token, home) as client:
        found = client.preview(cron, timezone=timezone, count=1)
        zone = ZoneInfo(found.timezone)
        begin = moment(after, now, zone, option="--after") if after else None
        found = client.preview(cron, timezone=timezone, count=number, after=begin)
    if as_json:
        print_json(found)
        return
    typer.echo(folded(f"{shown(found.words)}, {found.timezone}"))
    clock_form = "%H:%M:%S" if any(fire.second for fire in found.fires) else "%H:%M"
    for fire in found.fires:
        there = fire.astimezone(zone)
        typer.echo(f"  {there:%a} {there.day:>2} {there:%b %Y}  {there:{clock_form} %Z}  {relative(fire, now)}")
    for text in found.notes:
        typer.echo(folded(shown(text)))


@schedule_app.command("what-if")
def hold_against_past(
    job: JobName,
    cron: Cron,
    name: Name = None,
    timezone: Timezone = None,
    days: Annotated[int, typer.Option(help="How many days back.", min=1, max=90)] = 90,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """Hold a changed rule against the last days: how often it would have fired, and into a run that still went."""
    with open_client(url, token, home) as client:
        card = _card(client, job)
        schedule = _chosen(card, name) if card.schedules else None
        with known_job(client, job):
            found = client.what_if(
                job, cron, schedule=schedule.name if schedule else name, timezone=timezone, days=days
            )
    if as_json:
        print_json(found)
        return
    typer.echo(folded(f"{job}: {_rule(schedule, found.timezone)} → {cron!r}, {found.timezone}"))
    typer.echo(folded(shown(found.words)))
    for fact, text in _facts(found, days).items():
        typer.echo(folded(f"  {fact:<12}  {shown(text)}", indent=" " * 16))
    for text in found.notes:
        typer.echo(folded(shown(text)))


def skip(
    job: JobName,
    following: Annotated[bool, typer.Option("--next", help="The next one, as without any option.")] = False,
    fire: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="The one at this time of the schedule's zone.")
    ] = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Let it happen after all; the next that is left out, or the one --at a time.")
    ] = False,
    name: Name = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """Leave out one fire of a job's schedule: its next one, or the one at a time.

    The next one is the first that is not left out yet: called twice, it leaves out the next two."""
    if following and fire is not None:
        raise InvalidError("--next and --at exclude each other")
    now = utc_now()
    with open_client(url, token, home) as client:
        card = _card(client, job)
        schedule, instant = _fire(client, card, name, fire, now, undo=undo)
        slot: Slot | None
        if undo:
            client.unskip(job, instant, schedule=schedule.name)
            listed = client.schedule(job=job, since=instant, until=instant + timedelta(seconds=1))
            slot = next((each for each in listed if each.schedule == schedule.name), None)
        else:
            slot = client.skip(job, instant, schedule=schedule.name)
            card = _card(client, job)
    if as_json and slot is not None:
        print_json(slot)
        return
    zone = ZoneInfo(schedule.timezone)
    which = f"{job}: the fire of {wall(instant, now, zone)}"
    if undo:
        typer.echo(folded(f"{which} is no longer left out"))
        return
    then = f"the next one is {_next(card, now)}; " if card.next_fire_at else ""
    typer.echo(folded(f"{which} is left out; {then}`nomaflow skip {job} --undo` takes that back"))


def next_fire(card: JobCard, now: datetime) -> str | None:
    """When a job fires next, on the clock of that schedule's zone."""
    zone = next((each.timezone for each in card.schedules if each.next_fire_at == card.next_fire_at), None)
    if card.next_fire_at is None or zone is None:
        return None
    return wall(card.next_fire_at, now, ZoneInfo(zone))


def _next(card: JobCard, now: datetime) -> str:
    return next_fire(card, now) or ""


def _window(
    since: str | None, until: str | None, now: datetime, zone: ZoneInfo, *, past: bool, is_one_job: bool
) -> tuple[datetime, datetime]:
    begin = moment(since, now, zone, option="--since", ahead=False) if since else None
    end = moment(until, now, zone, option="--until", ahead=not past, ends_day=True) if until else None
    if past:
        end = end or now
        return begin or end - (7 * DAY if is_one_job else DAY), end
    begin = begin or now
    if end is None:
        tomorrow = moment("tomorrow", now, zone, option="", ends_day=True)
        end = max(now + 7 * DAY if is_one_job else tomorrow, begin + DAY)
    return begin, end


def _nothing(cards: list[JobCard], job: str | None, begin: datetime, end: datetime, now: datetime, zones: Zones) -> str:
    """What an empty list means, and what to do next."""
    if not any(card.schedules for card in cards):
        if job is not None:
            return f"{job} is manual-only: its file has no [[schedules]]; `nomaflow run {job}` runs it."
        return (
            "No job has a schedule. [[schedules]] with a cron in a job's file gives it one; "
            '`nomaflow schedule preview "30 2 * * *"` says what a rule means.'
        )
    first, last = (wall(each.replace(second=0), now, zones.main) for each in (begin, end))
    if end <= now:
        return f"Nothing was due from {first} to {last}."
    if job is not None and not cards[0].enabled:
        return f"{job} is off, so nothing fires; `nomaflow enable {job}` switches it on."
    coming = [card for card in cards if card.next_fire_at is not None]
    if not coming:
        return "No schedule fires again; `nomaflow why JOB` says why a job does not run."
    soonest = min(coming, key=lambda card: card.next_fire_at or end)
    who = "it" if job is not None else soonest.id
    return f"Nothing fires from {first} to {last}; {who} fires next {_next(soonest, now)}, and --until shows more."


def _rule(schedule: CardSchedule | None, timezone: str) -> str:
    if schedule is None:
        return "no schedule"
    return f"{schedule.cron!r}" + (f", {schedule.timezone}" if schedule.timezone != timezone else "")


def _facts(found: WhatIf, days: int) -> dict[str, str]:
    """What is said of a changed rule, each under a word."""
    zone = ZoneInfo(found.timezone)
    facts = {"fires": f"{found.fires_before:,} before, {found.fires_after:,} with it, over {count(days, 'days')}"}
    if found.median_seconds is not None:
        facts["too early"] = _overlaps(found.overlaps, found.median_seconds, "the median")
        if found.p95_seconds is not None and found.overlaps_when_slow != found.overlaps:
            facts["when slow"] = _overlaps(found.overlaps_when_slow, found.p95_seconds, "95 % take no longer")
    if found.examples:
        facts["for example"] = ", ".join(wall(each, found.until, zone) for each in found.examples[:3])
    if found.longest_gap_seconds is not None:
        facts["longest gap"] = duration(found.longest_gap_seconds)
    if found.busiest_hour is not None and found.busiest_count > 1:
        facts["busiest hour"] = found.busiest_hour
    return facts


def _overlaps(number: int, seconds: float, which: str) -> str:
    who = count(number, "fires") if number else "no fire"
    return f"{who} would have met a run in flight, with runs of {duration(seconds)} ({which})"


def _card(client: Client, job: str) -> JobCard:
    with known_job(client, job):
        found = next((card for card in client.jobs() if card.id == job), None)
        if found is None:
            raise NotFoundError(job)
    return found


def _chosen(card: JobCard, name: str | None) -> CardSchedule:
    """The schedule that is meant.

    Raises:
        InvalidError: there are several, or none of that name.
    """
    from nomaflow.definitions.problems import near_miss

    names = [schedule.name for schedule in card.schedules]
    if not names:
        raise InvalidError(f"{card.id} is manual-only: its file has no [[schedules]]")
    if name is None and len(names) > 1:
        raise InvalidError(f"{card.id} has the schedules {', '.join(names)}; say with --schedule which one")
    found = next((schedule for schedule in card.schedules if name in (None, schedule.name)), None)
    if found is None:
        raise InvalidError(f"{card.id} has no schedule {name!r}{near_miss(name or '', names)}")
    return found


def _fire(
    client: Client, card: JobCard, name: str | None, fire: str | None, now: datetime, *, undo: bool
) -> tuple[CardSchedule, datetime]:
    """The schedule and the fire that are meant."""
    if fire is not None:
        schedule = _chosen(card, name)
        return schedule, moment(fire, now, ZoneInfo(schedule.timezone), option="--at")
    those = [_chosen(card, name)] if name is not None or not card.schedules else card.schedules
    if undo:
        slot = _left_out(client, card.id, {schedule.name for schedule in those}, now)
        return next(schedule for schedule in those if schedule.name == slot.schedule), slot.scheduled_at
    coming = [(each.next_fire_at, each.name, each) for each in those if each.next_fire_at is not None]
    if not coming:
        off = f"; it is off, `nomaflow enable {card.id}` switches it on" if not card.enabled else ""
        raise InvalidError(f"{card.id} has no fire to come{off}")
    instant, _, schedule = min(coming)
    return schedule, instant


def _left_out(client: Client, job: str, names: set[str], now: datetime) -> Slot:
    for slot in client.schedule(job=job, since=now, until=now + YEAR, limit=500):
        if slot.state == "DUE" and slot.reason is not None and slot.schedule in names:
            return slot
    raise NotFoundError(f"no fire of {job} is to be left out, so there is nothing to undo")


COMMANDS = (skip,)
