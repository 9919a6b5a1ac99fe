"""Filters and distinguished names: what is put in never becomes syntax, and one name has one spelling."""

from __future__ import annotations

import time

import pytest

from nomaflow.definitions.ldap_text import (
    LdapTextError,
    check_filter,
    filled_dn,
    filled_filter,
    normalized_dn,
    placeholders,
)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("ana", "ana"),
        ("*", r"\2a"),
        (")(uid=*", r"\29\28uid=\2a"),
        ("a\\b", r"a\5cb"),
        ("\x00", r"\00"),
        ("Zoë Ω", "Zoë Ω"),
        ("\x80", r"\c2\80"),
        (" #a ", " #a "),
        (7, "7"),
        (True, "TRUE"),
        ("{other}", "{other}"),
    ],
)
def test_a_value_stays_a_value_in_a_filter(value: object, written: str) -> None:
    """Its parentheses and asterisks are octets (RFC 4515), and it is not looked at again."""
    assert filled_filter("(&(objectClass=person)(uid={login}))", {"login": value}) == (
        f"(&(objectClass=person)(uid={written}))"
    )
    check_filter(filled_filter("(uid={login})", {"login": value}))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Sales", "Sales"),
        ("Sales, EMEA", r"Sales\2c EMEA"),
        ("a,dc=evil", r"a\2cdc\3devil"),
        ("a+b", r"a\2bb"),
        (" a ", r"\20a\20"),
        ("#a#", r"\23a#"),
        ("\x00", r"\00"),
        ('"', r"\22"),
        (" ", r"\20"),
        ("", ""),
    ],
)
def test_a_value_stays_a_value_in_a_name(value: str, written: str) -> None:
    """Its commas begin no new part (RFC 4514)."""
    assert filled_dn("ou={ou},dc=example", {"ou": value}) == f"ou={written},dc=example"


def test_a_placeholder_without_a_value_is_told() -> None:
    """With its name."""
    with pytest.raises(LdapTextError, match=r"has \{login\}, and search_params has no value of that name"):
        filled_filter("(uid={login})", {})
    assert placeholders("(&(a={one})(b={two})(c={one}){3}{})") == ("one", "two")


@pytest.mark.parametrize(
    "text",
    [
        "(objectClass=*)",
        " ( uid=ana ) ",
        "(&(objectClass=person)(|(uid=a*)(!(mail=*@b*))))",
        "(memberOf:1.2.840.113556.1.4.1941:=cn=all,dc=example,dc=org)",
        "(&(a>=1)(b<=2)(c~=d))",
        "(cn;lang-fr=x)",
        r"(cn=a\28b\29)",
        "(&)",
        "(&" * 5000 + "(a=b)" + ")" * 5000,
    ],
)
def test_a_filter_is_taken(text: str) -> None:
    """Every form that directories know, however deep."""
    check_filter(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with a parenthesis"),
        ("uid=ana", "has 'u' where a parenthesis must be"),
        ("(uid=ana", "has a parenthesis that is not closed"),
        ("(uid=ana))", "goes on after the filter has ended"),
        ("(uid=ana)(uid=ben)", "goes on after the filter has ended"),
        ("(uid)", "has no condition such as"),
        ("()", "has no condition such as"),
        ("(a=(b=c))", "has a parenthesis where none can be"),
    ],
)
def test_what_is_no_filter_is_refused(text: str, message: str) -> None:
    """Before a server sees it."""
    with pytest.raises(LdapTextError) as refused:
        check_filter(text)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CN=Ana,OU=People,DC=Example", "cn=ana,ou=people,dc=example"),
        ("cn = Ana , ou = People", "cn=ana,ou=people"),
        ("cn=ana;ou=people", "cn=ana,ou=people"),
        (r"ou=Sales\, EMEA,dc=x", r"ou=sales\2C emea,dc=x"),
        (r"ou=Sales\, EMEA,dc=x", 'ou="Sales, EMEA",dc=x'),
        (r"cn=Zo\C3\AB", "cn=Zoë"),
        ("cn=Ana  Maria", "cn=ana maria"),
        ("uid=ana+cn=Ana", "CN=Ana+UID=ana"),
        ("cn=\ufb01x", "cn=fix"),
        ("not a name", "NOT A NAME"),
        ("", ""),
    ],
)
def test_one_name_in_two_spellings_is_one_name(one: str, other: str) -> None:
    """Case, spaces, escapes and the order within a part make no difference."""
    assert normalized_dn(one) == normalized_dn(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"cn=a\,b", "cn=a,b"),
        (r"cn=a\+cn=b", "cn=a+cn=b"),
        ("cn=a,cn=b", "cn=b,cn=a"),
        ("cn=a", "uid=a"),
        (r"cn=a\\", r"cn=a"),
        (r"cn=a\00", "cn=a"),
        ("cn=#6162", "cn=ab"),
    ],
)
def test_two_names_are_two_names(one: str, other: str) -> None:
    """What is escaped is not what separates."""
    assert normalized_dn(one) != normalized_dn(other)


def test_long_text_takes_no_long_time() -> None:
    """What a server or a person sends is read in one pass."""
    begun = time.process_time()
    for name in ("cn=a" + " " * 60_000 + "b", "cn=" + "\\" * 60_001, "cn=" + '"' * 60_000, "a+" * 30_000):
        normalized_dn(name)
    check_filter("(&" + "(a=b) " * 10_000 + ")")
    with pytest.raises(LdapTextError):
        check_filter("(a" + ":" * 60_000)
    assert time.process_time() - begun < 5


def test_a_normalized_name_is_normal() -> None:
    """Normalized again it is the same."""
    for name in (r"OU=Sales\, EMEA,DC=x", "uid=a+cn=B,dc=x", r"cn=a\00b", "cn=#6162", "x"):
        assert normalized_dn(normalized_dn(name)) == normalized_dn(name)
