"""What a person can write into a job here: the step types, the functions of the jobs folder, and what does not fit."""

from __future__ import annotations

from pathlib import Path

from nomaflow.definitions import toml_source
from nomaflow.definitions.callables import unfit_callables
from nomaflow.definitions.calls import unfit_calls
from nomaflow.definitions.catalogue import Catalogue
from nomaflow.definitions.functions import Function, Functions
from nomaflow.definitions.job import Job
from nomaflow.definitions.problems import Found
from nomaflow.definitions.steps import STEP_TYPES
from nomaflow.definitions.steps.described import TITLES, connectors, schema, summary
from nomaflow.engine import cards
from nomaflow.home import Home
from nomaflow.seams import Seams
from nomaflow.wire import (
    CallableInfo,
    CallableList,
    CallableParameter,
    ConnectorOption,
    FileProblem,
    ProblemAt,
    StepTypeInfo,
)


class Discovery:
    """Reads files in a thread: Python that somebody wrote may be long."""

    def __init__(self, home: Home, catalogue: Catalogue, seams: Seams) -> None:
        self._root, self._catalogue, self._seams = home.jobs_dir, catalogue, seams
        self._functions = Functions(home.jobs_dir)

    def step_types(self) -> list[StepTypeInfo]:
        """Every type that a job may have."""
        return [
            StepTypeInfo(
                type=name,
                title=TITLES.get(name, name),
                description=summary(record),
                options=schema(name, record),
                connectors=[ConnectorOption(path=path, kind=kind) for path, kind in connectors(record)],
                literal=sorted(record.literal_options),
                runs_code=record.runs_code,
                starts_processes=record.starts_processes,
                runs_in_engine=record.runs_in_engine,
                is_transactional=record.is_transactional,
                is_housekeeping=record.is_housekeeping,
            )
            for name, record in STEP_TYPES.items()
        ]

    async def callables(self) -> CallableList:
        """The functions that a python step can name, and the files whose functions are not known."""
        functions, unreadable = await self._seams.in_thread(self._functions.all)
        return CallableList(
            items=[_info(function) for function in functions],
            problems=[FileProblem(file=one.file, line=one.line, message=one.message) for one in unreadable],
        )

    async def warnings(self, job: Job | None, text: str) -> list[ProblemAt]:
        """What keeps a readable job from running as it should, by what else the home has now."""
        if job is None:
            return []
        entries = self._catalogue.entries
        found = list(unfit_calls(job, entries.keys(), lambda job_id: entries[job_id].job))
        found += await self._seams.in_thread(_unfit, job, self._root)
        if not found:
            return []
        data, _ = toml_source.parse(text, "")
        return [cards.problem_at(problem) for problem in toml_source.problems_at(found, data or {}, text, "")]


def _unfit(job: Job, import_root: Path) -> list[Found]:
    return list(unfit_callables(job, import_root))


def _info(function: Function) -> CallableInfo:
    fields = {name: value for name, value in vars(function).items() if name != "parameters"}
    parameters = [CallableParameter(**vars(parameter)) for parameter in function.parameters]
    return CallableInfo(**fields, parameters=parameters)
