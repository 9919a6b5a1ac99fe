"""The parts of `ldap_sync` that need no server: values, the deletion guard, long attributes, result codes."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from nomaflow.steps.ldap_sync.answers import refusal
from nomaflow.steps.ldap_sync.errors import DeletionGuardError, DirectoryError, SyncError
from nomaflow.steps.ldap_sync.guard import Guard
from nomaflow.steps.ldap_sync.into_query import fields_of_query
from nomaflow.steps.ldap_sync.mapping import Entry, Field, fields_of, requested, value_of
from nomaflow.steps.ldap_sync.ranges import complete
from nomaflow.worker.lasting import verdict

PARIS = dt.timezone(dt.timedelta(hours=2))
NEVER = dt.datetime.max.replace(tzinfo=PARIS)


@pytest.mark.parametrize(
    ("values", "one", "as_json"),
    [
        ([], None, None),
        (["ana"], "ana", '["ana"]'),
        (["b", "a;c"], "a;c;b", '["a;c", "b"]'),
        ([3, 20], "20;3", "[20, 3]"),
        ([3], 3, "[3]"),
        ([True], True, "[true]"),
        ([b"\xff"], b"\xff", '["/w=="]'),
        (["é"], "é", '["é"]'),
        ([dt.datetime(2026, 7, 1, 2, tzinfo=PARIS)], dt.datetime(2026, 7, 1, tzinfo=dt.UTC), None),
        ([NEVER], dt.datetime.max.replace(tzinfo=dt.UTC), None),
        ([dt.timedelta(days=-1)], -86400.0, "[-86400.0]"),
    ],
)
def test_an_attribute_is_one_value(values: list[Any], one: Any, as_json: str | None) -> None:
    """Several values are joined in an order of their own, or are a JSON list always."""
    entry = Entry("cn=x", {"a": values})
    assert value_of(Field("A", "a"), entry, ";") == one
    if as_json is not None or not values:
        assert value_of(Field("A", "a", as_json=True), entry, ";") == as_json


def test_binary_values_are_left_out_unless_asked_for() -> None:
    """Joined they cannot be; as JSON they are base64."""
    entry = Entry("cn=x", {"photo": [b"\xff", b"\xfe"]})
    assert value_of(Field("photo", "photo", is_asked=False), entry, ";") is None
    assert json.loads(value_of(Field("photo", "photo", as_json=True), entry, ";")) == ["/g==", "/w=="]
    with pytest.raises(SyncError, match=r"photo of 'cn=x' has 2 binary values, .* add it to json_attributes"):
        value_of(Field("photo", "photo"), entry, ";")


def test_an_attribute_with_options_is_found_without_them() -> None:
    """Where there is one that it can be."""
    entry = Entry("cn=x", {"cert;binary": [b"1"], "cn;lang-fr": ["a"], "cn;lang-en": ["b"]})
    assert value_of(Field("Cert", "c"), entry, ";") == b"1"
    assert value_of(Field("cn;lang-fr", "c"), entry, ";") == "a"
    assert value_of(Field("cn", "c"), entry, ";") is None


def test_where_an_entry_is_can_be_a_column() -> None:
    """As the server spells it, and in one spelling."""
    entry = Entry(r"CN=A\, B,DC=x", {})
    assert value_of(Field("dn", "d"), entry, ";") == r"CN=A\, B,DC=x"
    assert value_of(Field("normalized_dn", "d"), entry, ";") == r"cn=a\2c b,dc=x"


def test_what_goes_where() -> None:
    """The mapping first, then attributes by their own names, else the columns by theirs; a name is no attribute."""
    fields = fields_of({"uid": "login", "dn": "name"}, ["UID", "mail"], ["MAIL"], ["never"])
    assert [(field.attribute, field.column, field.as_json) for field in fields] == [
        ("uid", "login", False),
        ("dn", "name", False),
        ("mail", "mail", True),
    ]
    assert requested(fields) == ["uid", "mail"]
    assert [(field.column, field.is_asked) for field in fields_of({}, [], [], ["mail"])] == [("mail", False)]


def test_a_query_names_its_attributes() -> None:
    """By parameters of their names, or of those that the mapping gives them; a quoted colon is text."""
    fields = fields_of_query("INSERT INTO p VALUES (:uid, :mail, ':cn', :uid, :dn)", {"user-name": "uid"}, ["mail"])
    assert [(field.attribute, field.column, field.as_json) for field in fields] == [
        ("user-name", "uid", False),
        ("mail", "mail", True),
        ("dn", "dn", False),
    ]


@pytest.mark.parametrize(
    ("entries", "rows", "gone", "refused"),
    [
        (0, 0, 0, None),
        (100, 100, 0, None),
        (90, 100, 10, None),
        (89, 100, 11, r"11 of the 100 rows of hr.people have no entry any more, and at most 50 rows .* 10 %"),
        (9950, 10_000, 50, None),
        (9949, 10_000, 51, "51 of the 10000 rows"),
        (0, 1, 1, "The directory gave no entry at all, and hr.people has 1 rows; nothing was deleted"),
        (1, 1, 1, "1 of the 1 rows"),
    ],
)
def test_a_suspicious_answer_deletes_nothing(entries: int, rows: int, gone: int, refused: str | None) -> None:
    """More than 10 % or more than 50 rows are too many, and no entry at all is never enough."""
    guard = Guard(50, 10)
    if refused is None:
        guard.check(entries=entries, rows=rows, gone=gone, table="hr.people")
        return
    with pytest.raises(DeletionGuardError, match=refused) as told:
        guard.check(entries=entries, rows=rows, gone=gone, table="hr.people")
    assert not verdict(told.value).may_retry


def test_zero_entries_never_delete() -> None:
    """Whatever the limits are."""
    with pytest.raises(DeletionGuardError):
        Guard(1000, 100).check(entries=0, rows=3, gone=3, table="t")
    Guard(1000, 100).check(entries=1, rows=3, gone=3, table="t")


def test_a_long_attribute_is_read_to_its_end() -> None:
    """Active Directory gives 1,500 values at a time; the others are asked for."""
    values = [str(number).encode() for number in range(4000)]
    asked: list[str] = []

    def ask(dn: str, attribute: str) -> dict[str, list[bytes]]:
        asked.append(attribute)
        first = int(attribute.partition("=")[2].partition("-")[0])
        last = "*" if first + 1500 >= len(values) else str(first + 1499)
        return {f"member;range={first}-{last}": values[first : first + 1500]}

    given = {"cn": [b"all"], "member": [], "member;range=0-1499": values[:1500]}
    assert complete("cn=all", given, ask) == {"cn": [b"all"], "member": values}
    assert asked == ["member;range=1500-*", "member;range=3000-*"]


@pytest.mark.parametrize("answer", [{}, {"member": []}, {"member;range=0-1": [b"a"]}])
def test_a_long_attribute_without_its_end_is_an_error(answer: dict[str, list[bytes]]) -> None:
    """A part of a group's members would look like a group that people have left."""
    with pytest.raises(DirectoryError, match="stopped in the middle of member of 'cn=all', after 2 values"):
        complete("cn=all", {"member;range=0-1": [b"a", b"b"]}, lambda dn, attribute: answer)


