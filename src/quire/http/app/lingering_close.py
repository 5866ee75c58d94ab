"""Answers to requests that are refused before their body was read.

Theory of operation. A client sends a wheel of a gigabyte and reads the answer when it is through. A server that
refuses it at once (no login, too large) and closes the connection resets it, since bytes arrive at a closed socket; the
reset overtakes the answer, and the client shows a broken pipe instead of the sentence. So this is a lingering close
(RFC 9112, 9.6): the answer's head is sent, arriving bytes are discarded for a while, and then the answer is ended and
the connection closed. Servers close after the last byte of an answer, so its body has to wait until then. Clients that
read the head while they send stop sending.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DISCARD_SECONDS = 30.0
"""How long a refused client may go on sending."""
SILENCE_SECONDS = 1.0
"""How long one that sends nothing is waited for."""


class LingeringClose:
    """Middleware: ends no response before the request's body has been read, within bounds."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        unread = True

        async def recording_receive() -> Message:
            nonlocal unread
            message = await receive()
            if message["type"] != "http.request" or not message.get("more_body", False):
                unread = False
            return message

        async def delaying_send(message: Message) -> None:
            if unread and message["type"] == "http.response.start" and "wsgi_environ" not in scope:
                MutableHeaders(raw=message["headers"])["Connection"] = "close"  # PEP 3333 leaves that to the server
            elif unread and not message.get("more_body", False):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(DISCARD_SECONDS):
                        while unread:
                            await asyncio.wait_for(recording_receive(), SILENCE_SECONDS)
            await send(message)

        await self._app(scope, recording_receive, delaying_send)


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
