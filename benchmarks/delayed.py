"""A server at a distance: a TCP proxy that holds each answer back, and counts the HTTP requests that pass.

It runs on an event loop of its own, in a thread. A new connection waits once for as long as an answer, as for the
handshake of TCP.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import cast

_REQUEST = re.compile(rb"(?:^|\r\n\r\n)([A-Z]+) [^\r\n]* HTTP/1\.1\r\n")


class Delay:
    """How long answers are held back at present, and what was asked so far."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.requests: Counter[str] = Counter()
        """By method."""
        self.connections = 0


class _Side(asyncio.Protocol):
    """One of the two connections of a client's connection."""

    def __init__(self) -> None:
        self.other: asyncio.Transport | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.close()


class _Server(_Side):
    """Answers, which wait; so does the end of the connection."""

    def __init__(self, delay: Delay) -> None:
        super().__init__()
        self._delay = delay
        self._held: deque[bytes] = deque()
        """Ended by an empty piece."""

    def data_received(self, data: bytes) -> None:
        self._held.append(data)
        asyncio.get_running_loop().call_later(self._delay.seconds, self._pass_on)

    def connection_lost(self, exc: Exception | None) -> None:
        self.data_received(b"")

    def _pass_on(self) -> None:
        data = self._held.popleft()
        if self.other is None or self.other.is_closing():
            return
        if data:
            self.other.write(data)
        else:
            self.other.close()


class _Client(_Side):
    """Requests, which are counted and passed on at once."""

    def __init__(self, delay: Delay, port: int) -> None:
        super().__init__()
        self._delay = delay
        self._port = port
        self._early = bytearray()
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._delay.connections += 1
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def close(self) -> None:
        for transport in (self.transport, self.other):
            if transport is not None:
                transport.abort()

    async def _connect(self) -> None:
        await asyncio.sleep(self._delay.seconds)
        loop = asyncio.get_running_loop()
        upstream, server = await loop.create_connection(lambda: _Server(self._delay), "127.0.0.1", self._port)
        server.other = self.transport
        self.other = upstream
        upstream.write(bytes(self._early))

    def data_received(self, data: bytes) -> None:
        # a request's head comes at the beginning of a piece, as clients write it
        for method in _REQUEST.findall(data):
            self._delay.requests[method.decode()] += 1
        if self.other is None:
            self._early += data
        else:
            self.other.write(data)


@contextmanager
def delayed(port: int, seconds: float) -> Iterator[tuple[int, Delay]]:
    """A port of the loopback that leads to another one, and what is known of it."""
    delay, started = Delay(seconds), Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]]()

    async def serve() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        clients: list[_Client] = []

        def client() -> _Client:
            clients.append(_Client(delay, port))
            return clients[-1]

        async with await loop.create_server(client, "127.0.0.1", 0) as server:
            started.set_result((loop, ended, server.sockets[0].getsockname()[1]))
            await ended.wait()
            for each in clients:
                each.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="delayed")
    thread.start()
    loop, ended, own_port = started.result()
    try:
        yield own_port, delay
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
