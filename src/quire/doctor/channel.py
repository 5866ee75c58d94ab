"""Messages between the two sides of a two-node test, over a connection of their own.

The volume carries none of them: it is under examination, and a message that it delayed would delay the question that
the message triggers, which hides wrong answers. A message is one line of JSON. It is checked against the type that is
expected; its size, and the time until all of it is there, are bounded.

The last message of each side is its report. A side that has to break off sends it as well, and the other side, which
waits for something else, learns so that the run is over.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from quire.domain.errors import StoreError
from quire.domain.structs import decode_as

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds of silence after which the other side counts as gone."""
_MAX_BYTES = 256 * 1024
"""Of one message. Less than kernels buffer for a connection, so that both sides can send a report at the same time."""
_PAUSE = 0.0005
_ENDED = "The other side ended before it was done."


class PeerGone(StoreError):
    """The other side ended, or does not answer any more."""


class NotUnderstood(PeerGone):
    """The other side sent something that is no message, or not the one that is expected."""


class _Message(msgspec.Struct):
    content: msgspec.Raw
    last: bool


class Channel:
    """One side's end. Both sides send and expect the same messages in the same order."""

    def __init__(self, connection: socket.socket) -> None:
        """Takes over a connected stream socket."""
        with contextlib.suppress(OSError):  # a pair within one process sends at once as it is
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._received = bytearray()
        self._report: msgspec.Raw | None = None

    def close(self) -> None:
        """End the connection. The other side learns of it at once. Idempotent."""
        self._connection.close()

    def post(self, content: object = True, *, last: bool = False, patience: float = PATIENCE) -> None:
        """Send a message. Raises PeerGone."""
        try:
            self._connection.settimeout(patience)
            self._connection.sendall(msgspec.json.encode({"content": content, "last": last}) + b"\n")
        except OSError as error:
            raise PeerGone(_ENDED) from error

    def wait(self, kind: type[T], meanwhile: Callable[[], object] | None = None, patience: float = PATIENCE) -> T:
        """The other side's next message. `meanwhile` is called again and again until it is there. Raises PeerGone."""
        message = self._receive(patience, meanwhile)
        if message.last:
            self._report = message.content
            raise PeerGone(_ENDED)
        return _decoded(message.content, kind)

    def exchange(self, content: object, kind: type[T], patience: float = PATIENCE) -> T:
        """Send a message and wait for the other side's, which is sent at the same time. Raises PeerGone."""
        self.post(content)
        return self.wait(kind, patience=patience)

    def part(self, report: object, kind: type[T], patience: float) -> T:
        """Send this side's report and wait for the other side's, past all messages before it. Raises PeerGone."""
        with contextlib.suppress(PeerGone):  # the other side may have sent its report before it ended
            self.post(report, last=True, patience=patience)
        until = time.monotonic() + patience
        while self._report is None:
            message = self._receive(until - time.monotonic(), None)
            if message.last:
                self._report = message.content
        return _decoded(self._report, kind)

    def check(self) -> None:
        """Raises PeerGone when the other side has ended the connection."""
        try:
            self._connection.settimeout(0)
            if not self._connection.recv(1, socket.MSG_PEEK):
                raise PeerGone(_ENDED)
        except BlockingIOError:
            pass
        except OSError as error:
            raise PeerGone(_ENDED) from error

    def _receive(self, patience: float, meanwhile: Callable[[], object] | None) -> _Message:
        until = time.monotonic() + patience
        while (end := self._received.find(b"\n")) < 0:
            left = until - time.monotonic()
            if left <= 0:
                raise PeerGone(f"Nothing was heard of the other side for {patience:.0f} seconds.")
            if len(self._received) > _MAX_BYTES:
                raise NotUnderstood(f"The other side sent more than {_MAX_BYTES} bytes that are no message.")
            try:
                self._connection.settimeout(left if meanwhile is None else min(left, _PAUSE))
                data = self._connection.recv(_MAX_BYTES)
            except TimeoutError:
                if meanwhile is not None:
                    meanwhile()
                continue
            except OSError as error:
                raise PeerGone(_ENDED) from error
            if not data:
                raise PeerGone(_ENDED)
            self._received += data
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return _decoded(line, _Message)


def _decoded(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    try:
        return decode_as(data, kind)
    except (ValueError, RecursionError) as error:
        raise NotUnderstood("The other side sent something that is no message of this version of quire.") from error
