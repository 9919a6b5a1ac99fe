"""A web service on loopback that does whatever it is asked for by its path, well-behaved or not, over raw sockets."""

from __future__ import annotations

import gzip
import json
import select
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

WAIT_SECONDS = 20
CHUNK = b"x" * 65_536


@dataclass(frozen=True)
class Received:
    """A request as it came; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, str] = field(default_factory=dict)


class Service:
    """Answers by what the first word of the path names; see the functions below.

    `requests` are those that came whole. A context makes it speak TLS.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.open = 0
        self.counts: dict[str, int] = {}
        self.moved_to = ""
        self._context = context
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True, name="misbehaving").start()

    def close(self) -> None:
        """Take no more connections, and end those that are open."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in list(self._clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def count(self, name: str) -> int:
        """How often this was asked for, this time included."""
        self.counts[name] = self.counts.get(name, 0) + 1
        return self.counts[name]

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Return when it is so; looked at whenever a request or the end of a connection comes."""
        with self._changed:
            assert self._changed.wait_for(is_so, WAIT_SECONDS), (self.open, self.requests)

    def wait_closed(self) -> None:
        """Return when no connection is open."""
        self.wait_until(lambda: self.open == 0)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with self._changed:
            self.open += 1
            self._clients.add(plain)
        try:
            with suppress(OSError), closing(plain):
                client = plain if self._context is None else self._context.wrap_socket(plain, server_side=True)
                with closing(client):
                    received = _received(client)
                    if received is None:
                        return
                    with self._changed:
                        self.requests.append(received)
                        self._changed.notify_all()
                    BEHAVIOURS[received.path.split("/")[1]](self, client, received)
        finally:
            with self._changed:
                self.open -= 1
                self._clients.discard(plain)
                self._changed.notify_all()


Behaviour = Callable[[Service, socket.socket, Received], None]


def reply(
    client: socket.socket, status: str = "200 OK", body: bytes = b"", *, kind: str = "application/json", **more: str
) -> None:
    """A whole answer; `more` are headers, with `_` for `-`."""
    headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    client.sendall(head.encode() + b"\r\n" + body)


def wait_for_the_end(client: socket.socket) -> None:
    """Say nothing until the other side goes."""
    with suppress(OSError):
        while client.recv(65_536):
            pass


def echo(service: Service, client: socket.socket, received: Received) -> None:
    """What came, as JSON."""
    told = {
        "method": received.method,
        "path": received.path,
        "query": received.query,
        "headers": received.headers,
        "body": received.body.decode(),
    }
    reply(client, body=json.dumps(told).encode())


def mirror(service: Service, client: socket.socket, received: Received) -> None:
    """The body that came, as text."""
    reply(client, body=received.body, kind="text/plain")


def status(service: Service, client: socket.socket, received: Received) -> None:
    """`/status/404/<text>`; with `?wait=` a Retry-After; with `?times=` 200 after so many."""
    _, _, code, *text = received.path.split("/")
    if "times" in received.query and service.count(received.path) > int(received.query["times"]):
        reply(client, body=b'{"tries": %d}' % service.counts[received.path])
        return
    more = {"Retry_After": received.query["wait"]} if "wait" in received.query else {}
    body = b"" if code == "204" else "/".join(text).encode()
    reply(client, f"{code} Whatever", body, kind="text/plain", **more)


def silent(service: Service, client: socket.socket, received: Received) -> None:
    """No answer at all."""
    wait_for_the_end(client)


def half_close(service: Service, client: socket.socket, received: Received) -> None:
    """Nothing but the end of what it says."""
    client.shutdown(socket.SHUT_WR)
    wait_for_the_end(client)


