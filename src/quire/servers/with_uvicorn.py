"""uvicorn, the default server: asyncio, with uvloop where it is installed."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any

import structlog
from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from quire import logs
from quire.config import Settings
from quire.errors import QuireError
from quire.servers import GRACE_SECONDS, MAX_HEAD_BYTES, announce, host_and_port
from quire.servers.binding import bind_each
from quire.servers.draining import Drain
from quire.servers.limits import raise_descriptor_limit
from quire.servers.uvicorn_protocol import Protocol

_log = structlog.stdlib.get_logger("quire.servers")


def serve(settings: Settings, target: str) -> int:
    """See quire.servers.run."""
    raise_descriptor_limit()
    listeners = bind_each(settings.host, settings.port, settings.workers)
    logging_setup = logs.dict_config(settings)
    logging_setup["loggers"]["uvicorn"] = {"level": "INFO" if settings.verbosity > 1 else "WARNING"}
    config = _Config(
        target,
        workers=settings.workers,
        http=Protocol,  # over h11: httptools collects a header of any size in memory
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        proxy_headers=False,  # the application reads X-Forwarded-* itself, as --trusted-proxies says
        server_header=False,
        access_log=False,
        ws="none",
        log_config=logging_setup,
        backlog=2048,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    announce(settings, [host_and_port(listeners[0].getsockname())], "uvicorn", settings.workers)
    if settings.workers > 1:
        supervisor = _Supervisor(config, listeners, Drain.of(settings))
        supervisor.run()
        return 1 if supervisor.could_not_start else 0
    server = _Server(config)
    server.drain = Drain.of(settings)
    # uvicorn raises the signal that stopped it once more when it is done; by then there is nothing left to stop
    signal.signal(signal.SIGTERM, _interrupt)
    if not sys.stdin.isatty():  # from a terminal it means that this was closed; else that log files were moved away
        signal.signal(signal.SIGHUP, _go_on)
    try:
        server.run(sockets=listeners)
    except KeyboardInterrupt:
        return 0
    return 0 if server.started else 1


class _Config(Config):
    """Settings of uvicorn, which go to each worker; a worker loads the application by them."""

    def load_app(self) -> Any:
        """The application. A worker that cannot make it ends with the exit code that ends the server as well; after any
        other one uvicorn would start the next worker, and so on without end.

        Raises what the application raises where there is but one process.
        """
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # uvicorn has its handlers now
        try:
            return super().load_app()
        except Exception as error:
            if self.workers == 1:
                raise
            is_known = isinstance(error, QuireError)
            sentence = str(error) if is_known else "The application cannot be loaded."
            # not structlog's logger: that is set up by the application
            logging.getLogger("quire.servers").error("%s", sentence, exc_info=not is_known)
            sys.exit(STARTUP_FAILURE)


class _Supervisor(Multiprocess):
    """uvicorn's main process, when it has workers, each with a listener of its own.

    The main process keeps them open: connections that come while a worker is replaced wait for its successor.
    """

    def __init__(self, config: Config, listeners: list[socket.socket], drain: Drain) -> None:
        self._listeners = listeners
        self.drain = drain
        self._first: list[Process] = []
        self.could_not_start = False
        super().__init__(config, [])

    def init_processes(self) -> None:
        resource_tracker.ensure_running()  # which multiprocessing does with the first process, and releases signals
        for place in range(self.processes_num):
            self.processes.append(self._started(place))
        self._first = self.processes.copy()

    def keep_subprocess_alive(self) -> None:
        """Called twice a second. uvicorn's own would kill a worker, too, that does not answer it for five seconds, as
        one may not that still starts on a busy machine; its successor would be no faster.

        Of the first workers one that cannot start ends the server. Later what fails may pass, and others serve.
        """
        if self.should_exit.is_set() or self.signal_queue:
            return  # they may have died of a Ctrl-C that is yet to be looked at
        for place, process in enumerate(self.processes):
            if process.process.is_alive():
                continue
            process.join()
            if process.exitcode == STARTUP_FAILURE and process in self._first:
                _log.error(f"The worker {process.pid} could not start; stopping.")
                self.could_not_start = True
                self.should_exit.set()
                return
            _log.warning(f"The worker {process.pid} died ({_reason(process.exitcode)}); starting another one.")
            process.kill()  # closes its pipes
            self.processes[place] = self._started(place)

    def _started(self, place: int) -> Process:
        """A worker that will learn of Ctrl-C, which a terminal sends to all processes, when it can deal with it."""
        listeners = self._listeners[place : place + 1] or self._listeners
        process = Process(self.config, listeners)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return process

    @property
    def sockets(self) -> list[socket.socket]:
        """For the worker that is started next: the listener that nobody has; all of them when each has somebody, as
        when a worker is replaced that still runs."""
        places = range(len(self._listeners))
        free = (at for at in places if at >= len(self.processes) or not self.processes[at].process.is_alive())
        at = next(free, None)
        return self._listeners if at is None else [self._listeners[at]]

    @sockets.setter
    def sockets(self, _: list[socket.socket]) -> None:
        """uvicorn sets what it was given."""

    def handle_term(self) -> None:
        if not self.drain.goes_on():
            super().handle_term()

    def terminate_all(self) -> None:
        """Called once, to stop. As long as the listener is open here new connections would wait in its queue, for as
        long as the workers take to end, for an answer that nobody gives."""
        super().terminate_all()
        for listener in self._listeners:
            listener.close()


class _Server(Server):
    """uvicorn's server, when it is the only process."""

    drain: Drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGTERM or not self.drain.goes_on():
            super().handle_exit(sig, frame)


def _reason(exit_code: int | None) -> str:
    return f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"


def _go_on(_number: int, _frame: FrameType | None) -> None:
    """Log files are opened anew without being asked (`quire.log_output`)."""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
