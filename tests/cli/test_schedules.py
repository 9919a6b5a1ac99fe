"""`schedule`, `skip`, and the switch: what they print of when jobs fire."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from nomaflow.cli import main
from nomaflow.cli.calendar import DENSE, Zones, condensed, note, print_calendar
from nomaflow.cli.details import which_fire
from nomaflow.cli.show import local_time
from nomaflow.cli.times import wall
from nomaflow.client import Client
from nomaflow.wire import JobCard, Plan, Run, RunState, Slot, SlotState
from tests.client.home import HELLO, Running, running
from tests.fakes.scripts import ok

type Cli = Callable[..., int]

PARIS = ZoneInfo("Europe/Paris")
NOON = datetime(2026, 3, 1, 11, tzinfo=UTC)
"""Noon in Paris."""

SCHEDULE = '[[schedules]]\nname = "{name}"\ncron = "{cron}"\ntimezone = "{timezone}"\n'


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Running]:
    """An engine with a job that fires each night, one that polls, and one with two schedules."""
    with running(tmp_path / "home", hello=ok("hello")) as served, Client(served.url, served.token) as client:
        schedules = {
            "nightly": [("default", "30 5 * * *", "Europe/Paris")],
            "poll": [("default", "*/5 * * * *", "UTC")],
            "twice": [("close", "30 17 * * *", "America/New_York"), ("open", "30 9 * * *", "Europe/Paris")],
        }
        for job_id, those in schedules.items():
            lines = [SCHEDULE.format(name=name, cron=cron, timezone=timezone) for name, cron, timezone in those]
            client.create_job(job_id, toml=HELLO + "".join(lines))
        yield served


@pytest.fixture
def cli(served: Running, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run one command; its exit code."""
    monkeypatch.setenv("NOMAFLOW_URL", served.url)
    monkeypatch.setenv("NOMAFLOW_TOKEN", served.token)
    monkeypatch.delenv("COLUMNS", raising=False)
    return lambda *arguments: main(list(arguments))


def card(served: Running, job_id: str) -> JobCard:
    """A job as the engine knows it."""
    with Client(served.url, served.token) as client:
        return next(card for card in client.jobs() if card.id == job_id)


