"""Handlers whose modules are imported at the first request for them: most servers are never asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module

from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]


def lazily(module: str, function: str) -> Handler:
    """The handler of this name. `module`: below `quire.http`."""

    async def handle(request: Request) -> Response:
        handler: Handler = getattr(import_module(f"quire.http.{module}"), function)
        return await handler(request)

    return handle
