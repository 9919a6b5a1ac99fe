"""Who asks and what they may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from nomaflow.api.policy import V1
from nomaflow.errors import NotAllowedError, NotSignedInError
from tests.contract.world import PASSWORD, new_id, new_job, one_step

if TYPE_CHECKING:
    from nomaflow.client import AsyncClient
    from tests.contract.world import World


async def test_the_admin_token_is_the_admin(client: AsyncClient) -> None:
    """The first account of a home."""
    me = await client.me()
    assert (me.account, me.role, me.surface) == ("admin", "admin", "api")


async def test_a_password_opens_a_session(client: AsyncClient, ana: AsyncClient) -> None:
    """The session is the person's, with the person's role and an end."""
    me = await ana.me()
    assert (me.account, me.role) == ("ana", "operator")
    assert me.expires_at is not None


async def test_a_wrong_password_and_a_wrong_account_say_the_same(client: AsyncClient) -> None:
    """Nobody learns which accounts there are."""
    with pytest.raises(NotSignedInError) as one:
        await client.sign_in("vic", "wrong horse")
    with pytest.raises(NotSignedInError) as other:
        await client.sign_in("nobody", PASSWORD)
    assert one.value.message == other.value.message


async def test_signing_out_ends_the_session(ana: AsyncClient) -> None:
    """Its token is worth nothing from then on."""
    await ana.sign_out()
    with pytest.raises(NotSignedInError):
        await ana.me()


async def test_a_link_signs_in_once(client: AsyncClient) -> None:
    """Its code opens one session of the same person."""
    link = await client.sign_in_link()
    session = await client.sign_in(code=link.code)
    assert session.account == "admin"
    with pytest.raises(NotSignedInError):
        await client.sign_in(code=link.code)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nfs_guess"}, {"Authorization": "Basic YTpi"}])
async def test_nothing_is_told_without_a_token(world: World, headers: dict[str, str]) -> None:
    """Everything below /api/v1 asks who it is first, whether or not it exists."""
    async with httpx.AsyncClient(base_url=world.url + V1) as http:
        for path in ("/jobs", "/runs", "/events", "/me", "/jobs/none"):
            answer = await http.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "not_signed_in"


async def test_a_viewer_changes_nothing(client: AsyncClient, vic: AsyncClient) -> None:
    """Sees cards and runs; every change is refused with the role that it needs."""
    job_id = await new_job(client, one_step("works"))
    document = await vic.job(job_id)
    [card] = [card for card in await vic.jobs() if card.id == job_id]
    assert not card.can.run
    assert not card.can.toggle
    assert not card.can.edit
    with pytest.raises(NotAllowedError, match="operator"):
        await vic.launch(job_id)
    with pytest.raises(NotAllowedError, match="operator"):
        await vic.disable(job_id)
    with pytest.raises(NotAllowedError, match="editor"):
        await vic.save_job(job_id, if_match=document.etag, toml=document.toml)
    with pytest.raises(NotAllowedError, match="editor"):
        await vic.create_job(new_id("vics"), toml=one_step("works"))
    with pytest.raises(NotAllowedError, match="admin"):
        await vic.reload()
    assert await client.job(job_id) == document


async def test_an_operator_runs_and_toggles(client: AsyncClient, ana: AsyncClient) -> None:
    """As herself; saving is the editor's."""
    job_id = await new_job(client, one_step("works"))
    run = await ana.wait((await ana.launch(job_id)).id)
    assert run.triggered_by == "api:ana"
    assert not (await ana.disable(job_id)).enabled
    with pytest.raises(NotAllowedError, match="editor"):
        await ana.delete_job(job_id, if_match=(await ana.job(job_id)).etag)
