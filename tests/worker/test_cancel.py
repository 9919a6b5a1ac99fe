"""Stopping a step on a real worker: softly, by force, and when nobody is left to ask."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio

from nomaflow.worker import process_group
from tests.servers.postgresql import Server
from tests.worker.processes import Code, Told, is_alive, pool_at, run, running, until, worker_at

SOFT_SECONDS = 0.5


@pytest.fixture
def code(tmp_path: Path) -> Code:
    return Code(tmp_path)


SOFT = {
    "time.sleep": "import time\ndef main(ctx):\n    print('begun'); time.sleep(60)",
    "a loop": "def main(ctx):\n    print('begun')\n    while True: pass",
    "asyncio.sleep": "import asyncio\nasync def main(ctx):\n    print('begun'); await asyncio.sleep(60)",
    "a child": "import subprocess\ndef main(ctx):\n    print('begun'); subprocess.run(['sleep', '60'])",
    "a lock": "import threading\ndef main(ctx):\n    print('begun'); threading.Event().wait()",
    "code that goes on after exceptions": """
def main(ctx):
    print('begun')
    while True:
        try: ctx.checkpoint()
        except Exception: pass
""",
}


@pytest.mark.parametrize("body", SOFT.values(), ids=SOFT.keys())
async def test_a_cancel_interrupts_what_can_be_interrupted(code: Code, body: str) -> None:
    """Within half a second, and the worker takes the next step."""
    code.write(f"{body}\ndef good(ctx): return 1\n")
    async with worker_at(code.home) as worker:
        with trio.fail_after(10):
            async with running(worker, code.step()) as told:
                await told.line("begun")
                begun = trio.current_time()
                await worker.send({"cancel": "user:ana"})
        assert told.end == {"canceled": "user:ana"}
        assert trio.current_time() - begun < SOFT_SECONDS
        assert "done" in (await run(worker, code.step("good"))).end


async def test_no_cancel_is_lost_at_the_edge_of_a_system_call(code: Code) -> None:
    """A signal in the moment before the code goes to sleep does not wake it; the next one does."""
    code.write("import time\ndef main(ctx):\n    print('begun'); time.sleep(60)")
    async with worker_at(code.home) as worker:
        for _ in range(150):
            begun = trio.current_time()
            async with running(worker, code.step()) as told:
                await told.line("begun")
                await worker.send({"cancel": "user:ana"})
            assert told.end == {"canceled": "user:ana"}
            assert trio.current_time() - begun < 5


async def test_clean_up_is_not_interrupted_again(code: Code) -> None:
    """A step is told once; what it does then is its own, however often the cancel is repeated."""
    code.write("""
        import time
        def main(ctx):
            try:
                print("begun"); time.sleep(60)
            finally:
                print("cleaning up"); time.sleep(0.2); print("cleaned up")
    """)
    async with worker_at(code.home) as worker:
        async with running(worker, code.step()) as told:
            await told.line("begun")
            await worker.send({"cancel": "user:ana"})
            await told.line("cleaning up")
            await worker.send({"cancel": "user:ana"})
        assert told.end == {"canceled": "user:ana"}
        assert told.texts == ["begun", "cleaning up", "cleaned up"]


@pytest.mark.parametrize("ends", ["ctx.checkpoint()", "database.execute('SELECT pg_sleep(600)')"])
async def test_a_step_that_stops_by_itself_is_not_interrupted_as_well(
    code: Code, postgresql: Server, ends: str
) -> None:
    """A checkpoint or a canceled statement has told it; its clean-up is its own."""
    code.write(f"""
        import time
        def main(ctx):
            database = ctx.get_connector("db").sync
            try:
                print("begun")
                while True: {ends}
            finally:
                time.sleep(0.3); print("cleaned up")
    """)
    step = code.step() | {"connectors": {"db": {"connector": postgresql.connector("db")}}}
    async with worker_at(code.home) as worker:
        for _ in range(3):
            async with running(worker, step) as told:
                await told.line("begun")
                await trio.sleep(0.1)
                await worker.send({"cancel": "user:ana"})
            assert told.end == {"canceled": "user:ana"}
            assert told.texts[-1] == "cleaned up"


async def test_a_statement_ends_by_its_driver_before_the_code_around_it(code: Code, postgresql: Server) -> None:
    """So that the server is asked and confirms, and the transaction around it is rolled back in good order."""
    code.write("""
        def main(ctx):
            database = ctx.get_connector("db").sync
            with database.transaction():
                database.execute("CREATE TABLE never (a int)")
                print("begun")
                database.execute("SELECT pg_sleep(600)")
    """)
    step = code.step() | {"connectors": {"db": {"connector": postgresql.connector("db")}}}
    async with worker_at(code.home) as worker:
        async with running(worker, step) as told:
            await told.line("begun")
            await trio.sleep(0.1)
            await worker.send({"cancel": "user:ana"})
        assert told.end == {"canceled": "user:ana"}
        assert "stopped: canceling statement due to user request" in told.texts
        assert not any("rolling back failed" in text for text in told.texts)


async def test_a_cancel_reaches_trio_code(code: Code) -> None:
    """Its scope is canceled, so clean-up runs."""
    code.write("""
        import trio
        async def main(ctx):
            try:
                print("begun"); await trio.sleep(60)
            finally:
                print("cleaned up")
    """)
    async with worker_at(code.home) as worker:
        async with running(worker, code.step(flavour="trio")) as told:
            await told.line("begun")
            await worker.send({"cancel": "user:ana"})
        assert told.end == {"canceled": "user:ana"}
        assert told.texts == ["begun", "cleaned up"]


async def test_asyncio_code_sees_cancelled_error(code: Code) -> None:
    """At its next `await`, and may clean up."""
    code.write("""
        import asyncio
        async def main(ctx):
            try:
                print("begun"); await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("sees", ctx.is_cancelled()); raise
    """)
    async with worker_at(code.home) as worker:
        async with running(worker, code.step()) as told:
            await told.line("begun")
            await worker.send({"cancel": "user:ana"})
        assert told.end == {"canceled": "user:ana"}
        assert told.texts == ["begun", "sees True"]


async def test_a_cancel_before_the_first_line_of_code_stops_it(code: Code) -> None:
    """A step that was asked to stop while it was on its way does not begin, however the frames meet."""
    code.write("def main(ctx): print('begun')")
    async with worker_at(code.home) as worker:
        for _ in range(10):
            told = Told()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(worker.send, {"cancel": "user:ana"})
                # Runs until the frame is on its way before anything else does.
                told.end = await worker.run_step(code.step(), told.take)
            # It may have been over before the cancel came; it never hangs, and the next one is untouched.
            assert told.end in ({"canceled": "user:ana"}, {"done": {"output": {}, "rows_affected": None}})
        assert (await run(worker, code.step())).end.keys() == {"done"}


async def test_a_late_cancel_changes_nothing(code: Code) -> None:
    """What comes after the end is for nobody, and the next step does not see it."""
    code.write("def main(ctx): return 1")
    async with worker_at(code.home) as worker:
        await run(worker, code.step())
        await worker.send({"cancel": "user:ana"})
        assert "done" in (await run(worker, code.step())).end


async def test_a_step_that_ends_by_itself_keeps_its_end(code: Code) -> None:
    """A function that hears the cancel and comes to its end all the same has succeeded."""
    code.write("""
        import threading
        async def main(ctx):
            print("begun")
            while not ctx.is_cancelled():
                try: await __import__("asyncio").sleep(0.01)
                except BaseException: pass
            return {"rows_affected": 5}
    """)
    async with worker_at(code.home) as worker:
        async with running(worker, code.step()) as told:
            await told.line("begun")
            await worker.send({"cancel": "user:ana"})
        assert told.end["done"]["rows_affected"] == 5


STUBBORN = """
    import os, signal, subprocess, sys, time
    def main(ctx):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
        child.stdout.readline()
        print("child", child.pid)
        while True:
            try: time.sleep(60)
            except BaseException: print("not me")
