"""Jobs for tests of the launch plan: given ones, and any that hypothesis can think of."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import strategies as st

from nomaflow.definitions.job import Job

TODAY = date(2026, 3, 1)


def python_step(name: str = "load", **op_kwargs: Any) -> dict[str, Any]:
    """A python step as a file says it."""
    return {"name": name, "type": "python", "callable": "module:function", "op_kwargs": op_kwargs}


def job(*steps: dict[str, Any], **fields: Any) -> Job:
    """A job of these steps; one python step where none is given."""
    return Job.model_validate({"id": "job", "steps": list(steps or [python_step()]), **fields})


_names = st.sampled_from(["alpha", "beta", "gamma", "delta", "use_connector"])
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0$"), max_size=8)
_whole = st.integers(-(2**53), 2**53)
_floats = st.floats(allow_nan=False, allow_infinity=False)
_json = st.recursive(st.one_of(st.booleans(), _whole, _floats, _texts), lambda inner: st.lists(inner, max_size=3))

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": _whole,
    "float": _floats,
    "bool": st.booleans(),
    "text": _texts,
    "date": st.dates().map(date.isoformat) | st.sampled_from(["${today}", "${month.last}"]),
    "json": _json,
    "connector": st.sampled_from(["one", "two"]),
}


@st.composite
def declarations(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Declared parameters by name, each with a saved value or null."""
    params = {}
    for name in draw(st.lists(_names, unique=True, max_size=4)):
        # One type for each name, so that a value for all steps fits wherever the name stands.
        kind = sorted(VALUES)[sum(map(ord, name)) % len(VALUES)]
        params[name] = {"type": kind, "default": draw(st.none() | VALUES[kind]), "nullable": True}
    return params


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Jobs of python and SQL steps, the first one on."""
    steps: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 3))):
        name, enabled = f"step{number}", number == 0 or draw(st.booleans())
        if draw(st.booleans()):
            steps.append({**python_step(name, **draw(declarations())), "enabled": enabled})
        else:
            step = {"name": name, "type": "sql_query", "connector": "one", "query": "SELECT 1", "enabled": enabled}
            steps.append(step)
    return job(*steps, params=draw(declarations()), log_level=draw(st.sampled_from(["INFO", "DEBUG"])))


def values_for(kind: str) -> st.SearchStrategy[Any]:
    """Values that fit a parameter of the type and may be null."""
    return st.none() | VALUES[kind]
