"""An application in granian's own protocol, RSGI: quick answers directly, everything else by way of ASGI.

Theory of operation. ASGI has every request pass through dictionaries and messages; that costs more than answering most
of them does. RSGI hands over the parsed request, and takes the whole response, in one call each. So a quick answer
(`quire.web.quick`) is given here, and for the rest this module is an ASGI server: it makes a scope of the request,
messages of its body, and a response of the messages that come back.

- A response of one message is sent in one call. A longer one is streamed, and needs a Content-Length, since granian
  ends one that was given up half-way as if it were complete. And it queues what it is given without limit, so a file
  is never streamed through here: it is named, and granian sends it, whole (`http.response.pathsend`)
  or a part of it (`quire.web.files.RANGE`).
- granian ends the iteration over a body that breaks off as if it were complete. Where the length was announced it is
  compared, and a body that is too short is a client that went away. (One sent in chunks ends by its own marks.)
- A target that is a whole address (RFC 9112, 3.2.2) comes in two parts, without its scheme; it is put together again.
- Header lines that are not ASCII cannot be had. A name that has no other lines is passed on with a value that nothing
  accepts.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any, Protocol, cast

import structlog
from granian.rsgi import Scope as RSGIScope
from starlette.types import ASGIApp, Message, Scope

from quire.servers.loading import release_signals
from quire.web.answer import IDENTITY, Headers
from quire.web.files import RANGE
from quire.web.proxies import peer_address
from quire.web.quick import Quick, QuickASGI

_UNREADABLE = b"\xff"

_log = structlog.get_logger(__name__)


class RSGIHeaders(Headers, Protocol):
    """granian's own, with all it has; its stubs lag behind."""

    def keys(self) -> list[str]: ...

    def items(self) -> list[tuple[str, str]]: ...

    def __len__(self) -> int:
        """How many names there are; one may have several items."""
        ...


class _Stream(Protocol):
    async def send_bytes(self, data: bytes) -> None: ...


class RSGIProtocol(Protocol):
    """What granian passes beside the scope: the body on its way in, the response on its way out."""

    def __aiter__(self) -> Any: ...

    async def client_disconnect(self) -> None: ...

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None: ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...

    def response_file(self, status: int, headers: list[tuple[str, str]], file: str) -> None: ...

    def response_file_range(
        self, status: int, headers: list[tuple[str, str]], file: str, start: int, end: int
    ) -> None: ...

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> _Stream: ...


class RSGIApplication:
    """An ASGI application for granian; one with quick answers gives them here."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self._quick: Quick | None = None
        self._general = application
        if isinstance(application, QuickASGI):
            self._quick = application.quick
            self._quick.files.sends_files = True
            self._general = application.application  # what is not answered quickly need not be asked again
        self._lifespan: _Lifespan | None = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the application. Raises what it fails with; the worker then ends."""
        self._lifespan = _Lifespan(self._application)
        loop.run_until_complete(self._lifespan.startup())
        loop.call_soon(release_signals)  # when it runs for good; until then uvloop would lose them

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the application end."""
        if self._lifespan is not None:
            loop.run_until_complete(self._lifespan.shutdown())

    async def __rsgi__(self, scope: RSGIScope, protocol: RSGIProtocol) -> None:
        """One request."""
        quick = self._quick
        if (
            quick is not None
            and scope.method == "GET"
            and not scope.query_string
            and scope.authority is None
            and not _has_repeats(scope)
        ):
            asked = (scope.path, cast("Headers", scope.headers), partial(_client, scope))
            answer = await quick.respond_in_time(*asked) if quick.waits else quick.respond(*asked)
            if answer is not None:
                lines = [*answer.headers, (IDENTITY, answer.identity)] if answer.identity else answer.headers
                if answer.path is None:
                    protocol.response_bytes(answer.status, lines, answer.body)
                else:
                    protocol.response_file(answer.status, lines, answer.path)
                return
        exchange = _Exchange(scope, protocol)
        await self._general(exchange.scope, exchange.receive, exchange.send)
        exchange.end()


class _Exchange:
    """One request and its response, as ASGI has them."""

    def __init__(self, scope: RSGIScope, protocol: RSGIProtocol) -> None:
        headers = _lines(cast("RSGIHeaders", scope.headers))
        self.scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": scope.http_version,
            "method": scope.method,
            "scheme": scope.scheme,
            "path": scope.path if scope.authority is None else f"http://{scope.authority}{scope.path}",
            "raw_path": None,
            "query_string": scope.query_string.encode(),  # as granian decoded it; it refuses what is not UTF-8
            "root_path": "",
            "headers": headers,
            "client": _address(scope.client),
            "server": _server(scope),
            "extensions": {"http.response.pathsend": {}, RANGE: {}},
            "state": {},
        }
        self._protocol = protocol
        self._chunks: Any = None
        self._body_is_read = False
        announced = next((int(value) for name, value in headers if name == b"content-length" and value.isdigit()), None)
        self._has_length = announced is not None
        self._missing = announced or 0
        self._start: Message | None = None
        self._stream: _Stream | None = None
        self._is_answered = False

    async def receive(self) -> Message:
        """See ASGI's HTTP specification."""
        if self._body_is_read:
            await self._protocol.client_disconnect()
            return {"type": "http.disconnect"}
        if self._chunks is None:
            self._chunks = aiter(self._protocol)
        try:
            chunk = bytes(await anext(self._chunks))
        except StopAsyncIteration:
            chunk = b""
        self._missing -= len(chunk)
        # where a length was announced, the end need not be asked for, which takes a turn through granian's threads
        self._body_is_read = not chunk or (self._has_length and self._missing <= 0)
        if not chunk and self._missing > 0:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": not self._body_is_read}

    async def send(self, message: Message) -> None:
        """See ASGI's HTTP specification."""
        kind = message["type"]
        if kind == "http.response.start":
            self._start = message
            return
        if self._start is None or self._is_answered:
            raise RuntimeError(f"The application sends {kind!r} before the start of a response, or after its end.")
        status, headers = int(self._start["status"]), _pairs(self._start["headers"])
        if kind == "http.response.body":
            await self._send_body(status, headers, message.get("body", b""), more=message.get("more_body", False))
            return
        self._is_answered = True
        if kind == "http.response.pathsend":
            self._protocol.response_file(status, headers, message["path"])
        elif kind == RANGE:
            self._protocol.response_file_range(status, headers, message["path"], message["start"], message["stop"])
        else:
            raise RuntimeError(f"The application sends {kind!r}, which is not known here.")

    async def _send_body(self, status: int, headers: list[tuple[str, str]], body: bytes, *, more: bool) -> None:
        if self._stream is None and not more:
            if body:
                self._protocol.response_bytes(status, headers, body)
            else:
                self._protocol.response_empty(status, headers)
        else:
            if self._stream is None:
                if all(name.lower() != "content-length" for name, _ in headers):
                    raise RuntimeError("A response in pieces needs a Content-Length here.")
                self._stream = self._protocol.response_stream(status, headers)
            if body:
                await self._stream.send_bytes(body)
        self._is_answered = not more
        if not more:
            self._stream = None  # letting go of it is what ends the response

    def end(self) -> None:
        """The application is through. Raises when it left the response unfinished."""
        self._stream = None
        if not self._is_answered:
            raise GivenUp("the response was given up half-way")


