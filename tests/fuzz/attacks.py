"""Bytes that clients send to HTTP/1.1 servers and should not."""

from __future__ import annotations

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""A request hidden behind or in another one."""

_LENGTH = b"Content-Length: %d\r\n" % len(SMUGGLED)
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_END = b"0\r\n\r\n" + SMUGGLED
"""Read in chunks the body ends before the hidden request, read by its length behind it."""


def _post(headers: bytes, body: bytes, version: bytes = b"1.1") -> bytes:
    return b"POST /RPC2 HTTP/%s\r\nHost: x\r\n%s\r\n%s" % (version, headers, body)


def _line(target: bytes, headers: bytes = b"", *, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    return b"%s %s %s\r\nHost: x\r\n%sConnection: close\r\n\r\n" % (method, target, version, headers)


def _host(value: bytes, path: bytes = b"/") -> bytes:
    return b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (path, value)


_CHUNKS: dict[str, bytes] = {
    "negative": b"-1\r\n",
    "with a plus": b"+0\r\n\r\n",
    "0x": b"0x0\r\n\r\n",
    "space before": b" 0\r\n\r\n",
    "space behind": b"0 \r\n\r\n",
    "underscore": b"0_0\r\n\r\n",
    "empty": b"\r\n\r\n",
    "of 2^64": b"10000000000000000\r\n",
    "that overflows": b"FFFFFFFFFFFFFFFF0\r\n\r\n",
    "ended by LF": b"0\n\n",
    "ended by CR CR LF": b"0\r\r\n\r\n",
    "extension with LF": b"0;a\nb\r\n\r\n",
    "extension with CR": b"0;a\rb\r\n\r\n",
    "long extension": b"1;" + b"a" * 70_000 + b"\r\nZ\r\n0\r\n\r\n",
    "without its CRLF": b"1\r\nZ0\r\n\r\n",
    "longer than its size": b"1\r\nZZ\r\n0\r\n\r\n",
    "folded trailer": b"0\r\n a: b\r\n\r\n",
    "bad trailer": b"0\r\nContent-Length: 5\r\nbad\r\n\r\n",
    "many trailers": b"0\r\n" + b"X-A: b\r\n" * 20_000 + b"\r\n",
}

AMBIGUOUS: dict[str, bytes] = {
    "length and chunked": _post(b"Content-Length: %d\r\n" % (len(_END)) + _CHUNKED, _END),
    "chunked and length": _post(_CHUNKED + b"Content-Length: 5\r\n", _END),
    "no length and chunked": _post(b"Content-Length: 0\r\n" + _CHUNKED, _END),
    "two lengths": _post(b"Content-Length: 0\r\n" + _LENGTH, SMUGGLED),
    "two lengths, the other way": _post(_LENGTH + b"Content-Length: 0\r\n", SMUGGLED),
    "a list of lengths": _post(b"Content-Length: 0, %d\r\n" % len(SMUGGLED), SMUGGLED),
    "a list of one length": _post(b"Content-Length: %d, %d\r\n" % ((len(SMUGGLED),) * 2), SMUGGLED),
    "length with a plus": _post(b"Content-Length: +0\r\n", SMUGGLED),
    "negative length": _post(b"Content-Length: -1\r\n", SMUGGLED),
    "length 0x0": _post(b"Content-Length: 0x0\r\n", SMUGGLED),
    "length 1_0": _post(b"Content-Length: 1_0\r\n", SMUGGLED),
    "empty length": _post(b"Content-Length:\r\n", SMUGGLED),
    "length in other digits": _post("Content-Length: \u0661\r\n".encode(), SMUGGLED),
    "length of 2^64": _post(b"Content-Length: 18446744073709551616\r\n", SMUGGLED),
    "length, space before the colon": _post(b"Content-Length : %d\r\n" % len(SMUGGLED), SMUGGLED),
    "length after a vertical tab": _post(b"Content-Length: \x0b0\r\n", SMUGGLED),
    "chunked, space before the colon": _post(b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", _END),
    "xchunked": _post(b"Transfer-Encoding: xchunked\r\n", _END),
    "identity": _post(b"Transfer-Encoding: identity\r\n" + _LENGTH, SMUGGLED),
    "chunked, identity": _post(b"Transfer-Encoding: chunked, identity\r\n", _END),
    "chunked twice": _post(_CHUNKED * 2, _END),
    "gzip, chunked": _post(b"Transfer-Encoding: gzip, chunked\r\n", _END),
    "chunked after a vertical tab": _post(b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 5\r\n", _END),
    "chunked in a folded line": _post(b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n", _END),
    "chunked in quotes": _post(b'Transfer-Encoding: "chunked"\r\nContent-Length: 5\r\n', _END),
    "chunked before NUL": _post(b"Transfer-Encoding: chunked\0\r\nContent-Length: 5\r\n", _END),
    "chunked after a bare CR": _post(b"X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", _END),
    "chunked in HTTP/1.0": _post(b"Connection: keep-alive\r\n" + _CHUNKED, _END, b"1.0"),
    "lines ended by LF": b"POST /RPC2 HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nContent-Length: 5\n\n" + _END,
    "a folded request": b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: b\r\n GET /smuggled HTTP/1.1\r\n\r\n",
    "a folded first line": b"GET /health HTTP/1.1\r\n Host: x\r\nHost: y\r\nConnection: close\r\n\r\n",
    "GET with a body": b"GET /health HTTP/1.1\r\nHost: x\r\n%s\r\n%s" % (_LENGTH, SMUGGLED),
    "HEAD with a body": b"HEAD /health HTTP/1.1\r\nHost: x\r\n%s\r\n%s" % (_LENGTH, SMUGGLED),
    "a refused method with a body": b"POST /health HTTP/1.1\r\nHost: x\r\n%s\r\n%s" % (_LENGTH, SMUGGLED),
    "GET with chunks": b"GET /health HTTP/1.1\r\nHost: x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n"
    % (_CHUNKED, len(SMUGGLED), SMUGGLED),
    **{f"a chunk {name}": _post(_CHUNKED, chunk + SMUGGLED) for name, chunk in _CHUNKS.items()},
}
"""Messages whose end depends on the parser."""

ODD_LINES: dict[str, bytes] = {
    "absolute": _line(b"http://x/simple/"),
    "absolute, another host": _line(b"http://evil.example/simple/"),
    "absolute, no path": _line(b"http://x"),
    "absolute, no host": _line(b"http:///simple/"),
    "authority": _line(b"x:80"),
    "asterisk": _line(b"*"),
    "OPTIONS *": _line(b"*", method=b"OPTIONS"),
    "CONNECT": _line(b"x:80", method=b"CONNECT"),
    "relative": _line(b"simple/"),
    "two slashes": _line(b"//simple/"),
    "a host as path": _line(b"//evil.example/simple/"),
    "fragment": _line(b"/simple/#a"),
    "file": _line(b"file:///etc/passwd"),
    "no target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /simple/\r\n\r\n",
    "HTTP/2.0": _line(b"/", version=b"HTTP/2.0"),
    "HTTP/1.9": _line(b"/", version=b"HTTP/1.9"),
    "prior knowledge of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600 + b"\r\n\r\n",
    "space in the target": _line(b"/simple/ /x"),
    "tab in the target": _line(b"/simple\t/"),
    "half an escape": _line(b"/%"),
    "no escape": _line(b"/%zz/"),
    "NUL": _line(b"/%00/"),
    "CRLF in a redirect": _line(b"/a%0d%0aX-Evil:b/"),
    "CRLF in a name": _line(b"/simple/A%0d%0aX-Evil:%20b/"),
    "CRLF in a query": _line(b"/simple?%0d%0aX-Evil:b"),
    "a long path": _line(b"/" + b"a" * 50_000),
    "a deep path": _line(b"/packages/" + b"a/" * 20_000),
    "many queries": _line(b"/simple/?" + b"a=b&" * 10_000),
    "NUL in the method": _line(b"/", method=b"G\0T"),
    "long method": _line(b"/", method=b"A" * 5000),
    "lower-case method": _line(b"/", method=b"get"),
    "TRACE": _line(b"/", method=b"TRACE"),
    "no host": b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n",
    "two hosts": _line(b"/", b"Host: y\r\n"),
    "host with a path": _host(b"a b/c@d"),
    "host with NUL": _host(b"\0"),
    "host with half a bracket": _host(b"[::1", b"/pypi/there/json"),
    "host with a large port": _host(b"x:99999999"),
    "host that is a script": _host(b"<script>alert(1)</script>"),
    "host that is not ASCII": _host(b"\xff"),
    "websocket": _line(
        b"/", b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAA\r\nSec-WebSocket-Version: 13\r\n"
    ),
    "h2c": _line(b"/", b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nConnection: Upgrade\r\n"),
    "Expect": _line(b"/", b"Expect: nonsense\r\n"),
    "login that is not ASCII": _line(b"/simple/", b"Authorization: Basic \xff\xfe\r\n"),
    "Accept that is not ASCII": _line(b"/simple/", b"Accept: \xff;q=\xe9\r\n"),
    "header without a name": _line(b"/", b": a\r\n"),
    "header without a colon": _line(b"/", b"abc\r\n"),
    "PROXY": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + _line(b"/"),
    "3,000 headers": _line(b"/", b"Cookie: a\r\n" * 3000),
    "prefix": _line(b"/", b"X-Forwarded-Prefix: /../..\r\nX-Forwarded-Host: <evil>\r\n"),
    "gzip": _line(b"/simple/", b"Content-Encoding: gzip\r\nContent-Length: 3\r\n") + b"\x1f\x8b\x08",
}
"""First lines and headers that are not what they should be, or not what a file server expects."""
