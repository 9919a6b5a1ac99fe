"""`ldap_sync` from a real directory into each database: what is written, what is left alone, and when nothing is."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nomaflow.steps.ldap_sync.errors import DeletionGuardError, DirectoryError, SyncError
from nomaflow.worker.lasting import verdict
from tests.fakes.context import Told
from tests.servers import slapd
from tests.servers.postgresql import Server
from tests.servers.slapd import ODD, PEOPLE, Directory
from tests.steps.copying import Bench
from tests.steps.syncing import COLUMNS, MAPPING, gone_of, soft, sync

BACKENDS = ("sqlite", "duckdb", "postgresql")
EVERYBODY = "cn=everybody,ou=groups,dc=example,dc=org"


@pytest.fixture(scope="module")
def people() -> Iterator[Directory]:
    """A directory of 50 people that nobody changes."""
    with slapd.running(50) as running:
        yield running


@pytest.fixture
def directory() -> Iterator[Directory]:
    """A directory of 50 people for one test."""
    with slapd.running(50) as running:
        yield running


@pytest.fixture(params=BACKENDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """A database `db` of each kind, with an empty table `people`."""
    made = Bench(tmp_path)
    backend: str = request.param
    made.add("db", backend, request.getfixturevalue("pg") if backend == "postgresql" else None)
    made.sql("db", f"CREATE TABLE people ({COLUMNS[backend]})")
    return made


@pytest.fixture
def lite(tmp_path: Path) -> Bench:
    """A SQLite database `db` with an empty table `people`."""
    made = Bench(tmp_path)
    made.add("db", "sqlite")
    made.sql("db", f"CREATE TABLE people ({COLUMNS['sqlite']})")
    return made


def counts(output: dict[str, Any]) -> tuple[int, ...]:
    """Fetched, inserted, updated, unchanged, pruned."""
    return tuple(output[name] for name in ("fetched", "inserted", "updated", "unchanged", "pruned"))


def row(bench: Bench, login: str) -> dict[str, Any]:
    names = ", ".join([*MAPPING.values(), "gone", "gone_at"])
    (found,) = bench.sql("db", f"SELECT {names} FROM people WHERE login = '{login}'")
    return dict(zip(names.split(", "), found, strict=True))


def test_every_entry_becomes_a_row(bench: Bench, people: Directory) -> None:
    """With the types of the columns; several values are joined, or a list where the column is one for JSON."""
    told = Told()
    output = sync(bench, people, told=told, page_size=20)
    assert counts(output) == (50, 50, 0, 0, 0)
    assert output["rows_affected"] == 50
    odd = row(bench, "user0010")
    assert odd["name"] == "Person 10, the élan"
    assert odd["mail"] == "a.user0010@example.org;user0010@example.org"
    assert (odd["number"], odd["control"]) == (10, 512)
    assert uuid.UUID(str(odd["guid"])) == uuid.UUID(int=10)
    changed = odd["changed"] if isinstance(odd["changed"], dt.datetime) else dt.datetime.fromisoformat(odd["changed"])
    assert changed.replace(tzinfo=dt.UTC) == dt.datetime(2026, 1, 1, 0, 0, 10, tzinfo=dt.UTC)
    assert odd["dn"] == r"uid=user0010,ou=Sales\2C EMEA,ou=people,dc=example,dc=org"
    groups = row(bench, "user0007")["groups"]
    both = [r"cn=admins\, all,ou=groups,dc=example,dc=org", EVERYBODY]
    assert (groups if isinstance(groups, list) else json.loads(groups)) == both
    assert [progress["done"] for progress in told.progress] == [20, 40, 50]
    assert told.progress[0]["unit"] == "entries"
    assert told.line("page 3: 10 entries, 50 so far")
    assert told.line("committed: 50 fetched, 50 inserted, 0 updated, 0 unchanged, 0 pruned")


def test_what_is_the_same_is_left_alone(bench: Bench, directory: Directory) -> None:
    """A second run changes nothing; a change in the directory changes its row."""
    sync(bench, directory)
    assert counts(sync(bench, directory)) == (50, 0, 0, 50, 0)
    directory.apply(f"dn: uid=user0001,{PEOPLE}\nchangetype: modify\nreplace: cn\ncn: Ana\n")
    directory.apply(f"dn: uid=user0002,{PEOPLE}\nchangetype: modify\ndelete: mail\n")
    assert counts(sync(bench, directory)) == (50, 0, 2, 48, 0)
    assert row(bench, "user0001")["name"] == "Ana"
    assert row(bench, "user0002")["mail"] is None


def test_a_gone_entry_is_marked(bench: Bench, directory: Directory) -> None:
    """With the time; when it comes back the mark goes, and it is marked once."""
    sync(bench, directory, **soft())
    assert not row(bench, "user0003")["gone"]
    directory.apply(gone_of("user0003"))
    assert counts(sync(bench, directory, **soft())) == (49, 0, 0, 49, 1)
    marked = row(bench, "user0003")
    assert marked["gone"]
    assert marked["gone_at"] is not None
    assert counts(sync(bench, directory, **soft())) == (49, 0, 0, 49, 0)
    assert row(bench, "user0003") == marked
    directory.apply(slapd.person(3).replace("\n", "\nchangetype: add\n", 1))
    assert counts(sync(bench, directory, **soft())) == (50, 0, 1, 49, 0)
    back = row(bench, "user0003")
    assert not back["gone"]
    assert back["gone_at"] is None


def test_a_gone_entry_is_deleted(bench: Bench, directory: Directory) -> None:
    """A row without a key is nobody's, and stays; with deletion none every row does."""
    sync(bench, directory)
    directory.apply("\n".join(gone_of(f"user{number:04}") for number in (1, 2)))
    assert counts(sync(bench, directory)) == (48, 0, 0, 48, 0)
    assert bench.sql("db", "SELECT count(*) FROM people") == [(50,)]
    assert counts(sync(bench, directory, deletion="hard")) == (48, 0, 0, 48, 2)
    assert bench.sql("db", "SELECT count(*) FROM people") == [(48,)]


