"""The newest ended runs of each job, in memory, and what they let one expect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nomaflow.engine.board import RECENT, Board, seconds
from nomaflow.history.expected import expected_seconds
from nomaflow.wire import RunState, RunSummary

START = datetime(2026, 3, 1, tzinfo=UTC)


def ended(
    number: int, job_id: str = "etl", state: RunState = RunState.SUCCEEDED, took: float | None = 10
) -> RunSummary:
    started = START + timedelta(hours=number)
    return RunSummary(
        id=f"run_{number:013}",
        job_id=job_id,
        state=state,
        queued_at=started,
        started_at=None if took is None else started,
        finished_at=None if took is None else started + timedelta(seconds=took),
        triggered_by="cron",
        via="cron",
    )


def test_a_board_is_rebuilt_from_the_store() -> None:
    """Newest first, as the store gives them; each job's runs apart."""
    board = Board([ended(3), ended(2, "other"), ended(1)])
    assert [run.run_id for run in board.recent("etl")] == ["run_0000000000001", "run_0000000000003"]
    last = board.last("etl")
    assert last is not None
    assert last.id == "run_0000000000003"


def test_an_ended_run_is_the_newest() -> None:
    """And the oldest over the limit is forgotten."""
    board = Board([])
    for number in range(RECENT + 5):
        board.ended(ended(number))
    recent = board.recent("etl")
    assert len(recent) == RECENT
    assert (recent[0].run_id, recent[-1].run_id) == ("run_0000000000005", f"run_{RECENT + 4:013}")
    assert recent[-1].seconds == 10


def test_runs_stand_in_the_order_in_which_they_came() -> None:
    """Not in that of their ends, so that a restart changes nothing."""
    board = Board([])
    for number in (2, 1, 3):
        board.ended(ended(number))
    rebuilt = Board([ended(3), ended(2), ended(1)])
    assert board.recent("etl") == rebuilt.recent("etl")
    assert board.last("etl") == ended(3)


def test_a_run_that_goes_on_is_not_on_the_board() -> None:
    """It comes when it has ended, once."""
    board = Board([ended(2, state=RunState.RUNNING), ended(1)])
    assert [run.run_id for run in board.recent("etl")] == ["run_0000000000001"]
    board.ended(ended(2))
    assert [run.run_id for run in board.recent("etl")] == ["run_0000000000001", "run_0000000000002"]


def test_a_job_that_never_ran_has_nothing() -> None:
    """And asking does not make it known."""
    board = Board([])
    assert (board.last("gone"), board.recent("gone"), board.good_seconds("gone")) == (None, [], [])


def test_only_good_runs_say_how_long_one_takes() -> None:
    """A failed or canceled run ends early; one that never started took no time that counts."""
    board = Board([])
    for number, (state, took) in enumerate(
        [
            (RunState.SUCCEEDED, 10),
            (RunState.FAILED, 1),
            (RunState.CANCELED, None),
            (RunState.SUCCEEDED, 30),
            (RunState.SUCCEEDED, 14),
        ]
    ):
        board.ended(ended(number, state=state, took=took))
    assert board.good_seconds("etl") == [10, 30, 14]
    assert expected_seconds(board.good_seconds("etl")) == 14


def test_nothing_is_expected_before_a_good_run() -> None:
    """One good run is enough."""
    assert expected_seconds([]) is None
    assert expected_seconds([7.5]) == 7.5
    assert expected_seconds([1, 3]) == 2


def test_a_runs_time_is_from_start_to_end() -> None:
    """Not from its queueing."""
    assert seconds(ended(1, took=2.5)) == 2.5
    assert seconds(ended(1, took=None)) is None