def test_the_fires_to_come_are_listed(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """For a program with date and offset in each row; a day with very many is one row."""
    assert cli("schedule", "--since", "tomorrow", "--until", "tomorrow") == 0
    head, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head == ["TIME", "JOB", "STATE", "NOTE"]
    nightly = next(row for row in rows if row[2] == "nightly")
    assert nightly[0] == (datetime.now(PARIS).date() + timedelta(days=1)).isoformat()
    assert nightly[1].startswith("05:30:00+0")
    assert nightly[3:5] == ["DUE", "in"]
    assert {tuple(row[2:4]) for row in rows} >= {("twice", "(close)"), ("twice", "(open)")}
    assert cli("schedule", "poll", "--since", "tomorrow", "--until", "tomorrow") == 0
    _, row = capsys.readouterr().out.splitlines()
    assert row.split()[1:] == ["00:00:00+00:00", "DUE", "×288", "to", "23:55"]


def test_one_job_is_listed_for_a_week(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` may be left out; with --json as the engine sends it, whole."""
    assert cli("schedule", "nightly") == 0
    first = capsys.readouterr().out
    assert first.splitlines()[0].split() == ["TIME", "STATE", "NOTE"]
    fires = len(first.splitlines()) - 1
    assert 6 <= fires <= 8
    assert cli("schedule", "list", "nightly", "--json") == 0
    page = json.loads(capsys.readouterr().out)
    assert page["next_cursor"] is None
    assert [(item["job_id"], item["state"]) for item in page["items"]] == [("nightly", "DUE")] * fires
    assert cli("schedule", "twice") == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["TIME", "SCHEDULE", "STATE", "NOTE"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hello"], "hello is manual-only: its file has no [[schedules]]; `nomaflow run hello` runs it."),
        (["nightly", "--past"], "Nothing was due from "),
        (["nightly", "--since", "tomorrow 03:00", "--until", "tomorrow 04:00"], "; it fires next "),
        (["--past"], "Nothing was due from yesterday "),
    ],
)
def test_an_empty_list_says_what_it_means(
    cli: Cli, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """And what to do next."""
    assert cli("schedule", *arguments) == 0
    assert message in capsys.readouterr().out


def test_without_any_schedule_it_says_how_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new home is told of the file and of the preview."""
    with running(tmp_path / "home") as served:
        assert main(["schedule", "--url", served.url, "--token", served.token]) == 0
    assert '`nomaflow schedule preview "30 2 * * *"` says what a rule means' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["schedule", "nightli"], "there is no job 'nightli'; did you mean \"nightly\"?"),
        (["schedule", "--since", "soon"], "--since must be a time such as 06:00, today"),
        (["schedule", "--until", "400d"], "until lies more than 366 days after since"),
        (["schedule", "preview", "30 25 * * *"], "cron is not valid"),
        (["schedule", "preview", "@daily", "--timezone", "Paris"], "timezone names an unknown time zone 'Paris'"),
        (["schedule", "what-if", "nope", "@daily"], "there is no job 'nope'"),
        (["schedule", "what-if", "twice", "@daily"], "twice has the schedules close, open; say with --schedule which"),
        (["skip", "hello"], "hello is manual-only"),
        (["skip", "nightly", "--next", "--at", "02:30"], "--next and --at exclude each other"),
        (["skip", "nightly", "--at", "05:31"], "nightly has no fire to come at "),
        (["skip", "nightly", "--schedule", "defaul"], "nightly has no schedule 'defaul'; did you mean \"default\"?"),
        (["skip", "twice", "--at", "17:30"], "twice has the schedules close, open; say with --schedule which one"),
        (["skip", "nightly", "--undo"], "no fire of nightly is to be left out, so there is nothing to undo"),
        (["disable", "nightly", "--until", "later"], "--until must be a time such as"),
        (["disable", "nightly", "--until", "yesterday"], "until lies in the past"),
        (["disable", "nope", "--until", "2h"], "there is no job 'nope'"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    cli: Cli, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """2, and nothing is changed."""
    assert cli(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert message in error


def test_a_rule_is_previewed(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """In words, then its fires on the clock of its zone, then what may surprise."""
    assert (
        cli("schedule", "preview", "30 2 * * *", "--timezone", "Europe/Paris", "--after", "2027-03-27", "--count", "2")
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "At 02:30, Europe/Paris"
    assert lines[1].startswith("  Sat 27 Mar 2027  02:30 CET  in ")
    assert lines[2].startswith("  Sun 28 Mar 2027  03:00 CEST  in ")
    assert lines[3] == "On 28 Mar 2027 02:30 does not exist: it fires at 03:00."
    assert cli("schedule", "preview", "* * * * * 30", "--count", "1", "--json") == 0
    preview = json.loads(capsys.readouterr().out)
    assert len(preview["fires"]) == 1
    assert preview["fires"][0].endswith(":30.000Z")


def test_a_changed_rule_is_held_against_the_past(cli: Cli, served: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the one in force; where runs are known, how many fires would have met one."""
    with Client(served.url, served.token) as client:
        client.wait(client.launch("poll").id)
    assert cli("schedule", "what-if", "poll", "0 */6 * * *", "--days", "10") == 0
    out = capsys.readouterr().out
    assert out.startswith("poll: '*/5 * * * *' → '0 */6 * * *', UTC\n")
    assert "  fires         2,880 before, 40 with it, over 10 days\n" in out
    assert "  too early     no fire would have met a run in flight, with runs of " in out
    assert "  longest gap   " in out
    assert cli("schedule", "what-if", "hello", "@daily", "--timezone", "UTC") == 0
    assert capsys.readouterr().out.startswith("hello: no schedule → '@daily', UTC\n")
    assert cli("schedule", "what-if", "twice", "@daily", "--schedule", "close", "--json") == 0
    assert json.loads(capsys.readouterr().out)["timezone"] == "America/New_York"


def test_a_fire_is_left_out_and_taken_back(cli: Cli, served: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """The next one, again the next one, and the first of them back."""
    first = card(served, "nightly").next_fire_at
    assert first is not None
    assert cli("skip", "nightly") == 0
    second = card(served, "nightly").next_fire_at
    assert second is not None
    assert timedelta(hours=22) < second - first < timedelta(hours=26)
    now = datetime.now(UTC)
    left_out = f"nightly: the fire of {wall(first, now, PARIS)} is left out; "
    then = f"the next one is {wall(second, now, PARIS)}; `nomaflow skip nightly --undo` takes that back\n"
    assert capsys.readouterr().out == left_out + then
    assert cli("schedule", "nightly") == 0
    assert "left out as cli:admin asked" in capsys.readouterr().out.splitlines()[1]
    assert cli("skip", "nightly", "--next", "--json") == 0
    assert json.loads(capsys.readouterr().out)["reason"] == "left out as cli:admin asked"
    assert cli("skip", "nightly", "--undo") == 0
    assert capsys.readouterr().out == f"nightly: the fire of {wall(first, now, PARIS)} is no longer left out\n"
    assert card(served, "nightly").next_fire_at == first


def test_a_fire_is_named_by_the_clock_of_its_zone(
    cli: Cli, served: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one in the middle of a day's many."""
    assert cli("skip", "poll", "--at", "tomorrow 12:35", "--json") == 0
    slot = json.loads(capsys.readouterr().out)
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert slot["scheduled_at"] == f"{tomorrow}T12:35:00.000Z"
    assert cli("skip", "poll", "--undo", "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "DUE"
    assert cli("skip", "twice", "--at", "tomorrow 17:30", "--schedule", "close") == 0
    assert "twice: the fire of tomorrow 17:30 E" in capsys.readouterr().out


def test_the_jobs_say_when_they_fire_next(cli: Cli, served: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """On the clock of their schedules; a pause says until when."""
    following = card(served, "nightly").next_fire_at
    assert following is not None
    assert cli("jobs") == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert f"  {wall(following, datetime.now(UTC), PARIS)}  " in rows["nightly"]
    assert "  by hand  " in rows["hello"]
    assert cli("disable", "nightly", "--until", "tomorrow 06:00") == 0
    assert capsys.readouterr().out.startswith("nightly is off until tomorrow 06:00")
    assert cli("jobs", "nightly") == 0
    assert "  off until tomorrow 06:00" in capsys.readouterr().out
    assert cli("schedule", "nightly") == 0
    assert capsys.readouterr().out == "nightly is off, so nothing fires; `nomaflow enable nightly` switches it on.\n"
    assert cli("skip", "nightly") == 2
    assert "nightly has no fire to come; it is off, `nomaflow enable nightly` switches it on" in capsys.readouterr().err
    assert cli("enable", "nightly") == 0
    assert capsys.readouterr().out.startswith("nightly is on; it fires next ")
    assert cli("disable", "hello", "--json") == 0
    assert json.loads(capsys.readouterr().out)["enabled"] is False
    assert cli("enable", "hello") == 0
    assert capsys.readouterr().out == "hello is on; `nomaflow run hello` runs it\n"


def test_why_says_what_can_be_done(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """The command stands below the sentence."""
    assert cli("why", "nightly") == 0
    sentence, action = capsys.readouterr().out.splitlines()
    assert sentence.startswith("nightly: it waits for its next fire: ")
    assert action == "`nomaflow run nightly` runs it now."
    assert cli("disable", "nightly", "--reason", "disk is full") == 0
    capsys.readouterr()
    assert cli("why", "nightly") == 0
    assert capsys.readouterr().out.splitlines() == [
        "nightly: it is disabled by cli:admin: disk is full; it can still be run by hand",
        "`nomaflow enable nightly` switches it on.",
    ]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, ""),
        ({"scheduled_at": NOON, "schedule": "default"}, "{noon}"),
        (
            {"scheduled_at": NOON, "schedule": "close", "late_seconds": 0.012},
            "{noon} of the schedule close, began 12 ms later",
        ),
    ],
)
def test_a_run_says_which_fire_started_it(fields: dict[str, Any], text: str) -> None:
    """And how much later it began."""
    plan = Plan(log_level="INFO", steps=[])
    run = Run(
        id="run_1", job_id="load", state=RunState.QUEUED, queued_at=NOON, triggered_by="cron", via="cron", plan=plan
    )
    assert which_fire(run.model_copy(update=fields)) == text.format(noon=local_time(NOON))


def slot(state: str, time: str, *, job: str = "load", schedule: str = "default", **more: object) -> Slot:
    """A slot at a time of Paris, on the first of March unless it says another day."""
    text = time if "T" in time else f"2026-03-01T{time}"
    instant = datetime.fromisoformat(text).replace(tzinfo=PARIS)
    return Slot.model_validate({"job_id": job, "schedule": schedule, "scheduled_at": instant, "state": state, **more})


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (slot("FIRED", "09:00", run_id="run_1", late_seconds=0.1), "run_1"),
        (slot("FIRED", "09:00", run_id="run_1", late_seconds=750), "run_1, 12 m 30 s late"),
        (slot("SKIPPED", "09:00", reason="run_2 is in flight"), "run_2 is in flight"),
        (
            slot("COALESCED", "09:00", reason="a later one fires in its place", run_id="run_3"),
            "a later one fires in its place (run_3)",
        ),
        (
            slot("MISSED", "09:00", reason="it was late", count=3, last_at="2026-03-01T09:00:00Z"),
            "to 10:00; it was late",
        ),
        (
            slot("MISSED", "09:00", reason="it was late", count=9, last_at="2026-03-02T09:00:00Z"),
            "to tomorrow 10:00{zone}; it was late",
        ),
        (slot("DUE", "14:00"), "in 2 h"),
        (slot("DUE", "14:00", reason="left out as ana asked"), "left out as ana asked"),
        (slot("DUE", "14:00", note="moved from 02:30"), "in 2 h; moved from 02:30"),
        (slot("DUE", "14:00", count=9, last_at="2026-03-01T20:00:00Z"), "to 21:00"),
    ],
)
def test_a_slot_has_a_note(shown: Slot, text: str) -> None:
    """The run, how late, the reason, how far off; for several the last of them."""
    instant = shown.last_at or shown.scheduled_at
    elsewhere = instant.astimezone().utcoffset() != instant.astimezone(PARIS).utcoffset()
    assert note(shown, NOON, PARIS) == text.format(zone=f" {instant.astimezone(PARIS):%Z}" if elsewhere else "")


def test_very_many_past_fires_of_a_day_are_told_together() -> None:
    """One row for each of their states, with how many they are; what is to come stays as it is."""
    zones = Zones(PARIS, {})
    few = [slot("FIRED", f"{hour:02}:00", job="few", run_id="run_0") for hour in range(DENSE // 2)]
    many = [
        slot("FIRED" if minute % 10 else "SKIPPED", f"09:{minute:02}", run_id=f"run_{minute}", late_seconds=0.1)
        for minute in range(40)
    ]
    coming = slot("DUE", "14:00", count=9)
    found = condensed([*few, *many, coming], zones)
    assert [each for each in found if each.job_id == "few"] == few
    skipped, fired, due = [each for each in found if each.job_id == "load"]
    assert due == coming
    assert (skipped.state, skipped.count, skipped.scheduled_at, skipped.last_at) == (
        SlotState.SKIPPED,
        4,
        many[0].scheduled_at,
        many[30].scheduled_at,
    )
    assert (fired.count, fired.run_id) == (36, "run_39")
    assert note(fired, NOON, PARIS) == "to 09:39; the newest: run_39"
    assert condensed(many[:DENSE], zones) == many[:DENSE]


def test_a_person_reads_it_day_by_day(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each day under its heading; a time of another zone is named, and its day where that is another one."""
    monkeypatch.setenv("COLUMNS", "60")
    new_york = ZoneInfo("America/New_York")
    slots = [
        slot("FIRED", "02:30", run_id="run_1"),
        slot("DUE", "2026-03-02T01:30", job="far-off", schedule="close"),
        slot("MISSED", "2026-03-02T02:30", reason="a sentence that is longer than the terminal is wide"),
    ]
    zones = Zones(PARIS, {("far-off", "close"): new_york})
    print_calendar(slots, zones, NOON, is_one_job=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "Today, Sun 1 Mar"
    assert lines[1:] == [
        "  02:30          load             FIRED   run_1",
        "Tomorrow, Mon 2 Mar",
        "  Sun 19:30 EST  far-off (close)  DUE     in 13 h",
        "  02:30          load             MISSED  a sentence that i…",
    ]
    print_calendar([slots[2]], zones, NOON, is_one_job=True)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  02:30  MISSED  a sentence that is longer than the terminal",
        "                 is wide",
    ]
