"""gunicorn's ASGI worker, that can also be stopped while it starts, and that gives up clients which never finish."""

from __future__ import annotations

from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

from quire.servers.limits import HEAD_SECONDS
from quire.servers.loading import let_signals_end_the_process


class Protocol(ASGIProtocol):  # type: ignore[misc]  # gunicorn ships no types
    """One connection. gunicorn itself waits for ever for a connection's first request."""

    _is_idle = False
    """Between two requests, and nothing has come of the next one."""

    def connection_made(self, transport: Any) -> None:
        self.worker.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.worker.connections.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._is_idle = False
        super().data_received(data)

    def _arm_keepalive_timer(self) -> None:
        super()._arm_keepalive_timer()
        self._is_idle = True
        if not self.worker.alive:
            self._keepalive_timeout()

    def _cancel_keepalive_timer(self) -> None:
        super()._cancel_keepalive_timer()
        self._is_idle = False

    def close_if_idle(self) -> None:
        """To be called when the worker stops."""
        if self._is_idle:
            self._keepalive_timeout()

    def _start_http1(self, buffered: bytes = b"") -> None:
        # the timer of the time between requests, which ends with the next head: let it run before the first one too
        self._keepalive_handle = self.worker.loop.call_later(HEAD_SECONDS, self._keepalive_timeout)
        super()._start_http1(buffered)

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

    def init_process(self) -> None:
        self.connections = set()
        let_signals_end_the_process()  # for who starts gunicorn otherwise: its arbiter's handlers are in force here
        gasgi.ASGIProtocol = Protocol  # where the worker looks it up; it has no setting for it
        super().init_process()

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
