"""Which addresses a step may not reach unless its connector says so."""

from __future__ import annotations

import ipaddress

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    map(ipaddress.ip_address, ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"))
)
"""Where clouds give their machines' keys to whoever asks; some of these look like addresses of the public network."""

_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("::/96", "64:ff9b::/96")))
"""IPv6 networks whose last 32 bits are an IPv4 address: the old compatible one, and NAT64."""

_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")


def why_refused(address: str) -> str | None:
    """What kind of address it is, as in `a loopback address`; None of one that anybody may reach.

    Args:
        address: an IPv4 or IPv6 address; a zone such as `%eth0` is allowed.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    return next((why for each in (*_embedded(ip), ip) if (why := _why(each))), None)


def _why(ip: Address) -> str | None:
    if ip in _METADATA:
        return "the address of a cloud's metadata"
    if ip.is_unspecified:
        return "no address of a host"
    if ip.is_loopback:
        return "a loopback address"
    if ip.is_link_local:
        return "a link-local address"
    if ip.is_multicast:
        return "a multicast address"
    if ip.is_private or (isinstance(ip, ipaddress.IPv6Address) and (ip.is_site_local or ip in _LOCAL_NAT64)):
        return "a private address"
    return None if ip.is_global else "a reserved address"


def _embedded(ip: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 one leads to."""
    if not isinstance(ip, ipaddress.IPv6Address):
        return []
    found: list[Address | None] = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if any(ip in network for network in _EMBEDDING) and not (ip.is_loopback or ip.is_unspecified):
        found.append(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF))
    return [each for each in found if each is not None]
