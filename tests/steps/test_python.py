"""`python` steps without a worker around them; `tests/worker` runs them on real ones."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nomaflow.steps import python
from nomaflow.worker.context import StepCanceled
from tests.fakes.context import step_context

Step = Callable[..., dict[str, Any] | None]


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Step:
    """Run a function of a module of the test's own: `step(code, function)`."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = f"module_{abs(hash(request.node.nodeid))}"

    def run(code: str, function: str = "main", *, ctx: Any = None, **options: Any) -> dict[str, Any] | None:
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        context = ctx or step_context(params=options.pop("params", {}))[0]
        return python.run(context, {"import_root": str(tmp_path), "callable": f"{module}:{function}", **options})

    return run


@pytest.mark.parametrize(
    ("returned", "output"),
    [
        ("None", None),
        ("5", {"rows_affected": 5}),
        ("0", {"rows_affected": 0}),
        ("{}", {}),
        ("{'a': (1, 2)}", {"a": [1, 2]}),
        ("{1: 'x'}", {"1": "x"}),
    ],
)
def test_an_output_is_json(step: Step, returned: str, output: dict[str, Any] | None) -> None:
    """An int says how many rows; a dict is stored as JSON stores it."""
    assert step(f"def main(ctx): return {returned}") == output


@pytest.mark.parametrize("returned", ["True", "'text'", "[1]", "1.5", "print", "{'a': print}", "{'a': float('inf')}"])
def test_another_output_is_a_type_error(step: Step, returned: str) -> None:
    """With the callable's name, since the traceback does not show it."""
    with pytest.raises(TypeError, match=r"^module_\d+:main returned a "):
        step(f"def main(ctx): return {returned}")


@pytest.mark.parametrize(
    ("signature", "got"),
    [
        ("ctx", {}),
        ("ctx, a", {"a": 1}),
        ("ctx, *, b=0", {"b": 2}),
        ("ctx, a, **rest", {"a": 1, "b": 2, "c": 3}),
        ("ctx, /, c", {"c": 3}),
        ("ctx, missing=9", {"missing": 9}),
    ],
)
def test_kwargs_are_filtered_by_the_signature(step: Step, signature: str, got: dict[str, Any]) -> None:
    """A function is given what it names; `**` takes all."""
    code = f"""
        def main({signature}):
            got = dict(locals())
            del got["ctx"]
            return got.pop("rest", {{}}) | got
    """
    assert step(code, params={"a": 1, "b": 2, "c": 3}) == got


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("ctx, period: str", "(ctx, period) cannot be called: missing a required argument: 'period'; declare what is"),
        ("ctx, *, a, period", "(ctx, *, a, period) cannot be called: missing a required"),
        ("ctx, /, ctx2, a=1", "(ctx, /, ctx2, a=1) cannot be called: missing a required argument: 'ctx2'"),
        ("", "() takes nothing; its first parameter must be for the context, as in def main(ctx, **_)"),
        ("*, a", "(*, a) takes nothing; its first parameter must be for the context"),
    ],
)
def test_a_wrong_signature_is_shown(step: Step, signature: str, message: str) -> None:
    """As the function has it, without its types, and with what to do."""
    with pytest.raises(TypeError, match=rf"^module_\d+:main{re.escape(message)}"):
        step(f"def main({signature}): ...", params={"a": 1})


def test_what_only_the_step_was_given_must_be_named(step: Step) -> None:
    """A misspelled op_kwarg would change nothing, silently; job params are for all steps."""
    code = """
        def main(ctx, *, dry_run=True): return {"dry_run": dry_run}
        def takes_all(ctx, **more): return more
        def looks_itself(ctx): return ctx.params
    """
    params = {"dry_rum": False, "apps_id": 10}
    with pytest.raises(TypeError, match=r"main\(ctx, \*, dry_run=True\) takes no dry_rum, which the step's op_kwargs"):
        step(code, params=params, own=["dry_rum"])
    assert step(code, params=params) == {"dry_run": True}
    for function in ("takes_all", "looks_itself"):
        assert step(code, function, params=params, own=["dry_rum"]) == params


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("{'days': [date(2026, 1, 1)]}", "days[0] is a date; return numbers, text"),
        ("{'a': {'b': {1}}}", "a.b is a set"),
        ("{'a': float('nan')}", "a is nan"),
        ("{date(2026, 1, 1): 1}", "it has a date for a key"),
        ("{'a': {(1, 2): 1}}", "a has a tuple for a key"),
    ],
)
def test_what_is_no_json_is_named(step: Step, returned: str, message: str) -> None:
    """By its place in what came back."""
    with pytest.raises(TypeError, match=rf"returned a dict that is no JSON: {re.escape(message)}"):
        step(f"from datetime import date\ndef main(ctx): return {returned}")


