"""granian: HTTP in Rust, one process per worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVarTuple

import structlog
from granian import Granian, loops
from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels

from quire import logs
from quire.config import Settings
from quire.servers import GRACE_SECONDS, MAX_HEAD_BYTES, announce, host_and_port
from quire.servers.binding import free_address
from quire.servers.draining import Drain
from quire.servers.limits import DESCRIPTORS, HEAD_SECONDS, connections_for, raise_descriptor_limit
from quire.servers.loading import forked_workers_obey_signals, hold_signals, load
from quire.servers.rsgi import RSGIApplication, is_of_interest

try:
    from uvloop import Loop as _FastestLoop
except ModuleNotFoundError:  # where there is none, see pyproject.toml
    from asyncio import SelectorEventLoop as _FastestLoop  # type: ignore[assignment]

_Arguments = TypeVarTuple("_Arguments")

_log = structlog.stdlib.get_logger("quire.servers")


class _Loop(_FastestLoop):
    """Calls the handler of the signals that stop a worker at the first of them alone.

    granian's puts a mark into a channel that has room for one, and nobody takes it out: a second signal would wait for
    ever, with Python's lock held. Ctrl-C, or a SIGTERM for all processes, is followed by one of the main process.
    """

    _is_stopping = False

    def add_signal_handler(self, sig: int, callback: Callable[[*_Arguments], object], *args: *_Arguments) -> None:
        """See asyncio."""

        def once() -> None:
            if not self._is_stopping:
                self._is_stopping = True
                callback(*args)

        super().add_signal_handler(sig, once)


@loops.register("auto")
def _loop() -> asyncio.AbstractEventLoop:
    loop = _Loop()
    asyncio.set_event_loop(loop)
    return loop


def _load(target: str) -> Any:
    application = RSGIApplication(load(target))
    hold_signals()  # the application lets go of them when its event loop runs
    return application


def _is_of_interest() -> Callable[[logging.LogRecord], bool]:
    return is_of_interest


def serve(settings: Settings, target: str) -> int:
    """See quire.servers.run."""
    # every worker binds by itself with SO_REUSEPORT; a port of another quire would be shared silently
    host, port = free_address(settings.host, settings.port)
    level = LogLevels.info if settings.verbosity > 1 else LogLevels.warning
    # granian's own loggers fall through to ours
    logging_setup = logs.dict_config(settings)
    logging_setup["filters"] = {"of interest": {"()": _is_of_interest}}
    logging_setup["loggers"] |= {
        "_granian": {"level": level.value.upper()},
        "_granian.utils": {"filters": ["of interest"]},
        "granian.access": {"level": "WARNING"},
    }
    server = Granian(
        target,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        workers=settings.workers,
        loop=Loops.auto,
        # the other mode can miss the end of a worker that is told to stop while it starts, and waits until it is killed
        runtime_mode=RuntimeModes.st,
        http=HTTPModes.http1,
        # one deadline for the whole of a head and for the silence before it: the longer one
        http1_settings=HTTP1Settings(
            max_buffer_size=MAX_HEAD_BYTES,
            header_read_timeout=max(HEAD_SECONDS, settings.keep_alive_seconds) * 1000,
        ),
        websockets=False,
        backlog=2048,
        # every open connection counts, idle or not; when all are taken nobody else is even accepted
        backpressure=connections_for(raise_descriptor_limit(), DESCRIPTORS),
        log_level=level,
        log_dictconfig=logging_setup,
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=GRACE_SECONDS,
    )
    announce(settings, [host_and_port((host, port))], "granian", settings.workers)
    handler = Drain.of(settings).before(server.signal_handler_interrupt)
    server.signal_handler_interrupt = handler  # type: ignore[method-assign]  # where granian looks it up
    forked_workers_obey_signals()
    try:
        server.serve(target_loader=_load)
    except SystemExit as stopped:
        # Ctrl-C reaches the workers as well; granian then counts their leaving as failures
        return 0 if server.interrupt_signal else int(stopped.code or 0)
    return 0
