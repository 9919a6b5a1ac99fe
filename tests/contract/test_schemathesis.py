"""Whatever is sent to any route of `/openapi.json`, the engine answers as that file says and never fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.contract.world import WITH_FORM, WORLDS, World, one_step, opened

JOBS = {"works": one_step("works"), "fails": one_step("fails"), "with-form": WITH_FORM}

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

EXAMPLES = {"fake": 100, "real": 25}
"""For each route; the real engine runs what is launched."""


@pytest.fixture(scope="module", params=WORLDS)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of its own, with a few jobs: so many wrong sign-ins would lock the other tests out."""
    with opened(request.param, tmp_path_factory.mktemp("schemathesis"), JOBS) as world:
        yield world


@pytest.mark.limit(110)
def test_no_request_makes_the_engine_fail(stage: World) -> None:
    """Statuses, media types and bodies are the described ones; what is not built says 501 and nothing else is a 5xx."""
    described = schemathesis.openapi.from_url(f"{stage.url}/openapi.json")
    failures: list[BaseException] = []
    # The streams do not end.
    for found in described.exclude(path_regex=r"/(events|stream)$").get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]  # an invalid description has none, and fails here

        @hypothesis.settings(
            max_examples=EXAMPLES[stage.name],
            derandomize=True,
            database=None,
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def answers_as_described(case: schemathesis.Case[Any]) -> None:
            check(case, stage.token)

        try:
            answers_as_described()
        except (Exception, FailureGroup) as error:
            error.add_note(f"at {operation.label}")
            failures.append(error)
    if failures:
        raise BaseExceptionGroup("the engine does not answer as it says", failures)


def check(case: schemathesis.Case[Any], token: str) -> None:
    """Send one request and look at the answer."""
    # Random ids are never there, so half of the requests get one that is.
    if len(str(case.path_parameters.get("job_id", ""))) % 2:
        case.path_parameters["job_id"] = sorted(JOBS)[len(str(case.path_parameters)) % len(JOBS)]
    response = case.call(headers={"Authorization": f"Bearer {token}"})
    if response.status_code in (501, 503):
        assert response.json()["error"]["code"] in ("not_built", "not_ready")
        return
    case.validate_response(response, checks=CHECKS)
