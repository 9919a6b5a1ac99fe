"""The step `http` against a service that behaves, and against every way in which one does not."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from nomaflow.errors import RetryAfter
from nomaflow.steps.http import errors, run
from nomaflow.steps.http.answer import PREVIEW_BYTES
from nomaflow.worker import lasting
from tests.servers.misbehaving import Certificate, Service, certificate, service
from tests.steps.http_stage import Told, ask, connector, options


@pytest.fixture
def web() -> Iterator[Service]:
    """A service, at which no connection may be left."""
    with service() as made:
        yield made
        made.wait_closed()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate of localhost."""
    return certificate(tmp_path_factory.mktemp("certificate"))


def may_retry(error: BaseException) -> bool:
    """Whether the step is tried again after this error."""
    return lasting.verdict(error).may_retry


def echoed(output: dict[str, Any]) -> dict[str, Any]:
    """What `echo` says that it was asked."""
    told: dict[str, Any] = json.loads(output["body_preview"])
    return told


async def test_a_get_gives_status_time_and_text(web: Service) -> None:
    """And two lines in the log, without the values of the query."""
    told = Told()
    output = await ask(web.url + "/echo", "items", told, query={"since": "2026-03-01", "n": 3, "all": True})
    assert (output["status"], set(output)) == (200, {"status", "elapsed_ms", "body_preview"})
    assert output["elapsed_ms"] > 0
    asked = echoed(output)
    assert (asked["method"], asked["path"]) == ("GET", "/echo/items")
    assert asked["query"] == {"since": "2026-03-01", "n": "3", "all": "true"}
    assert asked["headers"]["host"] == f"127.0.0.1:{web.port}"
    assert told.lines[0] == f"GET {web.url}/echo/items?since=…&n=…&all=…"
    assert told.lines[1].startswith("200 OK in ")
    assert told.lines[1].endswith(" bytes of application/json")


@pytest.mark.parametrize(
    ("fields", "body", "kind"),
    [
        ({"body": {"a": [1, None, "é"]}}, '{"a":[1,null,"é"]}', "application/json"),
        ({"body": [1]}, "[1]", "application/json"),
        ({"body": "as it is"}, "as it is", "text/plain; charset=utf-8"),
        ({"form": {"a": "1 & 2", "b": 3}}, "a=1+%26+2&b=3", "application/x-www-form-urlencoded"),
        ({"body": "<a/>", "headers": {"content-type": "application/xml"}}, "<a/>", "application/xml"),
        ({}, "", None),
    ],
)
async def test_a_body_is_sent_as_what_it_is(web: Service, fields: dict[str, Any], body: str, kind: str | None) -> None:
    """A table as JSON, a text as it stands, a form as a form."""
    asked = echoed(await ask(web.url + "/echo", method="POST", **fields))
    assert (asked["body"], asked["headers"].get("content-type")) == (body, kind)
    assert asked["headers"]["content-length"] == str(len(body.encode()))


async def test_parts_of_a_json_answer_are_outputs(web: Service) -> None:
    """By RFC 6901, with the types that they have."""
    body = {"items": [{"id": 7, "a/b": None}], "": 1.5, "~": "tilde"}
    pointers = {"first": "/items/0/id", "nothing": "/items/0/a~1b", "nameless": "/", "tilde": "/~0", "all": ""}
    output = await ask(web.url + "/said", query={"body": json.dumps(body)}, outputs=pointers)
    assert [output[name] for name in pointers] == [7, None, 1.5, "tilde", body]
    assert web.requests[0].headers["accept"] == "application/json"


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ('{"a": NaN}', "application/json", "holds NaN, which is no JSON number"),
        ('{"a": 1e999}', "application/json", "the number 1e999 in the answer's JSON is too large"),
        ("[" * 10_000 + "]" * 10_000, "application/json", "nested deeper than 64 levels"),
        ("[" * 70 + "]" * 70, "application/json", "nested deeper than 64 levels"),
        ("1" * 5000, "application/json", "a number with too many digits"),
        ("<html>oops</html>", "text/html", "is not JSON but text/html: Expecting value at line 1, column 1"),
        ('{"a": "\udcff"}', "application/json", "is not utf-8, so it is no JSON"),
        ('{"error": "slow"}', "application/json", "the answer's JSON has nothing at /a"),
        ("", "application/json", "the answer is not JSON"),
    ],
)
async def test_an_answer_that_is_no_use_fails_the_step(web: Service, body: str, kind: str, message: str) -> None:
    """200 with something else in it is no success where parts of it are wanted; a GET may be tried again."""
    given = {"body": body, "kind": kind}
    with pytest.raises(errors.AnswerError, match=message) as raised:
        await ask(said_url(web, given), outputs={"a": "/a"})
    assert may_retry(raised.value)


