"""The application for WSGI servers (PEP 3333), by an adapter from ASGI; what the adapter passes over is done here.

- A path or query that is not text in the encoding it should have raises in the adapter: it is answered with 400.
- A body that ends before its announced length would be read again and again: it is a client that went away.
- A response that is given up half-way would keep the server's thread waiting for ever: it is an exception, the only way
  in which WSGI can say so; the server then closes the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from a2wsgi import ASGIMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Environ = dict[str, Any]
_GIVEN_UP = "quire.given_up"


class WSGIApplication:
    """An ASGI application as a WSGI one."""

    def __init__(self, application: ASGIApp) -> None:
        # The adapter declares the messages of ASGI one by one, Starlette as plain mappings.
        self._adapted: Callable[..., Iterable[bytes]] = ASGIMiddleware(cast("Any", _Complete(application)))

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not _is_readable(environ):
            sentence = b"The address or the length of this request is malformed.\n"
            headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(sentence)))]
            start_response("400 Bad Request", headers)
            return [sentence]
        return self._whole(environ, start_response)

    def _whole(self, environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        yield from self._adapted(environ, start_response)
        if _GIVEN_UP in environ:  # the adapter may have overlooked the exception
            raise ConnectionAbortedError(environ[_GIVEN_UP])


def _is_readable(environ: Environ) -> bool:
    try:
        for name in ("SCRIPT_NAME", "PATH_INFO"):
            environ.get(name, "").encode("latin-1").decode("utf-8")
        environ.get("QUERY_STRING", "").encode("ascii")
        return int(environ.get("CONTENT_LENGTH") or 0) >= 0
    except ValueError:
        return False


class _Complete:
    """ASGI between adapter and application: bodies and responses that end too early."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = complete = False

        async def receive_all() -> Message:
            message = await receive()
            if message["type"] == "http.request" and message.get("more_body") and not message.get("body"):
                return {"type": "http.disconnect"}
            return message

        async def noting_send(message: Message) -> None:
            nonlocal begun, complete
            begun = True
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        await self._application(scope, receive_all, noting_send)
        if begun and not complete:
            scope["wsgi_environ"][_GIVEN_UP] = "the response was given up half-way"
            raise ConnectionAbortedError(scope["wsgi_environ"][_GIVEN_UP])
