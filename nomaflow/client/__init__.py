"""The one way into the engine from Python: `Client`, and `AsyncClient` for trio and asyncio.

calls.py launches.py schedules.py     every verb, described once: method, path, body, how its answer is read
request.py        one request as a value, and how its answer becomes a record
stream.py         logs and events as they come, across lost connections
connection.py     where the engine is, who asks, what its refusals mean
blocking.py  asynchronous.py          the two clients: send what the others describe
"""

from __future__ import annotations

from nomaflow.client.asynchronous import AsyncClient
from nomaflow.client.blocking import Client
from nomaflow.client.stream import Reset

__all__ = ["AsyncClient", "Client", "Reset"]
