"""The queries and steps of the flights jobs, on a small DuckDB database."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from nomaflow.definitions.steps.sql_query import SqlQuery
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


def test_a_dry_run_only_counts(home: StepsAtHome) -> None:
    """The clean-up removes nothing unless it is told to."""
    assert home.run("remove_old_days") == {"rows_affected": 0, "rows_found": 2}
    assert home.run("remove_old_days", dry_run=False) == {"rows_affected": 2, "rows_found": 2}
    assert home.fetch("flights", "select flight_date from daily_delays") == [(date(2013, 3, 1),)]
