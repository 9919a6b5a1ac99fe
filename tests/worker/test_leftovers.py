"""Processes that outlive what started them: found by their mark and ended, whatever they ignore."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from nomaflow.worker import process_group
from nomaflow.worker.process_group import HOME_MARK, WORKER_MARK, mark_of, marked, sweep
from tests.worker.processes import Code, is_alive, pool_at, run, running, until, worker_at

ENGINE = """
import sys, trio
from pathlib import Path
from tests.worker.processes import Code, Told
from nomaflow.worker.pool import WorkerPool

async def main():
    code = Code.__new__(Code)
    code.home, code.root = Path(sys.argv[1]), Path(sys.argv[1], "jobs")
    async with trio.open_nursery() as nursery:
        worker = await WorkerPool(code.home, nursery).acquire("job")
        told = Told()
        nursery.start_soon(worker.run_step, code.step(), told.take)
        child = await told.line("child")
        print(worker.pid, child.split()[1], flush=True)
        await trio.sleep_forever()

trio.run(main)
"""

HOLDS_THE_INTERPRETER = """
    import ctypes, os, subprocess, sys, time
    from pathlib import Path
    def main(ctx):
        bare = {"PATH": os.environ["PATH"]}
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        subprocess.Popen(["sleep", "600"], env=bare)
        print("child", child.pid, flush=True)
        time.sleep(0.2)
        Path(ctx.home, "holds").touch()
        # C code that keeps the lock of the interpreter: no thread of the worker runs meanwhile.
        ctypes.PyDLL(None).sleep(600)
"""


@pytest.fixture
def code(tmp_path: Path) -> Code:
    return Code(tmp_path)


@pytest.fixture
def orphans(code: Code) -> Iterator[tuple[int, int]]:
    """A worker that cannot hear that its engine is killed, and its child in a session of its own."""
    code.write(HOLDS_THE_INTERPRETER)
    command = [sys.executable, "-c", ENGINE, str(code.home)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as engine:
        assert engine.stdout is not None
        worker, child = map(int, engine.stdout.readline().split())
        while not (code.home / "holds").exists():
            time.sleep(0.01)
        engine.kill()
    yield worker, child
    process_group.kill([*process_group.members(worker), child])


def test_a_worker_that_outlives_its_engine_is_swept(code: Code, orphans: tuple[int, int]) -> None:
    """With all that it has started: children in other sessions, and such as have another environment."""
    worker, child = orphans
    assert is_alive(worker)
    assert is_alive(child)
    swept = sweep(mark_of(code.home))
    assert {worker, child} < set(swept.found)
    assert len(swept.found) == 3
    assert swept.left == []
    assert not any(map(is_alive, swept.found))
    assert sweep(mark_of(code.home)) == ([], [])


def test_other_homes_are_left_alone(tmp_path: Path, orphans: tuple[int, int]) -> None:
    """The mark is of one home, by whatever path it is reached."""
    (tmp_path / "link").symlink_to(tmp_path)
    assert mark_of(tmp_path / "link") == mark_of(tmp_path)
    assert mark_of(tmp_path / "jobs") != mark_of(tmp_path)
    assert sweep(mark_of(tmp_path / "jobs")) == ([], [])
    assert is_alive(orphans[0])


async def test_who_sweeps_does_not_end_itself(code: Code) -> None:
    """Nor its own workers, nor what has started it: an engine may be started by a step."""
    code.write("""
        import os, subprocess, sys
        def main(ctx):
            look = "from nomaflow.worker.process_group import sweep; import sys; print(sweep(sys.argv[1]))"
            mark = os.environ["NOMAFLOW_WORKER_OF"]
            done = subprocess.run([sys.executable, "-c", look, mark], capture_output=True, text=True, check=True)
            return {"said": done.stdout}
    """)
    async with worker_at(code.home) as worker:
        assert sweep(mark_of(code.home)) == ([], [])
        end = (await run(worker, code.step())).end
        assert end["done"]["output"]["said"] == "Swept(found=[], left=[])\n"
        assert worker.is_alive()


def test_what_cannot_be_killed_is_told(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hangs in the kernel keeps nobody waiting for ever."""
    monkeypatch.setattr(process_group, "SWEEP_SECONDS", 0.1)
    monkeypatch.setattr(process_group, "kill", lambda pids: None)
    environment = {HOME_MARK: "a-home", "PATH": os.environ["PATH"]}
    # In a session of its own, as one that an engine of before has left; not a descendant, since a shell is between.
    script = "setsid sleep 600 >/dev/null 2>&1 & echo $!"
    pid = int(subprocess.run(["sh", "-c", script], env=environment, capture_output=True, check=True).stdout)
    try:
        assert sweep("a-home") == ([pid], [pid])
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_a_daemon_of_a_step_ends_with_its_worker(code: Code) -> None:
    """Also where the worker is gone first: then nobody is its ancestor, and only the mark finds it."""
    code.write("""
        import subprocess, time
        def main(ctx):
            made = subprocess.run("setsid sleep 600 >/dev/null 2>&1 & echo $!", shell=True, capture_output=True)
            print("child", int(made.stdout)); time.sleep(600)
    """)
    async with worker_at(code.home) as worker:
        async with running(worker, code.step()) as told:
            child = int((await told.line("child")).split()[1])
            os.kill(worker.pid, signal.SIGTERM)
            await until(lambda: not worker.is_alive())
        assert is_alive(child)
        assert await worker.kill() == []
        assert not is_alive(child)


