"""How an engine begins with what it finds."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import trio
import trio.testing

from nomaflow.engine.store import Store
from nomaflow.engine.store.mark import Mark
from nomaflow.errors import NotReadyError
from nomaflow.wire import RunState
from tests.engine.clockwork import WallClock, clockwork, job

Clock = trio.testing.MockClock


async def test_an_engine_whose_store_lost_something_starts_nothing(autojump_clock: Clock, tmp_path: Path) -> None:
    """It can be read; no run starts, no schedule fires, nothing is ended, and everywhere stands what is missing."""
    async with clockwork(tmp_path, {"a": job("slow90", "*/10 * * * *")}) as here:
        run_id = (await here.launch("a")).id
        await trio.sleep(1)
        files, seq = here.store.files, here.store.seq
        here.kill()
    mark = Mark(files.mark, seq)
    mark.write(seq + 5)
    mark.close()
    async with clockwork(tmp_path, clock=WallClock(timedelta(hours=1))) as here:
        await trio.sleep(3600)
        assert here.slots() == []
        assert here.stored(run_id).state is RunState.RUNNING
        with pytest.raises(NotReadyError, match="nomaflow restore"):
            await here.launch("a")
        assert "nomaflow restore" in here.jobs.why("a").why


async def test_a_restored_store_begins_anew(autojump_clock: Clock, tmp_path: Path) -> None:
    """Nothing that was in flight at the time of the backup goes on, and no fire of the past is caught up."""
    jobs = {"a": job("slow90", "*/10 * * * *"), "b": job("fail", more="[retry]\nattempts = 3\nbase_seconds = 3600\n")}
    async with clockwork(tmp_path, jobs) as here:
        runs = [(await here.launch(job_id)).id for job_id in jobs]
        await trio.sleep(1)
        path = here.store.path
        here.kill()
    store = Store(path, lambda: here.at("2:01"))
    with store._transaction() as db:
        db.execute("INSERT INTO meta VALUES ('restored_at', '2026-03-01')").fetchall()
    store.close()
    async with clockwork(tmp_path, clock=WallClock(timedelta(minutes=58))) as here:
        await here.until(here.at("3:11"))
        why = "interrupted: restored from a backup"
        for run in map(here.stored, runs):
            [step] = run.steps
            assert (run.state, run.reason, step.reason) == (RunState.FAILED, why, why)
            assert step.error is not None
            assert step.error.message == why
            assert here.log_of(run.id)[-1] == f"run FAILED: {why}"
        assert [time for time, _, _ in here.told()] == ["03:00:00", "03:10:00"]
    async with clockwork(tmp_path) as here:
        await here.until(here.at("3:11"))
        assert not here.store.was_restored()
