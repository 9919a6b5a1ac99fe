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
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from nomaflow.worker.context import StepCanceled, StepContext

MAX_OUTPUT = 1024 * 1024
MAX_DEPTH = 32
"""An output is a message to later steps and is stored with the run; rows belong in a table."""

MAX_SIGNATURE = 300

Function = Callable[..., Any]


def run(ctx: StepContext, options: dict[str, Any]) -> dict[str, Any] | None:
    """Import and call.

    Returns:
        What the function returned: a dict of JSON values, `{"rows_affected": n}` for a bare int, None for nothing.

    Raises:
        TypeError: it returned something else, or cannot be called with what the job gives it.
        ImportError, AttributeError: the callable is not there. What its module raises when it is imported comes with
            the attribute `doing`, which says that.
    """
    target = options["callable"]
    function = _load(options["import_root"], target)
    given = _typed(ctx.params, options.get("types", {}))
    own, flavour = frozenset(options.get("own", ())), options.get("flavour", "asyncio")
    return call(function, target, ctx, given, own=own, flavour=flavour)


def call(
    function: Function, target: str, ctx: StepContext, given: dict[str, Any], *, own: frozenset[str], flavour: str
) -> dict[str, Any] | None:
    """Call a function that is found already; as `run`.

    Args:
        function: what is called.
        target: its name in sentences.
        ctx: its first argument.
        given: the merged kwargs.
        own: those of them that no other step gets.
        flavour: the loop of an `async def`.
    """
    kwargs = _accepted(function, target, given, own=own)
    ctx.log.debug("▶ %s(%s)", target, ", ".join(sorted(kwargs)))
    return _output(_call(function, ctx, kwargs, flavour), target)


def _load(import_root: str, target: str) -> Function:
    if import_root not in sys.path:
        sys.path.insert(0, import_root)
    # Bytecode beside the jobs would show up in their git status.
    sys.dont_write_bytecode = True
    module_name, _, path = target.partition(":")
    # Before anything of it runs: a job's text alone must not reach the code of a library, or of ours.
    with _doing(f"the module {module_name} could not be imported"):
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
    function: Function = found
    return function


@contextmanager
def _doing(what: str) -> Iterator[None]:
    """Let an error say what was being done when it came."""
    try:
        yield
    except Exception as error:
        error.__dict__["doing"] = what
        raise


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


def _accepted(function: Function, target: str, given: dict[str, Any], *, own: frozenset[str]) -> dict[str, Any]:
    """The kwargs to call it with. Job params are shared by all steps, so a function without a `**` catch-all gets those
    that it names; what stands in the step's `own` op_kwargs is meant for it alone. One that names nothing but its
    context reads them in `ctx.params`.

    Raises:
        TypeError: it names one that there is not, or not one of its own.
    """
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    named = {parameter.name for parameter in parameters if parameter.kind in _BY_NAME}
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    kwargs = {name: value for name, value in given.items() if takes_all or name in named}
    shown = f"{target}{_shown(signature)}"
    try:
        signature.bind(None)
    except TypeError as error:
        if "too many positional" in str(error):
            first = "takes nothing; its first parameter must be for the context, as in def main(ctx, **_)"
            raise _lasting(TypeError(f"{shown} {first}")) from None
    unexpected = sorted((own & given.keys()) - kwargs.keys())
    if unexpected and len(signature.parameters) > 1:
        message = f"{shown} takes no {_listed(unexpected)}, which the step's op_kwargs give it"
        raise _lasting(TypeError(f"{message}; mend the name, or let the function take **_"))
    try:
        signature.bind(None, **kwargs)
    except TypeError as error:
        mend = "declare what is missing under [params] or [steps.op_kwargs], or give it a default"
        raise _lasting(TypeError(f"{shown} cannot be called: {error}; {mend}")) from None
    return kwargs


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _shown(signature: inspect.Signature) -> str:
    """The signature without its types, which make it long."""
    bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    text = str(signature.replace(parameters=bare, return_annotation=signature.empty))
    return text if len(text) <= MAX_SIGNATURE else f"{text[:MAX_SIGNATURE]}…)"


def _listed(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def _call(function: Function, ctx: StepContext, kwargs: dict[str, Any], flavour: str) -> Any:
    call = _call_trio if flavour == "trio" else _call_asyncio
    try:
        if inspect.iscoroutinefunction(function):
            return call(function(ctx, **kwargs), ctx)
        with ctx.canceler.interrupting_main_thread():
            result = function(ctx, **kwargs)
        # A decorator that is no `async def` itself hides that what it wraps is one.
        return call(result, ctx) if inspect.iscoroutine(result) else result
    except BaseExceptionGroup as error:
        # What a task group or a nursery makes of tasks that were all asked to stop.
        if ctx.is_cancelled() and error.split(lambda leaf: type(leaf).__name__ in _STOPS)[1] is None:
            raise StepCanceled from None
        raise


_STOPS = ("StepCanceled", "CancelledError")


def _call_asyncio(coroutine: Coroutine[Any, Any, Any], ctx: StepContext) -> Any:
    import asyncio

    async def main() -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        with ctx.canceler.armed(lambda: loop.call_soon_threadsafe(task.cancel)):
            return await coroutine

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        if ctx.is_cancelled():
            raise StepCanceled from None
        raise


def _call_trio(coroutine: Coroutine[Any, Any, Any], ctx: StepContext) -> Any:
    import trio

    async def main() -> Any:
        token = trio.lowlevel.current_trio_token()
        with (
            trio.CancelScope() as scope,
            ctx.canceler.armed(lambda: token.run_sync_soon(scope.cancel)),
        ):
            return await coroutine
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
        where = f"{foreign}; return numbers, text, lists and dicts" if (foreign := _foreign(value)) else error
        raise _lasting(TypeError(f"{target} returned a dict that is no JSON: {where}")) from None
    if len(text) > MAX_OUTPUT or _is_deep(value):
        raise _lasting(
            TypeError(
                f"{target} returned more than {MAX_OUTPUT // 1024} KiB of JSON, or more than {MAX_DEPTH} levels of it; "
                f"write it to a table or a file, and return where it is"
            )
        )
    output: dict[str, Any] = json.loads(text)
    return output


def _foreign(value: Any, path: str = "", levels: int = MAX_DEPTH) -> str | None:
    """Where a value holds something that JSON has not, and what that is."""
    if value is None or isinstance(value, str | int) or levels == 0:
        return None
    if isinstance(value, float):
        return None if value - value == 0 else f"{path} is {value}"
    if isinstance(value, dict):
        if strange := [key for key in value if not isinstance(key, str | int | float | bool | None)]:
            return f"{path or 'it'} has a {type(strange[0]).__name__} for a key"
        items = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(f"{path}[{number}]", item) for number, item in enumerate(value)]
    else:
        return f"{path} is a {type(value).__name__}"
    return next((found for where, item in items if (found := _foreign(item, where, levels - 1))), None)


def _is_deep(value: Any, levels: int = MAX_DEPTH) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list | tuple) and (levels == 0 or any(_is_deep(item, levels - 1) for item in value))


def _lasting[E: Exception](error: E) -> E:
    """Mark an error that no other try of the same code would end otherwise."""
    error.__dict__["lasting"] = "the code stays as it is"
    return error
