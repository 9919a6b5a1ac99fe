"""`ldap_sync` on a real engine with a real directory: what a run gives, what is tried again, and connector tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.acceptance.cancel_stage import wait_for
from tests.servers import slapd
from tests.servers.engine import Child
from tests.servers.postgresql import Server
from tests.servers.slapd import Directory
from tests.steps.syncing import COLUMNS, gone_of

PEOPLE = 1200

STEP = """
[[steps]]
name = "people"
type = "ldap_sync"
connector = "{connector}"
search_base = "ou={{ou}},dc=example,dc=org"
search_filter = "(uid={prefix}*)"
search_params = {{ ou = "${{kw:ou}}" }}
target_connector = "{target}"
target_table = "people"
mapping = {{ uid = "login", cn = "name", mail = "mail", employeeNumber = "number", memberOf = "groups", dn = "dn" }}
deletion = "soft"
flag_column = "gone"
flagged_at_column = "gone_at"
max_deletions = "${{kw:max_deletions}}"
"""

HEAD = """
[params]
ou = "people"
max_deletions = 50
[retry]
attempts = 2
base_seconds = 0
"""


class Home:
    """The engine, the directories and the databases of its home."""

    def __init__(self, engine: Child, home: Path, directory: Directory, doomed: Directory) -> None:
        self.engine, self.home, self.directory, self.doomed = engine, home, directory, doomed

    def run(self, job: str, **launch: Any) -> dict[str, Any]:
        """Launch and wait for the end."""
        run_id = self.engine.request("POST", f"/jobs/{job}/runs", launch)["id"]

        def over() -> dict[str, Any] | None:
            run: dict[str, Any] = self.engine.request("GET", f"/runs/{run_id}")
            return run if run["finished_at"] else None

        return wait_for(over)

    def log(self, run: dict[str, Any]) -> list[str]:
        """The lines of its log."""
        lines = self.engine.request("GET", f"/runs/{run['id']}/logs?limit=500")["lines"]
        return [line["text"] for line in lines]

    def run_until(self, job: str, line: str, act: Callable[[], object]) -> dict[str, Any]:
        """Launch, call `act` when its log has a line that begins so, and wait for the end."""
        run: dict[str, Any] = self.engine.request("POST", f"/jobs/{job}/runs", {})
        wait_for(lambda: any(text.startswith(line) for text in self.log(run)))
        act()
        return wait_for(lambda: (found := self.engine.request("GET", f"/runs/{run['id']}"))["finished_at"] and found)

    def people(self) -> tuple[int, int]:
        """How many people are in SQLite's table, and how many of them are marked."""
        with closing(sqlite3.connect(self.home / "lite.db")) as lite:
            found: tuple[int, int] = lite.execute("SELECT count(*), count(gone_at) FROM people").fetchone()
            return found

    def test(self, connector: str) -> dict[str, Any]:
        """What the test of a connector says."""
        found: dict[str, Any] = self.engine.request("POST", f"/connectors/{connector}/test")
        return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, postgresql: Server) -> Iterator[Home]:
    """One engine with a job into each database; tests change the directory one after another."""
    folder = tmp_path_factory.mktemp("home")
    with (
        slapd.running(PEOPLE) as directory,
        slapd.running(50, sizelimit=10, limits="size.soft=10 size.hard=10") as limited,
        slapd.running(PEOPLE) as doomed,
        postgresql.new_database() as server,
    ):
        _prepare(folder, directory, limited, doomed, server)
        engine = Child(folder, "serve")
        try:
            yield Home(engine, folder, directory, doomed)
        finally:
            engine.stop()


