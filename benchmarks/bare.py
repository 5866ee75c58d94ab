"""The least that a handler in Python can do: the same answer of 4 KB to every request, in quire's own server.

granian gets every option that quire gives it, and calls this handler directly, through the interface that quire is
called by, whichever that is; the answer begins with that interface's name. `python -m benchmarks.bare SETTINGS`.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

from granian.server import MPServer

from quire import logs
from quire.config import Settings
from quire.servers import with_granian
from quire.servers.loading import load

BODY_BYTES = 4096
TARGET = "benchmarks.bare:application"


def _body(interface: str) -> bytes:
    return interface.encode().ljust(BODY_BYTES, b".")


_ASGI, _RSGI = _body("ASGI"), _body("RSGI")
_ASGI_HEADERS = [(b"content-type", b"text/html"), (b"content-length", str(BODY_BYTES).encode())]
_RSGI_HEADERS = [("content-type", "text/html"), ("content-length", str(BODY_BYTES))]


class Bare:
    """An application for either interface."""

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """ASGI 3.0."""
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await send({"type": "http.response.start", "status": 200, "headers": _ASGI_HEADERS})
        await send({"type": "http.response.body", "body": _ASGI})

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """RSGI 1.x, granian's own."""
        protocol.response_bytes(200, _RSGI_HEADERS, _RSGI)


application = Bare()


class _Server(MPServer):
    """granian, which calls the application itself and not what quire puts around one."""

    def serve(self, *args: Any, **options: Any) -> None:
        super().serve(*args, **(options | {"target_loader": load}))


def main() -> int:
    settings = Settings.load(sys.argv[1])
    logs.configure(settings)
    with mock.patch.object(with_granian, "Granian", _Server):
        return with_granian.serve(settings, TARGET)


if __name__ == "__main__":
    sys.exit(main())
