"""The pure parts of the `http` step: which addresses are refused, and where a request goes."""

from __future__ import annotations

import pytest

from nomaflow.steps.http import target as targets
from nomaflow.steps.http.addresses import why_refused
from nomaflow.steps.http.errors import RedirectError, RequestError


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("93.184.216.34", None),
        ("2606:2800:220:1:248:1893:25c8:1946", None),
        ("127.0.0.1", "a loopback address"),
        ("127.255.1.2", "a loopback address"),
        ("::1", "a loopback address"),
        ("10.0.0.1", "a private address"),
        ("172.16.0.1", "a private address"),
        ("172.32.0.1", None),
        ("192.168.1.1", "a private address"),
        ("fd12::1", "a private address"),
        ("fec0::1", "a private address"),
        ("fe80::1%eth0", "a link-local address"),
        ("169.254.1.1", "a link-local address"),
        ("169.254.169.254", "the address of a cloud's metadata"),
        ("fd00:ec2::254", "the address of a cloud's metadata"),
        ("100.100.100.200", "the address of a cloud's metadata"),
        ("168.63.129.16", "the address of a cloud's metadata"),
        ("100.64.0.1", "a reserved address"),
        ("0.0.0.0", "no address of a host"),
        ("::", "no address of a host"),
        ("224.0.0.1", "a multicast address"),
        ("ff02::1", "a multicast address"),
        ("240.0.0.1", "a private address"),
        ("255.255.255.255", "a private address"),
        ("::ffff:127.0.0.1", "a loopback address"),
        ("::ffff:8.8.8.8", None),
        ("::127.0.0.1", "a loopback address"),
        ("64:ff9b::7f00:1", "a loopback address"),
        ("64:ff9b::808:808", None),
        ("64:ff9b:1::1", "a private address"),
        ("2002:7f00:1::", "a loopback address"),
        ("2002:a9fe:a9fe::", "the address of a cloud's metadata"),
        ("2001:0:808:808:0:0:80ff:fffe", "a loopback address"),
    ],
)
def test_only_public_addresses_are_for_everybody(address: str, why: str | None) -> None:
    """In whatever clothes a private one comes."""
    assert why_refused(address) == why


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://Example.ORG", "example.org", "/"),
        ("https://example.org:443/a b?x=1 2#part", "example.org", "/a%20b?x=1%202"),
        ("http://example.org:8080/a/../b/./%2e%2E/c", "example.org:8080", "/c"),
        ("http://example.org/a%2Fb?q=%26", "example.org", "/a%2Fb?q=%26"),
        ("http://bücher.example/ü", "xn--bcher-kva.example", "/%C3%BC"),
        ("http://[::1]:81/", "[::1]:81", "/"),
        ("http://a_b.example./", "a_b.example.", "/"),
    ],
)
def test_an_address_has_one_spelling(url: str, authority: str, path: str) -> None:
    """Host and path as they are sent."""
    target = targets.parse(url)
    assert (target.authority, target.path) == (authority, path)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org",
        "example.org",
        "http://",
        "http://ana:pw@example.org/",
        "http://example.org\\@evil.example/",
        "http://exam ple.org/",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://example.org/\r\nX-More: 1",
        "http://exa\tmple.org/",
        "http://[::1/",
        "http://-a.example/",
        "http://a%2eexample/",
        "http://" + "a" * 64 + "." + "b" * 200 + "/",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(url: str) -> None:
    """With an error that does not show the url, which may hold a secret."""
    with pytest.raises(RequestError) as raised:
        targets.parse(url)
    assert "pw" not in str(raised.value)


@pytest.mark.parametrize(
    ("base", "url", "query", "result"),
    [
        ("https://api.example/v1", "items", [], "https://api.example/v1/items"),
        ("https://api.example/v1/", "/items/7", [], "https://api.example/v1/items/7"),
        ("https://api.example/v1?key=k", "items?a=1", [("b", "2&3")], "https://api.example/v1/items?key=k&a=1&b=2%263"),
        ("https://api.example/v1", None, [("a", "ü")], "https://api.example/v1?a=%C3%BC"),
        ("https://api.example/v1", "https://api.example/other", [], "https://api.example/other"),
        ("http://api.example/v1", "https://api.example/v1/x", [], "https://api.example/v1/x"),
        ("https://api.example", "//evil.example/x", [], "https://api.example/evil.example/x"),
        ("https://api.example", "@evil.example", [], "https://api.example/@evil.example"),
        (None, "https://api.example/a", [("b", "1")], "https://api.example/a?b=1"),
    ],
)
def test_a_path_stands_below_the_connectors_url(
    base: str | None, url: str | None, query: list[tuple[str, str]], result: str
) -> None:
    """Whatever it begins with."""
    target = targets.resolve(base, url, query)
    assert f"{target.scheme}://{target.authority}{target.path}" == result


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://api.example/v1", "../admin"),
        ("https://api.example/v1", "%2e%2e/admin"),
        ("https://api.example/v1", "repos/../other/issues"),
        ("https://api.example/v1", "repos/%2E/issues?a=1"),
        ("https://api.example/v1", "https://evil.example/"),
        ("https://api.example/v1", "http://api.example/"),
        ("https://api.example/v1", "https://api.example:8443/"),
        ("https://api.example/v1", "file:///etc/passwd"),
        (None, None),
    ],
)
def test_a_connector_leads_to_its_own_service_alone(base: str | None, url: str | None) -> None:
    """Not above its path by `..`, and to no other host, port or scheme."""
    with pytest.raises(RequestError):
        targets.resolve(base, url)


def test_people_see_no_value_of_a_query() -> None:
    """They may be secrets."""
    shown = targets.parse("https://api.example/a b?key=s3cret&x=&y").shown
    assert shown == "https://api.example/a b?key=…&x=…&y=…"


@pytest.mark.parametrize(
    ("location", "result"),
    [
        ("b", "https://api.example/a/b"),
        ("/c?d=1", "https://api.example/c?d=1"),
        ("//other.example", "https://other.example/"),
    ],
)
def test_a_redirect_may_be_relative(location: str, result: str) -> None:
    """To the address that it came from."""
    target = targets.redirected(targets.parse("https://api.example/a/x?y=1"), location)
    assert f"{target.scheme}://{target.authority}{target.path}" == result


@pytest.mark.parametrize(
    "location", ["http://api.example/", "ftp://api.example/", "https://a:b@api.example/", "http://["]
)
def test_a_redirect_may_not_lead_everywhere(location: str) -> None:
    """Not from https to http, and to nothing else than a web service."""
    with pytest.raises(RedirectError):
        targets.redirected(targets.parse("https://api.example/"), location)
