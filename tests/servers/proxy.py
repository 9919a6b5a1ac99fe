"""A network that falls silent: a TCP proxy on loopback that swallows what it should pass on."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress


class Proxy:
    """Passes bytes on to a server until it is told to swallow them."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._swallows_requests, self._swallows_answers = threading.Event(), threading.Event()
        self._clients: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True, name="proxy").start()

    @contextmanager
    def silent(self, *, only_answers: bool = False) -> Iterator[None]:
        """Swallow everything inside the block, or only what the server says."""
        self._swallows_answers.set()
        if not only_answers:
            self._swallows_requests.set()
        try:
            yield
        finally:
            self._swallows_requests.clear()
            self._swallows_answers.clear()

    def cut(self) -> None:
        """End every connection that is open."""
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        self._clients.append(client)
        with closing(client), socket.create_connection(self._target) as server, suppress(OSError):
            other = {client: server, server: client}
            swallows = {client: self._swallows_requests, server: self._swallows_answers}
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65_536)
                    if not data:
                        return
                    if not swallows[ready].is_set():
                        other[ready].sendall(data)
