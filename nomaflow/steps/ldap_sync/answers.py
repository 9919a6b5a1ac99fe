"""What a directory's answers mean: the result codes, and what Active Directory says when it lets nobody in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nomaflow.steps.ldap_sync.errors import DirectoryError

SUCCESS, REFERRAL, INVALID_CREDENTIALS = 0, 10, 49

_RIGHTS = "a right that is missing stays missing"
_LOGIN = "a name or a password that is refused stays refused"
_SEARCH = "the search stays as it is"
_LIMIT = "the server's limit stays as it is"
_SERVER = "the server does not know how to do this"

_LASTING = {
    2: _SERVER,
    4: _LIMIT,
    7: _SERVER,
    8: _RIGHTS,
    10: "the entries are on another server",
    11: _LIMIT,
    12: _SERVER,
    13: _RIGHTS,
    16: _SEARCH,
    17: _SEARCH,
    18: _SEARCH,
    21: _SEARCH,
    32: _SEARCH,
    33: _SEARCH,
    34: _SEARCH,
    36: _SEARCH,
    48: _LOGIN,
    49: _LOGIN,
    50: _RIGHTS,
    53: _RIGHTS,
}
"""Result codes that the next try would meet again; the others, such as busy (51) and unavailable (52), may pass."""

_ADVICE = {
    3: "raise the server's time limit, or narrow the search",
    4: "lower page_size, raise the server's size limit for bind_dn, or narrow the search",
    8: "use ldaps:// or start_tls = true",
    10: "name the server that has them in the connector's url",
    11: "lower page_size, or raise the server's limit for bind_dn",
    13: "use ldaps:// or start_tls = true",
    32: "check search_base",
    34: "check search_base and bind_dn",
    48: "check bind_dn",
    49: "check bind_dn and the password",
    50: "give bind_dn the right to read there",
}

_ACTIVE_DIRECTORY = {
    "525": "there is no such user",
    "52e": "the password is wrong",
    "530": "the user may not sign in at this time",
    "531": "the user may not sign in from this machine",
    "532": "the password has expired",
    "533": "the account is disabled",
    "701": "the account has expired",
    "773": "the user must change the password first",
    "775": "the account is locked",
}
"""What stands behind `data` in the message of an Active Directory server."""


def refusal(doing: str, result: Mapping[str, Any]) -> DirectoryError:
    """The error for an answer that is not success.

    Args:
        doing: what was asked for, as the beginning of a sentence.
        result: `result`, `description` and `message`, as ldap3 has them.
    """
    code = int(result["result"])
    said = " ".join(str(result.get("message") or "").split())
    detail = re.search(r"\bdata ([0-9a-f]{3}),", said) if code == INVALID_CREDENTIALS else None
    known = _ACTIVE_DIRECTORY.get(detail[1]) if detail else None
    told = known or said[:200]
    message = f"{doing}: the server answers {result.get('description')}" + (f" ({told})" if told else "")
    if advice := _ADVICE.get(code):
        message += f"; {advice}"
    return DirectoryError(message, _LASTING.get(code))
