"""The queries and steps of the flights jobs, on a small DuckDB database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from nomaflow.definitions.steps.sql_query import SqlQuery
from nomaflow.testing import FakeContext, StepCanceled
from tests.jobs.home import StepsAtHome, read_job

FLIGHTS = """
insert into flights (year, month, day, dep_time, dep_delay, arr_delay, carrier) values
    (2013, 1, 1, 517, 2, 11, 'UA'), (2013, 1, 1, 533, 40, 60, 'UA'), (2013, 1, 1, null, null, null, 'UA'),
    (2013, 1, 1, 600, 0, -5, 'XX'), (2013, 3, 1, 600, 0, 15, 'UA')
"""


@pytest.fixture
def home(tmp_path: Path) -> StepsAtHome:
    """A summary of five flights."""
    query = read_job("flights-daily-sync").step("daily_delays")
    assert isinstance(query, SqlQuery)
    home = StepsAtHome("flights-cleanup", {"flights": tmp_path / "flights.duckdb"})
    with closing(home.open("flights")) as database:
        database.execute("create table airlines as select 'UA' as carrier, 'United Air Lines Inc.' as name")
        columns = "year INT, month INT, day INT, dep_time INT, dep_delay INT, arr_delay INT, carrier TEXT"
        database.execute(f"create table flights ({columns})")
        database.execute(FLIGHTS)
        for _ in range(2):
            assert database.execute(query.query, query.params) == 3
        database.commit()
    return home


def test_the_summary_has_a_row_for_each_day_and_airline(home: StepsAtHome) -> None:
    """Canceled flights count as scheduled and not as on time; an unknown airline is kept."""
    assert home.fetch("flights", "select * from daily_delays") == [
        (date(2013, 1, 1), "UA", "United Air Lines Inc.", 3, 1, 21.0, 55.1, 33.3),
        (date(2013, 1, 1), "XX", None, 1, 0, 0.0, -5.0, 100.0),
        (date(2013, 3, 1), "UA", "United Air Lines Inc.", 1, 0, 0.0, 15.0, 100.0),
    ]


DAYS = "select flight_date from daily_delays"


def cleaned(home: StepsAtHome, *, on_progress: Callable[[FakeContext], None] = lambda ctx: None, **changed: Any) -> int:
    """How many rows a clean-up with these values removes."""
    decided = home.run("decide", **changed)
    removed: int = home.run("act", outputs={"decide": decided}, on_progress=on_progress, **changed)["rows_affected"]
    return removed


def test_a_dry_run_only_counts(home: StepsAtHome) -> None:
    """The clean-up removes nothing unless it is told to."""
    assert home.run("decide") == {"rows_found": 2, "go": True}
    assert cleaned(home) == 0
    assert home.lines[-1].startswith("INFO ▶ 2 rows before 2013-02-01 would be removed")
    assert len(home.fetch("flights", DAYS)) == 3


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_a_clean_up_removes_what_is_old(home: StepsAtHome, batch_size: int) -> None:
    """All of it and no more, however many rows go at once."""
    assert cleaned(home, dry_run=False, batch_size=batch_size) == 2
    assert home.fetch("flights", DAYS) == [(date(2013, 3, 1),)]
    assert cleaned(home, dry_run=False) == 0


def test_too_few_old_rows_are_left_alone(home: StepsAtHome) -> None:
    """A clean-up that is not worth it does nothing."""
    assert cleaned(home, dry_run=False, threshold=3) == 0
    assert home.lines == ["INFO ▶ nothing is done: too few rows are old"]
    assert len(home.fetch("flights", DAYS)) == 3


def test_a_cancel_ends_it_between_two_batches(home: StepsAtHome) -> None:
    """What is removed stays removed, and nothing more goes."""
    with pytest.raises(StepCanceled):
        cleaned(home, dry_run=False, batch_size=1, on_progress=lambda ctx: ctx.cancel())
    assert len(home.fetch("flights", DAYS)) == 2


def test_a_clean_up_leaves_a_row_behind(home: StepsAtHome) -> None:
    """What was done stays known when the run's own record is deleted."""
    prepare, audit = (read_job("flights-cleanup").step(name) for name in ("prepare_audit", "audit"))
    assert isinstance(prepare, SqlQuery)
    assert isinstance(audit, SqlQuery)
    values = {"run_id": "run_1", "before": "2013-02-01", "found": 2, "removed": 0, "dry_run": True}
    assert values.keys() == audit.params.keys()
    with closing(home.open("flights")) as database:
        for _ in range(2):
            database.execute(prepare.query)
            database.execute(audit.query, values)
        database.commit()
    row = ("run_1", "daily_delays", date(2013, 2, 1), 2, 0, True)
    assert home.fetch("flights", "select * from cleanup_audit") == [row] * 2
