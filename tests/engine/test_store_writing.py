"""What a commit leaves in the store, however the changes of a run fall into commits."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from nomaflow.engine.change import Change
from nomaflow.engine.model import Actor, Run
from nomaflow.engine.rows import run_insert, run_update
from nomaflow.engine.store import Store
from nomaflow.launch.plan import Plan, PlannedStep
from nomaflow.seams import run_id_of
from nomaflow.wire import RunState, StepRun
from tests.engine.stores import opened
from tests.engine.world import START


def new_run(number: int) -> Run:
    return Run(
        id=run_id_of(number),
        job_id="job",
        plan=Plan(log_level="INFO", steps=[PlannedStep(name="one", type="python", runs=True)]),
        steps=[StepRun(name="one", type="python")],
        actor=Actor("ana", "web"),
        etag="etag",
        queued_at=START,
    )


def made_begun_and_failed(store: Store, run: Run) -> list[Change]:
    made = Change(inserted=[run_insert(run, store.epoch)])
    run.state, run.started_at = RunState.RUNNING, START + timedelta(seconds=1)
    begun = Change(updated=[run_update(run)])
    run.state, run.reason, run.finished_at = RunState.FAILED, "step one failed", START + timedelta(seconds=2)
    return [made, begun, Change(updated=[run_update(run)])]


@pytest.mark.parametrize("sizes", [(3,), (1, 2), (2, 1), (1, 1, 1)])
def test_a_run_is_what_it_was_last(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """Made, begun and ended in one commit or in several, beside another run that only begins."""
    store = opened(tmp_path)
    run, other = new_run(1), new_run(2)
    changes = made_begun_and_failed(store, run)
    store.commit([Change(inserted=[run_insert(other, store.epoch)])], [])
    other.state = RunState.RUNNING
    changes[0].add(Change(updated=[run_update(other)]))
    for size in sizes:
        store.commit(changes[:size], [])
        changes = changes[size:]
    assert [store.run(each.id) for each in (run, other)] == [run_insert(each, store.epoch) for each in (run, other)]
    store.close()


def test_a_run_is_made_once(tmp_path: Path) -> None:
    """A second one of the same number is refused, with all of its commit."""
    store = opened(tmp_path)
    twice = [Change(inserted=[run_insert(new_run(1), store.epoch)]) for _ in range(2)]
    with pytest.raises(duckdb.Error):
        store.commit([*twice, *made_begun_and_failed(store, new_run(2))], [])
    assert [store.run(run_id_of(number)) for number in (1, 2)] == [None, None]
    for number in (3, 1):
        store.commit([Change(inserted=[run_insert(new_run(number), store.epoch)])], [])
    with pytest.raises(duckdb.Error):
        store.commit([twice[0]], [])
    store.close()
    store = opened(tmp_path)
    with pytest.raises(duckdb.Error):
        store.commit([twice[0]], [])
    store.close()