def said_url(web: Service, given: dict[str, str]) -> str:
    """The url that has this said, whatever bytes it is."""
    from urllib.parse import urlencode

    return f"{web.url}/said?{urlencode(given, errors='surrogateescape')}"


async def test_halves_of_characters_do_not_get_into_the_store(web: Service) -> None:
    """JSON may escape one half of a surrogate pair; no UTF-8 can hold it."""
    output = await ask(said_url(web, {"body": r'{"a\ud800": ["\udc00x", "\u0000"]}'}), outputs={"all": ""})
    assert output["all"] == {"a\ufffd": ["\ufffdx", "\x00"]}


@pytest.mark.parametrize(
    ("kind", "body", "preview"),
    [
        ("text/plain; charset=latin-1", b"caf\xe9", "café"),
        ("text/plain; charset=utf-8", b"caf\xe9", "caf\ufffd"),
        ("text/plain; charset=no-such-thing", "café".encode(), "café"),
        ("text/plain; charset=zlib", "café".encode(), "café"),
        ("text/plain; charset=utf-16-le", "café".encode("utf-16-le"), "café"),
        ("application/json", b"\xef\xbb\xbf{}", "{}"),
        ("image/png", b"\x89PNG\x00\x00", "(6 bytes of image/png)"),
    ],
)
async def test_a_preview_is_text(web: Service, kind: str, body: bytes, preview: str) -> None:
    """By the charset that the answer names, if it is one; bytes that are no text are only counted."""
    url = said_url(web, {"kind": kind, "body": body.decode("utf-8", "surrogateescape")})
    assert (await ask(url))["body_preview"] == preview


async def test_a_preview_is_short(web: Service) -> None:
    """64 KB of the beginning; the last character is whole."""
    output = await ask(web.url + "/mirror", method="POST", body="-" + "é" * 60_000)
    assert output["body_preview"] == "-" + "é" * (PREVIEW_BYTES // 2 - 1)


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("half_close", errors.AnswerLostError, "ended before the answer did"),
        ("reset", errors.AnswerLostError, "ended before the answer did"),
        ("reset_inside", errors.AnswerLostError, "ended before the answer did"),
        ("short", errors.AnswerLostError, "ended before the answer did"),
        ("negative", errors.AnswerLostError, "the answer is not HTTP: bad Content-Length"),
        ("not_http", errors.AnswerLostError, "ended before the answer did"),
        ("headers", errors.AnswerLostError, "the answer is not HTTP"),
        ("informed", errors.TooLargeError, "more than 100,000 bytes"),
        ("endless", errors.TooLargeError, "more than 100,000 bytes"),
        ("endless?told=1", errors.TooLargeError, "more than 100,000 bytes"),
        ("bomb", errors.TooLargeError, "more than 100,000 bytes"),
        ("zipped?cut=1", errors.AnswerError, "ends in the middle of its gzip"),
    ],
)
async def test_a_bad_answer_is_an_error_of_the_step(
    web: Service, path: str, kind: type[Exception], message: str
) -> None:
    """In bounded time and memory; what is too large stays so, anything else may be better the next time."""
    with pytest.raises(kind, match=message) as raised:
        await ask(web.url, path, max_bytes=100_000)
    assert may_retry(raised.value) is (kind is not errors.TooLargeError)


