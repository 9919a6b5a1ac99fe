"""A connection for one request: to an address that was looked at, counted in bytes, and closed without waiting.

h11 says what the bytes mean, as it does for the engine's own server. httpx does not let a program choose the address
that it connects to, so a name could be checked as one and reached as another; here it is resolved once, every address
that it has is checked, and one of these very addresses is connected to. The name stays in the header Host and in what
TLS verifies.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import certifi
import h11
import trio

from nomaflow.steps.http.addresses import why_refused
from nomaflow.steps.http.answer import too_large
from nomaflow.steps.http.errors import (
    AddressRefusedError,
    AnswerLostError,
    CertificateError,
    ConnectError,
    ConnectTimeoutError,
    NameUnknownError,
    RequestError,
    TlsError,
)
from nomaflow.steps.http.target import Target

CHUNK_BYTES = 65_536

HEAD_BYTES = 102_400
"""The head of an answer at most."""

EXTRA_BYTES = 1024 * 1024
"""What an answer may have on the wire beside its body."""

_NOT_IN_FIELDS = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host, in the order in which they are to be tried; raises OSError."""


async def look_up(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver knows."""
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


@dataclass(frozen=True)
class Bounds:
    """What a request may do: reach private addresses, take so many seconds until the connection stands, TLS included,
    and get a body of so many bytes."""

    may_be_private: bool
    connect_seconds: float
    max_bytes: int


class Answer:
    """The answer to one request: its head, and its body piece by piece. Header names are in lower case."""

    def __init__(self, host: str, stream: trio.abc.Stream, protocol: h11.Connection, max_bytes: int) -> None:
        self._host, self._stream, self._protocol = host, stream, protocol
        self._max_bytes, self._left = max_bytes, max_bytes + EXTRA_BYTES
        self.status = 0
        self.reason = ""
        self.headers: dict[str, str] = {}

    async def head(self) -> None:
        """Wait for status and headers.

        Raises:
            AnswerLostError: there are none.
            TooLargeError: something else is sent without an end.
        """
        event = await self._event()
        while isinstance(event, h11.InformationalResponse):
            event = await self._event()
        if not isinstance(event, h11.Response):
            raise AnswerLostError(f"{self._host} did not answer in HTTP")
        self.status, self.reason = event.status_code, event.reason.decode("ascii", "replace")[:100]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}

    async def piece(self) -> bytes:
        """The next bytes of the body; none at its end.

        Raises:
            AnswerLostError: some are missing.
            TooLargeError: there are too many.
        """
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _event(self) -> object:
        try:
            while (event := self._protocol.next_event()) is h11.NEED_DATA:
                data = await self._stream.receive_some(CHUNK_BYTES)
                # Counted here, too: what comes is not always a part of the body, and a body may be compressed.
                self._left -= len(data)
                if self._left < 0:
                    raise too_large(self._max_bytes)
                self._protocol.receive_data(bytes(data))
        except trio.BrokenResourceError as error:
            raise AnswerLostError(
                f"the connection to {self._host} ended before the answer did: {_reason(error)}"
            ) from error
        except h11.RemoteProtocolError as error:
            # h11 says it in the one way after the head and in the other before it.
            is_end = any(said in str(error) for said in ("closed connection", "ConnectionClosed"))
            what = "the connection ended before the answer did" if is_end else f"the answer is not HTTP: {error}"
            raise AnswerLostError(f"{self._host}: {what}") from error
        return event


@asynccontextmanager
async def exchange(
    target: Target,
    method: str,
    headers: Sequence[tuple[str, str]],
    content: bytes | None,
    *,
    bounds: Bounds,
    ca_file: str | None,
    resolve: Resolve,
    on_send: Callable[[], None],
) -> AsyncIterator[Answer]:
    """Send one request and have the head of its answer, until the block ends.

    Args:
        target: where it goes.
        method: GET, POST …
        headers: all of them.
        content: the body.
        bounds: what it may do.
        ca_file: the authorities to trust, if not the usual ones.
        resolve: the resolver.
        on_send: called when the first byte of the request is about to be sent.

    Raises:
        NameUnknownError, AddressRefusedError, ConnectError: there is no connection.
        AnswerLostError: there is no answer.
        RequestError: it cannot be sent.
    """
    protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
    fields = [(name.encode(), _field(name, value)) for name, value in headers]
    request = h11.Request(method=method, target=target.path, headers=fields)
    body = [h11.Data(content)] if content else []
    sent = b"".join(protocol.send(part) or b"" for part in (request, *body, h11.EndOfMessage()))
    stream = await _connected(target, bounds, ca_file, resolve)
    try:
        on_send()
        # A service may refuse a body before it has all of it: its answer is what counts.
        with suppress(trio.BrokenResourceError):
            await stream.send_all(sent)
        answer = Answer(target.host, stream, protocol, bounds.max_bytes)
        await answer.head()
        yield answer
    finally:
        # At once: TLS would say good-bye, and the other side may not listen.
        await trio.aclose_forcefully(stream)


def _field(name: str, value: str) -> bytes:
    # Looked at here: h11's own error would show the value, which may be a secret.
    if _NOT_IN_FIELDS.search(value):
        raise RequestError(f"the header {name} holds a line feed or another character that HTTP does not allow there")
    return value.strip(" \t").encode()


async def _connected(target: Target, bounds: Bounds, ca_file: str | None, resolve: Resolve) -> trio.abc.Stream:
    """A connection that stands, plain or with TLS."""
    context = await trio.to_thread.run_sync(tls_context, ca_file) if target.scheme == "https" else None
    with trio.move_on_after(bounds.connect_seconds) as scope:
        addresses = await _checked(target, bounds, resolve)
        plain = await _opened(target, addresses, scope.deadline)
        if context is None:
            return plain
        secret = trio.SSLStream(plain, context, server_hostname=target.host, https_compatible=True)
        try:
            await secret.do_handshake()
        except trio.BrokenResourceError as error:
            await trio.aclose_forcefully(plain)
            raise _tls_error(target, error) from error
        except BaseException:
            await trio.aclose_forcefully(plain)
            raise
        return secret
    raise ConnectTimeoutError(f"{target.host} did not take a connection within {bounds.connect_seconds:g} s")


async def _checked(target: Target, bounds: Bounds, resolve: Resolve) -> list[str]:
    """The addresses of a host, none of which is one that may not be reached."""
    host = target.host
    try:
        addresses = [ipaddress.ip_address(host).compressed]
    except ValueError:
        try:
            addresses = await resolve(host, target.port)
        except (OSError, UnicodeError) as error:
            raise NameUnknownError(f"the name {host} leads to no address: {_reason(error)}") from error
    if not addresses:
        raise NameUnknownError(f"the name {host} leads to no address")
    # All of them: a name that also leads inside may have been made to.
    for address in addresses if not bounds.may_be_private else ():
        if why := why_refused(address):
            what = f"{host} is {address}, {why}" if address != host else f"{address} is {why}"
            raise AddressRefusedError(
                f"{what}; only a connector with allow_private = true leads there, and only to its own host"
            )
    return addresses


async def _opened(target: Target, addresses: list[str], deadline: float) -> trio.SocketStream:
    """A connection to the first of the addresses that takes one."""
    error: OSError | None = None
    for number, address in enumerate(addresses):
        # One that is silent leaves time for the others.
        share = (deadline - trio.current_time()) / (len(addresses) - number)
        with trio.move_on_after(share):
            try:
                return await trio.open_tcp_stream(address, target.port)
            except OSError as failed:
                error = failed
    if error is None:
        await trio.sleep_until(deadline)
    raise ConnectError(f"{target.host} does not take a connection on port {target.port}: {_reason(error)}") from error


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """How certificates are checked: by the authorities in a file, else the system's, else those that certifi knows.

    Raises:
        RequestError: the file cannot be used.
    """
    if ca_file is None:
        return _usual_context()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise RequestError(f"the connector's ca_file cannot be used: {_reason(error)}") from None


@functools.cache
def _usual_context() -> ssl.SSLContext:
    paths = ssl.get_default_verify_paths()
    has_own = paths.cafile is not None or (paths.capath is not None and bool(os.listdir(paths.capath)))
    return ssl.create_default_context(cafile=None if has_own else certifi.where())


def _tls_error(target: Target, error: BaseException) -> TlsError:
    told = next((each for each in _chain(error) if isinstance(each, ssl.SSLError)), None)
    if isinstance(told, ssl.SSLCertVerificationError):
        return CertificateError(f"the certificate of {target.host} is not trusted: {told.verify_message}")
    if told is not None:
        return TlsError(f"{target.host} and this program found no TLS that both speak: {told.reason or told}")
    return TlsError(f"{target.host} ended the connection before it was secret")


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _reason(error: BaseException | None) -> str:
    """The system's word for it, such as `Connection refused`."""
    for each in _chain(error):
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
    return str(error)
