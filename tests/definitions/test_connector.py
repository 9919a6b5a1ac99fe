"""Connectors: their addresses are checked, and no password stands in the file."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from nomaflow.definitions.connector import Connector

CONNECTOR: TypeAdapter[Any] = TypeAdapter(Connector)


LDAP = {"kind": "ldap", "url": "ldap://ldap.example.org"}
SIGNED = {"bind_dn": "cn=reader", "password_env": "A"}


def refusal(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        CONNECTOR.validate_python(fields)
    (error,) = caught.value.errors()
    return str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]


@pytest.mark.parametrize(
    ("url", "backend"),
    [
        ("sqlite:///.nomaflow/sample/jde.db", "sqlite"),
        ("sqlite:////var/lib/x.db", "sqlite"),
        ("duckdb:///data/warehouse.duckdb", "duckdb"),
        ("postgresql://db.example.org/app", "postgresql"),
        ("mysql+pymysql://nomaflow@db.example.org/app", "mysql"),
        ("mariadb+pymysql://nomaflow@db.example.org:3307/app?ssl_ca=secrets/ca.pem", "mariadb"),
        ("oracle+oracledb://nomaflow@db.example.org:1521/?service_name=jde", "oracle"),
        ("mssql+pyodbc://nomaflow@db.example.org/jde?driver=ODBC+Driver+18+for+SQL+Server", "mssql"),
        ("postgresql+psycopg://nomaflow@db.example.org:5433/nomasx1?sslmode=require", "postgresql"),
    ],
)
def test_a_database_is_named_by_its_url(url: str, backend: str) -> None:
    """The part before `+` or `://` says which database it is."""
    assert CONNECTOR.validate_python({"kind": "sql", "url": url}).backend == backend


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "is no SQLAlchemy URL; write for example"),
        ("db.example.org", "is no SQLAlchemy URL"),
        ("db2://db/app", "names an unknown database 'db2'; known: sqlite, duckdb, postgresql, mysql, mariadb, oracle,"),
        ("mysql+mysqldb://db/app", "names a driver that is not used here, 'mysqldb'; write mysql+pymysql://"),
        ("mssql+mssqlpython://db/app", "write mssql+pyodbc://"),
        ("postgres://db/app", 'did you mean "postgresql"?'),
        ("postgresql://ana:pa55word@db/app", "must not hold a password; name it with password_env or password_file"),
        ("postgresql://ana@db/app?password=pa55word", "must not hold a password"),
        ("postgresql://ana@db/app?sslpassword=pa55word", "must not hold a password"),
        ("mysql://ana@db/app?passwd=pa55word", "must not hold a password"),
        ("mssql://ana@db/app?PWD=pa55word", "must not hold a password"),
        ("postgresql://ana:pa55word@db:port/app", "is no SQLAlchemy URL"),
    ],
)
def test_a_bad_database_url_is_refused(url: str, message: str) -> None:
    """Without showing it: a URL may hold a password."""
    found = refusal(kind="sql", url=url)
    assert message in found
    assert "pa55word" not in found


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("http", "http://localhost:8080"),
        ("http", "https://api.example.org/v1?x=1"),
        ("http", "https://[::1]:8080/"),
        ("ldap", "ldap://localhost:3389"),
        ("ldap", "ldaps://ldap.example.org"),
    ],
)
def test_a_server_is_named_by_its_address(kind: str, url: str) -> None:
    """With the scheme that its kind speaks."""
    assert CONNECTOR.validate_python({"kind": kind, "url": url}).url == url


@pytest.mark.parametrize(
    ("kind", "url", "message"),
    [
        ("http", "ftp://x", "must be an address that begins with http:// or https://"),
        ("http", "https://", "must be an address that begins with http:// or https://"),
        ("http", "https:///path", "must be an address that begins with http:// or https://"),
        ("http", "https://x:pa55word", "must be an address that begins with http:// or https://"),
        ("http", "https://[pa55word/", "must be an address that begins with http:// or https://"),
        ("http", "https://x:99999", "must be an address that begins with http:// or https://"),
        ("http", "https://ana:pa55word@x", "must not hold a name or password"),
        ("http", "https://pa55word@x", "must not hold a name or password"),
        ("ldap", "https://x", "must be an address that begins with ldap:// or ldaps://"),
        ("ldap", "ldap://cn=ana:pa55word@x", "must not hold a name or password"),
    ],
)
def test_a_bad_address_is_refused(kind: str, url: str, message: str) -> None:
    """Without showing it: an address may hold a password."""
    found = refusal(kind=kind, url=url)
    assert message in found
    assert "pa55word" not in found


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "sql", "password_env": "A", "password_file": "b"}, "has both password_env and password_file"),
        ({"kind": "sql", "password_env": "A B"}, "String should match pattern"),
        ({"kind": "sql", "password": "x"}, "Extra inputs are not permitted"),
        ({"kind": "sql", "max_runs": 0}, "greater than or equal to 1"),
        ({"kind": "http", "url": "https://x", "auth": {"type": "bearer"}}, "of type bearer needs token_env"),
        (
            {"kind": "http", "url": "https://x", "auth": {"type": "basic"}},
            "of type basic needs username and password_env",
        ),
        ({**LDAP, "bind_dn": "cn=x"}, "has bind_dn and no password; name it with password_env or password_file"),
        (
            {**LDAP, **SIGNED, "url": "ldaps://x", "start_tls": True},
            "has start_tls, and ldaps:// begins with TLS anyway",
        ),
        ({**LDAP, **SIGNED}, "sends its password unencrypted; write ldaps:// or start_tls = true"),
        ({**LDAP, "connect_timeout_seconds": 0}, "greater than 0"),
        ({"kind": "smtp"}, "does not match any of the expected tags"),
    ],
)
def test_a_bad_field_is_refused(fields: dict[str, Any], message: str) -> None:
    """Two secrets for one, half a sign-in, a password in the file, an unknown kind."""
    assert message in refusal(**{"url": "sqlite:///x.db", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {**SIGNED, "url": "ldaps://ldap.example.org", "ca_file": "secrets/ca.pem"},
        {**SIGNED, "start_tls": True},
        {**SIGNED, "allow_plaintext": True},
        {**SIGNED, "url": "ldap://localhost:3389"},
        {**SIGNED, "url": "ldap://[::1]"},
    ],
)
def test_a_directory_is_signed_in_to_safely(fields: dict[str, Any]) -> None:
    """Over TLS, on this machine, or as somebody has asked for."""
    assert CONNECTOR.validate_python(LDAP | fields)
