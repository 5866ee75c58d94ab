"""A proxy before an S3 server that answers reads from a cache for a second, as one that was set up for web pages."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

_SECONDS = 1.0
_LEFT_OUT = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class _Kept(NamedTuple):
    until: float
    status: int
    headers: list[tuple[str, str]]
    body: bytes


@contextmanager
def caching_proxy(port: int) -> Iterator[int]:
    """A proxy to the server at a port of this machine; its own port."""
    kept: dict[str, _Kept] = {}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            is_read = self.command == "GET" and "?" not in self.path and "range" not in self.headers
            with lock:
                found = kept.get(self.path) if is_read else None
            if found is None or found.until < time.monotonic():
                found = self.ask(body)
                if is_read and found.status in {200, 404}:
                    with lock:
                        kept[self.path] = found
            tags = [value for name, value in found.headers if name.lower() == "etag"]
            if is_read and found.status == 200 and tags == self.headers.get_all("if-none-match", []):
                found = found._replace(status=304, body=b"")
            self.send_response_only(found.status)
            for name, value in found.headers:
                self.send_header(name, value)
            if found.status != 304 and self.command != "HEAD":
                self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(found.body)

        def ask(self, body: bytes) -> _Kept:
            """The server's own answer."""
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            headers = [
                (name, value)
                for name, value in answer.getheaders()
                if name.lower() not in _LEFT_OUT or (self.command == "HEAD" and name.lower() == "content-length")
            ]
            return _Kept(time.monotonic() + _SECONDS, answer.status, headers, content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
