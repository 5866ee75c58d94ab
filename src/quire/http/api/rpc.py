"""POST /RPC2, and POST /pypi without a form."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response


async def call(request: Request) -> Response:
    """An XML-RPC call."""
    from quire.http.api import xmlrpc  # noqa: PLC0415 - two XML parsers, for rare requests

    return await xmlrpc.call(request)
