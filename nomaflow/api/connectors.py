"""Connectors, never with a secret, and what a step can be: its types, and the functions that it can call."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query

from nomaflow.api.gate import Call, CallIn, api_router, refusals
from nomaflow.api.policy import V1
from nomaflow.errors import NotFoundError
from nomaflow.wire import CallableList, ConnectorInfo, ConnectorTest, Page, StepTypeInfo

router = api_router("connectors")


@router.get(f"{V1}/connectors")
async def list_connectors(
    call: CallIn,
    q: Annotated[str | None, Query(max_length=200)] = None,
    kind: Literal["sql", "http", "ldap"] | None = None,
) -> Page[ConnectorInfo]:
    """The connectors that the person, or a job that the person may view, uses."""
    connectors = _visible(call)
    if q:
        text = q.casefold()
        connectors = [each for each in connectors if text in f"{each.name}\n{each.description}".casefold()]
    return Page[ConnectorInfo](items=[each for each in connectors if kind is None or each.kind == kind])


@router.post(f"{V1}/connectors/{{name}}/test", responses=refusals(404))
async def test_connector(call: CallIn, name: str) -> ConnectorTest:
    """Whether the connector answers."""
    if all(each.name != name for each in _visible(call)):
        raise NotFoundError(f"there is no connector {name[:80]!r}")
    return await call.engine.test_connector(name, call.actor)


@router.get(f"{V1}/step-types")
async def list_step_types(call: CallIn) -> Page[StepTypeInfo]:
    """All step types with the JSON Schema of their options."""
    return Page[StepTypeInfo](items=call.engine.step_types())


@router.get(f"{V1}/callables")
async def list_callables(call: CallIn) -> CallableList:
    """The functions that a python step can name, with their parameters; found without running any code."""
    return await call.engine.callables()


def _visible(call: Call) -> list[ConnectorInfo]:
    sees_all = call.may("viewer")
    visible = []
    for connector in call.engine.connectors():
        used_by = [job_id for job_id in connector.used_by if sees_all or call.sees_job(job_id)]
        can_use = call.api.access.may_use_connector(call.actor, connector.name)
        if sees_all or used_by or can_use:
            visible.append(connector.model_copy(update={"used_by": used_by, "can_use": can_use}))
    return visible
