"""Random homes: jobs of many shapes as the TOML that people write, and changes of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

HOUR, DAY = 3600.0, 86_400.0

CHANGES_OF_CLOCKS = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # Paris
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC),  # New York
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),  # Lord Howe
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    datetime(2026, 5, 17, 9, tzinfo=UTC),  # nowhere
]

ZONES = ["UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
HALF_HOUR = "Australia/Lord_Howe"

SECONDS = ["* * * * * */15", "* * * * * 0,30", "*/2 * * * * 10", "*/5 * * * * 7,37"]
MINUTES = ["* * * * *", "*/2 * * * *", "*/5 * * * *", "*/7 * * * *", "3-59/10 * * * *"]
QUARTERS = ["*/15 * * * *", "*/20 * * * *", "7,37 * * * *", "*/30 * * * *", "10,40 * * * * 20"]
HOURS = ["0 * * * *", "30 * * * *", "15 */2 * * *", "@hourly", "45 */3 * * *"]
DAYS = ["30 2 * * *", "0 2 * * *", "0 0 * * *", "15 1,13 * * *", "0 3 * * mon-fri", "45 6 * * *", "@daily"]
RARELY = ["0 0 1 * *", "0 12 * * 0", "30 2 29 3 *", "0 0 29 2 *"]

BROKEN = ["\n[[steps", "\nno_such_key = 1\n", '\nlog_level = "LOUD"\n']


@dataclass(frozen=True)
class Pace:
    """How long a seed's world lasts, and how fast it goes.

    `look_seconds` is how often the scheduler looks at a clock that may be set: in a long world rarely, to save time.
    """

    name: str
    seconds: float
    crons: Sequence[str]
    step_seconds: Sequence[float]
    windows: Sequence[str]
    bases: Sequence[int]
    look_seconds: float = 30


PACES = [
    Pace("dense", 0.5 * HOUR, SECONDS + MINUTES, (0, 0.4, 2, 15, 50), ("0", "2m", "5m", "1h"), (0, 2, 20)),
    Pace("hours", 5 * HOUR, MINUTES[2:] + QUARTERS + HOURS, (0, 2, 30, 200, 900), ("0", "10m", "1h"), (1, 30, 200)),
    Pace("day", 1.5 * DAY, HOURS + DAYS, (0, 5, 100, 2000), ("0", "1h", "5h"), (1, 60, 600), 300),
    Pace("week", 8 * DAY, DAYS + RARELY + HOURS[4:], (0, 60, 1500, 9000), ("0", "1h", "1d", "3d"), (60, 600), 900),
]


@dataclass(frozen=True)
class ScheduleSpec:
    """One `[[schedules]]`."""

    name: str
    cron: str
    timezone: str | None = None
    misfire: str = "latest"
    window: str = "1h"
    enabled: bool = True

    def text(self) -> str:
        zone = f'timezone = "{self.timezone}"\n' if self.timezone else ""
        return (
            f'[[schedules]]\nname = "{self.name}"\ncron = "{self.cron}"\n{zone}misfire = "{self.misfire}"\n'
            f'catchup_window = "{self.window}"\nenabled = {str(self.enabled).lower()}\n'
        )


@dataclass(frozen=True)
class StepSpec:
    """One `[[steps]]`: how long it takes and how it ends; `fails` is at how many first tries it fails."""

    name: str
    how: str = "ok"
    seconds: float = 1.0
    fails: int = 0
    lines: int = 0
    connector: str | None = None
    enabled: bool = True
    timeout_seconds: float = 86_400.0

    def text(self) -> str:
        connector = f'db_connector = "{self.connector}"\n' if self.connector else ""
        return (
            f'[[steps]]\nname = "{self.name}"\ntype = "python"\ncallable = "simulated:step"\n'
            f"enabled = {str(self.enabled).lower()}\ntimeout_seconds = {self.timeout_seconds}\n"
            f'[steps.op_kwargs]\nhow = "{self.how}"\nseconds = {self.seconds}\nfails = {self.fails}\n'
            f"lines = {self.lines}\n{connector}"
        )


@dataclass(frozen=True)
class JobSpec:
    """One job; `broken` is a text that spoils its file."""

    id: str
    overlap: str = "skip"
    locks: tuple[str, ...] = ()
    enabled: bool = True
    schedules: tuple[ScheduleSpec, ...] = ()
    attempts: int = 1
    backoff: str = "fixed"
    base_seconds: float = 60
    max_seconds: float = 600
    steps: tuple[StepSpec, ...] = ()
    broken: str = ""

    def text(self) -> str:
        """Its file."""
        locks = ", ".join(f'"{lock}"' for lock in self.locks)
        parts = [
            f'enabled = {str(self.enabled).lower()}\noverlap = "{self.overlap}"\nlocks = [{locks}]\n',
            *(schedule.text() for schedule in self.schedules),
            f'[retry]\nattempts = {self.attempts}\nbackoff = "{self.backoff}"\n'
            f"base_seconds = {self.base_seconds}\nmax_seconds = {self.max_seconds}\n",
            *(step.text() for step in self.steps),
        ]
        if self.broken.startswith("\n["):
            return "".join(parts) + self.broken
        return self.broken + "".join(parts)


@dataclass
class HomeSpec:
    """A whole home, as its people mean it to be."""

    pace: Pace
    start: datetime
    jobs: dict[str, JobSpec] = field(default_factory=dict)
    timezone: str = "UTC"
    max_parallel_runs: int = 8
    max_runs: int = 1
    grace_seconds: float = 10
    drain_seconds: float = 30

    def settings(self) -> str:
        """`nomaflow.toml`."""
        return (
            f'[engine]\ntimezone = "{self.timezone}"\nmax_parallel_runs = {self.max_parallel_runs}\n'
            f"drain_seconds = {self.drain_seconds}\ncancel_grace_seconds = {self.grace_seconds}\n"
            f'[connectors.shared]\nkind = "http"\nurl = "https://api.example.org"\nmax_runs = {self.max_runs}\n'
            '[connectors.book]\nkind = "sql"\nurl = "sqlite:///book.db"\n'
        )


def home(draw: random.Random) -> HomeSpec:
    """A random home."""
    pace = draw.choice(PACES)
    start = draw.choice(CHANGES_OF_CLOCKS) - timedelta(seconds=round(draw.uniform(0, pace.seconds)))
    spec = HomeSpec(
        pace,
        start,
        timezone=draw.choice(ZONES[:3]),
        max_parallel_runs=draw.choice([1, 2, 3, 8]),
        max_runs=draw.choice([1, 2]),
        grace_seconds=draw.choice([0, 3, 10]),
        drain_seconds=draw.choice([0, 5, 30]),
    )
    for number in range(draw.choice([3, 4, 5] if pace.name == "dense" else [3, 4, 5, 7, 9])):
        spec.jobs[f"job{number}"] = job(draw, f"job{number}", pace)
    return spec


def job(draw: random.Random, job_id: str, pace: Pace) -> JobSpec:
    """A random job."""
    return JobSpec(
        job_id,
        overlap=draw.choice(["skip", "skip", "queue_one", "cancel_running", "allow"]),
        locks=tuple(sorted(draw.sample(["red", "blue"], draw.choice([0, 0, 0, 1, 2])))),
        enabled=draw.random() < 0.9,
        schedules=tuple(schedule(draw, name, pace) for name in ["default", "night"][: draw.choice([0, 1, 1, 1, 2])]),
        attempts=draw.choice([1, 2, 3]),
        backoff=draw.choice(["fixed", "exponential"]),
        base_seconds=draw.choice(pace.bases),
        max_seconds=draw.choice([10, 600, 600]),
        steps=tuple(step(draw, f"s{n}", pace) for n in range(draw.choice([1, 1, 2, 3]))),
    )


def schedule(draw: random.Random, name: str, pace: Pace) -> ScheduleSpec:
    """A random schedule; the half-hour zone has times of day only, since cronsim has a fault there."""
    cron, zone = draw.choice(pace.crons), draw.choice([None, None, *ZONES])
    if zone == HALF_HOUR and ("*" in "".join(cron.split(" ")[:2]) or cron == "@hourly"):
        zone = "Asia/Kolkata"
    misfire = draw.choice(["latest", "latest", "all", "skip"])
    # Many fires in a long window would make more runs than a test has time for.
    windows = pace.windows[:3] if misfire == "all" else pace.windows
    return ScheduleSpec(name, cron, zone, misfire, draw.choice(windows), draw.random() < 0.95)


def step(draw: random.Random, name: str, pace: Pace) -> StepSpec:
    """A random step."""
    how = draw.choice(["ok"] * 9 + ["fail", "die", "deaf", "deaf", "stone", "stone", "mute"])
    seconds = draw.choice(pace.step_seconds)
    longest = max(60.0, 3 * pace.step_seconds[-1])
    return StepSpec(
        name,
        how=how,
        seconds=seconds,
        fails=draw.choice([0, 0, 1, 2]) if how == "ok" else 0,
        lines=draw.choice([0, 0, 2]),
        connector=draw.choice([None, None, None, "shared", "book"]),
        enabled=draw.random() < 0.92,
        timeout_seconds=draw.choice([longest, longest, max(1.0, seconds * draw.choice([0.5, 2]))]),
    )


def edited(draw: random.Random, spec: JobSpec, pace: Pace) -> JobSpec:
    """The job with something else in it, and whole."""
    spec = replace(spec, broken="")
    what = draw.choice(["schedules", "schedules", "cron", "cron", "misfire", "steps", "retry", "enabled"])
    if what == "cron" and spec.schedules:
        first = schedule(draw, spec.schedules[0].name, pace)
        return replace(spec, schedules=(first, *spec.schedules[1:]))
    if what == "misfire" and spec.schedules:
        first = replace(spec.schedules[0], misfire=draw.choice(["latest", "skip"]), window=draw.choice(pace.windows))
        return replace(spec, schedules=(first, *spec.schedules[1:]))
    if what == "steps":
        return replace(spec, steps=tuple(step(draw, f"s{n}", pace) for n in range(draw.choice([1, 2, 3]))))
    if what == "retry":
        return replace(spec, attempts=draw.choice([1, 2, 3]), base_seconds=draw.choice(pace.bases))
    if what == "enabled":
        return replace(spec, enabled=not spec.enabled)
    names = ["default", "night", "noon"][: draw.choice([0, 1, 1, 2, 3])]
    return replace(spec, schedules=tuple(schedule(draw, name, pace) for name in names))
