"""Requests that two parsers may read with different ends or hosts (RFC 9112, 3.2 and 6).

Theory of operation. Behind a proxy that reads a message's length otherwise than the server does, the tail of one
client's body becomes the beginning of another's request. Each server refuses some of such messages; all of
them are refused here, with any server:

- Content-Length beside Transfer-Encoding (6.1: "ought to be handled as an error"), Transfer-Encoding that is not
  `chunked`, once (6.1), more than one Content-Length.
- A field that has one value, in several lines (RFC 9110, 5.3): which of them counts is not defined.
- More than one Host, or one that is no host: it would get into absolute URLs; none at all in HTTP/1.1 (3.2).
- A target in a form that is not served (`quire.http.app.targets`).

A field that is a list may come in several lines, which are one list (RFC 9110, 5.3). They are joined here, for all
code that reads headers.

And servers read the sizes, extensions and trailers of chunks with different care. So the connection ends with
a chunked body: bytes behind it are no request. That costs an upload in chunks one connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quire.http.app.problems import HttpError, problem_response
from quire.http.app.targets import METHODS, is_asterisk, make_origin_form

_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]*|\[[0-9A-Fa-f:.%A-Za-z]*\])(?::[0-9]{0,5})?")
"""RFC 3986, 3.2.2 and 3.2.3, as far as it matters: nothing that ends an authority or a URL."""

SINGLETONS: Final = frozenset(
    {
        *(b"authorization", b"content-encoding", b"content-length", b"content-location", b"content-range"),
        *(b"content-type", b"date", b"from", b"host", b"if-modified-since", b"if-range", b"if-unmodified-since"),
        *(b"max-forwards", b"origin", b"proxy-authorization", b"range", b"referer", b"sec-fetch-site"),
        *(b"transfer-encoding", b"user-agent"),
    }
)
"""The fields of requests that are no lists (RFC 9110; Fetch), and Transfer-Encoding, of which one value is taken."""


class Framing:
    """Middleware: refuses ambiguous requests, and lets no request follow a chunked one on its connection."""

    def __init__(self, app: ASGIApp, trusts: Callable[[str], bool], singletons: Sequence[str] = ()) -> None:
        """`trusts`: whether the peer with this address is a trusted proxy. `singletons`: lower-case names of further
        fields that have one value."""
        self._app = app
        self._singletons = SINGLETONS | {name.encode() for name in singletons}
        self._trusts = trusts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["headers"] = lines = with_lists_joined(scope["headers"], self._singletons)
        lengths, encodings, hosts = _header_values(lines)
        # PEP 3333 leaves the connection to the server; HTTP/2 has no such header
        may_close = "wsgi_environ" not in scope and str(scope.get("http_version", "1.1")).startswith("1")
        try:
            sentence = problem_with(lengths, encodings, hosts)
            if sentence is None and not hosts and scope.get("http_version") == "1.1":
                sentence = "This request has no Host, which HTTP/1.1 asks for."
            if sentence is None and (name := _repeated(lines)) is not None:
                sentence = f"This request has more than one {name} line."
            if sentence is not None:
                raise HttpError(400, sentence)
            if not is_asterisk(scope):
                make_origin_form(scope, self._trusts)
        except HttpError as error:
            response = problem_response(Request(scope), error)
            if may_close:
                response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        if is_asterisk(scope):
            await Response(status_code=204, headers={"Allow": METHODS})(scope, receive, send)
            return
        if not encodings or not may_close:
            await self._app(scope, receive, send)
            return

        async def closing_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"])["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, closing_send)


def problem_with(lengths: list[bytes], encodings: list[bytes], hosts: list[bytes]) -> str | None:
    """The ambiguity of a request with these Content-Length, Transfer-Encoding and Host lines; None: there is none."""
    if len(lengths) > 1 or (lengths and not (lengths[0].isdigit() and len(lengths[0]) < 20)):
        return "The Content-Length of this request is not one number."
    if encodings and lengths:
        return "This request has both a Content-Length and a Transfer-Encoding; send one of them."
    if len(encodings) > 1 or (encodings and encodings[0].strip().lower() != b"chunked"):
        return "The Transfer-Encoding of this request is not 'chunked'; no other is understood."
    if len(hosts) > 1 or (hosts and _HOST.fullmatch(hosts[0].strip()) is None):
        return "The Host of this request is not one host name."
    return None


def with_lists_joined(
    lines: Sequence[tuple[bytes, bytes]], singletons: frozenset[bytes] = SINGLETONS
) -> list[tuple[bytes, bytes]]:
    """The header lines with one line for each name, in lower case; of a field that is no list, all that were sent."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in lines:
        values.setdefault(name.lower(), []).append(value)
    found: list[tuple[bytes, bytes]] = []
    for name, each in values.items():
        if name in singletons:
            found += [(name, value) for value in each]
        else:
            found.append((name, (b"; " if name == b"cookie" else b", ").join(each)))  # RFC 9113, 8.2.3
    return found


def _repeated(lines: Sequence[tuple[bytes, bytes]]) -> str | None:
    """A name that has several lines; None when each has one."""
    names = [name for name, _ in lines]
    if len(set(names)) == len(names):
        return None
    return next(name for name in names if names.count(name) > 1).decode("latin-1").title()


def _header_values(lines: Sequence[tuple[bytes, bytes]]) -> tuple[list[bytes], list[bytes], list[bytes]]:
    lengths: list[bytes] = []
    encodings: list[bytes] = []
    hosts: list[bytes] = []
    into = {b"content-length": lengths, b"transfer-encoding": encodings, b"host": hosts}
    for name, value in lines:
        if (values := into.get(name)) is not None:
            values.append(value)
    return lengths, encodings, hosts
