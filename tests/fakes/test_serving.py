"""The fake engine behind the real API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from nomaflow.api.policy import V1
from tests.fakes.engine import FakeEngine
from tests.fakes.scripts import hang
from tests.fakes.serving import in_memory, in_thread, serve_fake

if TYPE_CHECKING:
    from pathlib import Path

ONE_STEP = '[[steps]]\nname = "work"\ntype = "python"\ncallable = "steps:work"\n'


@pytest.fixture
def fake(tmp_path: Path) -> FakeEngine:
    """An engine with one job, whose step hangs."""
    return FakeEngine(tmp_path, {"one": ONE_STEP}, scripts={"one": {"work": hang()}}, auto=True)


async def test_it_is_served_on_a_port(fake: FakeEngine) -> None:
    """Any HTTP client reaches it, with the token."""
    async with serve_fake(fake) as served, httpx.AsyncClient(base_url=served.url) as http:
        assert (await http.get(f"{V1}/jobs")).status_code == 401
        answer = await http.get(f"{V1}/jobs", headers={"Authorization": f"Bearer {served.token}"})
        assert [card["id"] for card in answer.json()["items"]] == ["one"]


async def test_it_is_reached_in_memory(fake: FakeEngine) -> None:
    """Without a port, for quick tests."""
    async with in_memory(fake) as http:
        assert (await http.get(f"{V1}/me")).json()["account"] == "admin"


def test_a_test_outside_of_trio_moves_it_on(fake: FakeEngine) -> None:
    """The engine runs in a thread; the test calls its verbs there."""
    with in_thread(fake) as inside, httpx.Client(base_url=inside.value.url) as http:
        http.headers["Authorization"] = f"Bearer {inside.value.token}"
        run_id = http.post(f"{V1}/jobs/one/runs", json={}).json()["id"]
        assert http.get(f"{V1}/runs/{run_id}").json()["state"] == "RUNNING"
        inside.call(fake.release, run_id, "work")
        assert http.get(f"{V1}/runs/{run_id}").json()["state"] == "SUCCEEDED"
