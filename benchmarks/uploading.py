"""Uploads as clients send them, over connections that are kept."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from tests.asking import content_type, multipart, twine_form
from tests.distributions import metadata_text, wheel_name

from benchmarks.corpora import wheel


@dataclass(frozen=True)
class Release:
    """One wheel of a project."""

    project: str
    version: str
    payload: int = 0
    """Bytes in it that do not compress."""

    @property
    def filename(self) -> str:
        return wheel_name(self.project, self.version)

    @cached_property
    def content(self) -> bytes:
        return wheel(self.project, self.version, self.payload)

    @property
    def metadata(self) -> bytes:
        return metadata_text(self.project, self.version).encode()

    @cached_property
    def form(self) -> bytes:
        """The body of the request, as twine sends it."""
        return multipart(twine_form(self.filename, self.content, name=self.project, version=self.version))


class Uploader:
    """One client with one connection.

    It writes and reads no more of HTTP than an upload takes: it shares the processors with the server, and what an
    http.client spends on one would be a seventh of the answer's time. The head goes out before the form, as from there.
    """

    def __init__(self, port: int, path: str, headers: Mapping[str, str]) -> None:
        self._address = ("127.0.0.1", port)
        self._socket: socket.socket | None = None
        fixed = {"Content-Type": content_type(), "User-Agent": "twine/7.0.0 CPython/3.11", **headers}
        lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Accept-Encoding: identity"]
        lines += [f"{name}: {value}" for name, value in fixed.items()]
        self._head = "\r\n".join(lines).encode()

    def send(self, release: Release) -> float:
        """Publish; the seconds until it was acknowledged. Raises OSError, RuntimeError when it was refused."""
        began = time.perf_counter()
        connection = self._socket = self._socket or self._connected()
        connection.sendall(b"%b\r\nContent-Length: %d\r\n\r\n" % (self._head, len(release.form)))
        connection.sendall(release.form)
        head, body = self._answer(connection)
        took = time.perf_counter() - began
        if b"\r\nconnection: close" in head:
            self.close()
        if not head.startswith((b"http/1.1 2", b"http/1.1 3")):
            raise RuntimeError(f"an upload of {release.filename} was answered {head[9:12]!r}: {body[:200]!r}")
        return took

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        connection = socket.create_connection(self._address, timeout=120)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    @staticmethod
    def _answer(connection: socket.socket) -> tuple[bytes, bytes]:
        """The head in lower case, and the body, which is as long as the head says or in chunks."""
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += _received(connection)
        head, body = data[:end].lower(), data[end + 4 :]
        length = _LENGTH.search(head)
        while len(body) < int(length[1]) if length else not body.endswith(b"0\r\n\r\n"):
            body += _received(connection)
        return head, body


_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)")


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the server closed the connection before its answer was complete")
    return data


FILES_EACH = 10
"""Releases of one project before the next one begins: a record grows with its files, and most have few."""


def releases(prefix: str, count: int, payload: int = 0) -> list[Release]:
    """New releases, ten of one project and then ten of the next, with their forms made already."""
    made = [Release(f"{prefix}-{each // FILES_EACH}", f"1.{each % FILES_EACH}", payload) for each in range(count)]
    for release in made:
        release.form  # noqa: B018 - remembered, so that making it is not measured
    return made
