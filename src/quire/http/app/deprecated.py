"""Answers of deprecated addresses, with the headers that announce their end."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quire.config.deprecations import Deprecation


class Announcing:
    """Adds the headers to every answer of a method, errors included."""

    def __init__(self, app: ASGIApp, *, by_method: Mapping[str, Deprecation], document: str) -> None:
        """`document`: the address of the OpenAPI document, which has the replacement."""
        self._app = app
        self._by_method = by_method
        self._document = document

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        deprecation = self._by_method.get(method)

        async def announcing(message: Message) -> None:
            if message["type"] == "http.response.start" and deprecation is not None:
                headers = MutableHeaders(raw=message["headers"])
                headers.update(deprecation.headers)
                headers.append("Link", f'<{self._document}>; rel="deprecation"; type="application/json"')
            await send(message)

        await self._app(scope, receive, announcing)