"""


async def test_stubborn_code_is_killed_with_its_children(code: Code) -> None:
    """Whatever it ignores, after `kill` the whole group is gone."""
    code.write(STUBBORN)
    async with worker_at(code.home) as worker:
        async with running(worker, code.step()) as told:
            child = int((await told.line("child")).split()[1])
            await worker.send({"cancel": "user:ana"})
            await told.line("not me")
            worker.signal(signal.SIGTERM)
            assert {worker.pid, child} <= set(worker.survivors())
            begun = trio.current_time()
            assert await worker.kill() == []
            assert trio.current_time() - begun < 1
        assert told.end == {"died": "the worker process was ended by SIGKILL"}
        assert not is_alive(child)
        assert worker.survivors() == []


async def test_a_worker_whose_engine_is_gone_ends_with_its_children(code: Code) -> None:
    """The end of its stdin means that nobody is there any more."""
    code.write(STUBBORN)
    async with worker_at(code.home) as worker, running(worker, code.step()) as told:
        child = int((await told.line("child")).split()[1])
        assert worker._process.stdin is not None
        await worker._process.stdin.aclose()
        with trio.fail_after(5):
            await until(lambda: not worker.is_alive() and not is_alive(child))
    assert told.end == {"died": "the worker process was ended by SIGKILL"}


async def test_an_engine_that_dies_while_it_writes_is_gone_too(code: Code) -> None:
    """Half a frame and then the end is the end."""
    async with worker_at(code.home) as worker:
        assert worker._process.stdin is not None
        await worker._process.stdin.send_all(b"\0\0\0\xff{")
        await worker._process.stdin.aclose()
        with trio.fail_after(5):
            await until(lambda: not worker.is_alive())


async def test_a_cancel_that_cannot_be_passed_on_is_told_and_leaves_the_worker_whole(code: Code) -> None:
    """What a hook raises is a line of the log; the worker still hears the next cancel and takes the next step."""
    code.write("""
        import time
        def main(ctx):
            def broken(): raise OSError("the server is gone")
            with ctx.canceler.armed(broken):
                print("begun"); time.sleep(60)
        def good(ctx): return 1
    """)
    async with worker_at(code.home) as worker:
        async with running(worker, code.step()) as told:
            await told.line("begun")
            await worker.send({"cancel": "user:ana"})
        assert told.end == {"canceled": "user:ana"}
        assert "asking the step to stop failed: the server is gone" in told.texts
        assert "done" in (await run(worker, code.step("good"))).end


async def test_shell_children_are_asked_to_end(code: Code) -> None:
    """A program's child that goes on would keep its output open; it is asked to end as well."""
    async with worker_at(code.home) as worker:
        async with running(worker, code.shell("sh", "-c", "sleep 60 & echo child $!; wait; true")) as told:
            child = int((await told.line("child")).split()[1])
            begun = trio.current_time()
            await worker.send({"cancel": "user:ana"})
        assert told.end == {"canceled": "user:ana"}
        assert trio.current_time() - begun < SOFT_SECONDS
        with trio.fail_after(5):
            # It has closed the pipe, and may not be through with its end.
            await until(lambda: not is_alive(child))


