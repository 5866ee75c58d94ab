"""The application for WSGI servers (PEP 3333), by an adapter from ASGI; what the adapter passes over is done here.

- A path that is not UTF-8 raises in the adapter: it gets the characters that ASGI servers put in place of such bytes.
  A query that is not ASCII, or a length that is no number, is answered with 400.
- Repeated header lines are one value in a WSGI environment, and the target is a path without its first slashes. A
  server that knows better says so (`LINES`, `TARGET`): the application then sees what an ASGI server would show it.
- The answer to HEAD has no content (RFC 9110, 9.3.2). ASGI servers leave it out; WSGI servers send what they are given.
- A body that is shorter than its Content-Length would be read again and again: it is a client that went away.
- A response that is given up half-way would keep the server's thread waiting for ever: it is an exception, the only way
  in which WSGI can say so; the server then closes the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast
from urllib.parse import unquote

from a2wsgi import ASGIMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Environ = dict[str, Any]
LINES = "quire.lines"
"""In an environment: the header lines as they were sent, [(lower-case name, value)] in bytes."""
TARGET = "quire.target"
"""In an environment: the target of the request as it was sent, ASCII bytes."""
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
        for name in ("SCRIPT_NAME", "PATH_INFO"):
            environ[name] = _as_utf_8(environ.get(name, ""))
        return self._whole(environ, start_response)

    def _whole(self, environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        is_head = environ["REQUEST_METHOD"] == "HEAD"
        for piece in self._adapted(environ, start_response):
            yield b"" if is_head else piece
        if _GIVEN_UP in environ:  # the adapter may have overlooked the exception
            raise ConnectionAbortedError(environ[_GIVEN_UP])


def _is_readable(environ: Environ) -> bool:
    try:
        environ.get("QUERY_STRING", "").encode("ascii")
        return int(environ.get("CONTENT_LENGTH") or 0) >= 0
    except ValueError:
        return False


def _as_utf_8(path: str) -> str:
    """A path of PEP 3333, each byte a character, with what is not UTF-8 replaced."""
    return path.encode("latin-1").decode("utf-8", "replace").encode("utf-8").decode("latin-1")


def _show_what_was_sent(scope: Scope) -> None:
    environ = scope["wsgi_environ"]
    if LINES in environ:
        scope["headers"] = environ[LINES]
    if TARGET in environ:
        raw_path, _, scope["query_string"] = environ[TARGET].partition(b"?")
        root = scope["root_path"]
        scope["raw_path"], scope["path"] = root.encode("utf-8") + raw_path, root + unquote(raw_path.decode("ascii"))


class _Complete:
    """ASGI between adapter and application: requests as they were sent; bodies and responses that end too early."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = complete = False
        _show_what_was_sent(scope)

        async def receive_all() -> Message:
            message = await receive()
            if message["type"] == "http.request" and message.get("more_body") and not message.get("body"):
                return {"type": "http.disconnect"}
            return message

        async def recording_send(message: Message) -> None:
            nonlocal begun, complete
            begun = True
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        await self._application(scope, receive_all, recording_send)
        if begun and not complete:
            scope["wsgi_environ"][_GIVEN_UP] = "the response was given up half-way"
            raise ConnectionAbortedError(scope["wsgi_environ"][_GIVEN_UP])
