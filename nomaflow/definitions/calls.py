"""Whether the jobs that `call_job` steps run are there, and take what they are given.

They stand in files of their own, which come and go, so that makes no job unreadable; it is told where a person asks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from nomaflow.definitions import toml_source
from nomaflow.definitions.problems import Found, Problem, near_miss
from nomaflow.definitions.steps.call_job import CallJob
from nomaflow.definitions.tokens import TOKEN

if TYPE_CHECKING:
    from nomaflow.definitions.catalogue import Entry
    from nomaflow.definitions.job import Job


@dataclass(frozen=True)
class _Values:
    op_kwargs: Mapping[str, JsonValue]


@dataclass(frozen=True)
class _Change:
    """What of a call is known before it is made."""

    params: Mapping[str, JsonValue]
    steps: Mapping[str, _Values]


def call_problems(entry: Entry, entries: Mapping[str, Entry]) -> tuple[Problem, ...]:
    """What is wrong with the calls of a readable job, each with its line."""
    if entry.job is None:
        return ()
    found = list(unfit_calls(entry.job, entries.keys(), lambda job_id: entries[job_id].job))
    file = f"{entry.path.parent.name}/{entry.path.name}"
    data, _ = toml_source.parse(entry.text, file)
    return toml_source.problems_at(found, data or {}, entry.text, file)


def unfit_calls(job: Job, known: Collection[str], read: Callable[[str], Job | None]) -> Iterator[Found]:
    """What is wrong with the calls of a job: the place in it, and the rest of a sentence that begins with the field.

    Args:
        job: the caller.
        known: the ids of the jobs that there are.
        read: one of them; None where its file has a problem, which it tells itself.
    """
    for number, step in enumerate(job.steps):
        if not isinstance(step, CallJob):
            continue
        if step.job not in known:
            yield ("steps", number, "job"), f"names an unknown job {step.job!r}" + near_miss(step.job, known)
        elif (called := read(step.job)) is not None:
            change = _Change(
                _fixed(step.params), {name: _Values(_fixed(s.op_kwargs)) for name, s in step.steps.items()}
            )
            for path, message in called.unfit(change):
                yield ("steps", number, *path.split(".")), f"does not fit {step.job}: {message}"


def _fixed(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Those in which nothing is put in when the step starts."""
    return {name: value for name, value in values.items() if not TOKEN.search(str(value))}
