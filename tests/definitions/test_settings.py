"""`nomaflow.toml`: everything about a home that is not a job."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from nomaflow.definitions.problems import sentence
from nomaflow.definitions.settings import Settings

WHOLE = """
[engine]
timezone = "Europe/Paris"
max_parallel_runs = 8
drain_seconds = 30
cancel_grace_seconds = 10
executor = "local"
[connectors.jde]
kind = "sql"
url = "sqlite:///.nomaflow/sample/jde.db"
[connectors.nomasx1]
kind = "sql"
url = "postgresql+psycopg://nomaflow@db.example.org/nomasx1"
password_env = "NOMASX1_PASSWORD"
max_runs = 2
[connectors.partner-api]
kind = "http"
url = "https://api.example.org"
auth = { type = "bearer", token_env = "PARTNER_TOKEN" }
allow_private = false
[connectors.directory]
kind = "ldap"
url = "ldaps://ldap.example.org"
bind_dn = "cn=reader,dc=example,dc=org"
password_env = "LDAP_PASSWORD"
ca_file = "secrets/ca.pem"
[accounts.ana]
role = "operator"
grants = [{ role = "editor", jobs = ["nomasx1-*"], tags = [], connectors = ["nomasx1*"] }]
password_hash = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA"
[slack]
mode = "socket"
[slack.people]
U0123456 = "ana"
[[alerts.routes]]
tags = ["etl"]
recipients = ["#nomaflow-alerts", "mailto://ops@example.org"]
fallback = ["mailto://ana@example.org"]
[retention]
days = 90
failed_days = 365
[shell]
enabled = true
[sample]
enabled = true
"""


def test_a_whole_file_is_read() -> None:
    """Every table of the documented example."""
    settings = Settings.model_validate(tomllib.loads(WHOLE))
    assert settings.connectors.keys() == {"jde", "nomasx1", "partner-api", "directory"}
    assert settings.slack.people == {"U0123456": "ana"}
    assert (settings.shell.enabled, settings.retention.failed_days) == (True, 365)


def test_an_empty_file_is_enough() -> None:
    """Everything has a default; shell steps and the sample are off."""
    settings = Settings.model_validate({})
    assert (settings.engine.max_parallel_runs, settings.engine.drain_seconds) == (8, 30)
    assert (settings.shell.enabled, settings.sample.enabled) == (False, False)


def test_nobody_has_to_be_waited_for() -> None:
    """No drain and no grace are settings like others."""
    settings = Settings.model_validate({"engine": {"drain_seconds": 0, "cancel_grace_seconds": 0}})
    assert (settings.engine.drain_seconds, settings.engine.cancel_grace_seconds) == (0, 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"engine": {"max_parallel_runs": 0}}, "greater than or equal to 1"),
        ({"engine": {"max_parallel_runs": "8"}}, "must be a whole number, without quotes"),
        ({"engine": {"drain_seconds": -1}}, "greater than or equal to 0"),
        ({"engine": {"cancel_grace_seconds": float("inf")}}, "finite number"),
        ({"engine": {"executor": "dsk"}}, 'did you mean "dask"?'),
        ({"engine": {"timezone": "Europe/Pris"}}, 'did you mean "Europe/Paris"?'),
        ({"engin": {}}, 'is not a known key; did you mean "engine"?'),
        ({"accounts": {"ana": {"role": "editr"}}}, 'did you mean "editor"?'),
        (
            {"accounts": {"ana": {"password_hash": "plain text"}}},
            "must be the hash that `nomaflow account set-password` writes",
        ),
        ({"accounts": {"Ana": {}}}, "must be 1 to 64 of a-z, 0-9, `.`, `_` and `-`, with a letter or digit first"),
        ({"accounts": {"ana": {"grants": [{"role": "editor", "jobs": ["../x"]}]}}}, "must be a job id, in which"),
        ({"slack": {"people": {"ana": "ana"}}}, "must be a Slack member id"),
        ({"shell": {"enabled": "true"}}, "must be true or false, without quotes"),
        ({"retention": {"days": 0}}, "greater than or equal to 1"),
        ({"alerts": {"routes": [{"tags": ["etl"]}]}}, "is required"),
    ],
)
def test_a_bad_field_is_refused(fields: dict[str, Any], message: str) -> None:
    """With the rest of a sentence that begins with the field's name."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(fields)
    assert message in sentence(caught.value.errors()[0], Settings)
