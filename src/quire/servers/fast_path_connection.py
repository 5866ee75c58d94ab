"""The raw requests of one connection, for servers whose connections are asyncio protocols.

Theory of operation. Bytes that arrive between two requests go to `quire.http.fast.raw_requests` before the server's
parser. On a local file system the response is ready in the next loop tick, for all requests of this tick; over a
network it takes longer. Meanwhile the connection stops reading and passes nothing to its parser, so the order is
kept. Bytes that arrive nevertheless are held, and passed on afterwards.

A task sends a large file. Until it has ended, the connection holds further data in the same way.

The server times the silence between two requests. Its timer is not reset by each raw request; when it ends, it is set
again for the time that is left since the last response.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from quire.http.fast.raw_requests import ConnectionInfo, RawDownload, RawRequests, ResponseBytes


class Connection(ConnectionInfo, Protocol):
    """The interface of a server's connection: `quire.servers.uvicorn_protocol.Protocol`."""

    def write_response(self, response: ResponseBytes) -> None:
        """Send a whole response, and count its request."""
        ...

    async def send_file(self, response: RawDownload) -> None:
        """Send a whole response, and count its request; return when the kernel has all of it, or the client is gone.

        Then it has been finished (`Download.finish`), also when this is cancelled; and the connection is closed where
        the response is not whole.
        """
        ...

    def parse(self, data: bytes) -> None:
        """Give this to the server's parser."""
        ...

    def data_received(self, data: bytes) -> None:
        """Called by asyncio, and for held data."""
        ...

    def hold(self, is_held: bool) -> None:
        """Stop reading, or read on."""
        ...

    def close_if_idle(self) -> None:
        """The server stops: end the connection unless it has a request, which is then its last."""
        ...


class FastPathConnection:
    """Answers one connection's raw requests. Belongs to its event loop."""

    def __init__(self, raw_requests: RawRequests, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._raw_requests = raw_requests
        self._connection = connection
        self._loop = loop
        self._answered = 0.0
        self._under_way: asyncio.Task[None] | None = None
        self._unsent: RawDownload | None = None
        """A file whose task has not begun; a task that is cancelled before never begins."""
        self._queued: bytes | None = None
        self._held = b""
        self._ends = False

    @property
    def has_request(self) -> bool:
        """Whether a raw request waits for its response."""
        return self._queued is not None or self._under_way is not None

    def takes(self, data: bytes, *, is_between_requests: bool) -> bool:
        """Whether the data is a raw request, which is answered here; otherwise it is for the server's parser.

        `is_between_requests`: all that came before was answered, and a response can be written at once.
        """
        if self.has_request:
            self._held += data
            self._connection.hold(True)
            return True
        request = self._raw_requests.read(data) if is_between_requests else None
        if request is None:
            return False
        self._queued = data
        self._raw_requests.enqueue(*request, self._connection, self)
        return True

    def idle_seconds_left(self, allowed: float) -> float:
        """Seconds for which the connection may still be silent; at most 0 when it has been for long enough."""
        if self.has_request:
            return allowed
        return self._answered + allowed - self._loop.time()

    def close_after_request(self) -> None:
        """Close the connection after the raw request that is under way."""
        self._ends = True

    def lost(self) -> None:
        """The connection was lost."""
        self._queued = None
        if self._under_way is not None:
            self._under_way.cancel()
        if self._unsent is not None:
            self._unsent.file.finish(0, "")
            self._unsent = None

    def deliver_queued(self, response: ResponseBytes | RawDownload | None) -> None:
        """See `quire.http.fast.raw_requests.Waiter`."""
        data, self._queued = self._queued, None
        if data is not None:
            self._deliver(data, response)
        elif isinstance(response, RawDownload):  # the connection was lost
            response.file.finish(0, "")

    async def _send_file(self, response: RawDownload) -> None:
        self._unsent = None
        await self._connection.send_file(response)
        self._under_way = None
        self._end_request()

    def _deliver(self, data: bytes, response: ResponseBytes | RawDownload | None) -> None:
        if isinstance(response, RawDownload):
            self._unsent = response
            self._under_way = self._loop.create_task(self._send_file(response))
            return
        if response is None:
            self._connection.parse(data)
        else:
            self._connection.write_response(response)
        self._end_request()

    def _end_request(self) -> None:
        """The request has its response, or was passed to the parser."""
        connection = self._connection
        self._answered = self._loop.time()
        held, self._held = self._held, b""
        if held:
            connection.hold(False)
            connection.data_received(held)
        if self._ends:
            connection.close_if_idle()
