"""Jobs as cards and documents, and connectors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StrictBool

from nomaflow.definitions.param import ParamType
from nomaflow.launch.overrides import LogLevel, Reason, Sent
from nomaflow.wire.base import Given, Instant, Page, ProblemAt, RunState, SentInstant


class Pause(Given):
    """Why a job is switched off."""

    reason: str | None = None
    until: Instant | None = None
    by: str | None = None


class CardSchedule(Given):
    """One schedule of a card."""

    name: str
    cron: str
    timezone: str
    enabled: bool
    next_fire_at: Instant | None = None


class LastRun(Given):
    """The newest run of a job."""

    id: str
    state: RunState
    started_at: Instant | None = None
    finished_at: Instant | None = None
    triggered_by: str


class ActiveRun(Given):
    """A run in flight. `step_index` counts from 1; 0 before the first step."""

    id: str
    state: RunState
    step_index: int
    step_name: str | None = None
    step_count: int
    started_at: Instant | None = None
    expected_end_at: Instant | None = None


class RecentRun(Given):
    """One bar of a card's history."""

    run_id: str
    state: RunState
    seconds: float | None = None


class Can(Given):
    """What the person who asks may do with the job."""

    run: bool = False
    toggle: bool = False
    edit: bool = False


class JobCard(Given):
    """A job as the Jobs page shows it."""

    id: str
    description: str = ""
    tags: list[str] = []
    enabled: bool = True
    pause: Pause | None = None
    schedules: list[CardSchedule] = []
    next_fire_at: Instant | None = None
    step_count: int = 0
    log_level: LogLevel = "INFO"
    needs_form: bool = False
    etag: str
    last_run: LastRun | None = None
    active_runs: list[ActiveRun] = []
    recent: list[RecentRun] = []
    why: str | None = None
    can: Can = Can()
    problem: ProblemAt | None = None


class JobDocument(Given):
    """A job with its text. `job` is None where the file has problems; `warnings` are as in a check."""

    id: str
    etag: str
    toml: str
    job: dict[str, JsonValue] | None = None
    problems: list[ProblemAt] = []
    warnings: list[ProblemAt] = []


class CheckResult(Given):
    """What saving the text would say. `warnings` keep nobody from saving it: a function that is missing, or takes other
    values, and a job that cannot be called as a step calls it."""

    problems: list[ProblemAt]
    warnings: list[ProblemAt] = []
    next_fires: list[Instant] = []


class Why(Given):
    """Why a job does not run now, in one sentence, and what can be done."""

    why: str
    action: str | None = None


class ReloadResult(Given):
    """What re-reading the files changed: job ids, and a line for each difference of the settings."""

    added: list[str] = []
    changed: list[str] = []
    removed: list[str] = []
    settings: list[str] = []
    problems: dict[str, list[ProblemAt]] = {}


class ConnectorOption(Given):
    """An option that names a connector: its path, `outer.inner` where it is nested, and the kind that it takes."""

    path: str
    kind: Literal["sql", "http", "ldap"]


class StepTypeInfo(Given):
    """One step type and the JSON Schema of its options.

    In `literal` options, named as in `connectors`, `${…}` is not replaced. `runs_code` says that it runs Python of the
    home, `starts_processes` that other programs may run, `is_transactional` that it changes all or nothing,
    `is_housekeeping` that only an admin may save it.
    """

    type: str
    description: str
    options: dict[str, JsonValue]
    title: str = ""
    connectors: list[ConnectorOption] = []
    literal: list[str] = []
    runs_code: bool = False
    starts_processes: bool = False
    runs_in_engine: bool = False
    is_transactional: bool = False
    is_housekeeping: bool = False


class CallableParameter(Given):
    """A parameter of a function. `type` is that of a form's field, None where the source does not say; `default` is
    there where it is JSON, `default_text` as it is written."""

    name: str
    annotation: str | None = None
    type: ParamType | None = None
    required: bool = False
    nullable: bool = False
    default: JsonValue = None
    default_text: str | None = None


class CallableInfo(Given):
    """A function of the jobs folder: `callable` is what a python step names. One that `takes_all` has a `**`."""

    callable: str
    file: str
    line: int
    is_async: bool
    description: str = ""
    parameters: list[CallableParameter] = []
    takes_all: bool = False


class FileProblem(ProblemAt):
    """A file that cannot be read as Python."""

    file: str


class CallableList(Page[CallableInfo]):
    """The functions of the jobs folder, found without running them; of the files in `problems` they are not known."""

    problems: list[FileProblem] = []


class ConnectorInfo(Given):
    """A connector without its secrets."""

    name: str
    kind: Literal["sql", "http", "ldap"]
    backend: str
    target: str
    description: str = ""
    max_runs: int | None = None
    used_by: list[str] = []
    can_use: bool = True


class ConnectorTest(Given):
    """Whether a connector answers."""

    ok: bool
    message: str
    elapsed_ms: float


class JobChange(Sent):
    """A new or changed job, as TOML text or as values."""

    id: Annotated[str, Field(max_length=64)] | None = None
    toml: Annotated[str, Field(max_length=262_144)] | None = None
    job: dict[str, JsonValue] | None = None


class JobText(Sent):
    """Unsaved text to check."""

    id: Annotated[str, Field(max_length=64)] = "unsaved"
    toml: Annotated[str, Field(max_length=262_144)]


class Toggle(Sent):
    """Switch a job's own fires on or off."""

    enabled: StrictBool
    reason: Reason | None = None
    until: SentInstant | None = None