class GivenUp(ConnectionAbortedError):
    """The one way to have granian break a connection off. The application has logged the reason."""


def is_of_interest(record: logging.LogRecord) -> bool:
    """A filter of granian's log: not the traceback of a response that was given up on purpose."""
    return GivenUp.__name__ not in record.getMessage()  # granian makes it text


class _Lifespan:
    """The application's life (ASGI's lifespan protocol)."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message | BaseException | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Raises RuntimeError when the application says that it cannot start."""
        self._task = asyncio.create_task(self._live())
        self._events.put_nowait({"type": "lifespan.startup"})
        answer = await self._answers.get()
        if isinstance(answer, dict) and answer["type"] == "lifespan.startup.failed":
            raise RuntimeError(f"The application cannot start: {answer.get('message', '')}")

    async def shutdown(self) -> None:
        """Wait until the application has ended."""
        if self._task is not None and not self._task.done():
            self._events.put_nowait({"type": "lifespan.shutdown"})
            await self._answers.get()

    async def _live(self) -> None:
        async def send(message: Message) -> None:
            self._answers.put_nowait(message)

        try:
            await self._application(
                {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, self._events.get, send
            )
        finally:
            self._answers.put_nowait(None)  # whoever waits need not wait any longer


def _lines(headers: RSGIHeaders) -> list[tuple[bytes, bytes]]:
    lines = []
    for name in headers.keys():  # noqa: SIM118 - not a mapping
        values = headers.get_all(name)
        lines += [(name.encode("latin-1"), value.encode("latin-1")) for value in values]
        if not values:
            lines.append((name.encode("latin-1"), _UNREADABLE))
    return lines


def _pairs(lines: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("ascii", "replace").replace("\ufffd", "?")) for name, value in lines]


def _has_repeats(scope: RSGIScope) -> bool:
    """Whether a header has several lines: those are for the general application to join, or to refuse."""
    headers = cast("RSGIHeaders", scope.headers)
    return len(headers.items()) > len(headers)


def _client(scope: RSGIScope) -> str:
    return peer_address(_address(scope.client), _server(scope))


def _server(scope: RSGIScope) -> tuple[str, int | None] | None:
    """The address at this end; for a Unix socket, whose client has no address, its path."""
    return _address(scope.server) if scope.client else (scope.server, None)


def _address(text: str) -> tuple[str, int] | None:
    """Host and port out of "127.0.0.1:80" or "[::1]:80"; None for what is no such thing (a Unix socket)."""
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdecimal() else None