async def test_a_compressed_answer_is_read(web: Service) -> None:
    """As the step asks for one."""
    assert (await ask(web.url, "zipped", outputs={"n": "/items/2"}))["n"] == 3


@pytest.mark.parametrize("path", ["silent", "drip"])
async def test_a_cancel_closes_the_connection(web: Service, path: str) -> None:
    """At once; and the step knows that a GET has changed nothing."""
    told = Told()
    with trio.move_on_after(0.3) as scope:
        await ask(web.url, path, told)
    assert scope.cancelled_caught
    web.wait_closed()
    assert (told.rolled_back, told.on_stop) == (True, "the connection was closed; a GET asks for no change")
    assert told.lasting is None


async def test_a_cancel_of_a_post_leaves_its_outcome_open(web: Service) -> None:
    """It was sent, so it may have been done, and is not to be tried again unless the step says that it may."""
    told = Told()
    with trio.move_on_after(0.3):
        await ask(web.url, "silent", told, method="POST", body={})
    assert told.rolled_back == "unknown"
    assert told.on_stop == "the connection was closed; what the POST asks for may be done"
    assert told.lasting is not None
    again = Told()
    with trio.move_on_after(0.3):
        await ask(web.url, "silent", again, method="POST", idempotent=True)
    assert again.lasting is None


@pytest.mark.parametrize(
    ("fields", "retried"),
    [
        ({"method": "GET"}, True),
        ({"method": "PUT"}, True),
        ({"method": "DELETE"}, True),
        ({"method": "POST"}, False),
        ({"method": "PATCH"}, False),
        ({"method": "POST", "idempotent": True}, True),
    ],
)
async def test_what_may_have_been_done_is_not_done_twice(web: Service, fields: dict[str, Any], retried: bool) -> None:
    """The answer is lost: only what may be repeated is."""
    with pytest.raises((errors.AnswerLostError, errors.OutcomeUnknownError)) as raised:
        await ask(web.url, "half_close", **fields)
    assert may_retry(raised.value) is retried


async def test_what_was_done_is_not_done_twice_for_what_follows(web: Service) -> None:
    """A POST that was answered is not sent again because its answer is no use, or leads nowhere."""
    with pytest.raises(errors.OutcomeUnknownError, match="nothing at /id") as raised:
        await ask(said_url(web, {"body": "{}"}), method="POST", outputs={"id": "/id"})
    assert raised.value.lasting.startswith("the POST was answered with 200, so another may do it twice")
    web.moved_to = "/half_close"
    with pytest.raises(errors.OutcomeUnknownError):
        await ask(web.url, "moved/303", method="POST")


@pytest.mark.parametrize(
    ("path", "method", "retried", "wait"),
    [
        ("status/400", "GET", False, None),
        ("status/401", "GET", False, None),
        ("status/404/there is none", "GET", False, None),
        ("status/501", "GET", False, None),
        ("status/408", "GET", True, None),
        ("status/425", "POST", True, None),
        ("status/500", "POST", True, None),
        ("status/502", "GET", True, None),
        ("status/502", "POST", False, None),
        ("status/504", "POST", False, None),
        ("status/429?wait=7", "POST", True, 7),
        ("status/503?wait=120", "GET", True, 120),
        ("status/503?wait=Sun,%2001%20Mar%202026%2002:31:00%20GMT", "GET", True, 60),
        ("status/503?wait=Sun,%2001%20Mar%202025%2002:31:00%20GMT", "GET", True, 0),
        ("status/503?wait=soon", "GET", True, None),
        ("status/500?wait=7", "GET", True, None),
    ],
)
async def test_a_status_says_whether_to_try_again(
    web: Service, path: str, method: str, retried: bool, wait: float | None
) -> None:
    """4xx stays, what is overloaded passes, and Retry-After says when; a gateway's answer leaves a POST open."""
    with pytest.raises((errors.StatusError, RetryAfter), match="was answered with") as raised:
        await ask(web.url, path, method=method)
    verdict = lasting.verdict(raised.value)
    assert (verdict.may_retry, verdict.retry_after) == (retried, wait)


