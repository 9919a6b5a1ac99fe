"""Passwords: argon2id, at a cost that is the same whether the account exists or not."""

from __future__ import annotations

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from nomaflow.errors import InvalidError

MIN_LENGTH = 8
MAX_LENGTH = 1024

_HASHER = PasswordHasher()

# Of a random password that nobody kept: checked in place of a hash that is missing, so that both cases take as long.
_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$LJ10TSDXujs6iQL5bulRrg$H6LAbhKhazlrAqi9JNpyal+ffDTmAQwbci2pBJDYFeY"

# One check holds 64 MiB and a core for about 50 ms: guesses must not take the machine from the runs.
_AT_ONCE = 2
_limiter = trio.CapacityLimiter(_AT_ONCE)


def hash_password(password: str) -> str:
    """The text for `password_hash` in `nomaflow.toml`.

    Raises:
        InvalidError: too short or too long.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidError(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters, this one has {len(password)}")
    return _HASHER.hash(password)


async def fits(password: str, password_hash: str | None) -> bool:
    """Whether the password is the one of the hash; never where there is no hash."""
    matches = await trio.to_thread.run_sync(_matches, password, password_hash or _NOBODYS, limiter=_limiter)
    return matches and password_hash is not None


def _matches(password: str, password_hash: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
