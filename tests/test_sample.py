"""The sample home: its databases, settings and jobs."""

from __future__ import annotations

import importlib.util
import sqlite3
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nomaflow.definitions.connector import HttpConnector, SqlConnector
from nomaflow.definitions.job import Job
from nomaflow.definitions.settings import Settings
from nomaflow.definitions.steps.python import Python
from nomaflow.definitions.steps.sql_copy import SqlCopy
from nomaflow.errors import NotReadyError
from nomaflow.sample import make_databases, tracker
from nomaflow.sample.database import Table, Value, columns, write_database

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

HOME = Path(__file__).parent.parent
JOBS = sorted((HOME / "jobs").glob("*.toml"))

FLIGHTS = {"airlines": 16, "airports": 1_458, "planes": 3_322, "weather": 26_115, "flights": 336_776}
JDE_COPIED = ("F0004", "F0005", "F9200", "F9202", "F9210", "F9860", "F9865")


def settings() -> Settings:
    return Settings.model_validate(tomllib.loads((HOME / "nomaflow.toml").read_text(encoding="utf-8")))


def job(path: Path) -> Job:
    return Job.model_validate({**tomllib.loads(path.read_text(encoding="utf-8")), "id": path.stem})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    made = make_databases(folder, settings())
    assert sorted(path.name for path in made) == ["flights-source.db", "jde.db"]
    return folder


@pytest.fixture
def flights(home: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(home / ".nomaflow/sample/flights-source.db")) as database:
        yield database


@pytest.fixture
def jde(home: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(home / ".nomaflow/sample/jde.db")) as database:
        yield database


def test_every_row_of_the_flights_package_is_there(flights: sqlite3.Connection) -> None:
    """The five tables have as many rows as the package's files."""
    counted = {table: flights.execute(f"select count(*) from {table}").fetchone()[0] for table in FLIGHTS}
    assert counted == FLIGHTS


@pytest.mark.parametrize("table", FLIGHTS)
def test_values_have_the_type_of_their_column(flights: sqlite3.Connection, table: str) -> None:
    """No number is left as text, no text became a number, and NA stands nowhere."""
    stored_as = {"INTEGER": "integer", "REAL": "real", "TEXT": "text", "TIMESTAMP": "text"}
    for _, name, type_, *_ in flights.execute(f"pragma table_info({table})").fetchall():
        kinds = {kind for (kind,) in flights.execute(f'select distinct typeof("{name}") from {table}')}
        assert kinds - {"null"} == {stored_as[type_]}, name
        assert flights.execute(f"select count(*) from {table} where \"{name}\" in ('NA', '')").fetchone() == (0,)


@pytest.mark.parametrize(
    ("table", "column", "unknown"),
    [
        ("flights", "dep_time", 8_255),
        ("flights", "arr_delay", 9_430),
        ("flights", "tailnum", 2_512),
        ("flights", "distance", 0),
        ("planes", "year", 70),
        ("planes", "speed", 3_299),
        ("weather", "wind_gust", 20_778),
        ("airports", "tzone", 3),
    ],
)
def test_what_the_package_does_not_know_is_null(
    flights: sqlite3.Connection, table: str, column: str, unknown: int
) -> None:
    """NA in the files is NULL in the database, as often as it stands there."""
    assert flights.execute(f"select count(*) from {table} where {column} is null").fetchone() == (unknown,)


def test_a_flight_reads_as_in_the_package(flights: sqlite3.Connection) -> None:
    """The first row of the file, typed, its instant in UTC."""
    first = (2013, 1, 1, 517, 515, 2, 830, 819, 11, "UA", 1545, "N14228", "EWR", "IAH", 227, 1400, 5, 15)
    assert flights.execute("select * from flights limit 1").fetchone() == (*first, "2013-01-01 10:00:00")


def test_jde_writes_codes_and_dates_its_own_way(jde: sqlite3.Connection) -> None:
    """Codes are right-justified in ten characters, dates are CYYDDD numbers."""
    assert jde.execute("select distinct length(DRKY) from F0005").fetchall() == [(10,)]
    assert jde.execute("select DRDL01 from F0005 where DRSY = '00' and DRRT = 'DT' and DRKY = '        JE'").fetchone()
    low, high, kind = jde.execute("select min(DTUPMJ), max(DTUPMJ), min(typeof(DTUPMJ)) from F0004").fetchone()
    assert (low > 115_000, high < 126_000, kind) == (True, True, "integer")