def test_too_many_gone_entries_change_nothing(bench: Bench, directory: Directory) -> None:
    """Neither deletes nor updates; somebody has to look, so it is not tried again. A raised limit lets it happen."""
    sync(bench, directory)
    directory.apply("\n".join(gone_of(f"user{number:04}") for number in range(1, 7)))
    directory.apply(f"dn: uid=user0007,{PEOPLE}\nchangetype: modify\nreplace: cn\ncn: Ana\n")
    with pytest.raises(DeletionGuardError, match=r"6 of the 50 rows of .* have no entry any more") as refused:
        sync(bench, directory, deletion="hard")
    assert not verdict(refused.value).may_retry
    assert bench.ctx.rolled_back is True
    assert bench.sql("db", "SELECT count(*) FROM people") == [(50,)]
    assert row(bench, "user0007")["name"] == "Person 7"
    assert counts(sync(bench, directory, deletion="hard", max_deletion_percent=12)) == (44, 0, 1, 43, 6)


def test_an_empty_answer_deletes_nothing(bench: Bench, people: Directory) -> None:
    """Whatever the limits; an empty table stays empty without a word."""
    nobody = {"search_filter": "(uid=nobody)", "deletion": "hard", "max_deletions": 100, "max_deletion_percent": 100}
    assert counts(sync(bench, people, **nobody)) == (0, 0, 0, 0, 0)
    sync(bench, people)
    with pytest.raises(DeletionGuardError, match="gave no entry at all"):
        sync(bench, people, **nobody)
    assert bench.sql("db", "SELECT count(*) FROM people") == [(50,)]


def test_a_foreign_key_that_cascades_forbids_to_delete(tmp_path: Path, people: Directory, pg: Server) -> None:
    """The rows that refer to a person would go too, and no guard counts them."""
    bench = Bench(tmp_path)
    bench.add("db", "postgresql", pg)
    bench.sql(
        "db",
        f"CREATE TABLE people ({COLUMNS['postgresql']})",
        "CREATE TABLE badges (login text REFERENCES people ON DELETE CASCADE)",
    )
    with pytest.raises(SyncError, match='rows of badges, whose foreign keys cascade; use deletion = "soft"'):
        sync(bench, people, deletion="hard")
    assert counts(sync(bench, people, **soft())) == (50, 50, 0, 0, 0)


UPSERT = """
    INSERT INTO people (login, name, mail, number, dn) VALUES (:uid, :cn, :address, :employeeNumber, :normalized_dn)
    ON CONFLICT (login) DO UPDATE SET name = excluded.name, mail = excluded.mail
    WHERE people.name <> excluded.name"""


