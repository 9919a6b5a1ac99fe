"""What a person is told of a step's error: one line that says it, and where in their own code it came from."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator

import nomaflow
from nomaflow.worker.protocol import MAX_LINE

MAX_TRACEBACK = 262_144
"""What is left of a longer error: its beginning and, since the cause stands there, more of its end."""

_NOT_THEIRS = (
    os.path.join(os.path.dirname(os.path.realpath(nomaflow.__file__)), ""),
    *(os.path.join(os.path.dirname(os.path.realpath(os.__file__)), name, "") for name in ("asyncio", "importlib")),
    "<frozen importlib",
    "<frozen runpy",
)


def described(error: BaseException, import_root: str | None) -> dict[str, str]:
    """The error as it is sent: its type, the first line of its message, and a traceback that may be empty.

    Args:
        error: what ended the step.
        import_root: where the step's own code is; None for a step that has none, of which only a fault of this program
            is told with a traceback: what databases and programs answer is in the message.
    """
    try:
        message = str(error).strip()
    except Exception as inner:
        message = f"({type(inner).__qualname__} while its message was made)"
    if isinstance(doing := getattr(error, "doing", None), str):
        message = f"{doing}: {message}"
    first, _, rest = message.partition("\n")
    trace = rest if import_root is None and type(error).__module__ != "builtins" else _trace(error, import_root)
    if len(trace) > MAX_TRACEBACK:
        trace = f"{trace[: MAX_TRACEBACK // 4]}\n…\n{trace[-MAX_TRACEBACK * 3 // 4 :]}"
    return {"type": type(error).__qualname__, "message": first.rstrip()[:MAX_LINE], "traceback": trace}


def _trace(error: BaseException, import_root: str | None) -> str:
    told = traceback.TracebackException.from_exception(error)
    if import_root is not None:
        root = os.path.join(os.path.realpath(import_root), "")
        for one in _chain(told):
            one.stack = _from_their_code(one.stack, root)
    text = "".join(told.format())
    # Without a frame it is type and message again, but for the place of a syntax error and a message's later lines.
    bare = not any(one.stack for one in _chain(told))
    text = text.removeprefix("Traceback (most recent call last):\n") if bare else text
    return "" if bare and text.count("\n") == 1 else text


def _chain(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """An error with its causes, contexts and parts."""
    waiting: list[traceback.TracebackException | None] = [told]
    while waiting:
        if one := waiting.pop():
            yield one
            waiting += [one.__cause__, one.__context__, *(one.exceptions or ())]


def _from_their_code(stack: traceback.StackSummary, root: str) -> traceback.StackSummary:
    """The frames from the first one in the step's own code on; without one, those that are not the worker's."""
    paths = [os.path.realpath(frame.filename) if os.path.isabs(frame.filename) else frame.filename for frame in stack]
    own = next((number for number, path in enumerate(paths) if path.startswith(root)), None)
    if own is None:
        own = next((number for number, path in enumerate(paths) if not path.startswith(_NOT_THEIRS)), len(stack))
    return traceback.StackSummary.from_list(stack[own:])
