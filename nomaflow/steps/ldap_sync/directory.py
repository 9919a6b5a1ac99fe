"""A connection to a directory: the one home of ldap3."""

from __future__ import annotations

import socket
import threading
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from nomaflow.steps.ldap_sync import ranges
from nomaflow.steps.ldap_sync.answers import SUCCESS, refusal
from nomaflow.steps.ldap_sync.connecting import CONNECT_SECONDS, Address, connected, tls_context, wrapped
from nomaflow.steps.ldap_sync.errors import DirectoryError
from nomaflow.steps.ldap_sync.mapping import Entry

with warnings.catch_warnings():
    # Names of pyasn1 that version 0.6 still has.
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3
    from ldap3.core.exceptions import LDAPException, LDAPInvalidFilterError, LDAPSchemaError
    from ldap3.protocol.formatters.standard import format_attribute_values

RECEIVE_SECONDS = 60.0
"""How long a directory may be silent in the middle of an answer, where the connector does not say otherwise."""

MAX_EMPTY_PAGES = 100
"""Pages without entries that are read one after another; a server that gives more of them gives them for ever."""

_SCOPES = {"base": ldap3.BASE, "one": ldap3.LEVEL, "subtree": ldap3.SUBTREE}
_PAGED_RESULTS = "1.2.840.113556.1.4.319"
_START_TLS = "1.3.6.1.4.1.1466.20037"


@dataclass(frozen=True)
class Search:
    """What is asked for. `attributes` are those whose values are wanted."""

    base: str
    filter: str
    scope: str
    attributes: Sequence[str]
    page_size: int
    ignores_referrals: bool = False


