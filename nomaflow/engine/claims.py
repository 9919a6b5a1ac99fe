"""What a run needs to have for itself while it goes, read off its plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nomaflow.definitions import database_url
from nomaflow.definitions.connector import Connector, SqlConnector
from nomaflow.definitions.job import Job
from nomaflow.definitions.steps.call_job import CallJob
from nomaflow.definitions.steps.common import StepCommon
from nomaflow.launch.plan import Plan, PlannedStep


@dataclass(frozen=True)
class Claims:
    """`locks` are held by one run at a time, from its first step to its end; `connectors` count against `max_runs`."""

    locks: frozenset[str] = frozenset()
    connectors: frozenset[str] = frozenset()


def turn(job_id: str) -> str:
    """The lock that makes the runs of a job go one after another."""
    return f"turn of {job_id}"


def claims(
    job: Job,
    plan: Plan,
    connectors: Mapping[str, Connector],
    home: Path,
    *,
    takes_turns: bool,
    saved_plan: Callable[[str], tuple[Job, Plan] | None] = lambda job_id: None,
) -> Claims:
    """The job's locks, the files that its steps write, and the connectors that they use.

    The locks of jobs that it calls and waits for are among them: one that waited for another's lock in the middle of a
    run could wait for ever, while that other run waits for one of its own.

    A database that is a file takes one writer at a time, so a run that writes one has it for itself. What python code
    opens is not known, but the connectors that its parameters name are.

    Args:
        job: the definition.
        plan: what of it runs.
        connectors: the settings' ones.
        home: what relative paths count from.
        takes_turns: whether the job's runs go one after another.
        saved_plan: a job that may be called, and what it does with its saved values; None where it cannot run.
    """
    locks = {f"lock {name}" for name in job.locks}
    used: set[str] = set()
    for planned in plan.steps:
        step = job.step(planned.name)
        if step is None or not planned.runs:
            continue
        if isinstance(step, CallJob) and step.wait and (called := saved_plan(step.job)):
            # Its turn among its own runs is taken when it begins: no circle of calls is let in.
            locks |= claims(*called, connectors, home, takes_turns=False, saved_plan=saved_plan).locks
        picked = set(_picked(job, step, planned))
        used |= {*_named(step.connectors(), planned), *picked}
        for name in {*_named(step.writes(), planned), *picked}:
            locks |= {f"file {path}" for path in _file(connectors.get(name), home)}
    if takes_turns:
        locks.add(turn(job.id))
    return Claims(frozenset(locks), frozenset(used & connectors.keys()))


def _picked(job: Job, step: StepCommon, planned: PlannedStep) -> Iterator[str]:
    """The connectors that the parameters of a step with code name."""
    if not step.runs_code:
        return
    values = planned.values()
    for name, param in {**job.params, **job.op_kwargs(step)}.items():  # type: ignore[arg-type]  # a union of the steps
        if param.type == "connector" and values.get(name):
            yield str(values[name])


def _named(names: Iterator[str] | frozenset[str], planned: PlannedStep) -> Iterator[str]:
    """Connector names with `${kw:x}` put in; one that only the step's start can tell is left out."""
    values = planned.values()
    for name in names:
        if match := re.fullmatch(r"\$\{kw:(\w+)\}", name):
            name = str(values.get(match[1], ""))
        if name and "${" not in name:
            yield name


def _file(connector: Connector | None, home: Path) -> Iterator[Path]:
    if isinstance(connector, SqlConnector) and (file := database_url.parse(connector.url).file):
        yield home / Path(file).expanduser()