def reset(service: Service, client: socket.socket, received: Received) -> None:
    """A reset instead of an answer."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_inside(service: Service, client: socket.socket, received: Received) -> None:
    """A reset in the middle of the body."""
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000)
    time.sleep(0.05)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drip(service: Service, client: socket.socket, received: Received) -> None:
    """A body that comes a byte at a time."""
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    with suppress(OSError):
        while not select.select([client], [], [], 0.02)[0]:
            client.sendall(b"x")


def short(service: Service, client: socket.socket, received: Received) -> None:
    """Fewer bytes than it says."""
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{}")


def negative(service: Service, client: socket.socket, received: Received) -> None:
    """A length that is none."""
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}")


def not_http(service: Service, client: socket.socket, received: Received) -> None:
    """HTTP/0.9: a body and nothing else."""
    client.sendall(b"<html>hello</html>")


def endless(service: Service, client: socket.socket, received: Received) -> None:
    """500 MB without a length; with `?told` it says so first."""
    length = b"Content-Length: 524288000\r\n" if "told" in received.query else b""
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + length + b"\r\n")
    with suppress(OSError):
        for _ in range(8000):
            client.sendall(CHUNK)


def informed(service: Service, client: socket.socket, received: Received) -> None:
    """Never anything but 1xx."""
    with suppress(OSError):
        while True:
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def headers(service: Service, client: socket.socket, received: Received) -> None:
    """Headers without an end."""
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    with suppress(OSError):
        while True:
            client.sendall(b"X-More: " + b"x" * 8000 + b"\r\n")


def bomb(service: Service, client: socket.socket, received: Received) -> None:
    """100 MB of zeros in 100 KB."""
    reply(client, body=gzip.compress(bytes(100_000_000), 9), Content_Encoding="gzip")


def zipped(service: Service, client: socket.socket, received: Received) -> None:
    """A good gzip; `?cut` leaves out its end."""
    body = gzip.compress(b'{"items": [1, 2, 3]}')
    reply(client, body=body[:-4] if "cut" in received.query else body, Content_Encoding="gzip")


def said(service: Service, client: socket.socket, received: Received) -> None:
    """The query's `body`, as `kind`."""
    query = received.query
    reply(client, body=query["body"].encode("utf-8", "surrogateescape"), kind=query.get("kind", "application/json"))


def around(service: Service, client: socket.socket, received: Received) -> None:
    """A redirect to itself, for ever."""
    reply(client, "302 Found", Location=f"/around/{service.count('around')}")


def moved(service: Service, client: socket.socket, received: Received) -> None:
    """`/moved/307`: a redirect to where the test says, or to `?to=`."""
    reply(client, f"{received.path.split('/')[2]} Moved", Location=received.query.get("to", service.moved_to))


def rate(service: Service, client: socket.socket, received: Received) -> None:
    """429 for the first request, with the seconds to wait, and what was asked for then."""
    if service.count("rate") == 1:
        reply(client, "429 Too Many Requests", b'{"error": "slow down"}', Retry_After="1")
    else:
        reply(client, body=b'{"items": [{"id": 7}]}')


BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        echo,
        mirror,
        status,
        silent,
        half_close,
        reset,
        reset_inside,
        drip,
        short,
        negative,
        not_http,
        endless,
        informed,
        headers,
        bomb,
        zipped,
        said,
        around,
        moved,
        rate,
    )
}


def _received(client: socket.socket) -> Received | None:
    """The request; None of what ends before it is whole."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := client.recv(65_536)):
            return None
        data += more
        if data.startswith(b"\x16"):
            client.sendall(b"HTTP/1.1 400 this is no TLS\r\n\r\n")
            return None
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        if not (more := client.recv(65_536)):
            return None
        body += more
    parts = urlsplit(target)
    query = {
        name: values[0]
        for name, values in parse_qs(parts.query, keep_blank_values=True, errors="surrogateescape").items()
    }
    return Received(method, parts.path, headers, body, query)


@contextmanager
def service(context: ssl.SSLContext | None = None) -> Iterator[Service]:
    """One, until the block ends."""
    made = Service(context)
    try:
        yield made
    finally:
        made.close()


@dataclass(frozen=True)
class Certificate:
    """What a server shows, and the file by which a client trusts it."""

    context: ssl.SSLContext
    ca_file: Path


def certificate(folder: Path) -> Certificate:
    """One for `localhost` and 127.0.0.1, signed by itself."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*make.split(), *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return Certificate(context, cert)