async def test_a_daemon_of_a_shell_step_ends_with_its_worker(code: Code) -> None:
    """A program sees few variables; the mark is among them."""
    async with worker_at(code.home) as worker:
        script = "setsid sleep 600 >/dev/null 2>&1 & echo child $!; sleep 600"
        async with running(worker, code.shell("sh", "-c", script)) as told:
            child = int((await told.line("child")).split()[1])
            os.kill(worker.pid, signal.SIGKILL)
        assert is_alive(child)
        assert await worker.kill() == []
        assert not is_alive(child)


async def test_a_forked_child_does_not_hide_the_end_of_its_worker(code: Code) -> None:
    """It holds the pipe's other end open, so that nothing but the worker's own end tells that it is over."""
    code.write("""
        import os, time
        def main(ctx):
            print("begun", flush=True)
            pid = os.fork()
            if pid == 0:
                os.setsid(); time.sleep(600); os._exit(0)
            print("child", pid)
            time.sleep(0.2)
            os._exit(3)
    """)
    async with worker_at(code.home) as worker:
        with trio.fail_after(10):
            told = await run(worker, code.step())
        assert told.end == {"died": "the worker process ended with exit code 3"}
        child = int(next(text for text in told.texts if text.startswith("child")).split()[1])
        assert is_alive(child)
        assert await worker.kill() == []
        assert not is_alive(child)


async def test_each_worker_has_a_mark_of_its_own(code: Code) -> None:
    """What one of them has started is not taken for another's."""
    async with pool_at(code.home) as pool:
        workers = [await pool.acquire("job") for _ in range(2)]
        marks = {worker._mark for worker in workers}
        assert len(marks) == 2
        assert [marked(WORKER_MARK, worker._mark) for worker in workers] == [[worker.pid] for worker in workers]
        assert set(marked(HOME_MARK, mark_of(code.home))) == {worker.pid for worker in workers}
        for worker in workers:
            await pool.release(worker, clean=False)


def test_a_session_that_somebody_else_leads_is_left_alone() -> None:
    """A carrier ends, whoever is in a session with it does not."""
    script = "sleep 600 >/dev/null 2>&1 & NOMAFLOW_WORKER_OF=a-mark sleep 600 >/dev/null 2>&1 & echo $!; wait"
    with subprocess.Popen(["setsid", "sh", "-c", script], stdout=subprocess.PIPE) as leader:
        assert leader.stdout is not None
        carrier = int(leader.stdout.readline())
        # Not a child of ours any more, as those are left alone.
        look = "import sys; from nomaflow.worker.process_group import sweep; print(sweep('a-mark').found)"
        try:
            while marked(HOME_MARK, "a-mark") != [carrier]:
                time.sleep(0.01)
            command = ["setsid", "--fork", "--wait", sys.executable, "-c", look]
            found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            assert found == f"[{carrier}]\n"
            assert len(process_group.members(leader.pid)) == 2
        finally:
            process_group.kill(process_group.members(leader.pid))


def test_an_unmarked_process_is_not_found() -> None:
    """A value that only begins so is another one."""
    environment = {"A_MARK": "value-and-more", "PATH": os.environ["PATH"]}
    with subprocess.Popen(["sleep", "60"], env=environment) as process:
        assert marked("A_MARK", "value-and-more") in ([process.pid], [])  # the moment before its exec
        assert marked("A_MARK", "value") == []
        process.kill()
