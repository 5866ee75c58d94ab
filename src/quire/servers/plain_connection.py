"""The plain requests of one connection, for servers whose connections are asyncio protocols.

Theory of operation. What arrives between two requests is shown to `quire.web.plain` before the server's parser sees it.
On a local file system the answer is there at once, and is written in the callback that brought the request. Over a
network it takes a moment: a task waits for it, and meanwhile the connection neither reads on nor gives its parser
anything, so nothing overtakes. What came in spite of that is held, and goes the usual way afterwards.

The silence between two requests is timed by the server. Its timer is not begun anew for each plain request; when it
ends, it is told what is left since the last answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from quire.web.plain import PlainHeaders, PlainRequests, Response


class Connection(Protocol):
    """What a server's connection has to offer."""

    def client_host(self) -> str:
        """The address at the other end; empty where it has none."""
        ...

    def further_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Those that the server adds to every response; another object when they change."""
        ...

    def write_plain(self, response: Response) -> None:
        """Send a whole response, and count its request."""
        ...

    def parse(self, data: bytes) -> None:
        """Give this to the server's parser."""
        ...

    def data_received(self, data: bytes) -> None:
        """What asyncio calls, and what held data goes through."""
        ...

    def hold(self, is_held: bool) -> None:
        """Stop reading, or read on."""
        ...

    def close_if_idle(self) -> None:
        """The server stops: end the connection unless it has a request, which is then its last."""
        ...


class PlainConnection:
    """Answers one connection's plain requests. Belongs to its event loop."""

    def __init__(self, plain: PlainRequests, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._plain = plain
        self._connection = connection
        self._loop = loop
        self._answered = 0.0
        self._under_way: asyncio.Task[None] | None = None
        self._held = b""
        self._ends = False

    @property
    def is_under_way(self) -> bool:
        """Whether a plain request waits for its answer."""
        return self._under_way is not None

    def takes(self, data: bytes, *, is_between_requests: bool) -> bool:
        """Whether this is answered here, now or soon; otherwise it is for the server's parser.

        `is_between_requests`: all that came before was answered, and a response can be written at once.
        """
        if self._under_way is not None:
            self._held += data
            self._connection.hold(True)
            return True
        if not is_between_requests:
            return False
        connection = self._connection
        if self._plain.waits:
            request = self._plain.read(data)
            if request is None:
                return False
            self._under_way = self._loop.create_task(self._answer_in_time(data, *request))
            return True
        response = self._plain.answer(data, connection.client_host, connection.further_headers())
        if response is None:
            return False
        self._answered = self._loop.time()
        connection.write_plain(response)
        return True

    def silence_left(self, allowed: float) -> float:
        """Seconds for which the connection may still be silent; at most 0 when it has been for long enough."""
        if self._under_way is not None:
            return allowed
        return self._answered + allowed - self._loop.time()

    def close_afterwards(self) -> None:
        """Let the plain request that is under way be the last one."""
        self._ends = True

    def lost(self) -> None:
        """The connection is."""
        if self._under_way is not None:
            self._under_way.cancel()

    async def _answer_in_time(self, data: bytes, path: str, headers: PlainHeaders) -> None:
        connection = self._connection
        try:
            response = await self._plain.answer_in_time(path, headers, connection)
        except Exception:  # noqa: BLE001 - the application meets the same, and has an answer and a log line for it
            response = None
        self._under_way = None
        self._answered = self._loop.time()
        if response is None:
            connection.parse(data)
        else:
            connection.write_plain(response)
        held, self._held = self._held, b""
        if held:
            connection.hold(False)
            connection.data_received(held)
        if self._ends:
            connection.close_if_idle()
