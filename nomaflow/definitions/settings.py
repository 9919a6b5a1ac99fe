"""`nomaflow.toml`: everything about a home that is not a job."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nomaflow.definitions.connector import Connector
from nomaflow.definitions.job import Timezone
from nomaflow.definitions.record import JobId, Name, Number, Record, Tag, spelled

RoleName = Literal["viewer", "operator", "editor", "admin"]
JobGlob = Annotated[str, spelled(r"^[a-z0-9_*?\[\]!-]{1,80}$", "a job id, in which `*` and `?` may stand for others")]
ConnectorGlob = Annotated[
    str, spelled(r"^[A-Za-z0-9_.*?\[\]!-]{1,80}$", "a connector's name, in which `*` and `?` may stand for others")
]
AccountName = Annotated[
    str,
    spelled(r"^[a-z0-9][a-z0-9._-]{0,63}$", "1 to 64 of a-z, 0-9, `.`, `_` and `-`, with a letter or digit first"),
]
PasswordHash = Annotated[
    str,
    spelled(r"^\$argon2id\$", "the hash that `nomaflow account set-password` writes", max_length=512),
]
SlackPerson = Annotated[str, spelled(r"^[UW][A-Z0-9]{4,20}$", "a Slack member id such as U012AB3CD")]
Recipient = Annotated[str, Field(min_length=1, max_length=256)]


class EngineSettings(Record):
    """`[engine]`."""

    timezone: Timezone | None = None
    max_parallel_runs: Annotated[int, Field(ge=1, le=256)] = 8
    drain_seconds: Annotated[Number, Field(ge=0, le=86_400)] = 30
    cancel_grace_seconds: Annotated[Number, Field(ge=0, le=600)] = 10
    executor: Literal["local", "dask"] = "local"


class Grant(Record):
    """A role for some jobs and the connectors that go with it. Job ids and connectors are globs."""

    role: RoleName
    jobs: list[JobGlob] = []
    tags: list[Tag] = []
    connectors: list[ConnectorGlob] = []
    shell: bool = False


class Account(Record):
    """A person. `role` holds everywhere; `grants` add to it."""

    role: RoleName | None = None
    grants: Annotated[list[Grant], Field(max_length=200)] = []
    password_hash: PasswordHash | None = None


class SlackSettings(Record):
    """`[slack]`: how the bot connects, and which Slack person is which account."""

    mode: Literal["socket", "http"] = "socket"
    people: dict[SlackPerson, AccountName] = {}


class AlertRoute(Record):
    """Jobs with one of the tags tell these recipients; the fallback is used where they can't be reached."""

    tags: list[Tag] = []
    jobs: list[JobGlob] = []
    recipients: list[Recipient]
    fallback: list[Recipient] = []


class AlertSettings(Record):
    """`[alerts]`."""

    routes: Annotated[list[AlertRoute], Field(max_length=200)] = []


class Retention(Record):
    """`[retention]`: how long runs are kept."""

    days: Annotated[int, Field(ge=1, le=36_500)] = 90
    failed_days: Annotated[int, Field(ge=1, le=36_500)] = 365


class Switch(Record):
    """A feature that is off unless it is switched on."""

    enabled: bool = False


class Sample(Switch):
    """`[sample]`: the databases of the sample jobs, made when missing, and the web API that they ask."""

    first_run: JobId | None = None
    """The job that is run once when the home is new."""


class Settings(Record):
    """The whole file."""

    engine: EngineSettings = EngineSettings()
    connectors: Annotated[dict[Name, Connector], Field(max_length=1000)] = {}
    accounts: Annotated[dict[AccountName, Account], Field(max_length=1000)] = {}
    slack: SlackSettings = SlackSettings()
    alerts: AlertSettings = AlertSettings()
    retention: Retention = Retention()
    shell: Switch = Switch()
    sample: Sample = Sample()


def differences(old: Settings, new: Settings) -> list[str]:
    """What a reload of the settings changed, a line each: connectors and accounts by name, the rest by table."""
    lines = []
    for table in Settings.model_fields:
        before, after = getattr(old, table), getattr(new, table)
        if table not in ("connectors", "accounts"):
            lines += [f"[{table}] changed"] if before != after else []
            continue
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                how = "added" if name not in before else "removed" if name not in after else "changed"
                lines.append(f"{table.removesuffix('s')} {name} {how}")
    return lines
