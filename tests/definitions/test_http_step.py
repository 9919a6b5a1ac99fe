"""What may stand in an `http` step."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from nomaflow.definitions.job import Job
from nomaflow.definitions.references import unknown_references
from nomaflow.definitions.settings import Settings
from nomaflow.definitions.steps import Step
from nomaflow.definitions.steps.common import StepCommon

STEP = {"name": "ask", "type": "http"}
URL = {"url": "https://api.example.org/items"}


def step(**fields: Any) -> StepCommon:
    made: StepCommon = TypeAdapter(Step).validate_python({**STEP, **fields})
    return made


def test_a_url_is_enough() -> None:
    """The rest has the defaults of the original, and four megabytes."""
    options = step(**URL).options()
    assert (options["method"], options["expected_statuses"]) == ("GET", [200, 201, 202, 204])
    assert (options["max_bytes"], options["max_redirects"], options["connect_timeout_seconds"]) == (4194304, 5, 10)


@pytest.mark.parametrize(
    "fields",
    [
        {"connector": "api"},
        {"connector": "api", "url": "items/${kw:item}"},
        {"connector": "${kw:api}", "url": "/items"},
        {"url": "${env:HOOK}"},
        {"url": "http://${kw:host}:8080/"},
        {"connector": "api", "url": "proxy/http://x"},
        {**URL, "method": "POST", "body": {"a": [{"b": "${out:first.id}"}]}},
        {**URL, "method": "POST", "form": {"a": "${today}"}},
        {**URL, "outputs": {"all": "", "id": "/items/0/~0~1"}, "expected_statuses": [200, "4xx"]},
        {**URL, "headers": {"X-Api-Key": "${env:KEY}"}},
    ],
)
def test_good_steps(fields: dict[str, Any]) -> None:
    """Tokens may stand in every text that is sent."""
    assert step(**fields).runs_in_engine


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "needs a url, a connector, or both"),
        ({"url": "items"}, "has a url without http:// or https://"),
        ({"url": "ftp://api.example.org"}, "must begin with http:// or https:// and a host"),
        ({"url": "https://:80/"}, "must begin with http:// or https:// and a host"),
        ({"url": "https://ana:secret@api.example.org"}, "must not hold a name or password"),
        ({"url": "https://api.example.org/${kw}"}, "has an unknown token"),
        (
            {**URL, "headers": {"authorization": "Bearer x"}},
            "none of a step's own: who signs in stands in the connector",
        ),
        ({**URL, "headers": {"Host": "x"}}, "is made from the request; leave it out"),
        ({**URL, "headers": {"A b": "x"}}, "String should match pattern"),
        ({**URL, "headers": {"A": "x", "a": "y"}}, "has a header twice"),
        ({**URL, "body": {}}, "sends GET, which takes no body"),
        ({**URL, "method": "POST", "body": "x", "form": {"a": 1}}, "has both body and form"),
        ({**URL, "method": "POST", "body": {"a": "${nothing}"}}, "has an unknown token"),
        ({**URL, "method": "TRACE"}, "Input should be 'GET'"),
        ({**URL, "outputs": {"status": "/a"}}, "names an output 'status', which every answer has"),
        ({**URL, "outputs": {"a": "a"}}, "String should match pattern"),
        ({**URL, "outputs": {"a": "/~2"}}, "String should match pattern"),
        ({**URL, "expected_statuses": ["2x"]}, "must be a status such as 404"),
        ({**URL, "expected_statuses": [99]}, "must be a status such as 404"),
        ({**URL, "max_bytes": 17 * 1024 * 1024}, "less than or equal"),
        ({**URL, "max_redirects": 6}, "less than or equal"),
    ],
)
def test_bad_steps(fields: dict[str, Any], message: str) -> None:
    """Each with what is wrong."""
    with pytest.raises(ValidationError, match=message):
        step(**fields)


def test_a_body_has_an_end() -> None:
    """As deep as everything else that people write, and no deeper."""
    body: Any = "x"
    for _ in range(40):
        body = [body]
    with pytest.raises(ValidationError, match="must not be nested deeper than 32 levels"):
        step(**URL, method="POST", body=body)


def test_the_line_that_says_it_has_no_query() -> None:
    """It may hold a secret."""
    assert step(connector="api", url="items?key=1").detail == "GET api items"


SETTINGS = Settings.model_validate(
    {
        "connectors": {
            "api": {"kind": "http", "url": "https://api.example.org/v1"},
            "db": {"kind": "sql", "url": "sqlite:///a.db"},
        }
    }
)


@pytest.mark.parametrize(
    ("connector", "found"),
    [
        ("api", []),
        ("db", ["names 'db', which is a connector of kind sql; this step needs one of kind http"]),
        ("apo", ["names an unknown connector 'apo'; did you mean \"api\"?"]),
    ],
)
def test_its_connector_is_one_of_kind_http(connector: str, found: list[str]) -> None:
    """A step without one names none."""
    steps = [{**STEP, **URL, "name": "free"}, {**STEP, "connector": connector}]
    job = Job.model_validate({"id": "job", "steps": steps})
    assert [message for _, message in unknown_references(job, SETTINGS)] == found
    assert job.connectors() == {connector}


@pytest.mark.parametrize(
    ("url", "is_told"),
    [
        ("https://evil.example.org/v1", True),
        ("https://API.example.org/other", False),
        ("https://${kw:host}/", False),
        ("items", False),
    ],
)
def test_its_url_leads_to_its_connector(url: str, is_told: bool) -> None:
    """Told when it is saved, as far as the file tells where it leads."""
    params = {"host": {"type": "text", "default": "a"}}
    job = Job.model_validate({"id": "job", "params": params, "steps": [{**STEP, "connector": "api", "url": url}]})
    found = list(unknown_references(job, SETTINGS))
    message = "leads to evil.example.org, and its connector 'api' elsewhere; give a path below its url"
    assert found == ([(("steps", 0, "url"), message)] if is_told else [])
