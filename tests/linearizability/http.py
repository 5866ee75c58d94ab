"""A keep-alive connection that costs little: what is asked thousands of times a second must not be the slow part."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_ETAG = re.compile(rb"\r\netag:\s*([^\r]+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)
_END = b"\r\n\r\n"
SECONDS = 60.0
"""Patience of a client: longer than that of a server with a change."""


class NoAnswer(Exception):
    """The connection broke before the answer was complete. The request may have been carried out."""


class NotSent(Exception):
    """There was no connection, so nothing can have been done."""


class Answer(NamedTuple):
    status: int
    etag: bytes | None
    body: bytes


class Connection:
    """One connection to a server; it connects when it is first used, and again after it was closed."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._host = f"{host}:{port}".encode()
        self._socket: socket.socket | None = None
        self._rest = b""
        """Received behind the last answer."""

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket, self._rest = None, b""

    def connect(self) -> None:
        """Raises NotSent."""
        if self._socket is None:
            try:
                self._socket = socket.create_connection(self._address, SECONDS)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                self.close()
                raise NotSent(str(error)) from error

    def get(self, path: str, headers: bytes = b"") -> Answer:
        """`headers`: complete lines. Raises NoAnswer, NotSent."""
        return self.ask(self._get(path, headers))

    def get_all(self, paths: Iterable[str], headers: bytes = b"") -> Iterator[Answer]:
        """The answers to requests that are sent at once (pipelining, RFC 9112, section 9.3.2). As `get`."""
        self.connect()
        assert self._socket is not None
        requests = [self._get(path, headers) for path in paths]
        try:
            self._socket.sendall(b"".join(requests))
            for _ in requests:
                if self._socket is None:
                    raise NoAnswer("the connection was closed before the last answer")
                yield self._receive(self._socket)
        except (OSError, NoAnswer) as error:
            self.close()
            raise NoAnswer(str(error)) from error

    def _get(self, path: str, headers: bytes) -> bytes:
        return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (path.encode(), self._host, headers)

    def post(self, path: str, content_type: str, body: bytes, headers: bytes = b"") -> Answer:
        """Raises NoAnswer, NotSent."""
        head = b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n"
        return self.ask(head % (path.encode(), self._host, content_type.encode(), len(body), headers) + body)

    def ask(self, request: bytes) -> Answer:
        self.connect()
        assert self._socket is not None
        try:
            self._socket.sendall(request)
            return self._receive(self._socket)
        except (OSError, NoAnswer) as error:
            self.close()
            raise NoAnswer(str(error)) from error

    def _receive(self, connection: socket.socket) -> Answer:
        data, self._rest = self._rest, b""
        while (end := data.find(_END)) < 0:
            data += _more(connection)
        head, body = data[: end + 2], data[end + 4 :]
        status = int(head[9:12])
        if status != 304:
            length = _LENGTH.search(head)
            if length is None:
                raise NoAnswer("the answer does not tell its length")
            missing = int(length[1]) - len(body)
            if missing > 0:
                pieces = [body]
                while missing > 0:
                    pieces.append(_more(connection))
                    missing -= len(pieces[-1])
                body = b"".join(pieces)
            body, self._rest = body[: int(length[1])], body[int(length[1]) :]
        else:
            body, self._rest = b"", body
        if _CLOSE.search(head):
            self.close()
        etag = _ETAG.search(head)
        return Answer(status, etag[1] if etag else None, body)


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(262_144)
    if not data:
        raise NoAnswer("the connection was closed")
    return data
