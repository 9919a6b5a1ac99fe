"""`python`: call a function of the import root with the context and the merged kwargs.

An `async def` runs on asyncio by default, so that a canceled step sees `CancelledError` at its next `await` (seed:
"Cancel a run"), or on trio. A plain function has the main thread and is interrupted there.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from nomaflow.worker.context import StepCanceled, StepContext

MAX_OUTPUT = 1024 * 1024
MAX_DEPTH = 32
"""An output is a message to later steps and is stored with the run; rows belong in a table."""


def run(ctx: StepContext, options: dict[str, Any]) -> dict[str, Any] | None:
    """Import and call.

    Returns:
        What the function returned: a dict of JSON values, `{"rows_affected": n}` for a bare int, None for nothing.

    Raises:
        TypeError: it returned something else, or takes no such arguments.
        ImportError, AttributeError: the callable is not there.
    """
    function = _load(options["import_root"], options["callable"])
    kwargs = _accepted(function, _typed(ctx.params, options.get("types", {})))
    ctx.log.debug("▶ %s(%s)", options["callable"], ", ".join(sorted(kwargs)))
    return _output(_call(function, ctx, kwargs, options.get("flavour", "asyncio")), options["callable"])


def _load(import_root: str, target: str) -> Callable[..., Any]:
    if import_root not in sys.path:
        sys.path.insert(0, import_root)
    # Bytecode beside the jobs would show up in their git status.
    sys.dont_write_bytecode = True
    module_name, _, path = target.partition(":")
    # Before anything of it runs: a job's text alone must not reach the code of a library, or of ours.
    top = importlib.util.find_spec(module_name.partition(".")[0])
    if top is None:
        raise ModuleNotFoundError(f"No module named {module_name!r}", name=module_name)
    _check_home_of(import_root, target, top.origin or next(iter(top.submodule_search_locations or ()), None))
    found: Any = importlib.import_module(module_name)
    for name in path.split("."):
        if not hasattr(found, name):
            raise _lasting(AttributeError(f"the module {module_name} was imported, but has no function {path!r}"))
        found = getattr(found, name)
    if not callable(found):
        raise _lasting(TypeError(f"{target} is a {type(found).__name__}, not a function"))
    owner = sys.modules.get(getattr(found, "__module__", None) or "")
    _check_home_of(import_root, target, getattr(owner, "__file__", None))
    function: Callable[..., Any] = found
    return function


def _check_home_of(import_root: str, target: str, file: str | None) -> None:
    root = os.path.join(os.path.realpath(import_root), "")
    if file is None or not os.path.realpath(file).startswith(root):
        raise ImportError(
            f"{target} is no code of this home: a step calls functions that are written in the jobs folder; "
            f"write one there that calls it"
        )


def _typed(params: dict[str, Any], types: dict[str, str]) -> dict[str, Any]:
    """Dates and instants travel as text; the function gets them as what they were declared."""
    read = {"date": date.fromisoformat, "datetime": datetime.fromisoformat}
    return {
        name: read[types[name]](value) if types.get(name) in read and isinstance(value, str) else value
        for name, value in params.items()
    }


def _accepted(function: Callable[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Without a `**` catch-all a function gets the kwargs that it names; job params are shared by all steps."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return kwargs
    named = {parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY}
    return {name: value for name, value in kwargs.items() if name in named}


def _call(function: Callable[..., Any], ctx: StepContext, kwargs: dict[str, Any], flavour: str) -> Any:
    if not inspect.iscoroutinefunction(function):
        with ctx.canceler.interrupting_main_thread():
            return function(ctx, **kwargs)
    return _call_trio(function, ctx, kwargs) if flavour == "trio" else _call_asyncio(function, ctx, kwargs)


def _call_asyncio(function: Callable[..., Any], ctx: StepContext, kwargs: dict[str, Any]) -> Any:
    import asyncio

    async def main() -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        with ctx.canceler.armed(lambda: loop.call_soon_threadsafe(task.cancel)):
            return await function(ctx, **kwargs)

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        if ctx.is_cancelled():
            raise StepCanceled from None
        raise


def _call_trio(function: Callable[..., Any], ctx: StepContext, kwargs: dict[str, Any]) -> Any:
    import trio

    async def main() -> Any:
        token = trio.lowlevel.current_trio_token()
        with (
            trio.CancelScope() as scope,
            ctx.canceler.armed(lambda: token.run_sync_soon(scope.cancel)),
        ):
            return await function(ctx, **kwargs)
        raise StepCanceled

    return trio.run(main)


def _output(value: Any, target: str) -> dict[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return {"rows_affected": value}
    if not isinstance(value, dict):
        given = type(value).__name__
        raise _lasting(TypeError(f"{target} returned a {given}; return a dict of JSON values, an int or nothing"))
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _lasting(TypeError(f"{target} returned a dict that is no JSON: {error}")) from None
    if len(text) > MAX_OUTPUT or _is_deep(value):
        raise _lasting(
            TypeError(
                f"{target} returned more than {MAX_OUTPUT // 1024} KiB of JSON, or more than {MAX_DEPTH} levels of it; "
                f"write it to a table or a file, and return where it is"
            )
        )
    output: dict[str, Any] = json.loads(text)
    return output


def _is_deep(value: Any, levels: int = MAX_DEPTH) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list | tuple) and (levels == 0 or any(_is_deep(item, levels - 1) for item in value))


def _lasting[E: Exception](error: E) -> E:
    """Mark an error that no other try of the same code would end otherwise."""
    error.__dict__["lasting"] = "the code stays as it is"
    return error
