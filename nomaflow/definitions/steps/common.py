"""What every step has, whatever its type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from nomaflow.definitions import tokens
from nomaflow.definitions.record import Number, Record, Seconds, spelled

StepName = Annotated[
    str,
    spelled(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", "1 to 64 of A-Z, a-z, 0-9, `_` and `-`, with a letter or digit first"),
]


def _with_tokens(text: str) -> str:
    tokens.check(text)
    return text


OptionText = Annotated[str, Field(min_length=1, max_length=65_536), AfterValidator(_with_tokens)]
"""Text in which `${…}` is replaced when the step starts."""

ConnectorRef = Annotated[
    str,
    spelled(
        r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,63}|\$\{(kw|env):[A-Za-z0-9_]+\})$",
        "a connector's name, or `${kw:…}` with the parameter that holds it",
    ),
]
"""A connector's name, or the parameter that holds it."""

Identifier = Annotated[str, spelled(r"^[^\x00]+$", "a name without a NUL character", max_length=128)]
"""A schema, table or column; quoted by the step, so any character but NUL may be in it."""


Backoff = Literal["fixed", "exponential"]


class Retry(Record):
    """How often a step is tried and how long is waited between the tries."""

    attempts: Annotated[int, Field(ge=1, le=10)] = 1
    backoff: Backoff = "fixed"
    base_seconds: Annotated[Number, Field(ge=0, le=86_400)] = 60
    max_seconds: Annotated[Number, Field(ge=0, le=86_400)] = 600


class RetryOverride(Record):
    """The parts of a job's retry that one step changes."""

    attempts: Annotated[int, Field(ge=1, le=10)] | None = None
    backoff: Backoff | None = None
    base_seconds: Annotated[Number, Field(ge=0, le=86_400)] | None = None
    max_seconds: Annotated[Number, Field(ge=0, le=86_400)] | None = None

    def over(self, job: Retry) -> Retry:
        """The job's retry with this step's changes."""
        return job.model_copy(update=self.model_dump(exclude_none=True))


class StepCommon(Record):
    """The fields of every step. A subclass adds `type` and its options."""

    literal_options: ClassVar[frozenset[str]] = frozenset()
    """Options in which `${…}` is never replaced, `outer.inner` where they are nested: SQL takes bound parameters."""

    connector_options: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """The options that name connectors, each by the keys that lead there."""

    connector_kinds: ClassVar[Mapping[str, str]] = {}
    """Of what kind a connector must be, by the first key; `sql` where nothing is said."""

    runs_code: ClassVar[bool] = False
    """It loads Python code of the home, so its worker serves no other job afterwards."""

    starts_processes: ClassVar[bool] = False
    """What it runs may start processes of its own."""

    is_transactional: ClassVar[bool] = False
    """All its changes are one transaction: a step that does not come to its end has changed nothing."""

    runs_in_engine: ClassVar[bool] = False
    """It runs on the engine's own loop and needs no worker."""

    is_housekeeping: ClassVar[bool] = False
    """It touches the history of all jobs, so only an admin may change it."""

    name: StepName
    enabled: bool = True
    timeout_seconds: Seconds = 3600
    retry: RetryOverride | None = None

    @property
    def detail(self) -> str:
        """One line that says what the step does."""
        raise NotImplementedError

    @property
    def gives_up_place(self) -> bool:
        """Whether its run needs no worker while the step waits, and lets others have its place meanwhile."""
        return False

    def connectors(self) -> Iterator[str]:
        """The connectors that the options name, `${…}` references included."""
        for keys in self.connector_options:
            value: Any = self
            for key in keys:
                value = getattr(value, key)
            if value is not None:
                yield value

    def writes(self) -> frozenset[str]:
        """Those of the connectors that the step may change, as far as its options tell; references included."""
        return frozenset()

    def options(self) -> dict[str, Any]:
        """The options of the type alone, as JSON."""
        return self.model_dump(mode="json", by_alias=True, exclude={*StepCommon.model_fields, "type", "op_kwargs"})