def _prepare(home: Path, directory: Directory, limited: Directory, doomed: Directory, server: Server) -> None:
    (home / "jobs").mkdir()
    (home / "secrets").mkdir()
    for name, secret in (("ldap", slapd.PASSWORD), ("wrong", "not-the-password"), ("pg", server.password)):
        path = home / "secrets" / name
        path.touch(mode=0o600)
        path.write_text(secret)
    (home / "secrets" / "ca.pem").write_bytes(directory.ca_file.read_bytes())
    (home / "secrets" / "other.pem").write_bytes(directory.other_ca_file.read_bytes())
    with server.connect() as pg:
        pg.execute(f"CREATE TABLE people ({COLUMNS['postgresql']})".encode())
    with closing(sqlite3.connect(home / "lite.db")) as lite:
        lite.execute(f"CREATE TABLE people ({COLUMNS['sqlite']})")
    with duckdb.connect(str(home / "duck.db")) as duck:
        duck.execute(f"CREATE TABLE people ({COLUMNS['duckdb']})")
    ldap = f'kind = "ldap"\nbind_dn = "{slapd.BIND_DN}"\nreceive_timeout_seconds = 1\n'
    right, by_name = 'password_file = "secrets/ldap"', f"ldaps://localhost:{directory.tls_port}"
    connectors = {
        "pg": f'kind = "sql"\nurl = "{server.url}"\npassword_file = "secrets/pg"',
        "lite": 'kind = "sql"\nurl = "sqlite:///lite.db"',
        "duck": 'kind = "sql"\nurl = "duckdb:///duck.db"',
        "directory": f'{ldap}{right}\nurl = "{by_name}"\nca_file = "secrets/ca.pem"',
        "start-tls": f'{ldap}{right}\nurl = "{directory.url}"\nstart_tls = true\nca_file = "secrets/ca.pem"',
        "untrusted": f'{ldap}{right}\nurl = "{directory.tls_url}"\nca_file = "secrets/other.pem"',
        "wrong-password": f'{ldap}password_file = "secrets/wrong"\nurl = "{directory.url}"',
        "no-secret": f'{ldap}password_file = "secrets/gone"\nurl = "{directory.url}"',
        "nobody": f'{ldap}{right}\nurl = "ldap://127.0.0.1:1"',
        "limited": f'{ldap}{right}\nurl = "{limited.url}"',
        "doomed": f'{ldap}{right}\nurl = "{doomed.url}"',
        "no-name": f'{ldap}{right}\nurl = "ldaps://nowhere.invalid"',
    }
    settings = "".join(f"[connectors.{name}]\n{text}\n" for name, text in connectors.items())
    (home / "nomaflow.toml").write_text(f"[engine]\ntimezone = 'UTC'\ncancel_grace_seconds = 1\n{settings}")
    jobs = {
        **{f"into-{target}": ("directory", target, "") for target in ("pg", "lite", "duck")},
        "by-start-tls": ("start-tls", "lite", ""),
        "untrusted": ("untrusted", "lite", ""),
        "wrong-password": ("wrong-password", "lite", ""),
        "nobody": ("nobody", "lite", ""),
        "part": ("directory", "lite", "user0"),
        "limited": ("limited", "lite", ""),
    }
    for job, (connector, target, prefix) in jobs.items():
        step = STEP.format(connector=connector, target=target, prefix=prefix)
        (home / "jobs" / f"{job}.toml").write_text(HEAD + step)
    step = STEP.format(connector="doomed", target="lite", prefix="")
    (home / "jobs" / "doomed.toml").write_text(f"{HEAD}{step}page_size = 1\n")


def output_of(run: dict[str, Any]) -> dict[str, Any]:
    (step,) = run["steps"]
    assert run["state"] == "SUCCEEDED", step
    output: dict[str, Any] = step["output"]
    return output


@pytest.mark.limit(60)
def test_a_directory_is_followed(home: Home) -> None:
    """Into each database: all of it, then nothing, then what has changed; the run shows how many rows that were."""
    jobs = ("into-pg", "into-lite", "into-duck")
    for job in jobs:
        run = home.run(job)
        output = output_of(run)
        assert (output["fetched"], output["inserted"]) == (PEOPLE, PEOPLE)
        assert run["rows_affected"] == run["steps"][0]["rows_affected"] == PEOPLE
        again = output_of(home.run(job))
        assert (again["fetched"], again["unchanged"], again["rows_affected"]) == (PEOPLE, PEOPLE, 0)
    home.directory.apply(gone_of("user0001"))
    home.directory.apply(f"dn: uid=user0002,{slapd.PEOPLE}\nchangetype: modify\nreplace: cn\ncn: Ana\n")
    for job in jobs:
        output = output_of(home.run(job))
        assert [output[name] for name in ("fetched", "inserted", "updated", "pruned")] == [PEOPLE - 1, 0, 1, 1]
    assert output_of(home.run("by-start-tls"))["unchanged"] == PEOPLE - 1
    home.directory.apply(slapd.person(1).replace("\n", "\nchangetype: add\n", 1))