@pytest.mark.parametrize(
    ("code", "name", "message", "told", "may_retry"),
    [
        (
            49,
            "invalidCredentials",
            "",
            "x: the server answers invalidCredentials; check bind_dn and the password",
            False,
        ),
        (
            49,
            "invalidCredentials",
            "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 532, v4563\x00",
            "invalidCredentials (the password has expired); check",
            False,
        ),
        (4, "sizeLimitExceeded", "", "sizeLimitExceeded; lower page_size, raise", False),
        (3, "timeLimitExceeded", "", "timeLimitExceeded; raise", True),
        (10, "referral", "", "referral; name the server", False),
        (11, "adminLimitExceeded", "", "adminLimitExceeded; lower", False),
        (32, "noSuchObject", "", "noSuchObject; check search_base", False),
        (50, "insufficientAccessRights", "", "insufficientAccessRights; give bind_dn", False),
        (51, "busy", "later", "busy (later)", True),
        (52, "unavailable", "", "unavailable", True),
        (80, "other", "", "other", True),
    ],
)
def test_a_refusal_says_what_to_do(code: int, name: str, message: str, told: str, may_retry: bool) -> None:
    """By its result code; what lies in the moment may pass."""
    error = refusal("x", {"result": code, "description": name, "message": message})
    assert told in str(error)
    assert verdict(error).may_retry is may_retry