async def test_what_a_step_leaves_behind_is_found(code: Code) -> None:
    """Children, and orphans of children: the worker is not used again, and they are gone with it."""
    code.write("""
        import subprocess
        def child(ctx): return {"pid": subprocess.Popen(["sleep", "60"]).pid}
        def by_shell(line):
            return {"pid": int(subprocess.run(line, shell=True, capture_output=True).stdout)}
        def orphan(ctx): return by_shell("sleep 60 >/dev/null 2>&1 & echo $!")
        def daemon(ctx): return by_shell("setsid sleep 60 >/dev/null 2>&1 & echo $!")
        def nothing(ctx): subprocess.run(["true"])
    """)
    async with pool_at(code.home) as pool:
        for name, is_clean in [("nothing", True), ("child", False), ("orphan", False), ("daemon", False)]:
            worker = await pool.acquire("job")
            end = (await run(worker, code.step(name))).end
            assert "done" in end, end
            assert worker.has_children() is not is_clean
            await pool.release(worker, clean=True)
            assert worker.is_alive() is is_clean
            if not is_clean and name != "daemon":
                assert not is_alive(end["done"]["output"]["pid"])
            if name == "daemon":  # it has left the session, so the group's end did not reach it
                os.kill(end["done"]["output"]["pid"], signal.SIGKILL)


def test_descendants_are_found() -> None:
    """Children and theirs; none of a process that is not there."""
    assert process_group.descendants(2**22 + 1) == []
    assert os.getpid() in process_group.descendants(os.getppid())


async def test_no_group_is_no_error() -> None:
    """A group that is gone has no members and takes no signals."""
    gone = 2**22 + 1
    assert process_group.members(gone) == []
    assert process_group.signal_group(gone, signal.SIGTERM) is False
    assert process_group.has_children(gone) is False
