"""The least that a handler in Python can do: the same answer of 4 KB to every request, in quire's own server.

`plain`: at the place where quire answers raw requests, before uvicorn's parser (`quire.http.fast.raw_requests`): all
that is left out is what quire does for an answer. `asgi`: an ASGI application, for which uvicorn parses each request.

uvicorn gets every option that quire gives it. `python -m benchmarks.bare plain|asgi SETTINGS`.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from quire.config.settings import Settings
from quire.http.fast.raw_requests import ConnectionInfo, RawHeaders, ResponseBytes, Waiter
from quire.observe import logs
from quire.servers import with_uvicorn

BODY_BYTES = 4096
_ASGI, _PLAIN = (kind.ljust(BODY_BYTES, b".") for kind in (b"ASGI", b"plain"))
_LENGTH = str(BODY_BYTES).encode()
_REQUEST = "", RawHeaders()
_HEADERS = [(b"content-type", b"text/html"), (b"content-length", _LENGTH)]


class Bare:
    """An ASGI 3.0 application."""

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _ASGI})


class BareRawRequests(Bare):
    """With an answer for whatever is the head of one GET, as the piece that has come begins and ends."""

    def __init__(self) -> None:
        self.raw_requests = self
        self._further: Sequence[tuple[bytes, bytes]] | None = None
        self._response: ResponseBytes = ()

    def read(self, data: bytes) -> tuple[str, RawHeaders] | None:
        """As `quire.http.fast.raw_requests.RawRequests`, and so the next one."""
        return _REQUEST if data.startswith(b"GET /") and data.find(b"\r\n\r\n") == len(data) - 4 else None

    def enqueue(self, path: str, headers: RawHeaders, connection: ConnectionInfo, waiter: Waiter) -> None:
        """Answer at once: there is no validation to coalesce with others."""
        del path, headers
        further = connection.further_headers()
        if further is not self._further:
            lines = b"".join(b"%b: %b\r\n" % pair for pair in (*further, *_HEADERS))
            self._further, self._response = further, (b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n", _PLAIN)
        waiter.deliver_queued(self._response)


asgi = Bare()
plain = BareRawRequests()


def main() -> int:
    settings = Settings.load(sys.argv[2])
    logs.configure(settings)
    return with_uvicorn.serve(settings, f"benchmarks.bare:{sys.argv[1]}")


if __name__ == "__main__":
    sys.exit(main())