async def test_a_refusal_is_told_with_what_it_says(web: Service) -> None:
    """One line with request and status, and the answer's text below it."""
    with pytest.raises(errors.StatusError) as raised:
        await ask(web.url, "status/422/the period is closed", method="PUT")
    first, _, rest = str(raised.value).partition("\n")
    assert first.startswith(f"PUT {web.url}/status/422/")
    assert first.endswith(" was answered with 422 Whatever, which is none of 200 201 202 204")
    assert rest == "the%20period%20is%20closed"


async def test_the_step_says_what_it_expects(web: Service) -> None:
    """Single statuses, and whole kinds; also a redirect, which is then not followed."""
    assert (await ask(web.url, "status/404", expected_statuses=["4xx"]))["status"] == 404
    assert (await ask(web.url, "moved/302", expected_statuses=[302]))["status"] == 302
    with pytest.raises(errors.StatusError):
        await ask(web.url, "status/204", expected_statuses=[200])


async def test_a_head_has_no_body(web: Service) -> None:
    """Whatever length it names."""
    assert (await ask(web.url, "endless?told=1", method="HEAD"))["body_preview"] == ""


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "GET", "GET", ""),
        (302, "POST", "GET", ""),
        (303, "PUT", "GET", ""),
        (307, "POST", "POST", '{"a":1}'),
        (308, "PUT", "PUT", '{"a":1}'),
        (303, "HEAD", "HEAD", ""),
    ],
)
async def test_redirects_are_followed(web: Service, status: int, method: str, then: str, body: str) -> None:
    """As browsers do it, with the auth of the connector as long as it is the same service."""
    auth = {"type": "bearer", "username": None, "secret": "let-me-in"}
    web.moved_to = "../echo/there?x=1"
    given = {"body": {"a": 1}} if method not in ("GET", "HEAD") else {}
    await ask(connector(web.url, auth=auth), f"moved/{status}", method=method, **given)
    last = web.requests[-1]
    assert (last.method, last.path, last.body.decode()) == (then, "/echo/there", body)
    assert last.headers["authorization"] == "Bearer let-me-in"
    assert ("content-type" in last.headers) is bool(body)


async def test_redirects_end(web: Service) -> None:
    """After five of them."""
    with pytest.raises(errors.RedirectError, match="leads on by more than 5 redirects") as raised:
        await ask(web.url, "around/0")
    assert len(web.requests) == 6
    assert not may_retry(raised.value)


async def test_nothing_secret_goes_to_another_service(web: Service) -> None:
    """Neither the connector's auth nor the step's own headers; a body goes nowhere else at all."""
    auth = {"type": "basic", "username": "ana", "secret": "s3cret"}
    with service() as other:
        api = connector(web.url, auth=auth)
        web.moved_to = other.url.replace("127.0.0.1", "localhost") + "/echo"
        headers = {"X-Api-Key": "k3y", "Accept": "text/plain", "Cookie": "a=b"}
        # Loopback is for the connector's own host alone, so no test gets further than that.
        with pytest.raises(errors.AddressRefusedError, match="only to its own host"):
            await ask(api, "moved/302", headers=headers)
        with pytest.raises(errors.RedirectError, match="leads to another service"):
            await ask(api, "moved/307", method="POST", body={"a": 1})
        assert other.requests == []
    first = web.requests[0].headers
    assert first["authorization"] == "Basic " + base64.b64encode(b"ana:s3cret").decode()
    assert first["x-api-key"] == "k3y"