def test_a_query_is_run_for_each_entry(bench: Bench, directory: Directory) -> None:
    """With its attributes bound, so that text stays text; rows that no statement changed are told."""
    directory.apply(f"dn: uid=user0001,{PEOPLE}\nchangetype: modify\nreplace: cn\ncn: '); DROP TABLE people; --\n")
    output = sync(bench, directory, target_query=UPSERT, mapping={"mail": "address"})
    assert [output[name] for name in ("fetched", "upserted", "unchanged", "pruned")] == [50, 50, 0, 0]
    assert row(bench, "user0001")["name"] == "'); DROP TABLE people; --"
    assert row(bench, "user0010")["dn"] == r"uid=user0010,ou=sales\2c emea,ou=people,dc=example,dc=org"
    directory.apply(f"dn: uid=user0001,{PEOPLE}\nchangetype: modify\nreplace: cn\ncn: Ana\n")
    output = sync(bench, directory, target_query=UPSERT, mapping={"mail": "address"})
    assert [output[name] for name in ("fetched", "upserted", "unchanged", "pruned")] == [50, 1, 49, 0]


def test_a_query_that_fails_leaves_nothing(lite: Bench, people: Directory) -> None:
    """All entries are one transaction."""
    told = Told()
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        sync(lite, people, told=told, target_query="INSERT INTO people (login) VALUES (substr(:uid, 1, 7))")
    assert told.line("the statement failed for the entry 'uid=user0002,ou=people")
    assert lite.sql("db", "SELECT count(*) FROM people") == [(0,)]


def test_columns_are_found_by_their_names(lite: Bench, people: Directory) -> None:
    """Without a mapping each column takes the attribute of its name, but no binary one that nobody asked for."""
    lite.sql("db", "CREATE TABLE plain (UID TEXT PRIMARY KEY, mail TEXT, jpegPhoto BLOB, note TEXT, dn TEXT)")
    plain = {"target_table": "plain", "mapping": {}}
    assert counts(sync(lite, people, **plain)) == (50, 50, 0, 0, 0)
    one = "SELECT mail, jpegPhoto, note, dn FROM plain WHERE uid = 'user0020'"
    name = r"uid=user0020,ou=Sales\2C EMEA,ou=people,dc=example,dc=org"
    assert lite.sql("db", one) == [("a.user0020@example.org;user0020@example.org", None, None, name)]
    asked = {**plain, "attributes": ["uid", "jpegPhoto"]}
    assert counts(sync(lite, people, **asked)) == (50, 0, 5, 45, 0)
    assert lite.sql("db", one)[0][1] == b"\xff\xd8\xff\x00user0020"


def test_an_entry_with_another_spelling_of_its_name_is_the_same(lite: Bench, people: Directory) -> None:
    """Where the name is the key; the row keeps the spelling that it has, as others may refer to it."""
    lite.sql("db", "CREATE TABLE named (dn TEXT PRIMARY KEY, uid TEXT)")
    old = "UID=User0010 , OU=sales\\, emea,OU=People,DC=Example,DC=ORG"
    lite.sql("db", f"INSERT INTO named VALUES ('{old}', 'old')")
    named = {"target_table": "named", "mapping": {"dn": "dn", "uid": "uid"}}
    assert counts(sync(lite, people, **named, deletion="hard")) == (50, 49, 1, 0, 0)
    assert lite.sql("db", "SELECT dn FROM named WHERE uid = 'user0010'") == [(old,)]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"search_base": ODD}, 5),
        ({"search_base": "ou={ou},ou=people,dc=example,dc=org", "search_params": {"ou": "Sales, EMEA"}}, 5),
        ({"scope": "one"}, 45),
        ({"scope": "base", "search_base": f"uid=user0001,{PEOPLE}"}, 1),
        ({"search_filter": "(uid={login})", "search_params": {"login": "user0001"}}, 1),
        ({"search_filter": "(uid={login})", "search_params": {"login": "*"}}, 0),
        ({"search_filter": "(uid={login})", "search_params": {"login": "x)(uid=*"}}, 0),
        ({"search_filter": r"(cn=Person 10\2c the \c3\a9lan)"}, 1),
        ({"search_filter": "(cn=Person 10, the élan)"}, 1),
        (
            {
                "search_filter": "(&(userAccountControl=512)"
                "(!(memberOf=cn=admins\\5c, all,ou=groups,dc=example,dc=org)))"
            },
            29,
        ),
    ],
)
def test_the_search_is_what_it_says(lite: Bench, people: Directory, options: dict[str, Any], found: int) -> None:
    """Base, scope, filter; a value that is put in is a value and no syntax."""
    assert sync(lite, people, **options)["fetched"] == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mapping": {"nosuchthing": "login"}}, "schema has no attribute 'nosuchthing'; correct mapping"),
        ({"mapping": {"uid": "logon"}}, "db.people has no column 'logon' for the attribute uid; add it"),
        ({"target_table": "persons"}, "There is no table db.persons; make it"),
        (
            {"mapping": {"mail": "login"}, "search_filter": "(|(uid=*)(ou=*))"},
            "2 entries have no value for the key .login.: .*ou=people",
        ),
        ({"mapping": {"sn": "mail"}, "key": ["mail"], "search_filter": "(ou=*)"}, "have no value for the key"),
        (
            {"mapping": {"userAccountControl": "login"}},
            "48 entries have the key .login. of another: 51[24] of 'uid=.* and 43 more",
        ),
        (
            {"mapping": {"uid": "number", "mail": "login"}, "key": ["login"]},
            "uid of the entry 'uid=user0001,.*' holds text that is no whole number",
        ),
        ({"mapping": {"mail": "mail"}}, "No attribute goes into 'login', which is in the key"),
        ({"attributes": ["LOGIN", "uid"], "mapping": {"uid": "login"}}, "schema has no attribute 'LOGIN'"),
        ({"attributes": ["mail"], "mapping": {"uid": "login", "cn": "mail"}}, "Two attributes go into 'mail' of"),
        (
            {**soft(), "flagged_at_column": "number", "mapping": {"uid": "login"}},
            "flagged_at_column 'number' of db.people is INTEGER; it must be for a date and time",
        ),
        (
            {**soft(), "flag_column": "dn", "mapping": {"uid": "login"}},
            "flag_column 'dn' of db.people is TEXT; it must be",
        ),
    ],
)
def test_what_does_not_fit_is_told(lite: Bench, people: Directory, options: dict[str, Any], message: str) -> None:
    """Before anything is written, and it is not tried again."""
    with pytest.raises(SyncError, match=message) as refused:
        sync(lite, people, **options)
    assert not verdict(refused.value).may_retry
    assert lite.sql("db", "SELECT count(*) FROM people") == [(0,)]


