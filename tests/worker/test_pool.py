"""Which worker is used again, for whom, and when a fresh one is taken."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import pytest
import trio

from nomaflow.worker import pool as pools
from nomaflow.worker.pool import WorkerError
from tests.worker.processes import Code, is_alive, pool_at, run, until

NUMBER = "NUMBER = {}\ndef main(ctx): return {{'number': NUMBER}}\n"


@pytest.fixture
def code(tmp_path: Path) -> Code:
    return Code(tmp_path)


async def test_a_clean_worker_is_used_again(code: Code) -> None:
    """It is ready at once and keeps what it has imported."""
    code.write("LOADED = []\ndef main(ctx): LOADED.append(1); return {'times': len(LOADED)}\n")
    async with pool_at(code.home) as pool:
        pids, times = set(), []
        for _ in range(3):
            worker = await pool.acquire("job")
            worker.ran_code_of = "job"
            pids.add(worker.pid)
            times.append((await run(worker, code.step())).end["done"]["output"]["times"])
            assert await pool.release(worker, clean=True) == []
        assert (len(pids), times) == (1, [1, 2, 3])


async def test_a_worker_with_one_jobs_code_is_not_given_to_another_job(code: Code) -> None:
    """Neither state nor secrets of one job's Python reach another's."""
    async with pool_at(code.home) as pool:
        first = await pool.acquire("one")
        first.ran_code_of = "one"
        await pool.release(first, clean=True)
        other = await pool.acquire("two")
        again = await pool.acquire("one")
        assert other.pid != first.pid
        assert again is first
        for worker in (other, again):
            await pool.release(worker, clean=False)


async def test_a_worker_without_code_serves_any_job(code: Code) -> None:
    """SQL steps leave nothing behind."""
    async with pool_at(code.home) as pool:
        first = await pool.acquire("one")
        await pool.release(first, clean=True)
        assert await pool.acquire("two") is first
        await pool.release(first, clean=False)


async def test_a_worker_that_is_not_clean_is_killed(code: Code) -> None:
    """And the next one is another."""
    async with pool_at(code.home) as pool:
        first = await pool.acquire("job")
        assert await pool.release(first, clean=False) == []
        assert not is_alive(first.pid)
        second = await pool.acquire("job")
        assert second.pid != first.pid
        await pool.release(second, clean=False)


async def test_a_worker_that_died_while_it_waited_is_not_given_out(code: Code) -> None:
    """The kernel may have ended it for its memory; the next run is not its victim."""
    async with pool_at(code.home) as pool:
        first = await pool.acquire("job")
        await pool.release(first, clean=True)
        os.kill(first.pid, signal.SIGKILL)
        # For a moment the kernel shows a process as dead that cannot be reaped yet: its other threads still end.
        await until(lambda: not first.is_alive())
        second = await pool.acquire("job")
        assert second is not first
        await pool.release(second, clean=False)


async def test_a_worker_is_replaced_in_time(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    """What libraries leak does not pile up."""
    monkeypatch.setattr(pools, "MAX_STEPS", 2)
    code.write("def main(ctx): return 1")
    async with pool_at(code.home) as pool:
        worker = await pool.acquire("job")
        await run(worker, code.step())
        await pool.release(worker, clean=True)
        assert await pool.acquire("job") is worker
        await run(worker, code.step())
        await pool.release(worker, clean=True)
        assert not is_alive(worker.pid)


async def test_a_spare_one_is_made_when_the_last_is_taken(code: Code) -> None:
    """The next launch does not wait for an interpreter."""
    async with pool_at(code.home, spares=1) as pool:
        await pool.fill()
        first = await pool.acquire("one")
        await until(lambda: len(pool._idle) == 1)
        (spare,) = pool._idle
        assert await pool.acquire("two") is spare
        for worker in (first, spare):
            await pool.release(worker, clean=False)


async def test_closing_ends_those_that_wait(code: Code) -> None:
    """And one that comes back later."""
    async with pool_at(code.home) as pool:
        waiting, out = await pool.acquire("one"), await pool.acquire("two")
        await pool.release(waiting, clean=True)
        await pool.close()
        assert not is_alive(waiting.pid)
        await pool.release(out, clean=True)
        assert not is_alive(out.pid)


async def test_changed_code_makes_a_worker_stale(code: Code) -> None:
    """A file under the import root that was loaded and has changed: the next step needs a fresh worker."""
    code.write(NUMBER.format(1))
    async with pool_at(code.home) as pool:
        worker = await pool.acquire("job")
        assert (await run(worker, code.step())).end["done"]["output"] == {"number": 1}
        assert (await run(worker, code.step())).end["done"]["output"] == {"number": 1}
        code.write(NUMBER.format(2))
        assert (await run(worker, code.step())).end == {"stale": True}
        await pool.release(worker, clean=False)
        fresh = await pool.acquire("job")
        assert (await run(fresh, code.step())).end["done"]["output"] == {"number": 2}
        await pool.release(fresh, clean=False)


async def test_code_that_changes_while_it_runs_makes_a_worker_stale(code: Code) -> None:
    """The step that began before keeps what it has loaded; the next one does not."""
    code.write("""
        from pathlib import Path
        def main(ctx): Path(__file__).write_text("def main(ctx): return 2")
    """)
    async with pool_at(code.home) as pool:
        worker = await pool.acquire("job")
        assert "done" in (await run(worker, code.step())).end
        assert (await run(worker, code.step())).end == {"stale": True}
        await pool.release(worker, clean=False)


async def test_code_that_is_gone_makes_a_worker_stale(code: Code) -> None:
    """Also when the step itself removed it: the worker lives on to say so."""
    code.write("""
        from pathlib import Path
        def main(ctx): Path(__file__).unlink()
    """)
    async with pool_at(code.home) as pool:
        worker = await pool.acquire("job")
        assert "done" in (await run(worker, code.step())).end
        assert (await run(worker, code.step())).end == {"stale": True}
        await pool.release(worker, clean=False)


async def test_a_home_behind_a_link_is_watched_too(code: Code) -> None:
    """Loaded files are compared by where they really are."""
    link = code.home / "link"
    link.symlink_to(code.root)
    code.write(NUMBER.format(1))
    step = code.step(import_root=str(link)) | {"import_root": str(link)}
    async with pool_at(code.home) as pool:
        worker = await pool.acquire("job")
        assert "done" in (await run(worker, step)).end
        code.write(NUMBER.format(2))
        assert (await run(worker, step)).end == {"stale": True}
        await pool.release(worker, clean=False)


async def test_a_changed_file_elsewhere_is_nobodys_business(code: Code) -> None:
    """Modules that the step did not load, and data beside them, may change."""
    code.write(NUMBER.format(1))
    async with pool_at(code.home) as pool:
        worker = await pool.acquire("job")
        await run(worker, code.step())
        code.write("X = 1", "other")
        (code.root / "data.csv").write_text("1")
        assert "done" in (await run(worker, code.step())).end
        await pool.release(worker, clean=False)


async def test_nothing_is_written_beside_the_jobs(code: Code) -> None:
    """No bytecode in the folder that lies in git."""
    code.write(NUMBER.format(1))
    async with pool_at(code.home) as pool:
        worker = await pool.acquire("job")
        await run(worker, code.step())
        await pool.release(worker, clean=False)
    assert [path.name for path in code.root.iterdir()] == ["steps.py"]


async def test_a_home_that_hides_a_library_does_not_break_a_worker(code: Code) -> None:
    """A `logging.py` at the home's root is not what the worker imports."""
    (code.home / "logging.py").write_text("raise RuntimeError('not me')")
    async with pool_at(code.home) as pool:
        await pool.release(await pool.acquire("job"), clean=False)


