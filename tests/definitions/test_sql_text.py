"""What is understood of a SQL text."""

from __future__ import annotations

import pytest

from nomaflow.definitions.sql_text import StatementError, one_statement


@pytest.mark.parametrize(
    ("sql", "numbered"),
    [
        ("SELECT :a, :b, :a", "SELECT $1, $2, $1"),
        ("SELECT ':a', \":b\", :c", "SELECT ':a', \":b\", $1"),
        ("SELECT 'it''s :a', :b", "SELECT 'it''s :a', $1"),
        (r"SELECT E'\':a', :b", r"SELECT E'\':a', $1"),
        ("SELECT x::date, :a::int", "SELECT x::date, $1::int"),
        ("SELECT 1 -- :a\n, :b", "SELECT 1 -- :a\n, $1"),
        ("SELECT /* :a /* :b */ :c */ :d", "SELECT /* :a /* :b */ :c */ $1"),
        ("SELECT $$ :a $$, $x$ :b $$ $x$, :c", "SELECT $$ :a $$, $x$ :b $$ $x$, $1"),
        ("SELECT l[1:n], l[a:b], {'k':v}, :c", "SELECT l[1:n], l[a:b], {'k':v}, $1"),
        ("CALL f(x := :a)", "CALL f(x := $1)"),
        ("SELECT a$b$c, :d, e$b$f", "SELECT a$b$c, $1, e$b$f"),
        ("SELECT '%', 5 % 2, :a", "SELECT '%', 5 % 2, $1"),
        ("SELECT '10:30:00', :é, :a", "SELECT '10:30:00', :é, $1"),
        ("SELECT(:a)", "SELECT($1)"),
    ],
)
def test_parameters_are_found_where_sql_has_values(sql: str, numbered: str) -> None:
    """A colon inside a literal, an identifier, a comment, a cast or a slice begins no parameter."""
    assert one_statement(sql).numbered() == numbered


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1;;DELETE FROM t", "SELECT ';'; -- x\n SELECT 2"])
def test_a_second_statement_is_refused(sql: str) -> None:
    """One step is one statement, so that its count and its error belong to something."""
    with pytest.raises(StatementError, match="more than one statement"):
        one_statement(sql)


@pytest.mark.parametrize("sql", ["SELECT 1;", "SELECT ';' ; -- the end;\n", "/* ; */ SELECT 1 ;;", "SELECT $$;$$"])
def test_semicolons_that_end_nothing_are_allowed(sql: str) -> None:
    """A last semicolon, and one inside a literal or a comment."""
    assert one_statement(sql).verb == "SELECT"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a = CASE b WHEN 1 THEN 2 END; DELETE FROM u; END;",
        "CREATE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT (1); SELECT 2; END",
    ],
)
def test_a_body_belongs_to_its_statement(sql: str) -> None:
    """A trigger is one statement, whatever it holds; what follows it is another."""
    assert one_statement(sql).verb == "CREATE"
    with pytest.raises(StatementError, match="more than one statement"):
        one_statement(sql.rstrip(";") + "; SELECT 1")


@pytest.mark.parametrize("sql", ["", " ; ", "-- nothing\n"])
def test_a_text_without_a_statement_is_refused(sql: str) -> None:
    """Nothing to run is a mistake."""
    with pytest.raises(StatementError, match="no statement"):
        one_statement(sql)


@pytest.mark.parametrize("sql", ["SELECT\n'a", 'SELECT\n"a', "SELECT\n/* a", "SELECT\n$x$ a $y$"])
def test_an_open_quote_is_told_with_its_line(sql: str) -> None:
    """Whatever follows it would be read wrongly."""
    with pytest.raises(StatementError, match="line 2"):
        one_statement(sql)


def test_comments_nest_only_where_the_database_lets_them() -> None:
    """SQLite ends a comment at its first end."""
    sql = "SELECT /* /* */ 1"
    assert one_statement(sql, comments_nest=False).verb == "SELECT"
    with pytest.raises(StatementError, match="no end"):
        one_statement(sql)


@pytest.mark.parametrize(
    ("sql", "verb", "returns_rows", "writes"),
    [
        ("select 1", "SELECT", True, False),
        ("(SELECT 1) UNION (SELECT 2)", "UNION", False, True),
        ("WITH a AS (DELETE FROM t RETURNING x) SELECT * FROM a", "SELECT", True, True),
        ("WITH a AS (SELECT replace(x, 'a', 'b') FROM t) SELECT * FROM a", "SELECT", True, False),
        ("EXPLAIN SELECT 1", "EXPLAIN", False, False),
        ("EXPLAIN (ANALYZE) DELETE FROM t", "EXPLAIN", False, True),
        ("with a as (select 1) insert into t select * from a", "INSERT", False, True),
        ("UPDATE t SET a = 1 RETURNING a", "UPDATE", True, True),
        ("SELECT 1 INTO t", "SELECT", False, True),
        ("INSERT INTO t VALUES (1)", "INSERT", False, True),
        ("CREATE TABLE t (returning int)", "CREATE", False, True),
    ],
)
def test_the_kind_of_a_statement_is_its_main_verb(sql: str, verb: str, returns_rows: bool, writes: bool) -> None:
    """Words in parentheses belong to something else; but what a WITH clause or an EXPLAIN may change counts."""
    statement = one_statement(sql)
    assert (statement.verb, statement.returns_rows, statement.writes) == (verb, returns_rows, writes)


@pytest.mark.parametrize(
    ("sql", "outside"),
    [
        ("VACUUM t", True),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", True),
        ("CREATE DATABASE d", True),
        ("CREATE TABLE database (a int)", False),
        ("DELETE FROM t", False),
    ],
)
def test_what_databases_refuse_inside_a_transaction_is_known(sql: str, outside: bool) -> None:
    """Such statements run by themselves."""
    assert one_statement(sql).outside_transaction is outside


def test_a_missing_value_is_told_by_its_name() -> None:
    """A parameter that is not given never becomes NULL."""
    with pytest.raises(StatementError, match=":day"):
        one_statement("SELECT :day").values({"date": 1})
