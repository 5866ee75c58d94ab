"""gunicorn's ASGI worker, that can also be stopped while it starts, gives up clients which never finish, and answers
plain requests from their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gunicorn.asgi import protocol as gunicorns
from gunicorn.workers import gasgi

from quire.servers.limits import DESCRIPTORS, HEAD_SECONDS, TOO_MANY, most_connections
from quire.servers.loading import let_signals_end_the_process
from quire.servers.plain_connection import PlainConnection, has_all
from quire.web.plain import PlainDownload, Response
from quire.web.proxies import peer_address

_METHODS = (
    *("_arm_keepalive_timer", "_cancel_keepalive_timer", "_keepalive_timeout", "_start_http1"),
    *("_feed_callback_parser", "_pause_reading", "_resume_reading", "_serve_http_request", "_will_close"),
)
_ATTRIBUTES = (
    "_keepalive",
    "_post_request",
    "_pre_request",
    "_proxy_protocol",
    "_write_paused",
    "app",
    "log",
    "worker",
)
"""What plain answers rely on in gunicorn's protocol, which calls all of it its own: it may change in any version."""


class Protocol(gunicorns.ASGIProtocol):  # type: ignore[misc]  # gunicorn ships no types
    """One connection. gunicorn itself waits for ever for a connection's first request.

    From the second one on a plain request is answered before gunicorn's parser has seen it (`quire.web.plain`); not
    where somebody has set up what gunicorn does for each request.
    """

    takes_files = False
    _host: str | None = None
    """See `client_host`; None before anybody has asked."""
    _is_idle = False
    """Between two requests, and nothing has come of the next one."""
    _is_begun = False
    """Something was given to the parser that may belong to a request after the last one that was answered."""
    _plain: PlainConnection | None = None
    """None where there are no plain answers."""

    def connection_made(self, transport: Any) -> None:
        self.worker.connections.add(self)
        if len(self.worker.connections) > most_connections(DESCRIPTORS):
            super().connection_made(transport)
            transport.write(TOO_MANY)
            self._close_transport()
            if self._request_ready is not None:
                self._request_ready.set()  # wakes the task that waits for a request
            return
        plain = getattr(self.app, "plain", None)
        if plain is not None and has_all(self, gunicorns.ASGIProtocol, _METHODS, _ATTRIBUTES):
            has_hooks = self._pre_request is not None or self._post_request is not None
            if not (has_hooks or self.log.access_log_enabled or self._proxy_protocol != "off"):
                self._plain = PlainConnection(plain, self, self.worker.loop)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.worker.connections.discard(self)
        if self._plain is not None:
            self._plain.lost()
            self._plain = None
        if self._flow_control is not None:
            self._flow_control.resume_writing()  # or an answer that waits for its client would wait for ever
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        worker = self.worker
        if self._plain is not None:
            is_between_requests = self._is_idle and not self._is_behind() and worker.nr + 1 < worker.max_requests
            if self._plain.takes(data, is_between_requests=is_between_requests):
                return
        self.parse(data)

    def parse(self, data: bytes) -> None:
        """See `quire.servers.plain_connection.Connection`, also for what follows."""
        self._is_idle = False
        super().data_received(data)

    def client_host(self) -> str:
        if self._host is None:
            own = self.transport.get_extra_info("sockname")  # a path for a Unix socket
            server = own if isinstance(own, tuple) else (own, None)
            self._host = peer_address(self.transport.get_extra_info("peername"), server)
        return self._host

    def further_headers(self) -> Sequence[tuple[bytes, bytes]]:
        headers: Sequence[tuple[bytes, bytes]] = self.worker.further_headers()
        return headers

    def write_plain(self, response: Response) -> None:
        if not self.transport.is_closing():
            self.transport.writelines(response)  # at once: uvloop makes a system call of each write by itself
        self.worker.nr += 1

    async def send_file(self, response: PlainDownload) -> None:
        raise NotImplementedError  # see `takes_files`

    def hold(self, is_held: bool) -> None:
        if is_held:
            self._pause_reading()
        else:
            self._resume_reading()

    def close_if_idle(self) -> None:
        if self._plain is not None and self._plain.is_under_way:
            self._plain.close_afterwards()
        elif self._is_idle:
            super()._keepalive_timeout()

    def _arm_keepalive_timer(self) -> None:
        super()._arm_keepalive_timer()
        self._is_idle = not self._is_begun  # a part of the next head may have come with the request before it
        if not self.worker.alive:
            self._keepalive_timeout()

    def _cancel_keepalive_timer(self) -> None:
        super()._cancel_keepalive_timer()
        self._is_idle = False

    def _keepalive_timeout(self) -> None:
        """The silence was long enough, but for plain requests, which do not begin it anew each time."""
        left = 0.0 if self._plain is None else self._plain.silence_left(self._keepalive)
        if self._is_idle and self.worker.alive and left > 0:
            self._keepalive_handle = self.worker.loop.call_later(left, self._keepalive_timeout)
        else:
            super()._keepalive_timeout()

    def _start_http1(self, buffered: bytes = b"") -> None:
        # the timer of the time between requests, which ends with the next head: let it run before the first one too
        self._keepalive_handle = self.worker.loop.call_later(HEAD_SECONDS, self._keepalive_timeout)
        super()._start_http1(buffered)

    def _is_behind(self) -> bool:
        """Whether the client reads less than it is sent."""
        return self._flow_control is not None and self._flow_control.write_paused

    async def _serve_http_request(self, *request: Any) -> Any:
        """gunicorn itself goes on to the next request of a client that reads no answers, and keeps all of them."""
        keepalive = await super()._serve_http_request(*request)
        while keepalive and self._is_behind():
            await self._flow_control.drain()
        self._is_begun = False  # gunicorn takes what is left out of its parser now, and gives it back to it at once
        return keepalive

    def _resume_reading(self) -> None:
        """Called after each answer. gunicorn itself then reads on however much it holds already, a piece for each
        request of a client that sends them without waiting."""
        if not self._is_buffer_full():
            super()._resume_reading()

    def _feed_callback_parser(self, data: bytes) -> Any:
        self._is_begun = True
        goes_on = super()._feed_callback_parser(data)
        self._resume_reading()  # what was held may be too little for a request
        return goes_on

    def _will_close(self, request: Any, response_requires_close: bool) -> bool:
        # gunicorn does not look at a Connection header of the application, which ends connections after chunked bodies
        return bool(request.chunked or super()._will_close(request, response_requires_close))