async def test_a_worker_that_cannot_start_is_told(
    code: Code, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With how it ended; a spare one that fails is no disaster."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    async with pool_at(code.home, spares=1) as pool:
        with pytest.raises(WorkerError, match="ended before it was ready: the worker process ended with exit code 1"):
            await pool.acquire("job")
        with caplog.at_level(logging.ERROR):
            await pool.fill()
    assert "no spare worker" in caplog.text


async def test_few_wait_at_once(code: Code) -> None:
    """What a burst has needed is given back to the machine."""
    limit = max(1, (os.cpu_count() or 1) * 2)
    async with pool_at(code.home) as pool:
        workers = [await pool.acquire("job") for _ in range(limit + 2)]
        for worker in workers:
            await pool.release(worker, clean=True)
        assert sum(is_alive(worker.pid) for worker in workers) == limit


async def test_garbage_instead_of_frames_ends_the_worker(code: Code) -> None:
    """C code that writes into the frames' pipe ends its own worker, not the engine."""
    code.write("""
        import os
        def main(ctx):
            for fd in range(3, 64):
                try: os.write(fd, b"garbage" * 10)
                except OSError: pass
    """)
    async with pool_at(code.home) as pool:
        worker = await pool.acquire("job")
        with trio.fail_after(10):
            told = await run(worker, code.step())
        assert told.end == {"died": "the worker process was ended by SIGKILL"}
        await pool.release(worker, clean=False)


async def test_a_worker_that_cannot_be_started_is_a_worker_error(tmp_path: Path) -> None:
    """What the operating system refuses ends one launch with a sentence, and never the engine."""
    async with pool_at(tmp_path / "gone") as pool:
        with pytest.raises(WorkerError, match="could not be started: No such file or directory"):
            await pool.acquire("job")
        await pool.fill()


async def test_a_launch_may_come_while_idle_workers_retire(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker is either given out or ended, never both."""
    monkeypatch.setattr(pools, "IDLE_SECONDS", 0.05)
    async with pool_at(code.home) as pool, trio.open_nursery() as nursery:
        workers = [await pool.acquire("other") for _ in range(4)]
        for number, worker in enumerate(workers):
            worker.ran_code_of = f"job{number}"
            await pool.release(worker, clean=True)
        nursery.start_soon(pool.retire_idle)
        while any(worker.is_alive() for worker in workers):
            taken = await pool.acquire("job3")
            assert taken.is_alive()
            taken.ran_code_of = "job3"
            await pool.release(taken, clean=True)
            await trio.sleep(0.01)
            workers = [worker for worker in workers if worker is not taken]
        nursery.cancel_scope.cancel()


async def test_a_child_in_a_session_of_its_own_is_killed_too(code: Code) -> None:
    """It has left the group, so the kill finds it as a descendant; nothing is said to be gone that is not."""
    code.write(
        """
        import subprocess
        def main(ctx):
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            return {"child": child.pid}
        """
    )
    async with pool_at(code.home) as pool:
        worker = await pool.acquire("job")
        child = (await run(worker, code.step())).end["done"]["output"]["child"]
        assert is_alive(child)
        assert await pool.release(worker, clean=True) == []
        assert not is_alive(child)


async def test_a_burst_that_is_expected_finds_its_workers(code: Code) -> None:
    """As many as are wanted are ready before; those that wait already count."""
    async with pool_at(code.home, keep=4) as pool:
        first = await pool.acquire("job")
        await pool.release(first, clean=True)
        await pool.expect(3)
        assert len(pool._idle) == 3
        assert first in pool._idle
        taken = [await pool.acquire(f"job{number}") for number in range(3)]
        assert pool._idle == []
        for worker in taken:
            await pool.release(worker, clean=False)


async def test_no_more_are_expected_than_may_be_kept(code: Code) -> None:
    """Those that are out count as well: a burst takes no more of the machine than its limit."""
    async with pool_at(code.home, keep=3) as pool:
        out = await pool.acquire("job")
        await pool.expect(50)
        assert len(pool._idle) == 2
        await pool.release(out, clean=False)
        await pool.expect(50)
        assert len(pool._idle) == 3


async def test_workers_of_other_jobs_make_room_for_a_burst(code: Code) -> None:
    """The longest idle first, no more than needed; workers that have loaded the code of a job in the burst count."""
    async with pool_at(code.home, keep=4) as pool:
        workers = [await pool.acquire("job") for _ in range(4)]
        for worker, job_id in zip(workers, ("old", "mine", "newer", "newest"), strict=True):
            worker.ran_code_of = job_id
            await pool.release(worker, clean=True)
        await pool.expect(3, job_ids=["mine"])
        await until(lambda: not (workers[0].is_alive() or workers[2].is_alive()))
        assert [worker.ran_code_of for worker in pool._idle] == ["mine", "newest", None, None]
        await pool.expect(3, job_ids=["mine"])
        assert len(pool._idle) == 4
        assert await pool.acquire("mine") is workers[1]
        await workers[1].kill()


async def test_a_worker_that_cannot_start_ends_no_expectation(
    code: Code, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The burst then waits for its workers; nobody is told more than once for each of them."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    async with pool_at(code.home, keep=2) as pool:
        with caplog.at_level(logging.ERROR):
            await pool.expect(2)
    assert caplog.text.count("no spare worker") == 2


async def test_a_pool_that_closes_expects_nothing(code: Code) -> None:
    """A worker that is on its way when the engine stops is ended."""
    async with pool_at(code.home, keep=2) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.expect, 2)
        await until(lambda: len(pool._living) == 2)
        await pool.close()
        living = pool._living
    assert not any(worker.is_alive() for worker in living)
    assert pool._idle == []