async def test_headers_are_shown_masked(web: Service) -> None:
    """At DEBUG, without what signs a request in."""
    told = Told()
    auth = {"type": "basic", "username": "ana", "secret": "s3cret"}
    await ask(connector(web.url, auth=auth), "echo", told, headers={"Cookie": "a=b", "X-Shown": "yes"})
    assert {"> Authorization: ••••", "> Cookie: ••••", "> X-Shown: yes"} <= set(told.debug)
    # The service told it all; the pair as it is sent is hidden there too.
    assert "YW5hOnMzY3JldA" not in told.masks.over(str(web.requests[0].headers))


async def test_names_are_looked_up_once_and_checked(web: Service) -> None:
    """The address that was checked is the one that is connected to: a second answer comes too late to change it."""
    asked: list[str] = []

    async def flaps(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    with pytest.raises(errors.ConnectError), trio.fail_after(5):
        await run(
            Told(), options(url=f"http://flaps.example:{web.port}/echo", connect_timeout_seconds=0.2), look_up=flaps
        )
    assert (asked, web.requests) == (["flaps.example"], [])


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.1.2.3"], ["93.184.216.34", "169.254.169.254"], ["::ffff:127.0.0.1"]]
)
async def test_private_addresses_need_a_connector(addresses: list[str]) -> None:
    """One among several is enough to refuse the name; no try helps."""

    async def inside(host: str, port: int) -> list[str]:
        return addresses

    with pytest.raises(errors.AddressRefusedError, match=f"inside.example is {addresses[-1]}, ") as raised:
        await run(Told(), options(url="http://inside.example/"), look_up=inside)
    assert not may_retry(raised.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "[::1]", "0.0.0.0"])
async def test_no_spelling_of_loopback_gets_through(web: Service, host: str) -> None:
    """Whatever the system's resolver takes for an address."""
    with pytest.raises((errors.AddressRefusedError, errors.NameUnknownError)):
        await run(Told(), options(url=f"http://{host}:{web.port}/echo"))
    assert web.requests == []


