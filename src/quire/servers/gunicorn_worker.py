"""uvicorn's server as a worker of gunicorn, which starts, watches and ends the processes.

So both servers serve with the same code: the fast path, the deadlines of `quire.servers.uvicorn_protocol`, and files
that the kernel sends.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from types import FrameType
from typing import Any, ClassVar

from gunicorn.arbiter import Arbiter
from uvicorn_worker import UvicornWorker

from quire.servers.limits import bound_unread
from quire.servers.loading import end_with_parent
from quire.servers.uvicorn_protocol import UVICORN_SETTINGS
from quire.servers.worker_server import WorkerServer


class Worker(UvicornWorker):  # type: ignore[misc]  # uvicorn-worker ships no types
    """One worker process.

    Until it serves, signals end it at once. Its requests are logged, without the fast path, if gunicorn's configuration
    has an `accesslog`.
    """

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"loop": "auto", **UVICORN_SETTINGS}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.config.timeout_graceful_shutdown = self.cfg.graceful_timeout

    def init_signals(self) -> None:
        """Called in the new process, before it loads the application."""
        super().init_signals()
        end_with_parent(self.ppid)

    async def _serve(self) -> None:
        """As uvicorn-worker's, which does not end at a SIGQUIT, and is killed by the signal that has ended it: then
        nothing runs that Python does at its exit, and log lines that wait are lost."""
        self.config.app = self.wsgi
        server = WorkerServer(self.config)
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them once more when it is done
            signal.signal(number, _end)
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, server.handle_exit, signal.SIGQUIT, None)
        for listener in self.sockets:  # gunicorn's own, or those of systemd
            bound_unread(listener)
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