def test_debug_names_the_call_without_its_values(step: Step) -> None:
    """A value may be a secret."""
    ctx, told = step_context(params={"password": "s3cret", "n": 1}, log_level="DEBUG")
    step("def main(ctx, password, n): ...", ctx=ctx)
    assert told.line("▶").endswith(":main(n, password)")
    assert not [line for line in told.lines if "s3cret" in line]


@pytest.mark.parametrize("flavour", ["asyncio", "trio"])
def test_async_code_runs_on_its_loop(step: Step, flavour: str) -> None:
    """asyncio by default, trio where the step says so."""
    code = "import sniffio\nasync def main(ctx): return {'on': sniffio.current_async_library()}"
    assert step(code, flavour=flavour) == {"on": flavour}


WAITS = """
    import {library}
    async def main(ctx):
        ctx.log.info("begun")
        await {library}.sleep(60)
"""


@pytest.mark.parametrize("flavour", ["asyncio", "trio"])
def test_a_cancel_from_another_thread_stops_async_code(step: Step, flavour: str) -> None:
    """Wherever it awaits."""
    ctx, told = step_context()
    told.on_line = lambda line: threading.Thread(target=ctx.canceler.cancel, args=("user:ana",)).start()
    with pytest.raises(StepCanceled):
        step(WAITS.format(library=flavour), ctx=ctx, flavour=flavour)


@pytest.mark.parametrize("flavour", ["asyncio", "trio"])
def test_a_cancel_that_came_before_stops_async_code_at_its_first_await(step: Step, flavour: str) -> None:
    """Nothing is lost between the request and the loop's start."""
    ctx, _ = step_context()
    ctx.canceler.cancel("user:ana")
    with pytest.raises(StepCanceled):
        step(WAITS.format(library=flavour), ctx=ctx, flavour=flavour)


def test_a_plain_function_does_not_begin_after_a_cancel(step: Step) -> None:
    """It has no await at which it could be stopped."""
    ctx, told = step_context()
    ctx.canceler.cancel("user:ana")
    usual = signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # a worker has a handler for it
    try:
        with pytest.raises(StepCanceled):
            step("def main(ctx): ctx.log.info('begun')", ctx=ctx)
    finally:
        for thread in threading.enumerate():
            if thread.name == "interrupt":
                thread.join()
        signal.signal(signal.SIGUSR1, usual)
    assert told.lines == []


def test_code_that_cancels_itself_has_failed(step: Step) -> None:
    """A CancelledError that nobody asked for is an error like another."""
    with pytest.raises(asyncio.CancelledError):
        step("import asyncio\nasync def main(ctx): raise asyncio.CancelledError")


def test_a_step_that_ends_by_itself_keeps_its_end(step: Step) -> None:
    """What returns although it was canceled has returned."""
    ctx, told = step_context()
    told.on_line = lambda line: ctx.canceler.cancel("user:ana")
    code = """
        import asyncio
        async def main(ctx):
            ctx.log.info("begun")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return 5
    """
    assert step(code, ctx=ctx) == {"rows_affected": 5}


@pytest.mark.parametrize("target", ["nomaflow.steps.shell:run", "os:system", "subprocess:run"])
def test_a_step_calls_only_code_of_the_home(tmp_path: Path, target: str) -> None:
    """A job's text alone must not reach a library: it would be a shell without its grant."""
    with pytest.raises(ImportError, match="no code of this home"):
        python.run(step_context()[0], {"import_root": str(tmp_path), "callable": target})


def test_a_name_that_a_module_only_imports_is_none_of_its_own(step: Step) -> None:
    """Neither is a library's function that the home's module happens to have imported."""
    with pytest.raises(ImportError, match="no code of this home"):
        step("from nomaflow.steps import shell", "shell.run")