def test_rows_with_the_same_key_are_told(lite: Bench, people: Directory) -> None:
    """Each entry has one row afterwards, or nothing was done."""
    lite.sql(
        "db",
        "CREATE TABLE twice (login TEXT, mail TEXT)",
        "INSERT INTO twice VALUES ('user0001', 'x'), ('user0001', 'y')",
    )
    with pytest.raises(SyncError, match=r"50 entries have 51 rows in .* now"):
        sync(lite, people, target_table="twice", key=["login"], mapping={"uid": "login", "mail": "mail"})
    assert lite.sql("db", "SELECT count(*) FROM twice") == [(2,)]


@pytest.mark.parametrize(
    ("limits", "options", "told"),
    [
        ({"sizelimit": 10, "limits": "size.soft=10 size.hard=10"}, {}, "sizeLimitExceeded; lower page_size"),
        ({"limits": "size.prtotal=10"}, {"page_size": 5}, "sizeLimitExceeded|adminLimitExceeded|unwillingToPerform"),
    ],
)
def test_a_part_of_the_answer_is_no_answer(
    lite: Bench, directory: Directory, limits: dict[str, Any], options: dict[str, Any], told: str
) -> None:
    """A server that stops at its limit gives entries all the same, which look like an answer: nothing is changed."""
    sync(lite, directory)
    with slapd.running(50, **limits) as limited, pytest.raises(DirectoryError, match=told):
        sync(lite, limited, deletion="hard", max_deletion_percent=100, **options)
    assert lite.sql("db", "SELECT count(*) FROM people") == [(50,)]
    assert lite.ctx.rolled_back is True


def test_a_part_on_another_server_is_no_answer(lite: Bench, directory: Directory) -> None:
    """Unless the step says that it is not wanted."""
    directory.apply(
        f"dn: ou=elsewhere,{PEOPLE}\nchangetype: add\nobjectClass: referral\nobjectClass: extensibleObject\n"
        "ou: elsewhere\nref: ldap://other.example.org/ou=elsewhere\n"
    )
    with pytest.raises(DirectoryError, match=r"a part of the answer is on another server \(ldap://other.example.org"):
        sync(lite, directory)
    assert sync(lite, directory, referrals="ignore")["fetched"] == 50
    with pytest.raises(DirectoryError, match="the server answers referral"):
        sync(lite, directory, search_base=f"ou=elsewhere,{PEOPLE}", referrals="ignore")
