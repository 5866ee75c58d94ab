"""uvicorn, the default server: asyncio, with uvloop where it is installed."""

from __future__ import annotations

import contextlib
import gc
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import structlog
from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import SIGNALS, Multiprocess, Process

from quire.config.settings import Settings
from quire.domain.errors import QuireError
from quire.observe import logs
from quire.observe.log_output import drain_all
from quire.servers import ENDING_SECONDS, GRACE_SECONDS, host_and_port, log_start
from quire.servers.binding import bind_each
from quire.servers.draining import Drain
from quire.servers.leaving import THREADS_SECONDS, leave_at_last
from quire.servers.limits import raise_descriptor_limit
from quire.servers.loading import end_with_parent
from quire.servers.uvicorn_protocol import UVICORN_SETTINGS
from quire.servers.worker_server import WorkerServer

_EARLY_EXIT_SECONDS = 1.0
"""A worker that dies before this age is started again at the main process's own pace."""
_LOOK_SECONDS = 0.2
"""How often the main process looks for signals while it waits for a worker."""
_STOPS = (signal.SIGTERM, signal.SIGINT)

_fork = multiprocessing.get_context("fork")
_log = structlog.stdlib.get_logger("quire.servers")


def serve(settings: Settings, target: str, *, grants_decide: bool = False) -> int:
    """See quire.servers.run."""
    raise_descriptor_limit()
    listeners = bind_each(settings.host, settings.port, settings.workers)
    logging_setup = logs.dict_config(settings)
    logging_setup["loggers"]["uvicorn"] = {"level": "INFO" if settings.verbosity > 1 else "WARNING"}
    config = _Config(
        target,
        workers=settings.workers,
        access_log=False,
        log_config=logging_setup,
        backlog=2048,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **UVICORN_SETTINGS,
    )
    log_start(
        settings, [host_and_port(listeners[0].getsockname())], "uvicorn", settings.workers, grants_decide=grants_decide
    )
    if settings.workers > 1:
        supervisor = _Supervisor(config, listeners, Drain.of(settings))
        supervisor.run()
        return 1 if supervisor.could_not_start else 0
    server = _Server(config)
    server.drain = Drain.of(settings)
    server.listeners = listeners
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

        Raises the application's errors where there is but one process.
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


class _Worker(Process):
    """A worker process, forked from the main process, which has imported all that a worker needs.

    Theory of operation. uvicorn itself starts each worker as a new program, which imports everything again: twice
    the processor time from the start to the first answer, and a second's wait for connections to a worker that is
    being replaced. The main process may be forked: it has one thread, no event loop and no application.

    The fork copies things that the worker must not have, and the worker gets rid of them before it does anything
    else: the signal handlers of the main process, and the listeners of the other workers, which would go on collecting
    connections after the others have closed them.
    """

    def __init__(self, config: Config, listeners: list[socket.socket], others: list[socket.socket]) -> None:
        self._listeners = listeners
        self._others = others
        self._parent = os.getpid()
        self.started_at = time.monotonic()
        super().__init__(config, [])
        # in place of uvicorn's, which was not started
        self.process = _fork.Process(target=self._begin)  # type: ignore[assignment]  # a fork, not a spawn
        self._server = WorkerServer(config)

    def start(self) -> None:
        """Fork. A signal that arrives meanwhile waits until the worker has handlers of its own, or the main process's
        are in force again; Ctrl-C, which a terminal sends to all processes, until the worker's event loop has one."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _begin(self) -> None:
        """The new process: it sets up its signals, listeners and log, then serves."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        end_with_parent(self._parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS.keys() - {signal.SIGINT})
        for other in self._others:
            other.close()
        self.config.configure_logging()
        try:
            with contextlib.suppress(KeyboardInterrupt):  # the main process ends because of it as well
                self.target(self._listeners)
        finally:
            drain_all()  # a forked process ends without `atexit`


class _Alarm(threading.Event):
    """The event that ends the main process's loop. Waiting for it ends early when a worker dies.

    A worker that dies right after its start is not noticed early: it would be started again as fast as it dies.
    """

    def __init__(self, workers: Callable[[], Iterable[_Worker]]) -> None:
        super().__init__()
        self._workers = workers

    def wait(self, timeout: float | None = None) -> bool:
        """As threading.Event's."""
        born_before = time.monotonic() - _EARLY_EXIT_SECONDS
        grown = [worker.process.sentinel for worker in self._workers() if worker.started_at < born_before]
        if grown and not self.is_set():
            multiprocessing.connection.wait(grown, timeout)
            return self.is_set()
        return super().wait(timeout)


