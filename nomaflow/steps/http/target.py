"""Where a request goes: the step's url and its connector's as one address, read once and strictly."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

from nomaflow.steps.http.errors import RedirectError, RequestError

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_PATH_SAFE, _QUERY_SAFE = "/%:@!$&'()*+,;=~", "/?%:@!$&'()*+,;=~[]"


@dataclass(frozen=True)
class Target:
    """One address. `path` is encoded and has the query; `shown` is for people and has of the query only the names."""

    scheme: str
    host: str
    port: int
    path: str
    shown: str

    @property
    def authority(self) -> str:
        """Host and port as the header Host has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def is_of(self, other: Target) -> bool:
        """Whether it is the same service: scheme, host and port, or the same host's secret port."""
        if self.host != other.host:
            return False
        is_upgrade = (other.scheme, other.port) == ("http", 80) and (self.scheme, self.port) == ("https", 443)
        return (self.scheme, self.port) == (other.scheme, other.port) or is_upgrade


def parse(url: str) -> Target:
    """An address from its text.

    Raises:
        RequestError: it is no address of a web service, or holds a name or password.
    """
    if _CONTROL.search(url):
        raise RequestError("the url holds a control character or a backslash")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RequestError(f"the url is no address: {error}") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise RequestError("the url must begin with http:// or https:// and a host")
    if "@" in parts.netloc:
        raise RequestError("the url holds a name or password; the connector's `auth` is the place for them")
    if port == 0:
        raise RequestError("the url's port must lie within 1 and 65535")
    host = _ascii(parts.hostname)
    path = _without_dots(parts.path) or "/"
    query = f"?{quote(parts.query, safe=_QUERY_SAFE)}" if parts.query else ""
    target = Target(parts.scheme, host, port or _PORTS[parts.scheme], quote(path, safe=_PATH_SAFE) + query, "")
    # Not as it is encoded: what is to be masked in it would not be found.
    shown = f"{parts.scheme}://{target.authority}{path}{_names(parts.query)}"
    return Target(target.scheme, target.host, target.port, target.path, shown)


def resolve(base: str | None, url: str | None, query: Iterable[tuple[str, str]] = ()) -> Target:
    """The address of a step's request.

    Args:
        base: the connector's url.
        url: the step's: an address, or a path below the connector's.
        query: what is added to it.

    Raises:
        RequestError: there is no such address, or it is none of the connector's.
    """
    if base is None and url is None:
        raise RequestError("the step has no url")
    if url is not None and (base is None or _ABSOLUTE.match(url)):
        target = parse(_with_query(url, query))
        if base is not None and not target.is_of(parse(base)):
            raise RequestError("the url leads to another service than the connector; give a path below its url")
        return target
    assert base is not None
    if url is None or not url.strip("/"):
        return parse(_with_query(base, query))
    if any(_plain(segment) in (".", "..") for segment in url.partition("?")[0].split("/")):
        # A parameter that is put into it could lead to every other path of the service.
        raise RequestError("the url holds `.` or `..`; below a connector's url, write the path as it is")
    base_path, _, base_query = base.partition("#")[0].partition("?")
    path, _, own_query = url.partition("#")[0].partition("?")
    joined = base_path.rstrip("/") + "/" + path.lstrip("/")
    both = "&".join(part for part in (base_query, own_query) if part)
    return parse(_with_query(f"{joined}?{both}" if both else joined, query))


def redirected(origin: Target, location: str) -> Target:
    """Where an answer leads to.

    Raises:
        RedirectError: nowhere that a step goes.
    """
    from urllib.parse import urljoin

    try:
        target = parse(urljoin(f"{origin.scheme}://{origin.authority}{origin.path}", location))
    except (RequestError, ValueError):
        raise RedirectError(f"{origin.shown} leads to what is no address of a web service") from None
    if origin.scheme == "https" and target.scheme == "http":
        raise RedirectError(f"{origin.shown} leads to {target.shown}, which is not secret any more")
    return target


def _ascii(host: str) -> str:
    try:
        return ipaddress.ip_address(host).compressed
    except ValueError:
        pass
    if not host.isascii():
        import idna

        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError as error:
            raise RequestError(f"the url's host is no name: {error}") from None
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise RequestError("the url's host is no name")
    return host.lower()


def _without_dots(path: str) -> str:
    """The path with `.` and `..` taken out, in whatever spelling."""
    kept: list[str] = []
    segments = path.split("/")
    for number, segment in enumerate(segments):
        plain = _plain(segment)
        if plain in (".", ".."):
            if plain == ".." and len(kept) > 1:
                kept.pop()
            if number == len(segments) - 1:
                kept.append("")
        else:
            kept.append(segment)
    return "/".join(kept)


def _plain(segment: str) -> str:
    return re.sub("%2e", ".", segment, flags=re.IGNORECASE)


def _with_query(url: str, query: Iterable[tuple[str, str]]) -> str:
    added = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    if not added:
        return url
    address = url.partition("#")[0]
    return f"{address}{'&' if '?' in address else '?'}{added}"


def _names(query: str) -> str:
    """The names of a query's values, which may be secrets."""
    names = [f"{name}=…" for name, _ in parse_qsl(query, keep_blank_values=True)]
    return f"?{'&'.join(names)}" if names else ""