def test_jde_tables_hang_together(jde: sqlite3.Connection) -> None:
    """Codes belong to a list, texts and specifications to a data item, forms and rules to an object."""
    for orphans in (
        "select count(*) from F0005 left join F0004 on DTSY = DRSY and DTRT = DRRT where DTSY is null",
        "select count(*) from F9210 where FRDTAI not in (select FRDTAI from F9200)",
        "select count(*) from F9202 where FRDTAI not in (select FRDTAI from F9200)",
        "select count(*) from F9865 where SWOBNM not in (select SIOBNM from F9860)",
        "select count(*) from F00950 where FSSETY = '3' and FSOBNM not in (select SIOBNM from F9860)",
        "select count(*) from F95921 where RLTOROLE not in (select ULUSER from F0092)",
    ):
        assert jde.execute(orphans).fetchone() == (0,), orphans
    for table in JDE_COPIED:
        assert jde.execute(f"select count(*) from {table}").fetchone()[0] >= 190


def test_jde_is_the_same_everywhere(home: Path, tmp_path: Path) -> None:
    """Two homes hold the same generated rows."""
    make_databases(tmp_path, settings().model_copy(update={"connectors": {"jde": settings().connectors["jde"]}}))
    first, second = (_dump(folder / ".nomaflow/sample/jde.db") for folder in (home, tmp_path))
    assert first == second


def test_a_second_call_makes_nothing(home: Path) -> None:
    """What exists is left as it is, to the byte."""
    files = sorted((home / ".nomaflow/sample").iterdir())
    before = [path.stat().st_mtime_ns for path in files]
    assert make_databases(home, settings()) == []
    assert [path.stat().st_mtime_ns for path in sorted((home / ".nomaflow/sample").iterdir())] == before


def test_a_home_that_is_no_sample_gets_no_databases(tmp_path: Path) -> None:
    """Without [sample] enabled = true nothing is made, nor for a connector that is not SQLite."""
    assert make_databases(tmp_path, Settings()) == []
    elsewhere = SqlConnector(kind="sql", url="postgresql+psycopg://reader@db.example.org/jde")
    assert make_databases(tmp_path, settings().model_copy(update={"connectors": {"jde": elsewhere}})) == []
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_for_its_owner_alone(home: Path) -> None:
    """`.nomaflow` may be made here before the engine makes it, with the same mode."""
    assert [(home / name).stat().st_mode & 0o777 for name in (".nomaflow", ".nomaflow/sample")] == [0o700, 0o700]


def test_a_database_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """A failure half-way leaves no file, and what a killed process left behind is no obstacle."""

    def rows(*, broken: bool) -> Iterator[Sequence[Value]]:
        yield (1,)
        assert not (tmp_path / "a.db").exists()
        if broken:
            raise OSError("the disk is gone")

    (tmp_path / "a.db.partial").write_bytes(b"left by a kill")
    with pytest.raises(OSError, match="the disk is gone"):
        write_database(tmp_path / "a.db", [Table("t", columns("A INTEGER"), ("A",), rows(broken=True))])
    assert list(tmp_path.iterdir()) == []
    write_database(tmp_path / "a.db", [Table("t", columns("A INTEGER"), ("A",), rows(broken=False))])
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


def test_a_missing_package_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install; the JDE database, which does not need it, is made all the same."""

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(NotReadyError, match=r"pip install 'nomaflow\[sample\]'"):
        make_databases(tmp_path, settings())
    assert [path.name for path in (tmp_path / ".nomaflow/sample").iterdir()] == ["jde.db"]


def test_the_settings_name_every_connector_of_the_sample() -> None:
    """nomaflow.toml is valid, and its databases all lie under .nomaflow/sample/; the directory is an example's."""
    read = settings()
    assert read.sample.enabled
    assert read.sample.first_run == "flights-daily-sync"
    databases = {"flights-source", "flights", "jde", "nomajde", "nomasx1", "nomasx1-sandbox", "issues", "people"}
    assert set(read.connectors) == {*databases, "tracker", "directory"}
    assert read.connectors["directory"].url == "ldaps://ldap.example.org"
    for connector in (read.connectors[name] for name in databases):
        assert isinstance(connector, SqlConnector)
        assert connector.url.startswith(f"{connector.backend}:///.nomaflow/sample/")


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_every_job_is_valid_and_names_known_connectors(path: Path) -> None:
    """A step's connector is one of the settings', directly or through a parameter."""
    read = job(path)
    defaults: dict[str, Any] = {name: param.default for name, param in read.params.items()}
    picked = {value for name, value in defaults.items() if read.params[name].type == "connector"}
    named = {name for step in read.steps for name in step.connectors() if not name.startswith("$")}
    references = {name for step in read.steps for name in step.connectors() if name.startswith("$")}
    assert references <= {f"${{kw:{name}}}" for name in defaults}
    assert named | picked <= set(settings().connectors)