class _Supervisor(Multiprocess):
    """uvicorn's main process, when it has workers, each with a listener of its own.

    The main process keeps them open: connections that come while a worker is replaced wait for its successor.
    """

    processes: list[_Worker]  # type: ignore[assignment]  # uvicorn's own are nowhere made

    def __init__(self, config: Config, listeners: list[socket.socket], drain: Drain) -> None:
        self._listeners = listeners
        self.drain = drain
        self._first: list[_Worker] = []
        self._leaving: list[_Worker] = []
        """Those that were told to end while the server goes on; each until it has."""
        self.could_not_start = False
        super().__init__(config, [])
        self.should_exit = _Alarm(lambda: self.processes)

    def init_processes(self) -> None:
        gc.freeze()  # a collection in a worker would copy every page that it shares with the others
        for place in range(self.processes_num):
            self.processes.append(self._started(place))
        self._first = self.processes.copy()

    def keep_subprocess_alive(self) -> None:
        """Called twice a second, and when a worker dies. uvicorn's own would kill a worker, too, that does not answer
        it for five seconds, as one may not that still starts on a busy machine; its successor would be no faster.

        Of the first workers one that cannot start ends the server. A later failure may pass, and others serve.
        """
        if self.should_exit.is_set() or self.signal_queue:
            return  # they may have died of a Ctrl-C that was not handled yet
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

    def restart_all(self) -> None:
        """SIGHUP: replace each worker when its successor is ready. Both are at the same listener meanwhile. A stop that
        comes meanwhile ends all of them, as many as there are then."""
        for place, old in enumerate(self.processes.copy()):
            if self._is_to_stop():
                return
            successor = self._started(place)
            is_ready = self._is_ready(successor)
            if self._is_to_stop():
                self._leaving.append(successor)
                return
            if not is_ready:
                successor.kill()
                successor.join()
                _log.error(f"A successor of the worker {old.pid} was not ready in time; the old workers go on.")
                return
            self.processes[place] = successor
            self._let_go(old)

    def _is_ready(self, worker: _Worker) -> bool:
        """Whether it begins to serve in time; not, too, when the server is to stop meanwhile."""
        ends = time.monotonic() + self.config.timeout_worker_healthcheck
        while time.monotonic() < ends and worker.process.is_alive() and not self._is_to_stop():
            if worker.is_ready(timeout=1):
                return True
            time.sleep(_LOOK_SECONDS / 2)
        return False

    def handle_signals(self) -> None:
        """As uvicorn's own, but that a stop comes before what waits with it."""
        while not self._is_to_stop() and self.signal_queue:
            name = SIGNALS[self.signal_queue.pop(0)]
            getattr(self, f"handle_{name.lower()}", lambda: None)()

    def _is_to_stop(self) -> bool:
        """Whether the server has been told to stop, also a moment ago."""
        for number in _STOPS:
            while number in self.signal_queue:
                self.signal_queue.remove(number)
                self.handle_term() if number == signal.SIGTERM else self.handle_int()
        return self.should_exit.is_set()

    def handle_ttin(self) -> None:
        """SIGTTIN: one worker more."""
        self.processes.append(self._started(len(self.processes)))
        self.processes_num = len(self.processes)

    def handle_ttou(self) -> None:
        """SIGTTOU: one worker less, but for the last. No other one is at its listener, so that is left to it."""
        if len(self.processes) == 1:
            return
        worker = self.processes.pop()
        self.processes_num = len(self.processes)
        while len(self._listeners) > len(self.processes):
            self._listeners.pop().close()
        self._let_go(worker)

    def _let_go(self, worker: _Worker) -> None:
        """End one worker while the others serve, and wait for it; no longer when the server is to stop meanwhile."""
        worker.terminate()
        self._leaving.append(worker)
        if self._await_end([worker], self._is_to_stop):
            self._leaving.remove(worker)

    def _await_end(self, workers: list[_Worker], is_enough: Callable[[], bool] = lambda: False) -> bool:
        """Wait until workers have ended that were told to, and kill those that have not when the grace has been over
        for a while: one that is stopped, or has an event loop that hangs, would never end. False when `is_enough`
        says so before."""
        assert self.config.timeout_graceful_shutdown is not None
        ends = time.monotonic() + self.config.timeout_graceful_shutdown + ENDING_SECONDS
        while alive := [worker for worker in workers if worker.process.is_alive()]:
            left = ends - time.monotonic()
            if left <= 0:
                for worker in alive:
                    _log.error(f"The worker {worker.pid} did not end in time; killing it.")
                    worker.kill()
                    worker.join()
                break
            if is_enough():
                return False
            multiprocessing.connection.wait([worker.process.sentinel for worker in alive], min(left, _LOOK_SECONDS))
        return True

    def _started(self, place: int) -> _Worker:
        """The worker for a place, at the place's listener; at all of them when there are more workers."""
        own = self._listeners[place : place + 1] or self._listeners.copy()
        worker = _Worker(self.config, own, [listener for listener in self._listeners if listener not in own])
        worker.start()
        return worker

    def handle_term(self) -> None:
        if not self.drain.goes_on():
            super().handle_term()

    def terminate_all(self) -> None:
        """Called once, to stop. As long as the listener is open here new connections would wait in its queue, for as
        long as the workers take to end, for an answer that never comes."""
        super().terminate_all()
        for worker in self._leaving:
            worker.terminate()
        for listener in self._listeners:
            listener.close()

    def join_all(self) -> None:
        """Called once, to stop. A worker that does not end would keep its listener, and this process, for ever."""
        self._await_end([*self.processes, *self._leaving])


class _Server(Server):
    """uvicorn's server, when it is the only process."""

    drain: Drain
    listeners: list[socket.socket]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """As uvicorn's own. While the application still starts, which may take as long as its disk does, no connection
        is accepted from then on, and nothing is waited for but that it ends what it has begun."""
        if sig == signal.SIGTERM and self.drain.goes_on():
            return
        if not self.should_exit:
            leave_at_last(GRACE_SECONDS + ENDING_SECONDS if self.started else THREADS_SECONDS)
        super().handle_exit(sig, frame)
        if not self.started:
            for listener in self.listeners:
                listener.close()
            raise KeyboardInterrupt


def _reason(exit_code: int | None) -> str:
    return f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"


def _go_on(_number: int, _frame: FrameType | None) -> None:
    """Log files are opened again without a signal (`quire.observe.log_output`)."""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
