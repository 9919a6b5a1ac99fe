"""What a job refers to outside its own file, and within it by name: connectors, parameters, earlier steps, switches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from nomaflow.definitions.connector import HttpConnector
from nomaflow.definitions.job import Job
from nomaflow.definitions.param import Param
from nomaflow.definitions.problems import Found, Location, near_miss
from nomaflow.definitions.settings import Settings
from nomaflow.definitions.steps import STEP_TYPES
from nomaflow.definitions.steps.common import StepCommon
from nomaflow.definitions.steps.http import Http
from nomaflow.definitions.tokens import TOKEN


def unknown_references(job: Job, settings: Settings) -> Iterator[Found]:
    """Each reference that leads nowhere: where it stands, and the rest of a sentence that begins with that field."""
    yield from _param_connectors(("params",), job.params, settings)
    for number, schedule in enumerate(job.schedules):
        for name, value in schedule.params.items():
            if (param := job.params.get(name)) and param.type == "connector":
                yield from _connector(("schedules", number, "params", name), value, settings)
    earlier: list[str] = []
    for number, step in enumerate(job.steps):
        where: Location = ("steps", number)
        if step.type == "shell" and not settings.shell.enabled:
            message = "is shell, which is switched off here; set enabled = true under [shell] in the settings"
            yield (*where, "type"), message
        yield from _param_connectors((*where, "op_kwargs"), job.op_kwargs(step), settings)
        yield from _step_connectors(where, step.type, step.options(), settings)
        if isinstance(step, Http):
            yield from _other_host((*where, "url"), step, settings)
        known = {**job.params, **job.op_kwargs(step)}
        for path, text in _option_texts(step):
            for message in _unknown_tokens(text, known, earlier):
                yield (*where, *path), message
        earlier.append(step.name)


def unknown_connectors(data: Mapping[str, Any], settings: Settings) -> Iterator[Found]:
    """What can be said of the steps' connectors while the file as a whole cannot be read."""
    steps = data.get("steps")
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, Mapping) and isinstance(step.get("type"), str):
            yield from _step_connectors(("steps", number), step["type"], step, settings)


def _step_connectors(where: Location, kind: str, options: Mapping[str, Any], settings: Settings) -> Iterator[Found]:
    step_type = STEP_TYPES.get(kind, StepCommon)
    for path in step_type.connector_options:
        value: Any = options
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, str) and not TOKEN.search(value):
            yield from _connector((*where, *path), value, settings, kind=step_type.connector_kinds.get(path[0], "sql"))


def _param_connectors(where: Location, params: Mapping[str, Param], settings: Settings) -> Iterator[Found]:
    for name, param in params.items():
        if param.type == "connector" and param.default is not None:
            yield from _connector((*where, name), param.default, settings)


def _connector(where: Location, name: Any, settings: Settings, kind: str | None = None) -> Iterator[Found]:
    if name not in settings.connectors:
        yield where, f"names an unknown connector {name!r}" + near_miss(str(name), settings.connectors)
    elif kind and (actual := settings.connectors[name].kind) != kind:
        yield where, f"names {name!r}, which is a connector of kind {actual}; this step needs one of kind {kind}"


def _other_host(where: Location, step: Http, settings: Settings) -> Iterator[Found]:
    """A url that its connector cannot sign in at; one with `${…}` in its host is looked at when the step starts."""
    connector = settings.connectors.get(step.connector or "")
    if isinstance(connector, HttpConnector) and step.url and step.url.startswith(("http://", "https://")):
        host = urlsplit(step.url).hostname or ""
        if "${" not in host and host != urlsplit(connector.url).hostname:
            yield where, f"leads to {host}, and its connector {step.connector!r} elsewhere; give a path below its url"


def _option_texts(step: StepCommon) -> Iterator[Found]:
    for where, text in _texts((), step.options()):
        if not any(".".join(map(str, where[:depth])) in step.literal_options for depth in range(1, len(where) + 1)):
            yield where, text


def _texts(where: Location, value: Any) -> Iterator[Found]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts((*where, key), item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts((*where, number), item)


def _unknown_tokens(text: str, params: Mapping[str, Param], earlier: list[str]) -> Iterator[str]:
    for word in TOKEN.findall(text):
        kind, _, name = word.partition(":")
        if kind == "kw" and name not in params:
            yield f"has ${{{word}}}, but there is no parameter {name!r}" + near_miss(name, params)
        elif kind == "out" and (step := name.partition(".")[0]) not in earlier:
            yield f"has ${{{word}}}, but no earlier step is named {step!r}" + near_miss(step, earlier)