async def test_a_name_without_an_address_may_have_one_later() -> None:
    """The resolver does not block the loop, and its failure is tried again."""

    async def fails(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(errors.NameUnknownError, match=r"gone\.example leads to no address: Name or") as raised:
        await ask("http://gone.example", resolve=fails)
    assert may_retry(raised.value)


async def test_the_next_address_is_tried(web: Service) -> None:
    """Where the first one takes no connection."""

    async def two(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    asked = echoed(await ask(f"http://two.example:{web.port}", "echo", resolve=two))
    assert asked["headers"]["host"] == f"two.example:{web.port}"


async def test_nobody_listens(web: Service) -> None:
    """The system's own word for it; nothing was sent, so even a POST may be tried again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(
        errors.ConnectError, match=rf"no|not take a connection on port {port}: Connection refused"
    ) as raised:
        await ask(f"http://127.0.0.1:{port}", method="POST")
    assert may_retry(raised.value)


async def test_tls_is_spoken_and_verified(shown: Certificate) -> None:
    """By the connector's ca_file, under the name that the url has; else the certificate is not trusted."""
    with service(shown.context) as web:
        api = connector(f"https://localhost:{web.port}", ca_file=str(shown.ca_file))
        assert (await ask(api, "echo"))["status"] == 200
        for refused, why in (
            (connector(f"https://localhost:{web.port}"), "self-signed certificate"),
            (connector(f"https://wrong.example:{web.port}", ca_file=str(shown.ca_file)), "Hostname mismatch"),
        ):
            with pytest.raises(errors.CertificateError, match=why) as raised:
                await ask(refused, "echo", resolve=partial(_at, "127.0.0.1"), method="POST")
            assert not may_retry(raised.value)
        assert len(web.requests) == 1
        web.wait_closed()


async def _at(address: str, host: str, port: int) -> list[str]:
    return [address]


async def test_a_cancel_closes_a_tls_connection(shown: Certificate) -> None:
    """Without waiting for the other side's good-bye."""
    with service(shown.context) as web:
        api = connector(f"https://localhost:{web.port}", ca_file=str(shown.ca_file))
        with trio.move_on_after(0.3):
            await ask(api, "silent")
        web.wait_closed()


async def test_slow_tls_is_no_connection() -> None:
    """The connection has to stand, TLS included, within the step's own seconds."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(errors.ConnectTimeoutError) as raised, trio.fail_after(5):
            await ask(url, connect_timeout_seconds=0.2, method="POST")
        assert may_retry(raised.value)


async def test_a_service_without_tls_is_told_apart(web: Service) -> None:
    """An https url that leads to plain HTTP."""
    with pytest.raises(errors.TlsError):
        await ask(f"https://127.0.0.1:{web.port}", "echo")


async def test_a_client_that_is_not_read_is_canceled(web: Service) -> None:
    """A large body, and a service that takes nothing of it."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as mute:
        told = Told()
        with trio.move_on_after(0.3) as scope:
            await ask(f"http://127.0.0.1:{mute.getsockname()[1]}", None, told, method="POST", body="x" * 20_000_000)
        assert scope.cancelled_caught
        assert told.rolled_back == "unknown"


async def test_nothing_is_left_open(web: Service) -> None:
    """No descriptor, after errors of every kind."""
    await ask(web.url, "echo")
    before = len(os.listdir("/proc/self/fd"))
    for path in ("half_close", "reset", "endless", "short", "status/500"):
        with pytest.raises(Exception, match=r".+"):
            await ask(web.url, path, max_bytes=1000)
    with trio.move_on_after(0.1):
        await ask(web.url, "silent")
    web.wait_closed()
    # The service has closed its ends, too.
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("value", ["s3cret\r\nX-More: 1", "s3cret\x00b", "s3cret\n", "s3cret\ud800"])
async def test_a_header_stays_one(web: Service, value: str) -> None:
    """What a parameter or a secret brings in cannot end it; the error does not show it."""
    auth = {"type": "bearer", "username": None, "secret": value}
    with pytest.raises(errors.RequestError, match="the header Authorization holds a line feed") as raised:
        await ask(connector(web.url, auth=auth), "echo")
    assert "s3cret" not in str(raised.value)
    assert not may_retry(raised.value)
    assert web.requests == []


async def test_a_header_may_have_any_letter(web: Service) -> None:
    """As UTF-8; blanks around it are none of its own."""
    await ask(web.url, "echo", headers={"X-Given": " café "})
    assert web.requests[0].headers["x-given"].encode("latin-1").decode() == "café"


async def test_an_address_in_a_header_is_shown_without_its_query(web: Service) -> None:
    """A redirect to a store of files has its key there."""
    told = Told()
    web.moved_to = "/echo?key=s3cret"
    await ask(web.url, "moved/302", told)
    assert "< location: /echo?…" in told.debug
    assert not any("s3cret" in line for line in [*told.lines, *told.debug])


async def test_a_resolver_that_hangs_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    """The connection has its seconds, whatever they are spent on, and the loop goes on meanwhile."""

    async def hangs(host: str, port: int) -> list[str]:
        await trio.sleep_forever()
        return []

    began = trio.current_time()
    with pytest.raises(errors.ConnectTimeoutError, match="did not take a connection within 30 s"):
        await ask("http://slow.example", resolve=hangs, connect_timeout_seconds=30)
    assert trio.current_time() - began == 30


async def test_a_connector_of_another_kind_is_refused() -> None:
    """One sentence; a parameter may name any."""
    told = Told(api={"kind": "sql", "name": "api"})
    with pytest.raises(errors.RequestError, match="the connector 'api' is of kind sql; this step needs http"):
        await run(told, options(connector="api"))


def test_the_file_is_used(tmp_path: Path) -> None:
    """A ca_file that is none is one sentence."""
    from nomaflow.steps.http.connection import tls_context

    with pytest.raises(errors.RequestError, match="ca_file cannot be used: No such file"):
        tls_context(str(tmp_path / "none.pem"))
