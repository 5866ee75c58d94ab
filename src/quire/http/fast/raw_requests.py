"""Raw requests: GETs that are answered by the fast path from the bytes of their head, before a parser reads them.

Theory of operation. Nearly every request to an index is a GET with a handful of headers, and a client sends the same
headers each time, byte for byte. Parsing them, and making tasks and messages of them, costs several times what the
answer does (`quire.http.fast.fast_path`). So a server whose connections are asyncio protocols passes each piece that
arrives between two requests to `RawRequests` first. If it is one complete request of a supported form, it is answered
here, without the parser. Everything else goes to the parser, unchanged.

A form is supported if no two parsers can read it differently (RFC 9112): one piece that ends with the only empty line
in it; `GET`, a path of unreserved characters, `HTTP/1.1`; header lines of a known name
(`quire.http.fast.allowed_headers`), a colon, a space and visible ASCII text, each name once; no body, and nothing said
about the connection but that it stays. Whether a block of header lines is plain is found out once and remembered with
its headers, for a bounded number of blocks of bounded length.

Passwords are not kept in memory (see `quire.access.authenticator`). So a line with credentials is taken out of what is
remembered. Once they were found good, the block is known by a keyed digest of all of it, and the login is remembered in
their place; whether that login still counts is asked for each request.

On a local file system an answer takes microseconds, half of them for validations. Requests of one loop tick share them:
each is read when it arrives and waits in a queue, and a callback answers all of them, so each validation begins after
all of them have arrived (`quire.catalog.freshness`). Over a network the requests of a tick for one page share a task,
which waits for the barrier and answers all of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from quire.access.authenticator import Login
from quire.access.credentials import TokenLogin
from quire.http.fast.allowed_headers import ALLOWED_NAMES
from quire.http.fast.responses import AskedPage, CachedResponse, Download, Headers, IdentifiedResponse

V = TypeVar("V")

MAX_HEAD_BYTES: Final = 4096
"""Longer heads are left to the server's parser."""
_MAX_BLOCKS = 256
_MAX_LOGINS = 1024
_PATH_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-._~!+"
_LINE = re.compile(rb"([A-Za-z0-9-]+): ([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_CREDENTIALS = re.compile(rb"\r\n[Aa]uthorization: ([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)\r\n")
_AUTHORIZATION: Final = b"uthorization: "
_UNCHANGED: Final = 304
_STATUS_LINES: Final[dict[int, bytes]] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    for status in (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED)  # fast-path responses are no others
}

ResponseBytes = tuple[bytes, ...]
"""The bytes to send, in pieces: the head, and the body where there is one. A body is bytes that a worker remembers, up
to megabytes; copying it behind its head would take longer than handing it to the kernel."""


class RawDownload(NamedTuple):
    """A response whose body is a file."""

    head: bytes
    file: Download


class RawHeaders(dict[str, str]):
    """The header lines of a raw request by lower-case name; each name is there once."""

    login: Login | TokenLogin | None = None
    """In place of the Authorization line, where that was recognised."""

    def get_all(self, name: str) -> list[str]:
        """See `quire.http.fast.responses.Headers`."""
        return [self[name]] if name in self else []


class CachedResponses(Protocol[V]):
    """The source of responses: a `quire.http.fast.fast_path.FastPath`."""

    waits: bool

    def begin_tick(self) -> None: ...

    def end_tick(self) -> None: ...

    def find_login(self, authorization: str) -> Login | TokenLogin | None: ...

    def respond_inline(
        self,
        path: str,
        headers: Headers,
        client: Callable[[], str],
        login: Login | TokenLogin | None,
        *,
        takes_files: bool,
        scheme: str,
    ) -> IdentifiedResponse | None: ...

    def ask(self, path: str, headers: Headers, login: Login | TokenLogin | None) -> AskedPage | None: ...

    async def load(self, index: str | None, project: str | None, requests: int) -> V | None: ...

    def respond(
        self, asked: AskedPage, loaded: V, path: str, headers: Headers, client: Callable[[], str], *, begun: float
    ) -> IdentifiedResponse | None: ...


class ConnectionInfo(Protocol):
    """The connection of a request."""

    takes_files: bool
    """Whether a response may be a `RawDownload`."""

    @property
    def scheme(self) -> str | None:
        """`http`, or `https` for a connection with TLS; None before there is a connection."""
        ...

    def client_host(self) -> str:
        """The client's address."""
        ...

    def further_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Headers of the server's own; another object when they change."""
        ...


class Waiter(Protocol):
    """The side of a connection that waits for the response to its request."""

    @property
    def has_request(self) -> bool:
        """False once the connection is lost."""
        ...

    def deliver_queued(self, response: ResponseBytes | RawDownload | None) -> None:
        """Called with the complete response; None when the server has to parse the request."""
        ...


_Queued = tuple[str, RawHeaders, ConnectionInfo, Waiter]
"""The path and the headers of a request, its connection, and the object that waits for the response."""


class RawRequests:
    """Answers requests from their bytes. Belongs to one worker's event loop."""

    def __init__(self, fast_path: CachedResponses[Any]) -> None:
        self._fast_path = fast_path
        self._answer_all = self._ask_queued if fast_path.waits else self._answer_queued
        self._queue: list[_Queued] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._blocks: dict[bytes, RawHeaders] = {}
        self._keyed = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=32)
        self._logins: dict[bytes, RawHeaders] = {}
        self._further: Sequence[tuple[bytes, bytes]] = ()
        self._further_lines = b""

    def enqueue(self, path: str, headers: RawHeaders, connection: ConnectionInfo, waiter: Waiter) -> None:
        """Answer a request, together with all that arrive until the next loop tick."""
        if not self._queue:
            asyncio.get_running_loop().call_soon(self._answer_all)
        self._queue.append((path, headers, connection, waiter))

    def _answer_queued(self) -> None:
        queue, self._queue = self._queue, []
        self._fast_path.begin_tick()
        try:
            for path, headers, connection, waiter in queue:
                try:
                    response = self.answer_inline(path, headers, connection)
                except Exception:  # noqa: BLE001 - the application meets the same, and has an answer and a log line
                    response = None
                _deliver(waiter, response)
        finally:
            self._fast_path.end_tick()

    def _ask_queued(self) -> None:
        """The same where validations wait for a network: one task for all requests for a page."""
        queue, self._queue = self._queue, []
        pages: dict[tuple[str | None, str | None], list[tuple[AskedPage, _Queued]]] = {}
        for queued in queue:
            path, headers, _, waiter = queued
            try:
                asked = self._fast_path.ask(path, headers, headers.login)
            except Exception:  # noqa: BLE001 - as in `_answer_queued`
                asked = None
            if asked is None:
                _deliver(waiter, None)
            else:
                pages.setdefault((asked.of_index, asked.project), []).append((asked, queued))
        loop, begun = asyncio.get_running_loop(), perf_counter()
        for page, requests in pages.items():
            task = loop.create_task(self._answer_page(*page, requests, begun))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer_page(
        self, index: str | None, project: str | None, requests: list[tuple[AskedPage, _Queued]], begun: float
    ) -> None:
        try:
            view = await self._fast_path.load(index, project, len(requests))
        except Exception:  # noqa: BLE001 - as in `_answer_queued`
            view = None
        for asked, (path, headers, connection, waiter) in requests:
            if not waiter.has_request:
                continue
            response: ResponseBytes | RawDownload | None = None
            if view is not None:
                try:
                    given = self._fast_path.respond(asked, view, path, headers, connection.client_host, begun=begun)
                    response = None if given is None else self._response(*given, connection.further_headers())
                except Exception:  # noqa: BLE001 - as in `_answer_queued`
                    response = None
            _deliver(waiter, response)

    def answer_inline(
        self, path: str, headers: RawHeaders, connection: ConnectionInfo
    ) -> ResponseBytes | RawDownload | None:
        """The response to a request that was read, whole; None when the server has to parse it."""
        given = self._fast_path.respond_inline(
            path,
            headers,
            connection.client_host,
            headers.login,
            takes_files=connection.takes_files,
            scheme=connection.scheme or "http",
        )
        if given is None:
            return None
        answer, identity = given
        return self._response(answer, identity, connection.further_headers())

    def read(self, data: bytes) -> tuple[str, RawHeaders] | None:
        """The path and the headers of one whole raw request; None for anything else.

        `data`: all that has arrived since the response before.
        """
        end = data.find(b"\r\n") + 2  # of the request line
        if not data.startswith(b"GET /") or data[end - 11 : end] != b" HTTP/1.1\r\n" or len(data) > MAX_HEAD_BYTES:
            return None
        path = data[4 : end - 11]
        if path.translate(None, _PATH_BYTES) or data.find(b"\r\n\r\n") != len(data) - 4:
            return None
        headers = self._headers(data[end - 2 : -2])
        return None if headers is None else (path.decode(), headers)

    def _response(
        self, answer: CachedResponse, identity: str, further: Sequence[tuple[bytes, bytes]]
    ) -> ResponseBytes | RawDownload:
        """All of it, but for the bytes of a file."""
        if further is not self._further:
            self._further, self._further_lines = further, b"".join(b"%b: %b\r\n" % pair for pair in further)
        status, body, download = answer.status, answer.body, answer.download
        size = len(body) if download is None else download.blob.size
        end = b"\r\n" if status == _UNCHANGED else b"content-length: %d\r\n\r\n" % size
        if identity:
            end = f"x-request-id: {identity}\r\n".encode() + end
        head = b"".join((_STATUS_LINES[status], self._further_lines, answer.lines, end))
        if download is not None:
            return RawDownload(head, download)
        return (head, body) if body else (head,)

    def _headers(self, block: bytes) -> RawHeaders | None:
        """The headers of these lines, each with an end before and after it; None when they are not plain."""
        if _AUTHORIZATION not in block:
            return self._without_credentials(block)
        keyed = self._keyed.copy()
        keyed.update(block)
        digest = keyed.digest()
        headers = self._logins.get(digest)
        if headers is not None and (login := headers.login) is not None and not login.is_over:
            return headers
        return self._with_credentials(block, digest)

    def _without_credentials(self, block: bytes) -> RawHeaders | None:
        headers = self._blocks.get(block)
        if headers is None:
            headers = _read(block)
            if headers is None:
                return None
            if len(self._blocks) >= _MAX_BLOCKS:
                self._blocks.clear()
            self._blocks[block] = headers
        return headers

    def _with_credentials(self, block: bytes, digest: bytes) -> RawHeaders | None:
        at = block.find(_AUTHORIZATION)
        line = _CREDENTIALS.match(block, at - 3)
        if line is None:  # one whose name only ends so, or that is not plain
            return self._without_credentials(block)
        others = self._without_credentials(block[: at - 1] + block[line.end() :])
        if others is None:
            return None
        headers, authorization = RawHeaders(others), line[1].decode()
        headers.login = self._fast_path.find_login(authorization)
        if headers.login is None:
            headers["authorization"] = authorization
            return headers
        if len(self._logins) >= _MAX_LOGINS:
            self._logins.clear()
        self._logins[digest] = headers
        return headers


def _deliver(waiter: Waiter, response: ResponseBytes | RawDownload | None) -> None:
    try:
        waiter.deliver_queued(response)
    except Exception as error:  # noqa: BLE001 - of one connection; the others wait for their answers
        context = {"message": "The answer to a raw request could not be sent", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def _read(block: bytes) -> RawHeaders | None:
    headers = RawHeaders()
    for line in block[2:-2].split(b"\r\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        name = match[1].decode().lower()
        if name in headers or name not in ALLOWED_NAMES:
            return None
        headers[name] = match[2].decode()
    if headers.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    return headers
