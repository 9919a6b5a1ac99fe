"""People: who am I, signing in and out."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request

from nomaflow.api.gate import ApiIn, CallIn, address, api_router, refusals, surface
from nomaflow.api.policy import V1
from nomaflow.errors import InvalidError, NotAllowedError
from nomaflow.wire import GrantInfo, Me, Session, SignIn, SignInLink

router = api_router("people")

SIGN_IN_PATH = "/nomaflow/sign-in"
"""Where the dashboard takes a one-time code."""


@router.get(f"{V1}/me")
async def read_me(call: CallIn) -> Me:
    """Who the token belongs to and what it may do."""
    account = call.api.access.account(call.identity.account)
    return Me(
        account=call.identity.account,
        role=account.role,
        grants=[GrantInfo.model_validate(grant.model_dump()) for grant in account.grants],
        surface=call.identity.surface,
        expires_at=call.identity.expires_at,
    )


@router.post(f"{V1}/sessions", status_code=201, responses=refusals(401, 403, 429))
async def sign_in(api: ApiIn, given: SignIn, request: Request) -> Session:
    """A session by account and password, or by the code of a one-time link. The token is shown this once."""
    by_password = given.account is not None and given.password is not None
    if by_password == (given.code is not None) or (given.code and (given.account or given.password)):
        raise InvalidError("sign in with account and password, or with the code of a sign-in link")
    at = surface(request) or "api"
    if at == "slack":
        raise NotAllowedError("only sessions that the Slack bot opened act for the surface slack")
    if given.code is not None:
        token, session = await api.access.redeem(given.code, surface=at)
    else:
        token, session = await api.access.sign_in(
            given.account or "", given.password or "", address=address(request), surface=at
        )
    return Session(token=token, account=session.account, expires_at=session.expires_at)


@router.delete(f"{V1}/sessions", status_code=204)
async def sign_out(call: CallIn) -> None:
    """End the session that the request came with."""
    await call.api.access.sign_out(call.identity)


@router.post(f"{V1}/sessions/link", status_code=201)
async def make_sign_in_link(call: CallIn) -> SignInLink:
    """A one-time code, good for ten minutes, with which the same person can sign in elsewhere."""
    link = call.api.access.mint_link(call.identity)
    path = f"{SIGN_IN_PATH}?token={quote(link.code)}"
    return SignInLink(code=link.code, path=path, expires_at=link.expires_at)