def test_nomajde_daily_sync_is_the_original() -> None:
    """Seven copies at 02:30 in Paris, tried twice."""
    read = job(HOME / "jobs/nomajde-daily-sync.toml")
    assert read.description == "Daily sync of JDE control + data dictionary tables to Nomajde."
    assert read.tags == ["jde-sync", "etl"]
    assert [(schedule.cron, schedule.timezone) for schedule in read.schedules] == [("30 2 * * *", "Europe/Paris")]
    assert read.retry.attempts == 2
    assert tuple(step.name for step in read.steps) == JDE_COPIED
    assert all(isinstance(step, SqlCopy) and step.mode == "overwrite" for step in read.steps)


def test_nomasx1_security_is_the_original() -> None:
    """Seventeen python steps, manual-only, with two shared parameters."""
    read = job(HOME / "jobs/nomasx1-security-1.toml")
    assert read.description == "Refresh nomasx1 SECURITY tables for apps_id 10."
    assert read.schedules == []
    assert {name: (param.type, param.default) for name, param in read.params.items()} == {
        "apps_id": ("int", 10),
        "target_connector": ("connector", "nomasx1"),
    }
    assert len(read.steps) == 17
    first = read.steps[0]
    assert isinstance(first, Python)
    assert (first.name, first.callable, first.op_kwargs) == ("security_users", "nomasx1.security:j_security_users", {})


def test_flights_daily_sync_copies_five_tables_and_rolls_up() -> None:
    """Five copies, then one query."""
    read = job(HOME / "jobs/flights-daily-sync.toml")
    assert [step.type for step in read.steps] == ["sql_copy"] * 5 + ["sql_query"]
    assert {step.name for step in read.steps[:5]} == set(FLIGHTS)


def test_api_pull_is_the_original() -> None:
    """A request, an upsert and a mark; tried three times, ever longer apart."""
    read = job(HOME / "jobs/api-pull.toml")
    assert [(step.type, step.timeout_seconds) for step in read.steps] == [
        ("http", 60),
        ("python", 300),
        ("sql_query", 30),
    ]
    assert [(schedule.cron, schedule.timezone) for schedule in read.schedules] == [("15 * * * *", "UTC")]
    assert (read.retry.attempts, read.retry.backoff, read.retry.base_seconds) == (3, "exponential", 30)
    assert {"repo", "target_connector"} <= set(read.params)


def test_the_tracker_says_the_same_everywhere() -> None:
    """What an issue is depends on the day alone: it is opened, answered and closed, and never seen in the future."""
    now = datetime(2026, 3, 20, 11, tzinfo=UTC)
    seen = list(tracker.issues("a", date(2026, 3, 19), now))
    assert seen == list(tracker.issues("a", date(2026, 3, 19), now))
    assert {issue["state"] for issue in seen} == {"open", "closed"}
    assert all("2026-03-19" <= issue["updated_at"] <= "2026-03-20T11" for issue in seen)
    # Four issues of each of three days have changed on a whole day; on this one, two of each up to eleven o'clock.
    assert len(seen) == 3 * 4 + 3 * 2
    later = {issue["number"]: issue for issue in tracker.issues("a", date(2026, 3, 19), now + timedelta(days=30))}
    assert all(later[issue["number"]]["opened_at"] == issue["opened_at"] for issue in seen)


def test_the_tracker_is_served_where_its_connector_leads() -> None:
    """Not for a home of one's own whose connector of that name leads elsewhere, nor without [sample]."""
    here = HttpConnector(kind="http", url="http://127.0.0.1:8603/v1")
    elsewhere = HttpConnector(kind="http", url="https://tracker.example.org:8603")
    ports = [
        tracker._port(settings().model_copy(update={"connectors": {"tracker": each}})) for each in (here, elsewhere)
    ]
    assert ports == [8603, None]
    assert tracker._port(Settings(connectors={"tracker": here})) is None


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/v1/repos/a/issues?since=2026-03-01", 200),
        ("POST", "/v1/repos/a/issues?since=2026-03-01", 405),
        ("GET", "/v1/repos/a/issues", 400),
        ("GET", "/v1/repos/a/issues?since=soon", 400),
        ("GET", "/v1/repos/a/issues?since=2020-01-01", 400),
        ("GET", "/v1/repos/../issues", 404),
        ("GET", "/v1", 200),
        ("GET", "/v2", 404),
    ],
)
def test_the_tracker_refuses_in_json(method: str, target: str, status: int) -> None:
    """Like a service of the real world."""
    told, body = tracker._body(method, target, datetime(2026, 3, 20, tzinfo=UTC))
    assert (told, "error" in body) == (status, status != 200)


def _dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return list(database.iterdump())
