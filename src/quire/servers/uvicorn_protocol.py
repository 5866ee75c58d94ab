"""uvicorn's HTTP/1.1 protocol with a deadline for a request's head."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from quire.servers.limits import HEAD_SECONDS


class Protocol(H11Protocol):
    """One connection. uvicorn itself bounds only the silence after a response, until the next byte.

    So the deadline for a head begins with the connection, and later on with a head's first byte.
    """

    _head_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._begin_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Called for all that arrives, and when the next request of a connection may begin."""
        super().handle_events()
        self._follow_head()

    def _follow_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget_deadline()
        elif self._head_deadline is None and (self.conn.trailing_data[0] or self.timeout_keep_alive_task is None):
            # something of the next head has come, or of the last body when the silence was timed already
            self._begin_deadline()

    def _begin_deadline(self) -> None:
        self._head_deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _forget_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None
