"""`ldap_sync` as it is written: which options go together."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from nomaflow.definitions.steps.ldap_sync import LdapSync

TABLE = {"target_table": "people", "key": ["login"], "mapping": {"uid": "login", "mail": "mail"}}
QUERY = {"target_query": "INSERT INTO p VALUES (:uid) ON CONFLICT DO NOTHING"}


def step(**fields: Any) -> LdapSync:
    given = {"name": "people", "type": "ldap_sync", "connector": "directory", "search_base": "dc=x"}
    return LdapSync.model_validate(given | {"target_connector": "hr"} | fields)


def test_the_defaults_are_safe() -> None:
    """Every entry below the base, nothing deleted, the guard as strict as it is said."""
    made = step(**TABLE)
    assert (made.search_filter, made.scope, made.separator) == ("(objectClass=*)", "subtree", ";")
    assert (made.deletion, made.max_deletions, made.max_deletion_percent) == ("none", 50, 10)
    assert made.referrals == "fail"
    assert list(made.connectors()) == ["directory", "hr"]
    assert made.writes() == {"hr"}
    assert made.detail == "directory: dc=x → hr.people (deletion: none)"


@pytest.mark.parametrize(
    "fields",
    [
        TABLE,
        QUERY,
        {"target_table": "people"},
        {"target_table": "people", "attributes": ["uid", "userCertificate;binary"], "key": ["UID"]},
        {**TABLE, "deletion": "soft", "flag_column": "gone", "flagged_at_column": "gone_at"},
        {**TABLE, "deletion": "hard", "max_deletions": "${kw:max_deletions}", "max_deletion_percent": 0.5},
        {**QUERY, "mapping": {"user-name": "uid"}},
        {**TABLE, "search_filter": "(department={d})", "search_params": {"d": "${kw:department}"}},
    ],
)
def test_what_fits_is_taken(fields: dict[str, Any]) -> None:
    """A table by its columns, a query by its parameters."""
    assert step(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "needs either target_table or target_query"),
        ({**TABLE, **QUERY}, "needs either target_table or target_query"),
        ({**QUERY, "key": ["uid"]}, "has key, which is for target_table"),
        ({**QUERY, "deletion": "hard"}, "has deletion, which needs target_table"),
        ({"target_query": "SELECT 1; SELECT 2"}, "more than one statement"),
        ({"target_query": "COMMIT"}, "has a target_query (COMMIT) that ends the step's one transaction"),
        ({"target_query": "VACUUM"}, "has a target_query (VACUUM) that ends the step's one transaction"),
        ({"target_query": "DELETE FROM p"}, "has a target_query without parameters; write :uid"),
        ({**TABLE, "deletion": "soft"}, "needs flag_column for deletion = soft"),
        ({**TABLE, "flag_column": "gone"}, "needs flag_column for deletion = soft, and for nothing else"),
        ({**TABLE, "flagged_at_column": "gone_at"}, "has flagged_at_column without flag_column"),
        ({**TABLE, "deletion": "soft", "flag_column": "MAIL"}, "has a mapping to 'MAIL', which marks rows"),
        ({**TABLE, "key": ["id"]}, "has 'id' in its key, and no attribute that is mapped to it"),
        ({**TABLE, "mapping": {"uid": "login", "UID": "id"}}, "names the attribute 'UID' twice"),
        ({**TABLE, "mapping": {"uid": "login", "cn": "Login"}}, "names the column 'Login' twice"),
        ({**TABLE, "mapping": {"u*": "login"}}, "should match pattern"),
        ({**TABLE, "search_filter": "uid=ana"}, "has 'u' where a parenthesis must be"),
        ({**TABLE, "search_filter": "(uid={a})"}, "has {a} in search_filter, and search_params has no value"),
        ({**TABLE, "search_base": "ou={a}"}, "has {a} in search_base, and search_params has no value"),
        ({**TABLE, "max_deletions": -1}, "greater than or equal to 0"),
        ({**TABLE, "max_deletions": "60"}, "should match pattern"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], message: str) -> None:
    """In a sentence that names the option."""
    with pytest.raises(ValidationError) as refused:
        step(**fields)
    assert message in str(refused.value)


def test_the_search_and_the_query_are_never_substituted() -> None:
    """A launch's value cannot become a part of a filter, a name or a statement."""
    assert LdapSync.literal_options == {"search_base", "search_filter", "target_query"}