def test_the_guard_stops_a_run_and_a_launch_may_lift_it(home: Home) -> None:
    """People who do not match a narrower filter: FAILED after one try, nothing written; a launch may raise a limit."""
    output_of(home.run("into-lite"))
    run = home.run("part")
    (step,) = run["steps"]
    assert (run["state"], step["attempt"], step["error"]["type"]) == ("FAILED", 1, "DeletionGuardError")
    assert "201 of the 1200 rows of lite.people have no entry any more" in step["error"]["message"]
    assert any("not tried again: somebody has to look whether the answer is right" in line for line in home.log(run))
    assert home.people() == (PEOPLE, 0)
    still = home.run("part", params={"max_deletions": 1000})
    assert "max_deletion_percent" in still["steps"][0]["error"]["message"]


def test_a_value_of_a_launch_is_no_syntax(home: Home) -> None:
    """A name that does not exist is searched for, and not the one that a comma would make of it."""
    (step,) = home.run("into-lite", params={"ou": "people,dc=example,dc=org"})["steps"]
    assert step["state"] == "FAILED"
    assert "searching ou=people\\2cdc\\3dexample\\2cdc\\3dorg,dc=example,dc=org" in step["error"]["message"]
    assert "noSuchObject" in step["error"]["message"]


def test_a_part_of_the_answer_changes_nothing(home: Home) -> None:
    """A limit of the server is there the next time too; a server that dies between two pages may come back."""
    output_of(home.run("into-lite"))
    run = home.run("limited")
    (step,) = run["steps"]
    assert (run["state"], step["attempt"]) == ("FAILED", 1)
    assert "sizeLimitExceeded" in step["error"]["message"]
    run = home.run_until("doomed", "page 9", home.doomed.process.kill)
    (step,) = run["steps"]
    assert (run["state"], step["attempt"]) == ("FAILED", 2)
    assert "was lost" in step["attempts"][0]["error"]["message"]
    assert "nobody listens" in step["error"]["message"]
    assert home.people() == (PEOPLE, 0)


@pytest.mark.parametrize(
    ("job", "message", "attempts"),
    [
        ("wrong-password", "invalidCredentials; check bind_dn and the password", 1),
        ("untrusted", "comes from an authority that is not known", 1),
        ("nobody", "nobody listens at 127.0.0.1:1", 2),
    ],
)
def test_what_can_pass_is_tried_again(home: Home, job: str, message: str, attempts: int) -> None:
    """A refused password is not: accounts are locked for it."""
    run = home.run(job)
    (step,) = run["steps"]
    assert (run["state"], step["attempt"]) == ("FAILED", attempts)
    assert message in step["error"]["message"]
    assert step["error"]["traceback"] == ""
    shown = str(run) + "\n".join(home.log(run))
    assert "not-the-password" not in shown
    assert slapd.PASSWORD not in shown


@pytest.mark.parametrize(
    ("connector", "ok", "message"),
    [
        ("directory", True, "directory answers"),
        ("start-tls", True, "start-tls answers"),
        (
            "wrong-password",
            False,
            "The directory 'wrong-password': signing in as cn=reader,dc=example,dc=org: the server",
        ),
        ("untrusted", False, "name its certificate with ca_file"),
        ("nobody", False, "nobody listens at 127.0.0.1:1; check the connector's url"),
        ("no-name", False, "the name nowhere.invalid cannot be resolved"),
        ("no-secret", False, "cannot be read from secrets/gone"),
    ],
)
def test_a_connector_test_is_one_sentence(home: Home, connector: str, ok: bool, message: str) -> None:
    """What is wrong, and how to mend it."""
    found = home.test(connector)
    assert found["ok"] is ok
    assert message in found["message"]
    assert "\n" not in found["message"]


@pytest.mark.limit(60)
def test_a_directory_that_stands_still_ends_a_run(home: Home) -> None:
    """In the connector's time, told by its test and by a run, which tries again."""
    with home.directory.frozen():
        assert "did not answer within" in home.test("wrong-password")["message"]
        run = home.run("by-start-tls")
    (step,) = run["steps"]
    assert (run["state"], step["attempt"]) == ("FAILED", 2)
    assert "did not answer within 1 s" in step["error"]["message"]