class Worker(gasgi.ASGIWorker):  # type: ignore[misc]  # gunicorn ships no types
    """One worker process: an event loop that serves many requests at once.

    gunicorn's own installs its signal handlers before it imports the application. uvloop loses what arrives before it
    runs, and the arbiter then waits for the worker until its patience ends.
    """

    _listens = False
    connections: set[Protocol]
    """Those that are open."""
    _date = b""
    _further_headers: tuple[tuple[bytes, bytes], ...] = ()

    def init_process(self) -> None:
        self.connections = set()
        let_signals_end_the_process()  # for who starts gunicorn otherwise: its arbiter's handlers are in force here
        gasgi.ASGIProtocol = Protocol  # where the worker looks it up; it has no setting for it
        super().init_process()

    def further_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Those that gunicorn adds to every response; another object when they change."""
        date = gunicorns._get_cached_date_header()
        if date is not self._date:
            self._date = date
            lines = (gunicorns._CACHED_SERVER_HEADER, date)
            self._further_headers = tuple(
                (name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)
            )
        return self._further_headers

    def init_signals(self) -> None:
        """Called before the import: too early, see `run`."""

    def run(self) -> None:
        self.loop.call_soon(super().init_signals)
        super().run()

    async def _shutdown(self) -> None:
        """gunicorn itself waits until idle connections have been idle for long enough."""
        for server in self.servers:
            server.close()
        for connection in list(self.connections):
            connection.close_if_idle()
        await super()._shutdown()

    def notify(self) -> None:
        """Called every second, first when the worker has begun to listen."""
        super().notify()
        if not self._listens and self.servers:
            self._listens = True
            for each in self.sockets:  # the event loop listens with 100; who connects then waits a second or more
                each.sock.listen(self.cfg.backlog)
