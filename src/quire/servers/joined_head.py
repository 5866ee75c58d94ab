"""The head of a response and the first piece of its body in one write.

uvicorn writes the two apart, and each write to a socket costs the kernel a packet and the client a wake-up. Here the
head waits for the piece that follows it in the same iteration of the event loop, as nearly every body does; a head
without one is written at the end of the iteration.
"""

from __future__ import annotations

import asyncio


class JoinedHead:
    """The transport of one response. It stands in for the connection's where uvicorn writes the response."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._end: asyncio.Handle | None = None
        """Of the iteration of the event loop; None until something was written."""

    def write(self, data: bytes) -> None:
        """Send; the first piece together with the second."""
        if self._end is None:
            self._head = data
            self._end = self._loop.call_soon(self.flush)
        elif self._head is None:
            self._transport.write(data)
        else:
            head, self._head = self._head, None
            self._end.cancel()
            if not self._transport.is_closing():
                self._transport.writelines((head, data))

    def flush(self) -> None:
        """Send what waits."""
        head, self._head = self._head, None
        if head is not None and not self._transport.is_closing():
            self._transport.write(head)

    def is_closing(self) -> bool:
        """As of the connection's transport."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection behind what was written."""
        self.flush()
        self._transport.close()
