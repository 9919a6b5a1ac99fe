"""What is told of a step's error."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from nomaflow.definitions.sql_text import StatementError
from nomaflow.steps.databases import open_database
from nomaflow.worker.failures import described
from tests.worker.processes import Code, run, worker_at


@pytest.fixture
def code(tmp_path: Path) -> Code:
    """An empty home."""
    return Code(tmp_path)


@pytest.mark.parametrize("flavour", ["", "async "])
async def test_a_traceback_begins_in_the_steps_own_code(code: Code, flavour: str) -> None:
    """The frames of the worker and of asyncio above it are nobody's; those of libraries below it stay."""
    code.write(f"""
        import json
        {flavour}def main(ctx):
            try:
                json.loads("nonsense")
            except ValueError as error:
                raise RuntimeError("no file") from error
    """)
    async with worker_at(code.home) as worker:
        failed = (await run(worker, code.step())).end["failed"]
    frames = [line.split(",")[0].strip() for line in failed["traceback"].splitlines() if line.startswith("  File")]
    assert frames[0] == f'File "{code.root}/steps.py"'
    assert frames[-1] == f'File "{code.root}/steps.py"'
    assert any("json/decoder.py" in frame for frame in frames)
    assert not any("nomaflow/" in frame or "asyncio" in frame for frame in frames)
    assert "direct cause" in failed["traceback"]


async def test_a_module_that_cannot_be_loaded_is_told_without_the_importers_frames(code: Code) -> None:
    """A syntax error shows its line; a missing module is one sentence."""
    code.write("def main(:\n", "broken")
    async with worker_at(code.home) as worker:
        broken = (await run(worker, code.step(module="broken"))).end["failed"]
        gone = (await run(worker, code.step(module="gone"))).end["failed"]
    assert broken["traceback"].startswith(f'  File "{code.root}/broken.py", line 1\n')
    message = "the module gone could not be imported: No module named 'gone'"
    assert (gone["type"], gone["message"], gone["traceback"]) == ("ModuleNotFoundError", message, "")


def test_what_steps_and_databases_say_needs_no_traceback() -> None:
    """The message says it; its first line is the message, the others follow in the log."""
    assert described(StatementError("Two statements."), None)["traceback"] == ""
    database = open_database({"name": "x", "backend": "duckdb", "database": ":memory:"})
    with pytest.raises(Exception, match="selct") as caught:
        database.execute("selct 1")
    database.close()
    failed = described(caught.value, None)
    assert "\n" not in failed["message"]
    assert "selct" in failed["message"]
    assert "LINE 1: selct 1" in failed["traceback"]
    assert "Traceback" not in failed["traceback"]


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    """Nobody could find it otherwise."""
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    assert described(caught.value, None)["traceback"].startswith("Traceback")


async def test_asyncio_says_nothing_of_its_loop(code: Code) -> None:
    """A run at DEBUG shows what the step says, unless the step asks for more."""
    code.write(
        textwrap.dedent("""
        import logging
        async def main(ctx): ctx.log.debug("mine")
        async def more(ctx): pass
    """)
    )
    async with worker_at(code.home) as worker:
        told = await run(worker, code.step(log_level="DEBUG"))
    assert "mine" in told.texts
    assert not [text for text in told.texts if "selector" in text]
