"""What the tests of `ldap_sync` share: one call of the step, with the options that a job's author would leave out."""

from __future__ import annotations

from typing import Any

from nomaflow.definitions.steps.ldap_sync import LdapSync
from nomaflow.steps import ldap_sync
from tests.fakes.context import Told, step_context
from tests.servers.slapd import PEOPLE, Directory
from tests.steps.copying import Bench

MAPPING = {
    "uid": "login",
    "cn": "name",
    "mail": "mail",
    "employeeNumber": "number",
    "userAccountControl": "control",
    "objectGUID": "guid",
    "whenChanged": "changed",
    "memberOf": "groups",
    "dn": "dn",
}

COLUMNS = {
    "sqlite": "login TEXT PRIMARY KEY, name TEXT, mail TEXT, number INTEGER, control INTEGER, guid TEXT,"
    " changed TIMESTAMP, groups JSON_TEXT, dn TEXT, gone BOOLEAN, gone_at TIMESTAMP",
    "duckdb": "login VARCHAR PRIMARY KEY, name VARCHAR, mail VARCHAR, number INTEGER, control INTEGER, guid UUID,"
    " changed TIMESTAMP, groups JSON, dn VARCHAR, gone BOOLEAN, gone_at TIMESTAMP",
    "postgresql": "login text PRIMARY KEY, name text, mail text, number integer, control integer, guid uuid,"
    " changed timestamptz, groups json, dn text, gone boolean, gone_at timestamptz",
}


def soft() -> dict[str, Any]:
    """Options of a soft deletion."""
    return {"deletion": "soft", "flag_column": "gone", "flagged_at_column": "gone_at"}


def sync(
    bench: Bench, directory: Directory | dict[str, Any], *, told: Told | None = None, **options: Any
) -> dict[str, Any]:
    """Synchronize the people into the table `people` of the connector `db`, or as the options say."""
    connector = directory if isinstance(directory, dict) else directory.connector()
    ctx, heard = step_context({**bench.connectors, "directory": connector})
    if told is not None:
        heard.lines, heard.progress = told.lines, told.progress
        heard.on_line, heard.on_progress = told.on_line, told.on_progress
    bench.ctx = ctx
    given = {
        "name": "people",
        "type": "ldap_sync",
        "connector": "directory",
        "search_base": PEOPLE,
        "search_filter": "(uid=*)",
        "target_connector": "db",
    }
    if "target_query" not in options:
        given |= {"target_table": "people", "mapping": MAPPING}
    step = LdapSync.model_validate(given | options)
    return ldap_sync.run(ctx, step.options())


def gone_of(person: str, base: str = PEOPLE) -> str:
    """The LDIF that deletes a person."""
    return f"dn: uid={person},{base}\nchangetype: delete\n"
