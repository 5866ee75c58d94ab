"""uvicorn's HTTP/1.1 protocol with the fast path before it, and with a deadline for a request's head."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

from quire.http.app.proxies import peer_address
from quire.http.fast.raw_requests import RawDownload, ResponseBytes
from quire.http.simple.files import ZEROCOPY
from quire.servers.fast_path_connection import FastPathConnection
from quire.servers.joined_head import JoinedHead
from quire.servers.limits import HEAD_SECONDS, MAX_HEAD_BYTES, TOO_MANY, most_connections
from quire.servers.uvicorn_files import FileSender, can_send_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message, Receive, Scope, Send

_log = structlog.stdlib.get_logger("quire.servers")
_METHODS = ("handle_events", "send_400_response", "shutdown", "timeout_keep_alive_handler")
_ATTRIBUTES = (
    *("access_log", "client", "conn", "cycle", "flow", "loop", "scheme", "server_state"),
    *("timeout_keep_alive", "timeout_keep_alive_task", "transport"),
)
"""The parts of uvicorn's protocol that fast-path responses rely on: methods called at the right moments, and state."""


class Protocol(H11Protocol):
    """One connection. uvicorn itself bounds only the silence after a response, until the next byte.

    So the deadline for a head begins with the connection, and later on with a head's first byte.

    A raw request that comes between two others is answered before uvicorn's parser has seen it
    (`quire.http.fast.raw_requests`); for the parser the connection is then as it was.

    Files are handed to the kernel (`quire.servers.uvicorn_files`).
    """

    _head_deadline: asyncio.TimerHandle | None = None
    _fast_path: FastPathConnection | None = None
    """None where the application has no fast-path responses."""
    _is_between_requests = True
    """Whether all requests so far were answered."""
    _files: FileSender | None = None
    """None where files have to be sent in pieces."""
    takes_files = False
    _host: str | None = None
    """See `client_host`; None before the first call."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.write(TOO_MANY)
            transport.close()
            return
        raw_requests = getattr(self.app, "raw_requests", None)
        # uvicorn's own access log, which only gunicorn's configuration turns on, has lines of requests uvicorn parses
        if raw_requests is not None and _supports_fast_path(self) and not self.access_log:
            self._fast_path = FastPathConnection(raw_requests, self, self.loop)
        if can_send_files(transport):
            self._files = FileSender(transport, self.flow, self.loop)
            self.takes_files = True
            self.app = cast("Any", self._run)  # uvicorn declares the messages of ASGI one by one, without extensions
        self._begin_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)
        self.app = self.config.loaded_app  # or the connection would hold itself in memory, here and below
        if self._fast_path is not None:
            self._fast_path.lost()
            self._fast_path = None
        if self._files is not None:
            self._files.connection_lost()

    def data_received(self, data: bytes) -> None:
        if self._fast_path is not None:
            # a client that sends and does not read is left to uvicorn, which stops reading from it
            is_between_requests = self._is_between_requests and not self.flow.write_paused
            if self._fast_path.takes(data, is_between_requests=is_between_requests):
                self._cancel_deadline()
                return
        self.parse(data)

    def parse(self, data: bytes) -> None:
        """See `quire.servers.fast_path_connection.Connection`, also for the methods below."""
        self._is_between_requests = False
        super().data_received(data)

    def client_host(self) -> str:
        if self._host is None:
            self._host = peer_address(self.client, self.server)
        return self._host

    def further_headers(self) -> Sequence[tuple[bytes, bytes]]:
        return self.server_state.default_headers

    def write_response(self, response: ResponseBytes) -> None:
        self.transport.writelines(response)
        self._count_response()

    async def send_file(self, response: RawDownload) -> None:
        assert self._files is not None
        self.transport.write(response.head)
        await self._files.send_download(response.file)
        if not self.transport.is_closing():
            self._count_response()

    def _count_response(self) -> None:
        self.server_state.total_requests += 1
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def hold(self, is_held: bool) -> None:
        if is_held:
            self.flow.pause_reading()
        elif not self.transport.is_closing():
            self.flow.resume_reading()

    def close_if_idle(self) -> None:
        self.shutdown()

    def shutdown(self) -> None:
        """Called when the server stops."""
        if self._fast_path is not None and self._fast_path.has_request:
            self._fast_path.close_after_request()
        else:
            super().shutdown()

    def handle_events(self) -> None:
        """Called for all that arrives, and when the next request of a connection may begin."""
        super().handle_events()
        self._follow_head()
        is_idle = self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE
        self._is_between_requests = is_idle and not self.conn.trailing_data[0]

    def send_400_response(self, msg: str) -> None:
        """Called for bytes that are no HTTP. A pending response to the request before is not sent."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        super().send_400_response(msg)

    def timeout_keep_alive_handler(self) -> None:
        """Called when the keep-alive timer ends; raw requests do not reset it, so it may have to run on."""
        left = 0.0 if self._fast_path is None else self._fast_path.idle_seconds_left(self.timeout_keep_alive)
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, which may send files; one that breaks off has to be followed by the connection's end."""
        cycle, files = self.cycle, self._files
        assert files is not None
        joined = JoinedHead(self.transport, self.loop)
        cycle.transport = cast("asyncio.Transport", joined)  # as far as uvicorn uses it for a response

        async def send_files_too(message: Message) -> None:
            if message["type"] == ZEROCOPY and cycle.response_started and not cycle.response_complete:
                joined.flush()
                await files.send(cycle, message)
            else:
                await send(message)

        scope["extensions"] = {ZEROCOPY: {}}
        await self.config.loaded_app(scope, receive, send_files_too)

    def _follow_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._cancel_deadline()
        elif self._head_deadline is None and (self.conn.trailing_data[0] or self.timeout_keep_alive_task is None):
            # something of the next head has come, or of the last body when the silence was timed already
            self._begin_deadline()

    def _begin_deadline(self) -> None:
        self._head_deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _cancel_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None


def _supports_fast_path(connection: Protocol) -> bool:
    """Whether this version of uvicorn, perhaps an untested one, has all that fast-path responses rely on."""
    missing = [name for name in _METHODS if not callable(getattr(H11Protocol, name, None))]
    missing += [name for name in _ATTRIBUTES if not hasattr(connection, name)]
    if missing:
        _report_missing(", ".join(missing))
    return not missing


@cache
def _report_missing(names: str) -> None:
    """Log why the fast path is off, once."""
    _log.warning(
        f"The fast path is off: the HTTP/1.1 protocol of this version of uvicorn lacks {names}. All requests are "
        "answered by the general application, which is slower."
    )


UVICORN_SETTINGS: Final[dict[str, Any]] = {
    "http": Protocol,  # over h11: httptools collects a header of any size in memory
    "h11_max_incomplete_event_size": MAX_HEAD_BYTES,
    "proxy_headers": False,  # the application reads X-Forwarded-* itself, as --trusted-proxies says
    "server_header": False,
    "ws": "none",
}
"""The settings that quire needs of uvicorn, however its workers are started."""