class Directory:
    """One connection, signed in. Whatever fails is told as a `DirectoryError` that begins with the connector's name."""

    def __init__(self, connector: Mapping[str, Any]) -> None:
        """Connect as the engine describes a connector of kind ldap, and sign in.

        Raises:
            DirectoryError: the directory cannot be reached, is not trusted, or refuses.
        """
        self.name: str = connector["name"]
        self._address = Address.of(connector["url"])
        self._receive_seconds = float(connector.get("receive_timeout_seconds") or RECEIVE_SECONDS)
        self._lock = threading.Lock()
        self._is_cut = False
        self._socket: socket.socket | None = None
        try:
            self._open(connector)
        except BaseException:
            self._close_socket()
            raise

    def _open(self, connector: Mapping[str, Any]) -> None:
        seconds = float(connector.get("connect_timeout_seconds") or CONNECT_SECONDS)
        bind_dn, password = connector.get("bind_dn") or "", connector.get("password") or ""
        with self._telling():
            if bind_dn and not password:
                # A server takes a name without a password for anonymous (RFC 4513, 5.1.2).
                raise DirectoryError("the password of bind_dn is empty", "a password that is empty stays so")
            starts_tls = bool(connector.get("start_tls"))
            context = tls_context(connector.get("ca_file")) if self._address.is_tls or starts_tls else None
            self._use(connected(self._address, seconds))
            if context is not None and self._address.is_tls:
                self._use(wrapped(self._raw, self._address, context, seconds))
            server = ldap3.Server(self._address.host, self._address.port, get_info=ldap3.SCHEMA)
            how = ldap3.SIMPLE if bind_dn else ldap3.ANONYMOUS
            self._connection = ldap3.Connection(
                server, bind_dn or None, password or None, authentication=how, read_only=True,
                check_names=False, auto_referrals=False, auto_range=False, return_empty_attributes=False,
            )  # fmt: skip
            self._hand_over()
            if context is not None and starts_tls:
                self._connection.extended(_START_TLS)
                if self._connection.result["result"] != SUCCESS:
                    raise refusal("StartTLS", self._connection.result)
                self._use(wrapped(self._raw, self._address, context, seconds))
                self._connection.socket, self._connection.tls_started = self._socket, True
            self._connection.bind(read_server_info=False)
            if self._connection.result["result"] != SUCCESS:
                raise refusal(f"signing in as {bind_dn or 'nobody'}", self._connection.result)

    def _hand_over(self) -> None:
        """Give the library a connection that is open, which it would open and wrap in its own way."""
        self._connection.socket = self._socket
        self._connection.strategy._outstanding = {}
        self._connection.closed = False
        self._connection.strategy._start_listen()

    def read_schema(self) -> bool:
        """Learn the types of attributes, by which values are read; whether the directory shows them.

        Raises:
            DirectoryError: the connection is lost.
        """
        with self._telling():
            try:
                self._connection.refresh_server_info()
            except LDAPSchemaError:
                return False
        return bool(self._schema and self._schema.attribute_types)

    def knows(self, attribute: str) -> bool:
        """Whether the schema has an attribute of that name; of a schema that cannot be read, whether it may have."""
        return (
            not self._schema
            or not self._schema.attribute_types
            or self._base(attribute) in self._schema.attribute_types
        )

    def pages(self, search: Search) -> Generator[list[Entry], None, None]:
        """All entries, page by page. Who has read to the end has all that there is.

        Raises:
            DirectoryError: the answer is not whole, whatever the reason.
        """
        with self._telling():
            cookie, empty = None, 0
            while True:
                entries, cookie = self._page(search, cookie)
                yield entries
                if not cookie:
                    return
                empty = 0 if entries else empty + 1
                if empty > MAX_EMPTY_PAGES:
                    raise DirectoryError(f"the server gave {empty} pages without an entry one after another")

    def answers(self) -> None:
        """Ask for the entry that every directory has.

        Raises:
            DirectoryError: there is no answer.
        """
        with self._telling():
            self._ask("", "(objectClass=*)", "base", ["supportedLDAPVersion"])

    def cut(self) -> None:
        """End what the connection waits for; safe from another thread.

        Closing would leave the reading thread asleep, and a polite goodbye waits for a server that does not answer.
        """
        with self._lock:
            self._is_cut = True
            if self._socket is not None:
                _shut(self._socket)

    def close(self) -> None:
        """Say goodbye and close the connection."""
        if not self._is_cut and not self._connection.closed:
            with suppress(LDAPException, OSError):
                self._raw.settimeout(1)
                self._connection.unbind()
        self._close_socket()

    @property
    def _raw(self) -> socket.socket:
        assert self._socket is not None
        return self._socket

    @property
    def _schema(self) -> Any:
        return self._connection.server.schema

    def _use(self, opened: socket.socket) -> None:
        with self._lock:
            self._socket = opened
            opened.settimeout(self._receive_seconds)
            if self._is_cut:
                _shut(opened)

    def _close_socket(self) -> None:
        with self._lock:
            if self._socket is not None:
                _shut(self._socket)
                self._socket.close()
                self._socket = None

    def _page(self, search: Search, cookie: bytes | None) -> tuple[list[Entry], bytes | None]:
        response, result = self._ask(
            search.base,
            search.filter,
            search.scope,
            list(search.attributes) or [ldap3.NO_ATTRIBUTES],
            paged_size=search.page_size,
            paged_cookie=cookie,
        )
        elsewhere = [uri for one in response if one["type"] == "searchResRef" for uri in one["uri"]]
        if elsewhere and not search.ignores_referrals:
            raise DirectoryError(
                f"a part of the answer is on another server ({elsewhere[0]}); narrow search_base, or leave such parts "
                'out with referrals = "ignore"',
                "the entries are on another server",
            )
        entries = [self._entry(one) for one in response if one["type"] == "searchResEntry"]
        control = (result.get("controls") or {}).get(_PAGED_RESULTS)
        return entries, control["value"]["cookie"] if control else None

    def _ask(
        self, base: str, query: str, scope: str, attributes: Sequence[str], **paging: Any
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """One search, whose answer is whole."""
        self._connection.search(
            base,
            query,
            _SCOPES[scope],
            dereference_aliases=ldap3.DEREF_NEVER,
            attributes=list(attributes),
            **paging,
        )
        result: dict[str, Any] = self._connection.result
        if result["result"] != SUCCESS:
            raise refusal(f"searching {base or 'the root'}", result)
        return self._connection.response or [], result

    def _entry(self, given: dict[str, Any]) -> Entry:
        dn: str = given["dn"]
        raw = ranges.complete(dn, given["raw_attributes"], self._values)
        return Entry(dn, {name.lower(): self._read(name, values) for name, values in raw.items() if values})

    def _values(self, dn: str, attribute: str) -> dict[str, list[bytes]]:
        response, _ = self._ask(dn, "(objectClass=*)", "base", [attribute])
        entries = [one for one in response if one["type"] == "searchResEntry"]
        return dict(entries[0]["raw_attributes"]) if entries else {}

    def _read(self, attribute: str, values: list[bytes]) -> list[Any]:
        """The values as their attribute's type has them; bytes where that is no text."""
        read = format_attribute_values(self._schema, self._base(attribute), values, None)
        return read if isinstance(read, list) else [read]

    @staticmethod
    def _base(attribute: str) -> str:
        return attribute.partition(";")[0]

    @contextmanager
    def _telling(self) -> Generator[None, None, None]:
        """Tell every error of the library, and ours, as one sentence with the connector's name."""
        try:
            yield
        except DirectoryError as error:
            raise DirectoryError(f"The directory {self.name!r}: {error}", error.lasting) from error
        except LDAPInvalidFilterError as error:
            raise DirectoryError(
                f"The directory {self.name!r}: search_filter: {error}", "a filter stays as it is"
            ) from error
        except Exception as error:
            raise DirectoryError(f"The directory {self.name!r}: {self._lost(error)}") from error

    def _lost(self, error: Exception) -> str:
        if isinstance(error, TimeoutError) or "timed out" in str(error):
            return f"{self._address} did not answer within {self._receive_seconds:g} s"
        if isinstance(error, LDAPException | OSError):
            return f"the connection to {self._address} was lost: {error}"
        # The library meets what is no LDAP with whatever its decoder stumbles over.
        return f"{self._address} gave what cannot be read as LDAP; check the port in the connector's url"


def _shut(opened: socket.socket) -> None:
    with suppress(OSError):  # it is lost already
        # Not the TLS socket's own method, which forgets its keys: a reading thread would go on in the clear.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)
