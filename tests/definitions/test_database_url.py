"""Database addresses, held against SQLAlchemy's own reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import URL, make_url

from nomaflow.definitions import database_url

URLS = [
    "sqlite://",
    "sqlite:///:memory:",
    "sqlite:///.nomaflow/jde.db",
    "sqlite:////var/lib/jde.db",
    "duckdb:///a b.db?threads=1&memory_limit=2GB",
    "postgresql://host/db",
    "postgresql+psycopg://me@host:5433/db?sslmode=require&application_name=x%20y",
    "postgresql+psycopg://me:pa%40ss@host/db",
    "postgresql+psycopg://m%3Ae@[::1]:5432/db",
    "postgresql+psycopg:///db?host=/run/postgresql",
    "postgresql://host",
]


def same(url: str) -> None:
    ours, theirs = database_url.parse(url), make_url(url)
    assert ours.backend == theirs.get_backend_name()
    assert (ours.host, ours.port, ours.username) == (theirs.host, theirs.port, theirs.username)
    assert ours.password == theirs.password
    assert (ours.database or None) == (theirs.database or None)
    assert ours.query == dict(theirs.query)


@pytest.mark.parametrize("url", URLS)
def test_an_address_is_read_as_sqlalchemy_reads_it(url: str) -> None:
    """Every part is the same."""
    same(url)


@given(
    username=st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    host=st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True),
    port=st.none() | st.integers(1, 65535),
    database=st.from_regex(r"[\w. -]{1,20}", fullmatch=True),
    query=st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.text(min_size=1).filter(str.isprintable)),
)
def test_what_sqlalchemy_writes_is_read_back(
    username: str | None, host: str, port: int | None, database: str, query: dict[str, str]
) -> None:
    """Names and values may hold any character."""
    same(URL.create("postgresql+psycopg", username, None, host, port, database, query).render_as_string(False))


@pytest.mark.parametrize("url", ["", "host/db", "postgresql:/host", "://x", "postgresql://u:p@host:port/db"])
def test_what_is_no_address_is_refused_without_showing_it(url: str) -> None:
    """A mistyped address may hold a password, so the message does not repeat it."""
    with pytest.raises(ValueError, match="is no SQLAlchemy URL") as caught:
        database_url.parse(url)
    assert "u:p" not in str(caught.value)


def test_only_a_file_is_a_file() -> None:
    """A server's database and one in memory are none."""
    files = [database_url.parse(url).file for url in URLS[:7]]
    assert files == [None, None, ".nomaflow/jde.db", "/var/lib/jde.db", "a b.db", None, None]
