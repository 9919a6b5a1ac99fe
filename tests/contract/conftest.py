"""Both worlds, once for the whole session; a test makes jobs of its own in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.world import PASSWORD, WORLDS, World, opened

if TYPE_CHECKING:
    import httpx

    from nomaflow.client import AsyncClient


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """httpx leaves its own generators to the garbage collector when a stream is left early; nobody else can close
    them."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore:Async generator 'http(x|core):ResourceWarning"))


@pytest.fixture(scope="session", params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One of the two."""
    with opened(request.param, tmp_path_factory.mktemp(request.param)) as world:
        yield world


@pytest.fixture
async def client(world: World) -> AsyncIterator[AsyncClient]:
    """An admin's client."""
    async with world.client() as client:
        yield client


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """An admin's plain HTTP."""
    async with world.http() as http:
        yield http


@pytest.fixture
async def ana(client: AsyncClient) -> AsyncClient:
    """An operator, signed in by password."""
    return client.with_token((await client.sign_in("ana", PASSWORD)).token)


@pytest.fixture
async def vic(client: AsyncClient) -> AsyncClient:
    """A viewer, signed in by password."""
    return client.with_token((await client.sign_in("vic", PASSWORD)).token)


@pytest.fixture
async def joe(client: AsyncClient) -> AsyncClient:
    """A viewer of the jobs that are named `joes-…`, signed in by password."""
    return client.with_token((await client.sign_in("joe", PASSWORD)).token)
